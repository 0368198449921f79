"""What is stored is what was written: a row that changed, moved or went is noticed when it is read, and said with the way out."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.arrays import DiscoveryArrays, MovedPoints
from engine.cli import main as cli
from engine.errors import RequestError, StoreError
from engine.runs import start as run
from engine.runs.control import Control
from engine.runs.rebuild import DAMAGED, rebuild
from engine.runs.worker import work
from engine.scenario.parse import parse
from engine.store import Store, digests, results, wal
from engine.store.bundle import bundle, open_bundle
from engine.versions import UNVERIFIED
from tests.studies import damage
from tests.worlds.fake_pipeline import WITH_PARTS as SCENARIO
from tests.worlds.fake_pipeline import FakePipeline
from tests.worlds.older import without_digests
from tests.worlds.store import discovered, new_run, plan


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store of one finished run, and the run's id."""
    path = tmp_path_factory.mktemp("finished") / "runs.db"
    with Store.open(path) as store:
        run_id = run.start(store, parse(SCENARIO), spawn=False).id
        assert work(store, run_id, pipeline=FakePipeline()) == "done"
    return path, run_id


@pytest.fixture
def store(finished: tuple[Path, str], tmp_path: Path) -> Iterator[Store]:
    shutil.copyfile(finished[0], tmp_path / "runs.db")
    with Store.open(tmp_path / "runs.db", durable=False) as opened:
        yield opened


@pytest.fixture
def run_id(finished: tuple[Path, str]) -> str:
    return finished[1]


def changed(db: sqlite3.Connection, table: str, column: str, which: str = "1", *, back: bool = False) -> None:
    """One value of one row is another of its kind, as good as the one that was written."""
    rowid, value = db.execute(
        f"SELECT rowid, {column} FROM {table} WHERE {which} AND {column} IS NOT NULL ORDER BY rowid LIMIT 1"
    ).fetchone()
    if isinstance(value, (int, float)):
        value = value - 1 if back else value + 1
    else:
        raw = bytearray(value.encode() if isinstance(value, str) else value)
        raw[len(raw) // 2] ^= 1
        value = raw.decode("utf-8", "replace") if isinstance(value, str) else bytes(raw)
    db.execute("PRAGMA foreign_keys = OFF")
    db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, rowid))
    db.execute("PRAGMA foreign_keys = ON")


def readers(store: Store, run_id: str) -> dict[str, Callable[[], object]]:
    """By table, what reads it."""
    return {
        "runs": lambda: store.find(run_id),
        "discoveries": lambda: store.provenance(run_id),
        "subpopulations": lambda: store.subpopulations(run_id),
        "arrays": lambda: store.discovery(run_id),
        "stacks": lambda: store.plan(run_id),
        "plans": lambda: store.planned(run_id),
        "victims": lambda: store.victims(run_id),
        "parts": lambda: store.parts(run_id),
        "result_tables": lambda: [store.table(run_id, name) for name in store.tables(run_id)],
        "result_rows": lambda: [store.table(run_id, name) for name in store.tables(run_id)],
    }


@pytest.mark.parametrize("table", [table for table in digests.COVERED if table not in ("log", "array_parts")])
def test_each_column_of_a_row_is_held_against_its_digest(store: Store, run_id: str, table: str) -> None:
    read = readers(store, run_id)[table]
    held = []
    for column in (*digests.COVERED[table], "digest"):
        try:
            changed(store._db, table, column)
        except (sqlite3.IntegrityError, TypeError, IndexError):  # SQLite takes no other value, or the run has none
            continue
        with pytest.raises(RequestError) as told:
            read()
        assert "damaged" in str(told.value) or "no run called" in str(told.value), column
        assert told.value.next
        held.append(column)
        changed(store._db, table, column, back=True)
        read()
    assert "digest" in held
    assert len(held) > len(digests.COVERED[table]) // 2


@pytest.mark.parametrize(
    ("table", "column"), [("victims", "predictions"), ("subpopulations", "fields"), ("result_rows", "cells"), ("arrays", "data")]
)
def test_rows_that_changed_places_are_noticed(store: Store, run_id: str, table: str, column: str) -> None:
    """With their digests, too."""
    first, second = store.read(f"SELECT rowid AS at, {column} AS value, digest FROM {table} LIMIT 2")
    for to, row in ((first, second), (second, first)):
        store._db.execute(f"UPDATE {table} SET {column} = ?, digest = ? WHERE rowid = ?", (row["value"], row["digest"], to["at"]))
    with pytest.raises(StoreError, match="damaged"):
        readers(store, run_id)[table]()


@pytest.mark.parametrize("table", ["subpopulations", "arrays", "stacks", "victims", "result_rows"])
def test_a_row_that_went_is_missed(store: Store, run_id: str, table: str) -> None:
    store._db.execute(f"DELETE FROM {table} WHERE rowid = (SELECT max(rowid) FROM {table})")
    with pytest.raises(StoreError, match=r"damaged|missing"):
        readers(store, run_id)[table]()


def test_nothing_that_a_run_does_makes_a_digest_wrong(store: Store, run_id: str) -> None:
    store.rename(run_id, "another")
    store.annotate(run_id, "a note")
    store.heartbeat(run_id, progress=0.5, eta_s=None, victims_per_minute=3)
    store.update_run(run_id, deviations=("one",), pid=7, started_at=5)
    with store.snapshot() as db:
        assert list(digests.damage_of(db, run_id)) == []
        assert all(row["digest"] for table in digests.COVERED for row in db.execute(f"SELECT digest FROM {table}"))
    assert not store.run(run_id).damaged
    assert not store.run(run_id).unverified


def test_damaged_tables_are_made_anew_from_whole_predictions_and_that_is_said(
    store: Store, run_id: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    export = ["export", run_id, "--table", "damage", "--store", str(store.path)]
    assert cli.main(export) == 0
    before = capsys.readouterr().out
    changed(store._db, "result_rows", "cells", "name = 'damage'")
    assert store.damaged_tables(run_id) == ("damage",)
    assert cli.main(export) == 0
    after = capsys.readouterr()
    assert after.out == before
    assert "its tables were damaged in the store; they were made anew from its predictions" in after.err
    assert "the table damage was damaged in the store" in "\n".join(line.message for line in store.log_rows(run_id))
    assert rebuild(store, [run_id]) == {}
    changed(store._db, "victims", "predictions")
    assert cli.main(["bundle", run_id, "-o", str(tmp_path / "b.subpop"), "--store", str(store.path)]) == 2
    assert "damaged" in capsys.readouterr().err
    assert not (tmp_path / "b.subpop").exists()


def test_a_run_that_goes_on_trains_damaged_stacks_again(store: Store, run_id: str) -> None:
    row, control = run.start(store, parse(SCENARIO), spawn=False), Control()
    fake = FakePipeline(on_step=lambda stack, step: control.obey("stop") if stack == 3 and step == 5 else None)
    assert work(store, row.id, pipeline=fake, control=control) == "stopped"
    changed(store._db, "victims", "predictions", f"run_id = '{row.id}' AND stack = 1")
    with pytest.raises(StoreError, match=f"resume it, which trains what is damaged again: subpop resume {row.id}"):
        store.victims(row.id)
    assert work(store, row.id, pipeline=FakePipeline()) == "done"
    assert "the predictions of stacks 1 are damaged" in "\n".join(line.message for line in store.log_rows(row.id))
    for mine, undisturbed in zip(store.victims(row.id), store.victims(run_id), strict=True):
        assert mine.spec == undisturbed.spec
        assert (mine.predictions == undisturbed.predictions).all()


def test_what_an_older_version_stored_is_unverified_and_never_damaged(
    store: Store, tmp_path: Path, run_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    without_digests(store._db)
    for read in readers(store, run_id).values():
        read()
    assert store.run(run_id).unverified
    place = ["--store", str(store.path)]
    assert cli.main(["export", run_id, "--table", "worst", *place]) == 0
    assert f"# unverified: {UNVERIFIED}" in capsys.readouterr().out
    bundle(store, run_id, tmp_path / "old.subpop")
    assert cli.main(["open", str(tmp_path / "old.subpop"), "--store", str(tmp_path / "other.db")]) == 0
    told = capsys.readouterr().err
    assert "its tables were worked out again from its predictions; taken at its word: scenario, data and provenance" in told
    assert f"unverified: {UNVERIFIED}" in told
    with Store.open(tmp_path / "other.db") as other:
        assert rebuild(other, [run_id]) == {}
        changed(other._db, "result_rows", "cells")  # what is written now has digests
        assert rebuild(other, [run_id]) == {run_id: DAMAGED}


def test_a_bundle_that_was_damaged_on_the_way_is_refused(store: Store, tmp_path: Path, run_id: str) -> None:
    bundle(store, run_id, tmp_path / "b.subpop")
    with sqlite3.connect(tmp_path / "b.subpop") as db:
        changed(db, "runs", "note") if db.execute("SELECT note FROM runs").fetchone()[0] else changed(db, "runs", "title")
    db.close()
    with Store.open(tmp_path / "other.db") as other:
        with pytest.raises(RequestError, match=r"is a damaged or forged bundle .*it is not as it was written.*nothing of it was taken"):
            open_bundle(other, tmp_path / "b.subpop")
        assert other.runs() == []


def test_an_array_beyond_what_sqlite_takes_in_one_value(store: Store, run_id: str, tmp_path: Path) -> None:
    store._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100_000)
    noise = np.random.default_rng(0).integers(-127, 128, (120, 50, 50, 3)).astype(np.int8)  # does not compress: 900,000 bytes
    few = np.zeros(120)
    points = MovedPoints(few.astype(np.int64), few.astype(np.int32), few, few, few.astype(np.float32), noise, None)
    known = store.discovery(run_id)
    assert known is not None
    parts = {"subpopulations": known.subpopulations, "membership": known.membership, "y_test": known.y_test, "classes": known.classes}
    big = new_run(store)
    store.save_discovery(big, **parts, provenance={}, arrays=DiscoveryArrays(prepared=points))  # type: ignore[arg-type]
    assert store.read("SELECT count(*) FROM array_parts")[0][0] >= 17

    def delta(of: Store) -> np.ndarray:
        stored = of.discovery(big, bulk=True)
        assert stored is not None
        assert stored.arrays.moved is not None
        assert stored.arrays.moved.delta is not None
        return stored.arrays.moved.delta

    assert (delta(store) == noise).all()
    store.update_run(big, state="stopped")
    bundle(store, big, tmp_path / "big.subpop")
    with Store.open(tmp_path / "other.db") as other:
        open_bundle(other, tmp_path / "big.subpop")
        assert (delta(other) == noise).all()
        other._db.execute("DELETE FROM array_parts WHERE number = 5")
        with pytest.raises(StoreError, match="damaged"):
            delta(other)
    assert results.PART_BYTES < 1e9


@pytest.mark.parametrize("seed", range(3))
def test_a_log_that_is_cut_by_a_flipped_bit_is_said_once(tmp_path: Path, seed: int) -> None:
    """Wherever in it: SQLite itself drops what lies behind, without a word."""
    rng = random.Random(seed)
    with Store.open(tmp_path / "runs.db") as store:
        run_id = new_run(store)
        discovered(store, run_id)
        store.save_plan(run_id, plan())
        for number in range(5):
            store.log(run_id, "info", f"line {number}")
        whole = (tmp_path / "runs.db-wal").read_bytes()
        ends = Counter[str]()
        for number in range(8):
            place = tmp_path / f"copy{number}"
            place.mkdir()
            # not in this process, where to close a file drops SQLite's locks on it
            subprocess.run(["cp", str(tmp_path / "runs.db"), str(place / "runs.db")], check=True)
            data, at = bytearray(whole), rng.randrange(len(whole)) if number else rng.randrange(wal.HEADER)
            data[at] ^= 1 << rng.randrange(8)
            (place / "runs.db-wal").write_bytes(data)
            with pytest.raises(StoreError, match=r"its write-ahead log is damaged.*set aside as .*runs\.db-wal\.damaged"):
                Store.open(place / "runs.db")
            assert [path.read_bytes() for path in place.glob("*.damaged-*")] == [data]
            with Store.open(place / "runs.db") as left:
                ends[f"{len(left.runs())} runs"] += 1
        assert ends.total() == 8
        with Store.open(tmp_path / "runs.db") as beside:  # one that is whole, and in use
            assert len(beside.log_rows(run_id)) == 5


def test_a_few_flipped_bits_and_forged_bundles(store: Store, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The study in small."""
    monkeypatch.setenv("SUBPOP_STORE", str(tmp_path / "none.db"))
    bundle(store, run_id, tmp_path / "good.subpop")
    store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (tmp_path / "whole").mkdir()
    subprocess.run(["cp", str(store.path), str(tmp_path / "whole" / "runs.db")], check=True)
    tables = ("worst", "predictions")
    bits = [*damage.bits_of_store(tmp_path / "whole", "runs.db", run_id, 20, random.Random(3), tables)]
    before = damage.shown(tmp_path / "whole" / "runs.db", run_id)
    bundles = [*damage.forged(tmp_path / "good.subpop", tmp_path, before, run_id, 12, random.Random(3))]
    assert (len(bits), len(bundles)) == (20, 12)
    assert not [each for each in (*bits, *bundles) if each[0] not in ("harmless", "said")]
    assert {end for end, _ in bits} == {"harmless", "said"}


def test_the_forged_worst_of_a_bundle_is_shown_nowhere(
    store: Store, run_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def everything(place: Path) -> list[str]:
        said = []
        for words in (["export", run_id, "--table", "worst"], ["check", run_id, "--max-damage", "0.05"], ["compare", run_id, run_id]):
            cli.main([*words, "--store", str(place)])
            said.append(capsys.readouterr().out)
        return said

    wanted = everything(store.path)
    bundle(store, run_id, tmp_path / "forged.subpop")
    spec = store.table(run_id, "worst").spec
    with sqlite3.connect(tmp_path / "forged.subpop") as db:
        db.row_factory = sqlite3.Row
        for rowid, text in db.execute("SELECT rowid, cells FROM result_rows WHERE name = 'worst'").fetchall():
            cells = [
                0.001 if isinstance(cell, float) and column.kind == "fraction" else cell
                for cell, column in zip(json.loads(text), spec.columns, strict=True)
            ]
            db.execute("UPDATE result_rows SET cells = ? WHERE rowid = ?", (json.dumps(cells, separators=(",", ":")), rowid))
        damage.redone(db, "digests worked out again")
    db.close()
    with Store.open(tmp_path / "other.db") as other:
        open_bundle(other, tmp_path / "forged.subpop")
        assert not other.run(run_id).unverified
    assert everything(tmp_path / "other.db") == wanted


@pytest.mark.parametrize("name", ["CAST(x'64616de167ff' AS TEXT)", "'dalage'"])
def test_a_table_whose_name_is_damaged_is_made_anew(store: Store, run_id: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = store.table(run_id, "damage")
    store._db.execute(f"UPDATE result_tables SET name = {name} WHERE name = 'damage'")
    for table in ("worst", "damage", "nothing"):
        assert cli.main(["export", run_id, "--table", table, "--store", str(store.path)]) == (2 if table == "nothing" else 0)
        assert "this is a bug" not in capsys.readouterr().err
    assert store.table(run_id, "damage") == before
    assert store.damaged_tables(run_id) == ()
