"""The worker in this process and as a process: what it is asked, what befalls it, and what is there afterwards."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.errors import BadData, RequestError
from engine.rows import RunRow, Table
from engine.runs import at_work
from engine.runs import start as run
from engine.runs import work as carry_out
from engine.runs.control import Control
from engine.runs.worker import work
from engine.scenario.parse import parse
from engine.scenario.sections import Scenario
from engine.store import Store
from engine.system.processes import cores, process_start
from tests.worlds.fake_pipeline import SCENARIO, STACKS, VICTIMS, WORKER, FakePipeline
from tests.worlds.waiting import until

SCENARIO_PARSED: Scenario = parse(SCENARIO)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "runs.db") as opened:
        yield opened
        for row in opened.runs():  # nothing outlives its test
            if row.alive and row.pid and row.pid != os.getpid():
                os.kill(row.pid, signal.SIGKILL)


def new(store: Store) -> str:
    return run.start(store, SCENARIO_PARSED, spawn=False).id


def tables(store: Store, run_id: str) -> dict[str, Table]:
    return {name: store.table(run_id, name) for name in store.tables(run_id)}


def spawned(store: Store, monkeypatch: pytest.MonkeyPatch, step_s: float = 0.02) -> RunRow:
    monkeypatch.setenv("FAKE_STEP_S", str(step_s))
    return run.start(store, SCENARIO_PARSED, worker=WORKER)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    with Store.open(tmp_path_factory.mktemp("undisturbed") / "runs.db") as store:
        run_id = new(store)
        assert work(store, run_id, pipeline=FakePipeline()) == "done"
        return tables(store, run_id)


# ---- in this process ------------------------------------------------------------------------------------------------


def test_a_run_from_start_to_done(store: Store) -> None:
    run_id, fake = new(store), FakePipeline()
    assert store.run(run_id).lost  # nobody was started for it
    assert work(store, run_id, pipeline=fake) == "done"
    row = store.run(run_id)
    assert (row.state, row.phase, row.victims_done, row.victims_total, row.progress) == ("done", "", VICTIMS, VICTIMS, 1.0)
    assert row.deviations == ("a fake",)
    assert row.device == "cpu"
    assert row.started_at is not None
    assert row.finished_at is not None
    assert not row.alive
    assert fake.trained == list(range(STACKS))
    assert {"subpopulations", "damage", "worst", "victims"} <= store.tables(run_id).keys()
    assert len(store.table(run_id, "victims").rows) == VICTIMS
    assert store.read("SELECT * FROM leases") == []
    provenance = store.provenance(run_id)
    assert provenance["data"] == {"kind": "digits", "checksums": {"fake.csv": "md5:0"}}
    assert (provenance["device"], provenance["seed"]) == (f"cpu, {cores()} threads", 0)
    assert provenance["libraries"].keys() == {"torch", "numpy", "scikit-learn", "pandas"}
    assert os.uname().nodename not in json.dumps(provenance)
    with pytest.raises(RequestError, match="it is done"):
        work(store, run_id, pipeline=fake)


def test_a_failure_is_told_in_words_and_its_traceback_is_in_the_log(
    store: Store, undisturbed: dict[str, Table], capfd: pytest.CaptureFixture[str]
) -> None:
    run_id = new(store)
    assert work(store, run_id, pipeline=FakePipeline(fail_at=2)) == "failed"
    row = store.run(run_id)
    assert row.state == "failed"
    assert row.error == "unexpected RuntimeError: the fake was told to fail; the log has the traceback"
    assert row.victims_done == 9
    (line,) = [line for line in store.log_rows(run_id) if line.level == "error"]
    assert "Traceback (most recent call last)" in line.message
    assert "the fake was told to fail" in capfd.readouterr().err
    again = FakePipeline()
    assert work(store, run_id, pipeline=again) == "done"
    assert (again.discovered, again.trained) == (0, [2, 3, 4, 5]), "stored discovery and committed stacks are used"
    assert store.run(run_id).error == ""
    assert tables(store, run_id) == undisturbed


def test_a_stop_gives_up_the_stack_in_flight(store: Store, undisturbed: dict[str, Table]) -> None:
    run_id, control = new(store), Control()
    fake = FakePipeline(on_step=lambda stack, step: control.obey("stop") if (stack, step) == (3, 5) else None)
    assert work(store, run_id, pipeline=fake, control=control) == "stopped"
    row = store.run(run_id)
    assert (row.state, row.victims_done, row.error) == ("stopped", 14, "")
    assert fake.trained == [0, 1, 2]
    assert work(store, run_id, pipeline=FakePipeline()) == "done"
    assert tables(store, run_id) == undisturbed


def test_a_resume_over_other_data_is_refused(store: Store) -> None:
    run_id = new(store)
    work(store, run_id, pipeline=FakePipeline(fail_at=1))

    class Changed(FakePipeline):
        def load(self, *args: object, **options: object):  # type: ignore[no-untyped-def]
            dataset = super().load(*args, **options)  # type: ignore[arg-type]
            dataset.test.y[0] ^= 1
            return dataset

    assert work(store, run_id, pipeline=Changed()) == "failed"
    assert "the data is not what it was when this run began" in store.run(run_id).error


def test_errors_in_words_stay_as_they_are(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    run_id = new(store)

    class Missing(FakePipeline):
        def discover(self, *args: object, **options: object):  # type: ignore[no-untyped-def]
            raise BadData("row 7 has 3 columns", where="x.csv", next="mend it")

    assert work(store, run_id, pipeline=Missing()) == "failed"
    assert store.run(run_id).error == "x.csv: row 7 has 3 columns; mend it"
    assert [line.message for line in store.log_rows(run_id) if line.level == "error"] == ["x.csv: row 7 has 3 columns; mend it"]
    assert "Traceback" in capfd.readouterr().err, "for whoever looks after the engine"


def test_on_a_full_disk_the_run_fails_in_words_and_keeps_its_stacks(
    store: Store, undisturbed: dict[str, Table], capfd: pytest.CaptureFixture[str]
) -> None:
    run_id = new(store)

    def fill(stack: int, step: int) -> None:
        if (stack, step) == (2, 0):
            store.read(f"PRAGMA max_page_count = {store.read('PRAGMA page_count')[0][0]}")

    # Some writes still find room in pages half full, so that the end may be stored; what counts is that it is told and nothing is lost.
    try:
        assert work(store, run_id, pipeline=FakePipeline(on_step=fill)) == "failed"
        assert "the disk is full" in store.run(run_id).error
    except RequestError as error:
        pytest.fail(f"not told as a failure of the run: {error}")
    assert "the disk is full" in capfd.readouterr().err
    assert store.stacks_done(run_id) >= {0, 1}
    store.read("PRAGMA max_page_count = 1000000")
    assert work(store, run_id, pipeline=FakePipeline()) == "done"
    assert tables(store, run_id) == undisturbed


def test_a_run_paused_while_it_starts_goes_on_with_the_device(store: Store) -> None:
    run_id, control = new(store), Control()
    held: list[object] = []
    fake = FakePipeline(on_step=lambda stack, step: held.append(store.read("SELECT run_id, held FROM leases")[0]["held"]))
    control.obey("pause")
    working = threading.Thread(target=work, args=(store, run_id), kwargs={"pipeline": fake, "control": control})
    working.start()
    until(lambda: store.run(run_id).state == "paused")
    assert store.read("SELECT * FROM leases") == [], "it is not in the queue while it is paused"
    control.obey("resume")
    working.join()
    assert store.run(run_id).state == "done"
    assert set(held) == {1}


def test_the_seconds_of_a_stack_are_those_it_was_at_work(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id, control, now_s = new(store), Control(), [0.0]
    for module in (carry_out, at_work):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    fake = FakePipeline(on_step=lambda stack, step: control.obey("pause") if (stack, step) == (1, 5) else None)
    working = threading.Thread(target=work, args=(store, run_id), kwargs={"pipeline": fake, "control": control})
    working.start()
    until(lambda: store.run(run_id).state == "paused")
    now_s[0] += 3600
    control.obey("resume")
    working.join()
    assert store.stack_durations(run_id) == dict.fromkeys(range(STACKS), 0.0)


def test_what_makes_a_run_not_the_papers_is_stored_before_its_discovery(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the two, a resumed run finds its discovery and looks no further."""
    run_id = new(store)

    def seen(*args: object, **fields: object) -> None:
        assert store.run(run_id).deviations == ("a fake",)
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "save_discovery", seen)
    assert work(store, run_id, pipeline=FakePipeline()) == "stopped"


# ---- as a process ---------------------------------------------------------------------------------------------------


def test_killed_at_random_moments_it_ends_with_the_tables_of_an_undisturbed_run(
    store: Store, undisturbed: dict[str, Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(7)
    run_id = spawned(store, monkeypatch, step_s=0.005).id
    kills = 0
    while kills < 4 and store.run(run_id).state != "done":
        if rng.random() < 0.7:  # most of the time while it trains, else wherever it is
            until(lambda: store.run(run_id).phase.startswith("training") or not store.run(run_id).alive)
        time.sleep(rng.uniform(0, 0.25))
        row = store.run(run_id)
        assert row.state != "failed", row.error
        assert row.alive or row.state == "done", run.log_file(store, run_id).read_text()
        if row.alive and row.pid:
            os.kill(row.pid, signal.SIGKILL)
            kills += 1
            until(lambda: not store.run(run_id).alive, 3)
            if store.run(run_id).state != "done":
                assert store.run(run_id).lost
                run.resume(store, run_id, worker=WORKER)
    until(lambda: store.run(run_id).state == "done", 20)
    assert kills >= 2
    assert tables(store, run_id) == undisturbed
    lines = [line.message for line in store.log_rows(run_id)]
    committed = Counter(line.split(":")[0] for line in lines if line.startswith("committed stack"))
    assert set(committed) <= {f"committed stack {i + 1} of {STACKS}" for i in range(STACKS)}
    assert max(committed.values()) == 1
    done: set[str] = set()
    for line in lines:
        verb, _, number = line.split(":")[0].partition(" stack ")
        assert not (verb == "training" and number in done), f"stack {number} was trained again after its commit"
        if verb == "committed":
            done.add(number)


def test_pause_holds_resume_goes_on_stop_ends(store: Store, undisturbed: dict[str, Table], monkeypatch: pytest.MonkeyPatch) -> None:
    row = spawned(store, monkeypatch)
    until(lambda: store.run(row.id).phase.startswith("training"))
    asked = time.monotonic()
    run.pause(store, row.id)
    until(lambda: store.run(row.id).state == "paused")
    assert time.monotonic() - asked < 2
    held = store.run(row.id)
    time.sleep(0.3)
    row = store.run(row.id)
    assert (row.victims_done, row.progress, row.eta_s, row.alive) == (held.victims_done, held.progress, None, True)
    with pytest.raises(RequestError, match="stop it first"):
        run.delete(store, row.id)
    run.resume(store, row.id)
    until(lambda: store.run(row.id).state == "running")
    until(lambda: store.run(row.id).victims_done > held.victims_done)
    run.stop(store, row.id)
    until(lambda: store.run(row.id).state == "stopped")
    until(lambda: not run.is_alive(store.run(row.id)))
    stopped = store.run(row.id)
    assert 0 < stopped.victims_done < VICTIMS
    with pytest.raises(RequestError, match="it is stopped, so it cannot stop"):
        run.stop(store, row.id)
    monkeypatch.setenv("FAKE_STEP_S", "0")
    run.resume(store, row.id, worker=WORKER)
    until(lambda: store.run(row.id).state == "done")
    assert tables(store, row.id) == undisturbed
    log = run.log_file(store, row.id)
    assert log.exists()
    run.delete(store, row.id)
    assert store.runs() == []
    assert not log.exists()


def test_two_runs_take_their_turn_on_one_device(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = spawned(store, monkeypatch)
    until(lambda: store.run(first.id).state == "running")
    second = spawned(store, monkeypatch, 0)
    until(lambda: store.run(second.id).phase.startswith(f"waiting for run {first.id} ({first.name}): "))
    until(lambda: f" of {VICTIMS} victims, " in store.run(second.id).phase)  # how far that one is, looked up again and again
    assert sum(entry.message.startswith("cpu is in use: waiting for run") for entry in store.log_rows(second.id)) == 1
    row = store.run(second.id)
    assert (row.state, row.alive, row.lost) == ("queued", True, False)
    assert store.run(first.id).state == "running"
    os.kill(store.run(first.id).pid or 0, signal.SIGKILL)  # a dead holder's lease is taken over
    until(lambda: store.run(second.id).state == "done")
    assert store.run(first.id).lost
    run.stop(store, first.id)  # nobody is there to ask: it is marked
    assert store.run(first.id).state == "stopped"


def test_a_run_in_the_queue_can_be_stopped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = spawned(store, monkeypatch)
    until(lambda: store.run(first.id).state == "running")
    second = spawned(store, monkeypatch)
    until(lambda: store.run(second.id).phase.startswith("waiting"))
    run.stop(store, second.id)
    until(lambda: store.run(second.id).state == "stopped", 3)
    assert store.run(first.id).alive


def test_a_hangup_is_survived_and_sigterm_is_a_stop(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    row = spawned(store, monkeypatch)
    until(lambda: store.run(row.id).phase.startswith("training"))
    pid = store.run(row.id).pid or 0
    assert os.getsid(pid) == pid
    assert os.getpriority(os.PRIO_PROCESS, pid) >= os.getpriority(os.PRIO_PROCESS, 0) + 1
    os.kill(pid, signal.SIGHUP)
    before = store.run(row.id).victims_done
    until(lambda: store.run(row.id).victims_done > before)
    os.kill(pid, signal.SIGTERM)
    until(lambda: store.run(row.id).state == "stopped", 3)


PARENT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.worlds.fake_pipeline import SCENARIO, WORKER
from engine.runs import start
from engine.scenario.parse import parse
from engine.store import Store
print(start.start(Store.open(Path(sys.argv[1])), parse(SCENARIO), worker=WORKER).id, flush=True)
input()
"""


def test_the_worker_outlives_its_parent(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_STEP_S", "0.01")
    command = [sys.executable, "-c", PARENT, str(store.path), str(Path(__file__).parents[2])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        run_id = parent.stdout.readline().strip()
        until(lambda: store.run(run_id).state == "running")
        parent.kill()
    assert store.run(run_id).alive
    until(lambda: store.run(run_id).state == "done")


def test_a_second_worker_for_a_run_is_refused_and_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    row = spawned(store, monkeypatch)
    until(lambda: store.run(row.id).state == "running")
    pid = store.run(row.id).pid
    second = subprocess.run([*WORKER, row.id, "--store", str(store.path)], capture_output=True, text=True)
    assert second.returncode == 2
    assert f"another engine is at work on it: it is running (process {pid}" in second.stderr
    assert "Traceback" not in second.stderr
    assert (store.run(row.id).pid, store.run(row.id).alive) == (pid, True)


def test_a_lost_engine_is_seen_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    row = spawned(store, monkeypatch)
    until(lambda: store.run(row.id).phase.startswith("training"))
    os.kill(store.run(row.id).pid or 0, signal.SIGKILL)
    killed = time.monotonic()
    until(lambda: store.run(row.id).lost, 3)
    assert time.monotonic() - killed < 3
    with pytest.raises(RequestError, match="its engine is gone"):
        run.pause(store, row.id)


def test_what_is_asked_of_a_worker_is_answered_with_an_exit_status(store: Store) -> None:
    unknown = subprocess.run([*WORKER, "nobody", "--store", str(store.path)], capture_output=True, text=True)
    assert unknown.returncode == 2
    assert unknown.stderr.startswith("no run called 'nobody'")
    failing = new(store)
    failed = subprocess.run(
        [*WORKER, failing, "--store", str(store.path)], capture_output=True, text=True, env={**os.environ, "FAKE_FAIL_AT": "0"}
    )
    assert failed.returncode == 1


def test_where_nothing_can_be_written_the_worker_ends_by_its_exit_status(store: Store, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "engine.runs.worker", "nosuch", "--store", str(store.path)]
        assert subprocess.run(command, stdout=full, stderr=full, timeout=60).returncode == 2


@pytest.mark.parametrize("held", [False, True])
def test_a_worker_whose_store_is_deleted_ends_instead_of_training_for_nobody(
    store: Store, monkeypatch: pytest.MonkeyPatch, held: bool
) -> None:
    row = spawned(store, monkeypatch)
    until(lambda: store.run(row.id).phase.startswith("training"))
    if held:
        run.pause(store, row.id)
        until(lambda: store.run(row.id).state == "paused")
    row, log = store.run(row.id), run.log_file(store, row.id)
    assert row.pid is not None
    aside = store.path.rename(store.path.with_name("aside.db"))
    until(lambda: row.pid is not None and process_start(row.pid) is None, 10)
    aside.rename(store.path)  # what follows tidies up in it
    assert "the store was deleted, moved or replaced" in log.read_text()
