"""Tables in the store: rows of cells as JSON, with a revision per table, so that a reader fetches only what changed."""

from __future__ import annotations

import json
import sqlite3
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from engine import paper, versions
from engine.errors import UnknownName
from engine.rows import Column, Table, TableSpec
from engine.scenario import claim
from engine.store import digests
from engine.store.database import Database
from engine.store.words import damage_in_words

LAST = 1 << 40  # no revision is later
Key = tuple[object, ...]
Cells = tuple[object, ...]


class Tables(Database):
    """The part of the store that a screen reads."""

    def write_tables(self, run_id: str, tables: Mapping[str, Table]) -> None:
        """Make a run's tables equal to these, in one transaction; only rows that changed are written."""
        with self.write() as db:
            put_tables(db, run_id, tables, self.now())
            for row in db.execute("SELECT rowid AS place, name FROM result_tables WHERE run_id = ?", (run_id,)).fetchall():
                head, rows = _head(db, run_id, row["name"]), _rows(db, run_id, row["name"], "AND cells IS NOT NULL")
                if row["name"] not in tables and (head is None or _wrong(run_id, head, rows, digests.joined(rows))):
                    db.execute("DELETE FROM result_tables WHERE rowid = ?", (row["place"],))  # its name is damaged

    def tables(self, run_id: str) -> dict[str, int]:
        """Name and revision of each table that a run has."""
        rows = self.read("SELECT name, revision FROM result_tables WHERE run_id = ? ORDER BY name", (run_id,))
        return {row["name"]: row["revision"] for row in rows if isinstance(row["name"], str)}  # one that is damaged is nobody's table

    def table(self, run_id: str, name: str) -> Table:
        """A whole table in its stable order. Raises UnknownName where the run has none of that name (yet)."""
        with self.snapshot() as db:
            hidden = _hidden(db, run_id)
            head = _head(db, run_id, name)
            rows = _rows(db, run_id, name, "AND cells IS NOT NULL")
            self._check_table(run_id, name, head, rows, digests.joined(rows))
        if head is None:
            raise UnknownName("table", name, self.tables(run_id), next=f"in run {run_id} so far")
        with damage_in_words(f"{self.path}, run {run_id}, table {name}"):
            spec = _read_spec(head["spec"])
            hide = _without(hidden, [column.name for column in spec.columns])
            return Table(spec, tuple(tuple(hide(_cells(row["cells"], len(spec.columns)))) for row in rows))

    def table_revision(self, run_id: str, name: str) -> int:
        """A number that grows when a table changes; 0 where there is none yet."""
        rows = self.read("SELECT revision FROM result_tables WHERE run_id = ? AND name = ?", (run_id, name))
        return int(rows[0]["revision"]) if rows else 0

    def table_changes(
        self, run_id: str, name: str, since: int, columns: Sequence[str] | None = None
    ) -> tuple[int, dict[Key, Cells | None], list[Key] | None]:
        """What changed after revision `since`.

        (revision now, key -> cells or None where the row is gone, all keys in order where the order changed else None)
        columns: which cells, in which order, by name; None where the table has no such column, as one that another version wrote may not.
        """
        with self.snapshot() as db:
            hidden = _hidden(db, run_id)
            head = _head(db, run_id, name)
            if head is None or head["revision"] <= since:
                return (head["revision"] if head else 0), {}, None
            changed = _rows(db, run_id, name, "AND revision > ?3", since)
            self._check_table(run_id, name, head, changed, digests.under_table(db, run_id, name))
            order = None
            if head["order_revision"] > since:
                order = db.execute(
                    "SELECT key FROM result_rows WHERE run_id = ? AND name = ? AND cells IS NOT NULL ORDER BY position", (run_id, name)
                ).fetchall()
        with damage_in_words(f"{self.path}, run {run_id}, table {name}"):
            stored = [column.name for column in _read_spec(head["spec"]).columns]
            pick, hide = _picker(stored, stored if columns is None else columns), _without(hidden, stored)
            rows = {_key(row["key"]): None if row["cells"] is None else pick(hide(_cells(row["cells"], len(stored)))) for row in changed}
            return head["revision"], rows, None if order is None else [_key(row["key"]) for row in order]

    def damaged_tables(self, run_id: str) -> tuple[str, ...]:
        """The tables of a run that are not as they were written, by name. Reads them all."""
        damaged = []
        with self.snapshot() as db:
            for name in [row["name"] for row in db.execute("SELECT name FROM result_tables WHERE run_id = ? ORDER BY name", (run_id,))]:
                head, rows = _head(db, run_id, name), _rows(db, run_id, name, "AND cells IS NOT NULL")
                if head is None or _wrong(run_id, head, rows, digests.joined(rows)):
                    damaged.append(str(name))
        return tuple(damaged)

    def _check_table(self, run_id: str, name: str, head: sqlite3.Row | None, rows: Sequence[sqlite3.Row], under: bytes) -> None:
        """StoreError where a table's specification or one of these rows is not as it was written."""
        if why := _wrong(run_id, head, rows, under):
            then = f"it is worked out again from the predictions by: subpop export {run_id} --table {name}"
            raise digests.damaged(why, where=f"{self.path}, run {run_id}, table {name}", next=then)


def _head(db: sqlite3.Connection, run_id: str, name: str) -> sqlite3.Row | None:
    query = f"SELECT {digests.columns('result_tables')}, {digests.SEALED} FROM result_tables WHERE run_id = ?1 AND name = ?2"
    row: sqlite3.Row | None = db.execute(query, (run_id, name)).fetchone()
    return row


def _rows(db: sqlite3.Connection, run_id: str, name: str, condition: str = "", *values: object) -> list[sqlite3.Row]:
    """Rows of a table in their order, with all that their digests cover."""
    query = f"SELECT {digests.columns('result_rows')}, {digests.SEALED} FROM result_rows WHERE run_id = ?1 AND name = ?2 {condition} "
    return db.execute(f"{query}ORDER BY position", (run_id, name, *values)).fetchall()


def _wrong(run_id: str, head: sqlite3.Row | None, rows: Sequence[sqlite3.Row], under: bytes) -> str:
    """What is wrong with a table's specification or one of its rows; "" where they are as they were written."""
    if head is None:
        return "its rows are there, and it is not" if rows else ""
    if why := digests.wrong("result_tables", run_id, head, sealed=bool(head["sealed"]), under=under):
        return why
    # where it is unverified as a whole, its rows are
    each = (digests.wrong("result_rows", run_id, row, sealed=head["digest"] is not None) for row in rows)
    return next(filter(None, each), "")


# What a table says of the paper.
PAPERS = ("published", "published_as", "published_size", "published_spearman", "outside", "spearman_outside")


VERDICTS = ("outside", "spearman_outside")


def _hidden(db: sqlite3.Connection, run_id: str) -> tuple[str, ...]:
    """The columns of a run's tables that must not be read: all that they say of the paper, where the run says that it reproduces what was
    measured on another system (versions that did not look stored it); the verdicts on it, where the run reproduces nothing in full.
    """
    row = db.execute("SELECT scenario_toml, deviations FROM runs WHERE id = ?", (run_id,)).fetchone()
    if row is None:
        return ()
    if _claims_another(row["scenario_toml"]):
        return PAPERS
    return () if claim.in_full(row["scenario_toml"], json.loads(row["deviations"])) else VERDICTS


@lru_cache(maxsize=64)
def _claims_another(scenario_toml: str) -> bool:
    try:
        tree = tomllib.loads(scenario_toml)
    except ValueError:
        return False
    claimed = tree.get("reproduces")
    return isinstance(claimed, str) and paper.named(claimed) is not None and paper.published(claimed, paper.System.of(tree)) is None


def _without(hidden: Sequence[str], columns: Sequence[str]) -> Callable[[list[object]], list[object]]:
    """Cells with those of the hidden columns empty."""
    hides = [name in hidden for name in columns]
    return (lambda cells: [None if hide else cell for cell, hide in zip(cells, hides, strict=True)]) if any(hides) else list


def _picker(stored: Sequence[str], wanted: Sequence[str]) -> Callable[[list[object]], Cells]:
    """Cells in the stored order -> cells in the wanted one."""
    if list(stored) == list(wanted):
        return tuple
    at = [stored.index(name) if name in stored else None for name in wanted]
    return lambda cells: tuple(None if i is None else cells[i] for i in at)


def put_tables(db: sqlite3.Connection, run_id: str, tables: Mapping[str, Table], now: float) -> None:
    """Inside a write transaction: make the stored tables equal to these, made by today's statistics.

    One that is not as it was written is written anew, and that goes to the run's log.
    """
    row = db.execute("SELECT statistics FROM runs WHERE id = ?", (run_id,)).fetchone()
    if row is not None and row["statistics"] != versions.STATISTICS:
        digests.update_run(db, run_id, {"statistics": versions.STATISTICS})
    for name, table in tables.items():
        if not _put_table(db, run_id, name, table):
            message = f"the table {name} was damaged in the store; it was made anew from the predictions"
            digests.insert(db, "log", run_id, [{"at": now, "level": "warning", "message": message}])


def _put_table(db: sqlite3.Connection, run_id: str, name: str, table: Table) -> bool:
    """False where what was stored of it was damaged."""
    spec = json.dumps(_spec_fields(table.spec), ensure_ascii=False)
    new = _encode(name, table)  # key -> cells, in order
    head = _head(db, run_id, name)
    rows = _rows(db, run_id, name)
    sound = not _wrong(run_id, head, rows, digests.joined([row for row in rows if row["cells"] is not None]))
    revision = 1 + (head["revision"] if head is not None and type(head["revision"]) is int and 0 <= head["revision"] < LAST else 0)
    if not sound:
        db.execute("DELETE FROM result_rows WHERE run_id = ? AND name = ?", (run_id, name))
        db.execute("DELETE FROM result_tables WHERE run_id = ? AND name = ?", (run_id, name))
        head, rows = None, []
    old = {row["key"]: row for row in rows}
    gone = [key for key, row in old.items() if row["cells"] is not None and key not in new]
    changed = {key for key, cells in new.items() if key not in old or old[key]["cells"] != cells}
    moved = any(key not in old or old[key]["position"] != position for position, key in enumerate(new))
    if head is not None and head["digest"] is not None and not gone and not changed and not moved and head["spec"] == spec:
        return sound
    written = []  # the rows that are there now, in their order
    for position, (key, cells) in enumerate(new.items()):
        row = {"name": name, "key": key, "position": position, "cells": cells, "revision": revision}
        if key not in changed:
            row["revision"] = old[key]["revision"]
        written.append(row | {"digest": digests.digest_of("result_rows", run_id, row)})
    for key in (key for key, row in old.items() if key not in new):
        row = {"name": name, "key": key, "position": old[key]["position"], "cells": None, "revision": revision}
        if key not in gone:
            row["revision"] = old[key]["revision"]
        written.append(row | {"digest": digests.digest_of("result_rows", run_id, row)})
    # A row that comes or goes changes the order of keys even where no other row moved.
    appeared = any(key not in old or old[key]["cells"] is None for key in changed)
    order = revision if gone or moved or appeared else 0 if head is None else head["order_revision"]
    fields = {"name": name, "spec": spec, "revision": revision, "order_revision": order}
    under = digests.joined(written[: len(new)])
    db.execute(
        "INSERT INTO result_tables (run_id, name, spec, revision, order_revision, digest) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (run_id, name) DO UPDATE SET spec = excluded.spec, revision = excluded.revision, "
        "order_revision = excluded.order_revision, digest = excluded.digest",
        (run_id, *fields.values(), digests.digest_of("result_tables", run_id, fields, under)),
    )
    differ = [row for row in written if row["key"] not in old or old[row["key"]]["digest"] != row["digest"]]
    db.executemany(
        "INSERT INTO result_rows (run_id, name, key, position, cells, revision, digest) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (run_id, name, key) DO UPDATE SET position = excluded.position, cells = excluded.cells, "
        "revision = excluded.revision, digest = excluded.digest",
        [(run_id, *row.values()) for row in differ],
    )
    return sound


def _encode(name: str, table: Table) -> dict[str, str]:
    columns = [column.name for column in table.spec.columns]
    at = [columns.index(key) for key in table.spec.key]
    encoded: dict[str, str] = {}
    for row in table.rows:
        if len(row) != len(columns):
            raise ValueError(f"table {name}: a row of {len(row)} cells where there are {len(columns)} columns: {row!r}")
        key = _dump([row[i] for i in at], name)
        if key in encoded:
            raise ValueError(f"table {name}: two rows with the key {key}")
        encoded[key] = _dump(row, name)
    return encoded


def _dump(cells: Cells | list[object], name: str) -> str:
    """Cells as JSON at full precision; NaN and infinity have no place in a table (None is what is not known)."""
    try:
        return json.dumps(cells, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
    except (TypeError, ValueError) as error:
        raise ValueError(f"table {name}: {error} in the row {cells!r}") from error


def _plain(cell: object) -> object:
    """NumPy scalars as Python's own."""
    item = getattr(cell, "item", None)
    if item is None:
        raise TypeError(f"a cell of type {type(cell).__name__}")
    return item()


def _key(text: str) -> Key:
    return tuple(json.loads(text))


def _cells(text: str, columns: int) -> list[object]:
    """A row's cells. ValueError where they are not so many plain values."""
    cells = json.loads(text)
    if type(cells) is not list or len(cells) != columns or any(isinstance(cell, list | dict) for cell in cells):
        raise ValueError(f"a row is not {columns} cells")
    return cells


def _spec_fields(spec: TableSpec) -> dict[str, object]:
    return {"name": spec.name, "columns": [[c.name, c.kind, c.help] for c in spec.columns], "key": list(spec.key), "help": spec.help}


def _read_spec(text: str) -> TableSpec:
    fields = json.loads(text)
    return TableSpec(fields["name"], tuple(Column(*column) for column in fields["columns"]), tuple(fields["key"]), fields["help"])
