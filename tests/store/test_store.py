"""What goes into the store comes out of it, whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import RequestError, StoreError, UnknownName
from engine.rows import Cores, PartResult, Planned, Table
from engine.store import MEMORY, Store, results
from engine.system.processes import Process, identity
from tests.worlds.older import without_digests
from tests.worlds.store import SPEC, discovered, new_run, plan, stack_victims, table, victim

ME = identity()
ELSEWHERE = Process("elsewhere", "another boot", "pid:[1]", 1, "1")


@pytest.fixture
def store():
    with Store.open(MEMORY) as opened:
        yield opened


# ---- runs -----------------------------------------------------------------------------------------------------------


def test_a_run_is_found_by_id_prefix_and_latest(store: Store) -> None:
    first, second = new_run(store, "first"), new_run(store, "second")
    assert [row.name for row in store.runs()] == ["second", "first"]
    assert store.find("latest").id == store.find(second).id == second
    prefix = next(first[:n] for n in range(1, 7) if not second.startswith(first[:n]))
    assert store.find(prefix.upper()).id == first
    with pytest.raises(UnknownName, match="no run called 'zz'"):
        store.find("zz")
    with pytest.raises(UnknownName):
        store.find("")


def test_latest_of_an_empty_store_is_unknown(store: Store) -> None:
    with pytest.raises(UnknownName, match="there are none yet"):
        store.find("latest")


def test_an_ambiguous_prefix_names_the_runs(store: Store) -> None:
    ids = [new_run(store) for _ in range(40)]
    prefix = next(p for p in "0123456789abcdef" if sum(i.startswith(p) for i in ids) > 1)
    with pytest.raises(RequestError, match="give more of the id"):
        store.find(prefix)


def test_a_runs_row_carries_what_was_updated(store: Store) -> None:
    run_id = new_run(store)
    store.update_run(run_id, state="running", phase="training", progress=0.25, eta_s=12.5, deviations=["a subset"])
    store.rename(run_id, "other")
    store.annotate(run_id, "a note")
    row = store.run(run_id)
    assert (row.state, row.phase, row.progress, row.eta_s, row.deviations) == ("running", "training", 0.25, 12.5, ("a subset",))
    assert (row.name, row.note) == ("other", "a note")
    assert row.lost  # it should be at work and nobody is
    with pytest.raises(ValueError, match="scenario_toml"):
        store.update_run(run_id, scenario_toml="y = 2")


def test_only_one_living_worker_has_a_run(store: Store) -> None:
    run_id = new_run(store)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert store.claim(run_id, identity(other.pid))
        assert store.run(run_id).alive
        assert not store.claim(run_id, ME)
        store.assign(run_id, ME)  # too late: nothing changes
        assert store.run(run_id).pid == other.pid
    finally:
        other.communicate(b"\n")
    assert store.run(run_id).lost
    assert store.claim(run_id, ME)
    assert store.run(run_id).pid == os.getpid()
    store.update_run(run_id, state="done")
    assert not store.claim(run_id, ME)


def test_a_worker_that_ended_before_it_was_assigned_has_ended(store: Store) -> None:
    run_id = new_run(store)
    worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert store.claim(run_id, identity(worker.pid))
    store.update_run(run_id, state="failed", error="no such file")
    worker.communicate(b"\n")
    store.assign(run_id, identity(worker.pid))
    assert (store.run(run_id).state, store.run(run_id).error) == ("failed", "no such file")


def test_requests_are_handed_out_once_in_order(store: Store) -> None:
    run_id, other = new_run(store), new_run(store)
    for kind in ("pause", "resume", "stop"):
        store.request(run_id, kind)
    assert store.take_requests(other) == []
    assert store.take_requests(run_id) == ["pause", "resume", "stop"]
    assert store.take_requests(run_id) == []
    with pytest.raises(UnknownName):
        store.request("nobody", "stop")


def test_the_log_goes_on_from_where_a_reader_was(store: Store) -> None:
    run_id = new_run(store)
    store.log(run_id, "info", "one")
    seen = store.log_rows(run_id)
    store.log(run_id, "warning", "two")
    assert [(row.level, row.message) for row in store.log_rows(run_id, seen[-1].id)] == [("warning", "two")]


def test_a_device_is_leased_to_the_oldest_living_run(store: Store) -> None:
    old, middle, young = new_run(store), new_run(store), new_run(store)
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert store.lease("cpu", young, identity(sleeper.pid)) is None  # nobody else asked
        assert store.lease("cpu", middle, ME) == young
        assert store.lease("cpu", old, ME) == young
        assert store.lease("cuda:0", middle, ME) is None  # another device
        assert store.lease("cpu", old, ELSEWHERE) is None  # another machine's
    finally:
        sleeper.communicate(b"\n")
    assert store.lease("cpu", middle, ME) == old  # the holder is dead; the older of those who wait is next
    assert store.lease("cpu", old, ME) is None
    assert store.lease("cpu", old, ME) is None  # asking again is harmless
    store.release(old)
    assert store.lease("cpu", middle, ME) is None


# ---- discovery, plan, victims ---------------------------------------------------------------------------------------


def test_discovery_comes_back_as_it_was(store: Store) -> None:
    run_id = new_run(store)
    assert store.discovery(run_id) is None
    assert store.provenance(run_id) == {}
    found, members = discovered(store, run_id)
    back = store.discovery(run_id)
    assert back is not None
    assert back.subpopulations == store.subpopulations(run_id) == tuple(found)
    assert back.classes == ("no", "yes")
    assert back.provenance == store.provenance(run_id) == {"device": "cpu", "data": {"a": "md5:1"}}
    for split in ("train", "aux", "test"):
        np.testing.assert_array_equal(getattr(back.membership, split), getattr(members, split), strict=True)
    np.testing.assert_array_equal(back.arrays.proba_aux_AC, np.array([[0.1, 0.9]], np.float32), strict=True)
    np.testing.assert_array_equal(back.y_test, np.array([1, 0, 1], np.int64), strict=True)
    with pytest.raises(StoreError, match="already stored"):
        discovered(store, run_id)


def test_victims_and_plan_come_back_as_they_were(store: Store) -> None:
    run_id = new_run(store)
    assert store.plan(run_id) is None
    store.save_plan(run_id, plan())
    assert store.plan(run_id) == plan()
    store.commit_stack(run_id, 1, stack_victims(1), 2.5, {"damage": table((0, "a", 0.1))})
    row = store.run(run_id)
    assert (row.victims_done, row.victims_total) == (2, 4)
    assert store.stacks_done(run_id) == {1}
    assert store.stack_durations(run_id) == {1: 2.5}
    store.commit_stack(run_id, 0, stack_victims(0), 2.5, {})
    for back, given_ in zip(store.victims(run_id), [*stack_victims(0), *stack_victims(1)], strict=True):
        np.testing.assert_array_equal(back.predictions, given_.predictions, strict=True)
        assert replace(back, predictions=given_.predictions) == given_
    assert [v.predictions.size for v in store.victims(run_id, with_predictions=False)] == [0] * 4


def test_a_stack_is_committed_whole_or_not_at_all(store: Store) -> None:
    run_id = new_run(store)
    store.save_plan(run_id, plan())
    store.commit_stack(run_id, 0, stack_victims(0), 1.0, {"damage": table((0, "a", 0.1))})
    before = list(store._db.iterdump())
    with pytest.raises(ValueError, match="damage"):
        store.commit_stack(run_id, 1, stack_victims(1), 1.0, {"damage": table((0, "a", float("nan")))})
    with pytest.raises(StoreError, match="already committed"):
        store.commit_stack(run_id, 0, stack_victims(0), 1.0, {})
    with pytest.raises(StoreError, match="not the victims"):
        store.commit_stack(run_id, 1, [victim(2, 1)], 1.0, {})
    with pytest.raises(StoreError, match="no such stack"):
        store.commit_stack(run_id, 7, [], 1.0, {})
    with pytest.raises(ValueError, match="uint8"):
        store.commit_stack(run_id, 1, [replace(victim(2, 1), predictions=np.zeros(50)), victim(3, 1)], 1.0, {})
    assert list(store._db.iterdump()) == before


def test_predictions_are_compressed_and_damage_to_them_is_told(store: Store) -> None:
    run_id = new_run(store)
    store.save_plan(run_id, plan())
    store.commit_stack(run_id, 0, [replace(v, predictions=np.zeros(10_000, np.uint8)) for v in stack_victims(0)], 1.0, {})
    assert store.read("SELECT max(length(predictions)) FROM victims")[0][0] < 100
    with store.write() as db:
        db.execute("UPDATE victims SET predictions = x'00' WHERE number = 1")
    with pytest.raises(StoreError, match="a stored value is damaged"):
        store.victims(run_id)
    without_digests(store._db)
    with pytest.raises(StoreError, match="a stored array is damaged"):
        store.victims(run_id)
    with store.write() as db:
        db.execute("UPDATE victims SET test_rows = 5")
    with pytest.raises(StoreError, match="where 5 are needed"):
        store.victims(run_id)


def test_arrays_of_objects_are_never_stored_nor_read(store: Store) -> None:
    run_id = new_run(store)
    discovered(store, run_id)
    with store.write() as db:
        without_digests(db)
        db.execute("UPDATE arrays SET dtype = 'object' WHERE name = 'proba_aux_AC'")
    with pytest.raises(StoreError, match="unknown type 'object'"):
        store.discovery(run_id)


# ---- what changed ---------------------------------------------------------------------------------------------------


def test_who_looks_again_reads_only_the_runs_that_changed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [new_run(store) for _ in range(30)]
    for run_id in ids:
        store.update_run(run_id, state="done")
    first = store.runs_since(None)
    assert [run.id for run in first.newest_first] == ids[::-1]
    assert store.runs_since(first).newest_first is first.newest_first
    store.rename(ids[7], "another name")
    store.update_run(ids[3], state="running")
    again = store.runs_since(first)
    changed = {run.id for run, before in zip(again.newest_first, first.newest_first, strict=True) if run is not before}
    assert changed == {ids[7], ids[3]}
    store.heartbeat(ids[3])
    later = store.runs_since(again)
    assert {run.id for run in later.newest_first if run not in again.newest_first} == {ids[3]}, "what is at work is looked at each time"
    store.update_run(ids[3], state="stopped")
    store.delete_run(ids[29])
    store.delete_run(ids[0])
    new = new_run(store)
    last = store.runs_since(later)
    assert [run.id for run in last.newest_first] == [new, *ids[28:0:-1]]
    assert last.newest_first == tuple(store.runs())


@pytest.mark.parametrize("seed", range(20))
def test_however_runs_change_between_two_looks_the_list_is_that_of_a_fresh_look(store: Store, seed: int) -> None:
    rng, known = np.random.default_rng(seed), None
    for _ in range(60):
        ids = [run.id for run in store.runs()]
        deed = rng.integers(6)
        if not ids or deed < 2:
            new_run(store)
        elif deed == 2:
            store.rename(str(rng.choice(ids)), f"name {rng.integers(1000)}")
        elif deed == 3:
            store.delete_run(ids[int(rng.integers(min(2, len(ids))))])  # most often the newest, whose number is given again
        else:
            store.update_run(str(rng.choice(ids)), state=str(rng.choice(["done", "running", "failed"])), pid=None)
        if rng.random() < 0.5:
            known = store.runs_since(known)
            assert known.newest_first == tuple(store.runs())


# ---- deletion -------------------------------------------------------------------------------------------------------


def test_deleting_a_run_removes_every_row_of_it_and_of_no_other(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "PART_BYTES", 10)  # so that arrays have further parts
    keep, gone = new_run(store), new_run(store)
    for run_id in (keep, gone):
        discovered(store, run_id)
        store.save_plan(run_id, plan(), Planned(Cores(2, 2)))
        store.commit_stack(run_id, 0, stack_victims(0), 1.0, {"damage": table((0, "a", 0.1))})
        store.commit_parts(run_id, [PartResult(0, 3, np.zeros(3, np.uint8), 1, 0.5)], 1.0, {})
        store.put_milestones(run_id, "of it", {"a step": {"x": np.zeros(3)}})
        store.log(run_id, "info", "a line")
        store.request(run_id, "stop")
        store.lease(f"cpu {run_id}", run_id, ME)
        store.heartbeat(run_id)
    names = [row["name"] for row in store.read("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")]
    counts = {name: store.read(f"SELECT count(*) FROM {name}")[0][0] for name in names}
    assert all(n > 0 and n % 2 == 0 for n in counts.values()), counts
    store.delete_run(gone)
    assert {name: store.read(f"SELECT count(*) FROM {name}")[0][0] * 2 for name in names} == counts
    assert [row.id for row in store.runs()] == [keep]
    with pytest.raises(UnknownName):
        store.delete_run(gone)


def test_a_run_at_work_is_not_deleted(store: Store) -> None:
    run_id = new_run(store)
    store.claim(run_id, ME)
    store.update_run(run_id, state="paused")
    with pytest.raises(RequestError, match="stop it first"):
        store.delete_run(run_id)
    store.update_run(run_id, state="stopped")
    store.delete_run(run_id)
    assert store.runs() == []


# ---- tables ---------------------------------------------------------------------------------------------------------

ROWS = st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["a", "b"]), st.sampled_from([0.1, 1 / 3, None])), unique_by=lambda r: r[0])


@settings(max_examples=60, deadline=None)
@given(versions=st.lists(ROWS, min_size=1, max_size=6), looks=st.sets(st.integers(0, 5)))
def test_a_reader_who_follows_the_changes_has_the_whole_table(versions: list[list[tuple[object, ...]]], looks: set[int]) -> None:
    with Store.open(MEMORY) as store:
        run_id = new_run(store)
        cells: dict[tuple[object, ...], tuple[object, ...]] = {}
        order: list[tuple[object, ...]] = []
        revision = 0
        for i, rows in enumerate(versions):
            store.write_tables(run_id, {"damage": Table(SPEC, tuple(rows))})
            assert store.table(run_id, "damage") == Table(SPEC, tuple(rows))
            if i in looks or i == len(versions) - 1:
                now, changes, new_order = store.table_changes(run_id, "damage", revision)
                assert now == store.table_revision(run_id, "damage")
                cells |= {key: row for key, row in changes.items() if row is not None}
                for key in (key for key, row in changes.items() if row is None):
                    cells.pop(key, None)
                order = order if new_order is None else new_order
                revision = now
                assert [cells[key] for key in order] == rows
                assert len(cells) == len(rows)


def test_what_did_not_change_is_not_written(store: Store) -> None:
    run_id = new_run(store)
    assert store.table_revision(run_id, "damage") == 0
    assert store.table_changes(run_id, "damage", 0) == (0, {}, None)
    store.write_tables(run_id, {"damage": table((0, "a", 0.1), (1, "b", None))})
    store.write_tables(run_id, {"damage": table((0, "a", 0.1), (1, "b", None))})
    assert store.table_revision(run_id, "damage") == 1
    store.write_tables(run_id, {"damage": table((0, "a", 0.1), (1, "b", 0.25))})
    assert store.table_changes(run_id, "damage", 1) == (2, {(1,): (1, "b", 0.25)}, None)
    assert store.tables(run_id) == {"damage": 2}
    with pytest.raises(UnknownName, match="did you mean 'damage'"):
        store.table(run_id, "damages")


def test_cells_keep_full_precision_and_numpy_scalars_become_plain(store: Store) -> None:
    run_id = new_run(store)
    store.write_tables(run_id, {"damage": table((np.int64(3), "ß\u2028", np.float64(0.1) + np.float64(0.2)))})
    (row,) = store.table(run_id, "damage").rows
    assert row == (3, "ß\u2028", 0.1 + 0.2)
    with pytest.raises(ValueError, match="two rows with the key"):
        store.write_tables(run_id, {"damage": table((1, "a", 0.1), (1, "b", 0.1))})


# ---- several processes ----------------------------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.worlds.store import new_run, plan, stack_victims, table
from engine.store import Store, results
with Store.open(Path(sys.argv[1])) as store:
    run_id = new_run(store, sys.argv[3])
    store.save_plan(run_id, plan(25))
    for stack in range(25):
        store.commit_stack(run_id, stack, stack_victims(stack), 1.0, {"damage": table(*((g, "a", (stack + 1) / 7) for g in range(30)))})
        store.log(run_id, "info", "committed")
"""


def test_processes_write_at_once_and_a_reader_never_sees_half_a_stack(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    here = str(Path(__file__).parents[2])
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), here, f"writer {i}"]) for i in range(2)]
    with Store.open(path) as store:  # all three make the file at once
        version, seen = store.data_version(), 0
        while any(writer.poll() is None for writer in writers):
            for row in store.runs():
                if not store.table_revision(row.id, "damage"):
                    continue
                rows = store.table(row.id, "damage").rows
                assert len(rows) == 30
                assert len({mean for _, _, mean in rows}) == 1, "rows of two commits"
                assert store.run(row.id).victims_done % 2 == 0
                seen += 1
        assert [writer.returncode for writer in writers] == [0, 0]
        assert seen > 0
        assert store.data_version() != version
        assert [row.victims_done for row in store.runs()] == [50, 50]
        assert all(len(store.log_rows(row.id)) == 25 for row in store.runs())


def test_screens_can_import_the_store_without_numpy() -> None:
    heavy = ("numpy", "pandas", "torch", "pydantic", "scipy", "sklearn")
    code = f"import sys, engine.store, engine.runs.start; print([m for m in {heavy!r} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_table_of_another_version_is_read_by_the_names_of_its_columns(store: Store) -> None:
    run_id = new_run(store)
    store.write_tables(run_id, {"damage": table((0, "a", 0.1))})
    names = [column.name for column in store.table(run_id, "damage").spec.columns]
    wanted = [names[2], "a column of tomorrow", names[0]]
    assert store.table_changes(run_id, "damage", 0, wanted)[1] == {(0,): (0.1, None, 0)}
