"""A stranger's file and a damaged row: refused whole in one message, or shown as damaged and deleted; never a store that nobody can use."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from engine.cli import main as cli
from engine.errors import RequestError, StoreError
from engine.runs import start as run
from engine.runs.rebuild import rebuild
from engine.runs.worker import work
from engine.scenario.parse import parse
from engine.store import Store, checks, results
from engine.store.bundle import TABLES, bundle, open_bundle
from tests.worlds.fake_pipeline import WITH_PARTS as SCENARIO
from tests.worlds.fake_pipeline import FakePipeline
from tests.worlds.older import without_digests

COLUMNS = [
    *((table, column) for table, columns in checks.COLUMNS.items() for column in columns),
    *((table, "run_id") for table in TABLES if table != "runs"),
]
BLOB, NOT_UTF8 = b"\x00\xff", "no UTF-8"
# What no column may hold whatever it is of, then what some may.
VALUES: dict[str, object] = {
    "bytes": BLOB,
    NOT_UTF8: NOT_UTF8,
    "null": None,
    "a word": "yesterday",
    "five": 5,
    "five as text": "5",
    "negative": -1,
    "huge": 2**62,
    "endless": float("inf"),
    "beyond": 1e300,
    "no text": "",
    "an escape": "\x1b]0;mine\x07[/b]",
    "half of JSON": "[1",
    "NaN in JSON": '[NaN, {"a": 1e999}]',
    "another shape of JSON": '{"a": [[]]}',
    "a list in JSON": "[[null, {}]]",
    "half a character in JSON": '["\\ud800"]',
    "too deep": "[" * 100_000,
    "too long": "x" * (checks.DOCUMENT + 1),
}
ALWAYS_WRONG = ("bytes", NOT_UTF8, "too long")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a finished run, whose larger arrays are of several parts."""
    place = tmp_path_factory.mktemp("good")
    with pytest.MonkeyPatch.context() as patch, Store.open(place / "runs.db") as store:
        patch.setattr(results, "PART_BYTES", 100)
        run_id = run.start(store, parse(SCENARIO), spawn=False).id
        assert work(store, run_id, pipeline=FakePipeline()) == "done"
        bundle(store, run_id, place / "good.subpop")
    return place / "good.subpop"


@contextlib.contextmanager
def editing(good: Path, path: Path, digests: bool = False) -> Iterator[sqlite3.Connection]:
    """A copy of the bundle without any rule of its own: no types, no checks, no keys, and unless they are kept no digests, which a forger
    leaves out or works out again."""
    path.write_bytes(without_rules(good, digests))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        yield db


@cache
def without_rules(good: Path, digests: bool) -> bytes:
    path = good.with_name(f"free-{digests}")
    path.write_bytes(good.read_bytes())
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        for table in TABLES:
            names = ", ".join(row[1] for row in db.execute(f"PRAGMA table_info({table})"))
            db.executescript(f"CREATE TABLE free ({names}); INSERT INTO free SELECT * FROM {table}; DROP TABLE {table};")
            db.execute(f"ALTER TABLE free RENAME TO {table}")
        if not digests:
            without_digests(db)
    return path.read_bytes()


def put(db: sqlite3.Connection, table: str, column: str, value: object) -> None:
    """Into one row of the table."""
    one = f"rowid = (SELECT max(rowid) FROM {table})"
    if value is NOT_UTF8:
        db.execute(f"UPDATE {table} SET {column} = CAST(x'61ff' AS TEXT) WHERE {one}")
    else:
        db.execute(f"UPDATE {table} SET {column} = ? WHERE {one}", (value,))


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=[f"{table}.{column}" for table, column in COLUMNS])
def test_no_value_of_a_bundle_bricks_a_store(
    good: Path, tmp_path: Path, table: str, column: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either it is refused in one message and nothing is taken, or the run is as good as any."""
    path, place = tmp_path / "forged.subpop", tmp_path / "runs.db"
    monkeypatch.setenv("SUBPOP_STORE", str(place))
    for name, value in VALUES.items():
        with editing(good, path) as db:
            put(db, table, column, value)
        status = cli.main(["open", str(path)])
        said = capsys.readouterr()
        assert status in (0, 2), (name, said.err)
        if status == 2:
            assert len(said.err.splitlines()) == 1, (name, said.err)
            assert said.err.startswith(f"subpop: {path}: ")
            assert len(said.err) < 600
            assert said.err.removesuffix("\n").isprintable()
        else:
            assert name not in ALWAYS_WRONG
            everything(place, said.out.strip(), scenario=column != "scenario_toml")
        assert cli.main(["runs"]) == 0
        capsys.readouterr()
        with Store.open(place) as store:
            assert store.runs() == []


def everything(place: Path, run_id: str, scenario: bool = True) -> None:
    """All that is ever read of a run, then its deletion. scenario: whether it has one, without which an export is refused in words."""
    assert cli.main(["runs"]) == cli.main(["runs", "--json"]) == 0
    with Store.open(place) as store:
        row = store.find(run_id)
        assert row.damaged == ""
        assert not scenario or parse(row.scenario_toml) == parse(SCENARIO)
        assert store.plan(run_id) is not None
        assert len(store.victims(run_id)) > 0
        assert len(store.parts(run_id)) > 0
        assert store.discovery(run_id, bulk=True) is not None
        store.account(run_id)
        for name in store.tables(run_id):
            assert store.table(run_id, name).rows is not None
            store.table_changes(run_id, name, 0)
        assert store.log_rows(run_id)
    for options in (["worst"], ["damage", "--format", "md"]):
        assert cli.main(["export", run_id, "--table", *options]) in ((0,) if scenario else (0, 2))
    assert cli.main(["delete", run_id, "--yes"]) == 0


def _json_of(edit: Callable[[list], object]) -> Callable[[str], str]:  # type: ignore[type-arg]
    def edited(text: str) -> str:
        value = json.loads(text)
        edit(value)
        return json.dumps(value)

    return edited


def _packed(edit: Callable[[bytearray], object]) -> Callable[[bytes], bytes]:
    def edited(data: bytes) -> bytes:
        raw = bytearray(zlib.decompress(data))
        edit(raw)
        return zlib.compress(bytes(raw))

    return edited


def _with_column(**values: object) -> Callable[[str], str]:
    column = {"name": "a", "use": "number", "features": 1, "levels": 0, "missing": 0, "leak": None, "why": ""} | values
    return _json_of(lambda account: account["columns"].append(column))


# Values that are right each by itself and do not fit the others: table, which row, column, edit, what is said.
MISFITS = {
    "running": ("runs", "1", "state", lambda _: "running", "nobody is at work on it"),
    "more done than planned": ("runs", "1", "victims_done", lambda n: n + 1, "more victims are done"),
    "no TOML": ("runs", "1", "scenario_toml", lambda _: "[", "is no TOML"),
    "classes twice": ("discoveries", "1", "classes", lambda _: '["no", "no"]', "different ones"),
    "one class less": ("discoveries", "1", "classes", lambda _: '["no"]', "names a class that there is not"),
    "an account of other classes": ("discoveries", "1", "account", _json_of(lambda a: a["classes"].reverse()), "has other classes"),
    "of other splits": ("discoveries", "1", "account", _json_of(lambda a: a["splits"].reverse()), "its splits are not train, aux, test"),
    "of more rows": ("discoveries", "1", "account", _json_of(lambda a: a["splits"][0].update(rows=61)), "split train has 61 rows where"),
    "of classes beyond its rows": (
        "discoveries",
        "1",
        "account",
        _json_of(lambda a: a["splits"][1].update(classes=[1, 60])),
        "do not sum to its rows",
    ),
    "of other test classes": (
        "discoveries",
        "1",
        "account",
        _json_of(lambda a: a["splits"][2].update(classes=[1, 79])),
        "other rows of its classes",
    ),
    "a note that clears the screen": (
        "discoveries",
        "1",
        "account",
        _json_of(lambda a: a["notes"].append("ok\x1b[2J")),
        "U+001B in it",
    ),
    "a column of two lines": ("discoveries", "1", "account", _with_column(name="a\nLABEL LEAKAGE"), "U+000A in it"),
    "a use of nothing": ("discoveries", "1", "account", _with_column(use="eaten"), "one of number, one_hot"),
    "a leak of two": ("discoveries", "1", "account", _with_column(leak=2.0), "a share from 0"),
    "an account of more": ("discoveries", "1", "account", _json_of(lambda a: a.update(extra=1)), "an object of the fields kind"),
    "a gap": ("subpopulations", "number = 3", "number", lambda _: 7, "its fields say 3"),
    "a member of nothing": ("arrays", "name = 'membership.aux'", "data", _packed(lambda raw: raw.__setitem__(0, 9)), "outside -1 to 3"),
    "a class of nothing": ("arrays", "name = 'y_test'", "data", _packed(lambda raw: raw.__setitem__(0, 2)), "outside 0 to 1"),
    "a shorter array": ("arrays", "name = 'y_test'", "data", _packed(lambda raw: raw.pop()), "is not the 640 bytes"),
    "a bomb": ("arrays", "name = 'y_test'", "data", lambda _: zlib.compress(bytes(1 << 28)), "is not the 640 bytes"),
    "cut off": ("arrays", "name = 'y_test'", "data", lambda data: data[:-8], "is cut off"),
    "an array of nobody": ("arrays", "name = 'y_test'", "name", lambda _: "y_tset", "y_test missing"),
    "another shape": ("arrays", "name = 'y_test'", "shape", lambda _: "[40, 2]", "is no list of int64"),
    "fewer probabilities": ("arrays", "name = 'proba_aux_AC'", "shape", lambda _: "[40, 3]", "is not [aux rows, classes]"),
    "planned twice": ("stacks", "number = 1", "victims", _json_of(lambda v: v.append(v[0])), "is planned twice"),
    "a target of nothing": ("stacks", "number = 1", "victims", _json_of(lambda v: v[0].__setitem__(3, 9)), "no subpopulation 9"),
    "a clean victim with a target": ("stacks", "number = 0", "victims", _json_of(lambda v: v[0].__setitem__(3, 1)), "is clean, at 1"),
    "another trial": ("stacks", "number = 1", "trial", lambda n: n + 1, "is of trial"),
    "done and not": ("stacks", "number = 1", "done_at", lambda _: None, "which is not done"),
    "another alpha": ("victims", "number = 3", "alpha", lambda a: a + 1, "is not the one that the plan names"),
    "no such victim": ("victims", "number = 3", "number", lambda _: 99, "is not the one that the plan names"),
    "more true labels than points": ("victims", "number = 3", "already_target", lambda _: 10**6, "bear their true label"),
    "fewer predictions": ("victims", "number = 3", "test_rows", lambda n: n - 1, "predictions for 80 test rows"),
    "a prediction of nothing": ("victims", "number = 3", "predictions", _packed(lambda raw: raw.__setitem__(0, 2)), "outside 0 to 1"),
    "a table of another": ("result_tables", "name = 'worst'", "name", lambda _: "worse", "its specification is of 'worst'"),
    "a key that is no column": ("result_tables", "name = 'worst'", "spec", _json_of(lambda s: s["key"].append("x")), "do not fit"),
    "a kind of nothing": ("result_tables", "name = 'worst'", "spec", _json_of(lambda s: s["columns"][0].__setitem__(1, "x")), "one of"),
    "a later order": ("result_tables", "name = 'worst'", "order_revision", lambda n: n + 100, "its order is of a later revision"),
    "a later row": ("result_rows", "name = 'damage'", "revision", lambda n: n + 100, "is of a later revision"),
    "another key": ("result_rows", "name = 'damage'", "key", lambda _: "[9, 9]", "have another key"),
    "a key of three": ("result_rows", "name = 'damage'", "key", lambda _: "[9, 9, 9]", "its key has 3 parts"),
    "a cell less": ("result_rows", "name = 'damage'", "cells", _json_of(lambda c: c.pop()), "cells where there are"),
    "a cell of text": ("result_rows", "name = 'damage'", "cells", _json_of(lambda c: c.__setitem__(4, "x")), "is 'x', no"),
    "a cell of many": ("result_rows", "name = 'damage'", "cells", _json_of(lambda c: c.__setitem__(4, [1])), "is [1], no"),
}


@pytest.mark.parametrize(("table", "which", "column", "edit", "said"), MISFITS.values(), ids=MISFITS)
def test_values_of_a_bundle_are_held_against_each_other(
    good: Path, tmp_path: Path, table: str, which: str, column: str, edit: Callable[[object], object], said: str
) -> None:
    path = tmp_path / "forged.subpop"
    with editing(good, path) as db:
        rowid, value = db.execute(f"SELECT rowid, {column} FROM {table} WHERE {which} LIMIT 1").fetchone()
        db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (edit(value), rowid))
    with Store.open(tmp_path / "runs.db") as store:
        with pytest.raises(RequestError) as told:
            open_bundle(store, path)
        assert said in str(told.value)
        assert told.value.where == str(path)
        assert told.value.next == "ask for it again"
        assert store.runs() == []


@pytest.mark.parametrize("table", [table for table in TABLES if table not in ("runs", "log")])
def test_a_row_that_a_bundle_has_twice_is_the_bundles_fault(good: Path, tmp_path: Path, table: str) -> None:
    path = tmp_path / "forged.subpop"
    with editing(good, path) as db:
        db.execute(f"INSERT INTO {table} SELECT * FROM {table} LIMIT 1")
    with Store.open(tmp_path / "runs.db") as store:
        with pytest.raises(RequestError, match=f"table {table}: a row of it is there twice") as told:
            open_bundle(store, path)
        assert told.value.where == str(path)
        assert store.runs() == []


@pytest.mark.parametrize("version", [-1, 0])
def test_a_bundle_of_no_version_is_none(good: Path, tmp_path: Path, version: int) -> None:
    path = tmp_path / "forged.subpop"
    with editing(good, path) as db:
        db.execute(f"PRAGMA user_version = {version}")
    with Store.open(tmp_path / "runs.db") as store, pytest.raises(RequestError, match="is no bundle of a run"):
        open_bundle(store, path)


def test_a_bundle_that_was_not_touched_is_taken(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also without its rules: it is the values that count."""
    path, place = tmp_path / "free.subpop", tmp_path / "runs.db"
    monkeypatch.setenv("SUBPOP_STORE", str(place))
    with editing(good, path):
        pass
    for file in (good, path):
        with Store.open(place) as store:
            run_id = open_bundle(store, file)
        everything(place, run_id)


# ---- a row that is in a store already -------------------------------------------------------------------------------

DAMAGES = {
    "bytes": BLOB,
    NOT_UTF8: NOT_UTF8,
    "a word": "yesterday",
    "huge": 2**62,
    "no JSON": "[1",
    "another shape": '{"a": 1}',
    "five": "5",
}
OF_RUNS = [column for column in checks.COLUMNS["runs"] if column != "state"]  # of which SQLite takes no other value


@pytest.mark.parametrize("column", [*OF_RUNS, "heartbeat"])
def test_a_damaged_row_takes_nothing_else_down_and_can_be_deleted(
    tmp_path: Path, column: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tui.presenters import runs as run_words

    monkeypatch.setenv("SUBPOP_STORE", str(tmp_path / "runs.db"))
    with Store.open(tmp_path / "runs.db") as store:
        sound = run.start(store, parse(SCENARIO), spawn=False).id
        wrong = 0
        for name, value in DAMAGES.items():
            hurt = run.start(store, parse(SCENARIO), spawn=False).id
            store.update_run(hurt, state="stopped")
            store.heartbeat(hurt)
            store._db.execute("PRAGMA foreign_keys = OFF")
            put(store._db, *(("heartbeats", "at") if column == "heartbeat" else ("runs", column)), value)
            store._db.execute("PRAGMA foreign_keys = ON")
            rows = store.runs()
            assert [row.id for row in rows][1:] == [sound]
            for row in rows:
                run_words.run_cells(row)
                run_words.summary(row, store.now(), "", 100, dict.fromkeys(["good", "warn", "bad", "quiet", "title"], ""))
            shown = rows[0]
            assert cli.main(["runs"]) == cli.main(["runs", "--json"]) == 0
            listed = capsys.readouterr().out
            if shown.damaged:
                wrong += 1
                assert "damaged" in listed
                assert run_words.state_word(shown) == "damaged"
                for verb in ("export", "stop", "pause", "resume"):
                    options = ["--table", "worst"] if verb == "export" else []
                    assert cli.main([verb, shown.id, *options]) == 2, (verb, name)
                    assert "its row in the store is damaged" in capsys.readouterr().err
                with pytest.raises(RequestError, match="is damaged"):
                    run.resume(store, shown.id)
            assert cli.main(["stop", sound]) in (0, 2)
            assert cli.main(["delete", "latest", "--yes"]) == 0, name
            assert f"run {shown.id} is deleted" in capsys.readouterr().err
            assert [row.id for row in store.runs()] == [sound]
        assert wrong >= 2, "bytes and bad UTF-8 at the least"


def test_a_damaged_row_of_a_run_at_work_is_not_deleted_while_it_beats_and_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store.open(tmp_path / "runs.db") as store:
        run_id = run.start(store, parse(SCENARIO), spawn=False).id
        store.update_run(run_id, state="running", pid=1, pid_start="1")
        store.heartbeat(run_id)
        put(store._db, "runs", "name", BLOB)
        assert store.run(run_id).damaged
        with pytest.raises(RequestError, match=r"last beat .* stop it first"):
            run.delete(store, run_id)
        monkeypatch.setenv("SUBPOP_STORE", str(store.path))
        assert cli.main(["stop", run_id]) == 0, "or else nobody could do what that says"
        assert "last beat" in capsys.readouterr().err
        assert store.take_requests(run_id) == ["stop"]


@pytest.mark.parametrize("column", ["fields", "classes", "provenance", "account", "victims", "spec", "key", "cells", "message"])
@pytest.mark.parametrize("value", [BLOB, NOT_UTF8, "yesterday", "[1", '{"a": 1}', "[[]]"])
def test_what_is_damaged_behind_a_run_is_told_in_words(tmp_path: Path, good: Path, column: str, value: object) -> None:
    """Each reader gives what it can or raises StoreError, which the screens and commands say."""
    tables = {
        "fields": "subpopulations",
        "classes": "discoveries",
        "provenance": "discoveries",
        "account": "discoveries",
        "victims": "stacks",
        "spec": "result_tables",
        "key": "result_rows",
        "cells": "result_rows",
        "message": "log",
    }
    with Store.open(tmp_path / "runs.db") as store:
        run_id = open_bundle(store, good)
        assert rebuild(store, [run_id])
        put(store._db, tables[column], column, value)
        told = 0
        for read in (
            lambda: store.subpopulations(run_id),
            lambda: store.provenance(run_id),
            lambda: store.account(run_id),
            lambda: store.discovery(run_id),
            lambda: store.plan(run_id),
            *(lambda name=name: store.table(run_id, name) for name in store.tables(run_id)),
            *(lambda name=name: store.table_changes(run_id, name, 0) for name in store.tables(run_id)),
        ):
            try:
                read()
            except StoreError as error:
                told += "a stored value is damaged" in str(error) and bool(error.next)
        lines = [line for line in store.log_rows(run_id) if line.message == "this line of the log is damaged"]
        assert (told or lines) or column == "message" or value not in (BLOB, NOT_UTF8, "yesterday", "[1"), "nobody noticed"
        run.delete(store, run_id)
        assert store.runs() == []
