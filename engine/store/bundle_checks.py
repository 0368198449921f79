"""Whether a bundle's rows are what a run's rows must be: each value by its rule, and values against each other.

Read row by row and blob by blob, so that a file cannot fill the memory with what it claims to hold.
"""

from __future__ import annotations

import json
import math
import sqlite3
import tomllib
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.arrays import FORETOLD
from engine.errors import StoreError
from engine.printable import name_of
from engine.rows import DEFENDED
from engine.store import checks
from engine.store.checks import DTYPES
from engine.store.judged import unpack
from engine.store.parts import parts_asked, parts_due

CHUNK = 1 << 20  # bytes unpacked at once
BYTES = {name: int("".join(filter(str.isdigit, name))) // 8 for name in DTYPES}
KEYS = {  # what tells a table's rows of one run apart; a stranger's file need not keep to the keys of its schema
    "discoveries": "run_id",
    "subpopulations": "number",
    "arrays": "name",
    "array_parts": "name, number",
    "plans": "run_id",
    "stacks": "number",
    "victims": "number",
    "parts": "number",
    "result_tables": "name",
    "result_rows": "name, key",
}
MEMBERS = ("membership.train", "membership.aux", "membership.test")


class Damaged(ValueError):
    """What of a bundle is not as it must be, and where in it."""


@dataclass
class _Found:
    """What was read of the bundle so far, that later rows are held against."""

    classes: list[str] = field(default_factory=list)
    account: dict[str, Any] | None = None
    subpopulations: dict[int, dict[str, object]] = field(default_factory=dict)
    planned: dict[int, tuple[int, list[object]]] = field(default_factory=dict)  # victim -> its stack and what the plan says of it
    done: set[int] = field(default_factory=set)
    tables: dict[str, tuple[dict[str, object], int]] = field(default_factory=dict)  # name -> spec, revision
    train_rows: int | None = None
    test_rows: int | None = None


def check(db: sqlite3.Connection, run_id: str) -> None:
    """Raise Damaged at the first value of the run's rows that cannot be. sqlite3.Error where they cannot be read at all."""
    contents = _Found()
    for table in checks.COLUMNS:
        if table != "runs":
            (others,) = db.execute(f"SELECT count(*) FROM {table} WHERE run_id IS NOT ?", (run_id,)).fetchone()
            _need(not others, f"table {table}, column run_id: {others} rows are of no run in it")
        for row in _rows(db, table, run_id):
            _, wrong = checks.mistake(table, row)
            if wrong:
                raise Damaged(f"table {table}, column {wrong}")
        if table in KEYS:
            twice = db.execute(f"SELECT 1 FROM {table} GROUP BY {KEYS[table]} HAVING count(*) > 1 LIMIT 1").fetchone()
            _need(twice is None, f"table {table}: a row of it is there twice")
    _run(db, run_id)
    _discovery(db, run_id, contents)
    _arrays(db, run_id, contents)
    _plan(db, run_id, contents)
    _victims(db, run_id, contents)
    _parts_of_train(db, run_id, contents)
    _tables(db, run_id, contents)


def _rows(db: sqlite3.Connection, table: str, run_id: str) -> Iterator[sqlite3.Row]:
    names = ", ".join(checks.COLUMNS[table])
    return iter(db.execute(f"SELECT {names} FROM {table} WHERE {'id' if table == 'runs' else 'run_id'} = ?", (run_id,)))


def _need(good: bool, what: str) -> None:
    if not good:
        raise Damaged(what)


def _run(db: sqlite3.Connection, run_id: str) -> None:
    for row in _rows(db, "runs", run_id):
        _need(row["state"] in ("stopped", "failed", "done"), f"table runs, column state is {row['state']!r}: nobody is at work on it")
        _need(row["victims_done"] <= row["victims_total"], "table runs: more victims are done than there are")
        try:
            tomllib.loads(row["scenario_toml"])
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise Damaged(f"table runs, column scenario_toml is no TOML ({error})") from error


def _discovery(db: sqlite3.Connection, run_id: str, contents: _Found) -> None:
    for row in _rows(db, "discoveries", run_id):
        contents.classes = json.loads(row["classes"])
        _need(len(set(contents.classes)) == len(contents.classes) <= 256, "table discoveries: its classes are not up to 256 different ones")
        contents.account = None if row["account"] is None else json.loads(row["account"])
    for row in _rows(db, "subpopulations", run_id):
        fields = json.loads(row["fields"])
        where = f"table subpopulations, number {row['number']}"
        _need(fields["index"] == row["number"], f"{where}: its fields say {fields['index']}")
        _need({*fields["class_mix"], fields["target_label"]} <= {*contents.classes, None}, f"{where} names a class that there is not")
        contents.subpopulations[row["number"]] = fields
    count = len(contents.subpopulations)
    _need(contents.subpopulations.keys() == set(range(count)), f"table subpopulations: its {count} numbers are not 0 to {count - 1}")


def _arrays(db: sqlite3.Connection, run_id: str, contents: _Found) -> None:
    shapes: dict[str, tuple[str, list[int]]] = {}
    true: Counter[int] = Counter()
    for row in _rows(db, "arrays", run_id):
        name, shape = row["name"], json.loads(row["shape"])
        bounds = None
        if name in MEMBERS:
            bounds = (-1, len(contents.subpopulations) - 1)
            _need((row["dtype"], len(shape)) == ("int32", 1), f"table arrays, {name} is no list of int32")
        elif name == "y_test":
            bounds = (0, len(contents.classes) - 1)
            _need((row["dtype"], len(shape)) == ("int64", 1), f"table arrays, {name} is no list of int64")
        count = _unpacked(_parts(db, run_id, row), math.prod(shape) * BYTES[row["dtype"]], f"table arrays, {name}", row["dtype"], bounds)
        true = count if name == "y_test" else true
        shapes[name] = (row["dtype"], shape)
    for row in db.execute("SELECT DISTINCT name FROM array_parts"):
        _need(row["name"] in shapes, f"table array_parts: there is no array {checks.shown(row['name'])}")
    if not contents.classes:
        _need(not shapes, "table arrays: there are some, and no discovery")
        return
    missing = [name for name in (*MEMBERS, "y_test") if name not in shapes]
    _need(not missing, f"table arrays: {', '.join(missing)} missing")
    contents.train_rows, contents.test_rows = shapes["membership.train"][1][0], shapes["y_test"][1][0]
    _account(contents, {name.rpartition(".")[2]: shapes[name][1][0] for name in MEMBERS}, true)
    for name, rows in (("proba_aux_AC", "membership.aux"),):
        if name in shapes:
            _need(shapes[name][1] == [shapes[rows][1][0], len(contents.classes)], f"table arrays, {name} is not [aux rows, classes]")
    if told := [name for name in shapes if name.startswith(FORETOLD)]:
        names = [f"{FORETOLD}{name}" for name in ("alphas", "aux_AS", "test_AS")]
        size = [*shapes.get(names[0], ("", []))[1], len(contents.subpopulations)]
        good = sorted(told) == names and len(size) == 2 and all(shapes[name][1] == size for name in names[1:])
        good = good and all(shapes[name][0] == "float64" for name in names)
        _need(good, f"table arrays, {FORETOLD}* is not float64 [alphas, subpopulations]")


def _parts(db: sqlite3.Connection, run_id: str, row: sqlite3.Row) -> Iterator[bytes]:
    """The bytes of an array, a part at a time."""
    yield row["data"]
    rows = db.execute("SELECT number, data FROM array_parts WHERE run_id = ? AND name = ? ORDER BY number", (run_id, row["name"]))
    for number, part in enumerate(rows, 1):
        _need(part["number"] == number, f"table array_parts, {row['name']}: part {number} is missing")
        yield part["data"]


def _account(contents: _Found, rows: dict[str, int], true: Counter[int]) -> None:
    """Whether the account of the data is of these data: their classes, as many rows, and of test as many of each class."""
    if contents.account is None:
        return
    where, classes = "table discoveries, column account", contents.account["classes"]
    _need(classes == [name_of(name) for name in contents.classes], f"{where} has other classes")
    splits = contents.account["splits"]
    _need([split["name"] for split in splits] == list(rows), f"{where}: its splits are not {', '.join(rows)}")
    for split in splits:
        place, wanted, sizes = f"{where}: split {split['name']}", rows[split["name"]], split["classes"]
        _need(split["rows"] == wanted, f"{place} has {split['rows']} rows where there are {wanted}")
        _need(len(sizes) == len(classes) and sum(sizes) == wanted, f"{place}: its classes do not sum to its rows")
    _need(splits[-1]["classes"] == [true[at] for at in range(len(classes))], f"{where}: split test has other rows of its classes")


def _plan(db: sqlite3.Connection, run_id: str, contents: _Found) -> None:
    for row in _rows(db, "plans", run_id):
        _need((row["shard"] or 0) <= (row["shards"] or 0), "table plans: there is no such shard of so many")
    for row in _rows(db, "stacks", run_id):
        where = f"table stacks, number {row['number']}"
        for spec in json.loads(row["victims"]):
            index, trial, arm, aim, alpha = spec
            _need(index not in contents.planned, f"{where}: victim {index} is planned twice")
            _need(trial == row["trial"], f"{where}: victim {index} is of trial {trial}, not {row['trial']}")
            aimed = aim is not None and alpha is not None
            fits = arm in DEFENDED if aim is None and alpha is None and arm != "clean" else aimed == (arm != "clean")
            _need(fits and (aim is None) == (alpha is None), f"{where}: victim {index} is {arm}, at {aim} by {alpha}")
            _need(aim is None or not contents.classes or aim in contents.subpopulations, f"{where}: there is no subpopulation {aim}")
            contents.planned[index] = (row["number"], spec)
        if row["done_at"] is not None:
            contents.done.add(row["number"])


def _victims(db: sqlite3.Connection, run_id: str, contents: _Found) -> None:
    seen = set()
    for row in _rows(db, "victims", run_id):
        where = f"table victims, number {row['number']}"
        spec = [row["number"], row["trial"], row["arm"], row["subpopulation"], row["alpha"]]
        _need(contents.planned.get(row["number"]) == (row["stack"], spec), f"{where} is not the one that the plan names")
        _need(row["stack"] in contents.done, f"{where} is of stack {row['stack']}, which is not done")
        _need(row["already_target"] <= row["poison_points"], f"{where}: more points bear their true label than there are")
        if contents.test_rows is not None:
            _need(row["test_rows"] == contents.test_rows, f"{where} has {row['test_rows']} predictions for {contents.test_rows} test rows")
        most = (0, len(contents.classes) - 1) if contents.classes else None
        _unpacked(iter([row["predictions"]]), row["test_rows"], where, "uint8", most)
        _need((row["judged"] is not None) == (row["arm"] in DEFENDED), f"{where}, column judged: only defended victims have it, and each")
        if row["judged"] is not None:
            _judged(row, contents, where)
        seen.add(row["number"])
    lacking = [number for number, (stack, _) in contents.planned.items() if stack in contents.done and number not in seen]
    _need(not lacking, f"table victims: {len(lacking)} of stacks that are done are missing, {lacking[:1]} is the first")


def _parts_of_train(db: sqlite3.Connection, run_id: str, contents: _Found) -> None:
    """The models of the ensemble: no more than the scenario has parts, and where all are there, each row of train in one."""
    k, due, state, numbers, rows = 0, 0, "", [], 0
    for run in _rows(db, "runs", run_id):
        k, due, state = parts_asked(run["scenario_toml"]), parts_due(db, run_id, run["scenario_toml"]), run["state"]
    for row in _rows(db, "parts", run_id):
        where = f"table parts, number {row['number']}"
        _need(row["number"] < k, f"{where}: its scenario has {k} parts")
        _need(contents.test_rows is not None, f"{where}: there is one, and no discovery")
        _need(row["test_rows"] == contents.test_rows, f"{where} has {row['test_rows']} predictions for {contents.test_rows} test rows")
        _unpacked(iter([row["predictions"]]), row["test_rows"], where, "uint8", (0, len(contents.classes) - 1))
        numbers.append(row["number"])
        rows += row["rows"]
    _need(state != "done" or len(numbers) == due, f"table parts: there are {len(numbers)} where a run that is done has {due}")
    whole = rows == contents.train_rows if len(numbers) == k else rows <= (contents.train_rows or 0)
    _need(not numbers or whole, f"table parts: they have {rows} rows where train has {contents.train_rows}")


def _judged(row: sqlite3.Row, contents: _Found, where: str) -> None:
    rows = None if contents.train_rows is None else contents.train_rows + row["poison_points"]
    try:
        judged = unpack(row["judged"], where=where, rows=rows)
    except StoreError as error:
        raise Damaged(f"{where}, column judged: {error.what}") from error
    in_range = not len(judged.given_R) or -1 <= judged.given_R.min() <= judged.given_R.max() < max(len(contents.classes), 1)
    _need(bool(in_range), f"{where}, column judged names a class that there is not")


def _tables(db: sqlite3.Connection, run_id: str, contents: _Found) -> None:
    for row in _rows(db, "result_tables", run_id):
        spec = json.loads(row["spec"])
        names, where = [name for name, _, _ in spec["columns"]], f"table result_tables, {row['name']}"
        _need(spec["name"] == row["name"], f"{where}: its specification is of {spec['name']!r}")
        _need(len(set(names)) == len(names) and set(spec["key"]) <= set(names), f"{where}: its key or columns do not fit")
        _need(row["order_revision"] <= row["revision"], f"{where}: its order is of a later revision than it is")
        contents.tables[row["name"]] = (spec, row["revision"])
    for row in _rows(db, "result_rows", run_id):
        where = f"table result_rows, {row['name']!r} {checks.shown(row['key'])}"
        _need(row["name"] in contents.tables, f"{where} is of no table that there is")
        spec, revision = contents.tables[row["name"]]
        _need(row["revision"] <= revision, f"{where} is of a later revision than its table")
        _cells(spec, json.loads(row["key"]), None if row["cells"] is None else json.loads(row["cells"]), where)


def _cells(spec: dict[str, object], key: list[object], cells: list[object] | None, where: str) -> None:
    columns: Sequence[tuple[str, str, str]] = spec["columns"]  # type: ignore[assignment]
    kinds = {name: kind for name, kind, _ in columns}
    at: Sequence[str] = spec["key"]  # type: ignore[assignment]
    _need(len(key) == len(at), f"{where}: its key has {len(key)} parts where there are {len(at)}")
    for name, part in zip(at, key, strict=True):
        _need(checks.cell(kinds[name], part), f"{where}: {checks.shown(part)} is no {kinds[name]}")
    if cells is None:
        return
    _need(len(cells) == len(columns), f"{where} has {len(cells)} cells where there are {len(columns)} columns")
    for (name, kind, _), cell in zip(columns, cells, strict=True):
        _need(checks.cell(kind, cell), f"{where}, {name} is {checks.shown(cell)}, no {kind}")
    by_kind = dict(zip(kinds, cells, strict=True))
    _need([by_kind[name] for name in at] == key, f"{where}: its cells have another key")


def _unpacked(parts: Iterator[bytes], size: int, where: str, dtype: str, bounds: tuple[int, int] | None) -> Counter[int]:
    """Unpack blobs that are one stream, piece by piece: it must be of exactly this size, and where there are bounds, within them.

    With bounds: value -> how often it is there.
    """
    import numpy as np

    count: Counter[int] = Counter()
    unpack, length, rest, packed = zlib.decompressobj(), 0, b"", b""
    try:
        while not unpack.eof and length <= size:
            piece = unpack.decompress(packed, CHUNK)
            packed = unpack.unconsumed_tail
            if not piece and not packed and not unpack.eof and not (packed := next(parts, b"")):
                raise Damaged(f"{where} is cut off")
            length += len(piece)
            if bounds is not None:
                piece = rest + piece
                whole = len(piece) - len(piece) % BYTES[dtype]
                values, rest = np.frombuffer(piece[:whole], np.dtype(dtype).newbyteorder("<")), piece[whole:]
                if len(values) and not bounds[0] <= values.min() <= values.max() <= bounds[1]:
                    raise Damaged(f"{where} holds a number outside {bounds[0]} to {bounds[1]}")
                count.update(dict(zip(*(part.tolist() for part in np.unique(values, return_counts=True)), strict=True)))
    except zlib.error as error:
        raise Damaged(f"{where} cannot be unpacked ({error})") from error
    _need(length == size, f"{where} is not the {size:,} bytes that it says")
    return count
