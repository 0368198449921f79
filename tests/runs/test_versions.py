"""Schedules are never mixed, tables of older statistics are made anew from predictions, and what an older version stored still opens."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import versions
from engine.errors import RequestError
from engine.export.export import export
from engine.rows import RunRow
from engine.runs import again, rebuild
from engine.runs import start as run
from engine.runs.control import Control
from engine.runs.worker import work
from engine.scenario.identity import digest
from engine.scenario.parse import parse
from engine.store import Store
from engine.store import bundle as store_bundle
from engine.tables.matching import compared
from tests.runs.test_again import carried_out, parent_run, said, trained
from tests.worlds.fake_pipeline import SCENARIO, FakePipeline
from tests.worlds.older import without_digests
from tests.worlds.store import as_of
from tui.app import SubpopApp

WORDS = "under schedule 1, which gave a short last batch too much poison"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "runs.db") as opened:
        yield opened


def aged(store: Store, run_id: str, schedule: int = 1, statistics: int = 1) -> None:
    """As though an older version had made it; its stored damages say .987."""
    with store.write() as db:
        without_digests(db)
        db.execute("UPDATE runs SET schedule = ?, statistics = ? WHERE id = ?", (schedule, statistics, run_id))
        [names] = db.execute("SELECT spec FROM result_tables WHERE run_id = ? AND name = 'damage'", (run_id,)).fetchone()
        at = [column[0] for column in json.loads(names)["columns"]].index("damage")
        for key, cells in db.execute("SELECT key, cells FROM result_rows WHERE run_id = ? AND name = 'damage'", (run_id,)).fetchall():
            row = json.loads(cells)
            row[at] = 0.987
            db.execute(
                "UPDATE result_rows SET cells = json(?) WHERE run_id = ? AND name = 'damage' AND key = ?", (json.dumps(row), run_id, key)
            )


def exported(store: Store, run_id: str, table: str = "damage") -> str:
    out = io.BytesIO()
    export(store, run_id, table, "csv", out)
    lines = out.getvalue().decode().splitlines(keepends=True)
    return "".join(line for line in lines if line != f"# unverified: {versions.UNVERIFIED}\n")


# ---- the schedule ---------------------------------------------------------------------------------------------------


def test_the_digest_of_a_scenario_is_of_its_schedule_too(monkeypatch: pytest.MonkeyPatch) -> None:
    given = parse(SCENARIO)
    now = digest(given)
    monkeypatch.setattr(versions, "SCHEDULE", 1)
    assert digest(given) != now


def test_an_unfinished_run_of_another_schedule_is_refused_in_words(store: Store) -> None:
    row = run.start(store, parse(SCENARIO), spawn=False)
    control = Control()
    fake = FakePipeline(on_step=lambda stack, step: control.obey("stop") if stack == 2 and step == 5 else None)
    assert work(store, row.id, pipeline=fake, control=control) == "stopped"
    with store.write() as db:
        without_digests(db)
        db.execute("UPDATE runs SET schedule = 1 WHERE id = ?", (row.id,))
    for attempt in (lambda: run.resume(store, row.id), lambda: work(store, row.id, pipeline=FakePipeline())):
        with pytest.raises(RequestError, match=r"began under schedule 1: poison spread evenly over steps.*start its scenario again"):
            attempt()
    assert store.run(row.id).state == "stopped"
    assert store.run(row.id).victims_done == 9
    assert "schedule: 1: poison spread evenly" in exported(store, row.id)


def test_an_unfinished_run_over_data_read_by_other_rules_is_refused_in_words(store: Store) -> None:
    row = run.start(store, parse(SCENARIO), spawn=False)
    with store.write() as db:
        without_digests(db)
        db.execute("UPDATE runs SET reading = 1 WHERE id = ?", (row.id,))
    assert store.run(row.id).reading == 1
    assert work(store, row.id, pipeline=FakePipeline()) == "done", "data of one published form are read alike under every version"
    assert "reading: 1: a label called None or NA was none" in exported(store, row.id)
    own = parse(
        SCENARIO.replace('"breast_cancer"', '"table"\npath = "/nowhere/x.csv"\nlabel = "y"').replace(
            '"digits"', '"table"\npath = "/nowhere/x.csv"\nlabel = "y"'
        )
    )
    assert own.dataset.kind == "table"
    mine = run.start(store, own, spawn=False, check=False)  # its file is gone since
    assert store.run(mine.id).reading == versions.READING
    with store.write() as db:
        without_digests(db)
        db.execute("UPDATE runs SET reading = 1 WHERE id = ?", (mine.id,))
    for attempt in (lambda: run.resume(store, mine.id), lambda: work(store, mine.id, pipeline=FakePipeline())):
        with pytest.raises(RequestError, match=r"began when data were read by other rules \(1: .*start its scenario again"):
            attempt()
    assert store.run(mine.id).state == "queued"


def test_the_digest_of_ones_own_data_is_of_the_rules_of_reading_too(monkeypatch: pytest.MonkeyPatch) -> None:
    published = parse(SCENARIO)
    own = published.model_copy(update={"dataset": published.dataset.model_copy(update={"kind": "table"})})
    before = digest(published), digest(own)
    monkeypatch.setattr(versions, "READING", versions.READING + 1)
    assert digest(published) == before[0]
    assert digest(own) != before[1]


def test_victims_of_another_schedule_are_not_taken_over_though_the_discovery_is(store: Store) -> None:
    parent = parent_run(store)
    aged(store, parent)
    child, fake = carried_out(store, parent, [1, 3])
    assert fake.discovered == 0
    assert len(trained(fake)) == store.run(child).victims_total == 15
    assert f"of run {parent} no victim is reused: it was trained under schedule 1, this run is under {versions.SCHEDULE}" in said(
        store, child
    )


def test_trials_of_another_schedule_are_not_paired(store: Store) -> None:
    one, two = parent_run(store), parent_run(store)
    spec, rows, notes = compared(store, [one, two])
    names = [column.name for column in spec.columns]
    assert {row[names.index("matched")] for row in rows} == {3}
    aged(store, one)
    _, rows, notes = compared(store, [one, two])
    assert {row[names.index("matched")] for row in rows} == {0}
    assert any(f"differ in schedule of training (1 → {versions.SCHEDULE})" in note for note in notes)
    assert any("not paired: trained under another schedule" in note for note in notes)
    assert not any("nothing differs that moves a victim" in note for note in notes)
    assert any(WORDS in note for note in notes)


def test_a_run_of_another_schedule_says_so_wherever_deviations_are(store: Store) -> None:
    run_id = parent_run(store)
    assert not any("schedule" in each for each in store.run(run_id).deviations)
    aged(store, run_id)
    for row in (store.run(run_id), *store.runs()):
        assert WORDS in row.deviations[-1]
    store.rename(run_id, "renamed")  # what is written back is not what was worked out
    with store.snapshot() as db:
        assert "schedule" not in db.execute("SELECT deviations FROM runs WHERE id = ?", (run_id,)).fetchone()[0]


# ---- statistics -----------------------------------------------------------------------------------------------------


def test_tables_of_older_statistics_are_made_anew_from_predictions_and_it_is_said(store: Store) -> None:
    run_id = parent_run(store)
    before = exported(store, run_id)
    aged(store, run_id, schedule=versions.SCHEDULE)
    assert "0.987" in exported(store, run_id)
    assert rebuild.main([run_id, "--store", str(store.path)]) == 0
    assert exported(store, run_id) == before
    assert f"were made by older statistics: made anew from its predictions, by statistics {versions.STATISTICS}" in said(store, run_id)
    assert rebuild.rebuild(store, [run_id]) == {}, "once is enough"


def test_a_run_at_work_is_left_to_its_worker(store: Store) -> None:
    seen = []

    def look(stack: int, step: int) -> None:
        if (stack, step) == (2, 5):
            aged(store, row.id, schedule=versions.SCHEDULE)
            seen.append((store.run(row.id).alive, rebuild.rebuild(store, [row.id])))

    row = run.start(store, parse(SCENARIO), spawn=False)
    assert work(store, row.id, pipeline=FakePipeline(on_step=look)) == "done"
    assert seen == [(True, {})]
    assert store.run(row.id).statistics == versions.STATISTICS
    assert "0.987" not in exported(store, row.id)


def test_the_tables_of_a_bundle_are_not_taken_at_their_word(store: Store, tmp_path: Path) -> None:
    run_id = parent_run(store)
    before = exported(store, run_id)
    aged(store, run_id, schedule=versions.SCHEDULE, statistics=versions.STATISTICS)  # forged: it claims to be of today
    store_bundle.bundle(store, run_id, tmp_path / "run.subpop")
    with Store.open(tmp_path / "other.db") as other:
        store_bundle.open_bundle(other, tmp_path / "run.subpop")
        assert rebuild.rebuild(other, [run_id]) == {run_id: rebuild.BUNDLED}
        assert exported(other, run_id) == before


def test_a_store_and_a_bundle_of_before_are_opened(store: Store, tmp_path: Path) -> None:
    run_id = parent_run(store)
    before = exported(store, run_id, "worst")
    store_bundle.bundle(store, run_id, tmp_path / "old.subpop")
    with Store.open(tmp_path / "old.db") as old:
        store_bundle.open_bundle(old, tmp_path / "old.subpop")
    for file in ("old.subpop", "old.db"):
        as_of(tmp_path / file, 2)
    with Store.open(tmp_path / "other.db") as other:
        store_bundle.open_bundle(other, tmp_path / "old.subpop")
    for file in ("other.db", "old.db"):
        with Store.open(tmp_path / file) as old:
            row = old.run(run_id)
            assert (row.schedule, row.statistics < versions.STATISTICS) == (1, True)
            assert list(rebuild.rebuild(old, [run_id])) == [run_id]
            after = exported(old, run_id, "worst")
            assert WORDS in after
            assert [line for line in after.splitlines() if line[0] != "#"] == [line for line in before.splitlines() if line[0] != "#"]
            with pytest.raises(RequestError, match="done"):
                run.resume(old, run_id)
            child = again.start(old, run_id, [1], spawn=False)
            assert child.schedule == versions.SCHEDULE


# ---- the app --------------------------------------------------------------------------------------------------------


async def test_the_app_has_old_tables_of_the_run_that_it_shows_made_anew(store: Store, tmp_path: Path) -> None:
    run_id = parent_run(store)
    before = exported(store, run_id)
    aged(store, run_id, schedule=versions.SCHEDULE)
    app, noted = SubpopApp(store.path, config=tmp_path / "config"), False
    async with app.run_test() as pilot:
        for _ in range(600):
            await pilot.pause(0.05)
            noted |= any(  # a note is gone after some seconds, before the tables are there where the machine is slow
                "older statistics" in note.message for note in app._notifications
            )
            if noted and app.runs and is_current(app.runs[0]):
                break
        assert noted
    assert exported(store, run_id) == before


def is_current(row: RunRow) -> bool:
    return row.statistics == versions.STATISTICS
