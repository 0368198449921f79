"""A run at work is neither deleted nor doubled from where its process cannot be looked at: another PID namespace, another machine.

In a real PID namespace where the system lets us make one; besides, in any case, by a process that is told it is in another.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import ClaimLost, RequestError, StoreError
from engine.rows import RunRow
from engine.runs import start as run
from engine.runs.control import Control
from engine.runs.worker import work
from engine.scenario.parse import parse
from engine.store import Store, digests
from engine.system.processes import HEARTBEAT_DEAD_S, Process, identity, process_start
from tests.worlds.fake_pipeline import SCENARIO, STACKS, WORKER, FakePipeline
from tests.worlds.waiting import until

SUBPOP = (sys.executable, "-m", "engine.cli.main")
UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc")
FAKED = """
import importlib, sys
from engine.system import processes
processes.pid_namespace = lambda: "pid:[1]"
module = sys.argv.pop(1)
sys.exit(importlib.import_module(module).main(sys.argv[1:]))
"""
# as FAKED, and does not say whose the worker is that it starts, for that one knows where it is
STARTER = FAKED.replace("module = ", "from engine.store import Store\nStore.assign = lambda *args: None\nmodule = ")
RENAMED = FAKED.replace('pid_namespace = lambda: "pid:[1]"', 'host_name = lambda: "renamed"')
ELSEWHERE = {"faked": (sys.executable, "-c", FAKED)}  # then the module that is run, and its arguments
if shutil.which(UNSHARE[0]) and subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0:
    ELSEWHERE["unshare"] = (*UNSHARE, sys.executable, "-m")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "runs.db"
    monkeypatch.setenv("SUBPOP_STORE", str(file))
    monkeypatch.setenv("SUBPOP_CACHE", str(tmp_path / "cache"))
    return file


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path) as opened:
        yield opened
        for row in opened.runs():  # nothing outlives its test
            if row.alive and row.pid and row.pid != os.getpid():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(row.pid, signal.SIGKILL)


def new(store: Store) -> str:
    return run.start(store, parse(SCENARIO), spawn=False).id


def said(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def silent(store: Store, run_id: str, worker: Process, seconds: float) -> RunRow:
    """The run as one that this worker has and that beat so long ago."""
    with store.write() as db:
        db.execute(
            "UPDATE runs SET state = 'running', claim = 'theirs', host = ?, boot = ?, pid_namespace = ?, pid = ?, pid_start = ? "
            "WHERE id = ?",
            (worker.host, worker.boot, worker.namespace, worker.pid, worker.start, run_id),
        )
        digests.seal_run(db, run_id)
        db.execute("INSERT OR REPLACE INTO heartbeats (run_id, at) VALUES (?, ?)", (run_id, store.now() - seconds))
    return store.run(run_id)


def suspended(store: Store, pid: int) -> bool:
    """Suspend the worker; not in the middle of a write, which would lock the store for everybody."""
    os.kill(pid, signal.SIGSTOP)
    try:
        with Store.open(store.path, busy_timeout_s=0.05) as other, other.write():
            return True
    except StoreError:
        os.kill(pid, signal.SIGCONT)
        return False


# ---- a run that is at work ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ELSEWHERE)
def test_a_real_run_is_left_alone_from_another_pid_namespace(store: Store, way: str) -> None:
    there = ELSEWHERE[way]
    run_id = said(*SUBPOP, "run", "quickstart", "--smoke", "--detach", "--set", "evaluation.trials=12").stdout.strip()
    until(lambda: store.run(run_id).state == "running")
    pid = store.run(run_id).pid
    for command in (
        ("engine.cli.main", "delete", run_id, "--yes"),
        ("engine.cli.main", "resume", run_id),
        ("engine.runs.worker", run_id),  # what a resume of an earlier version would have started
    ):
        done = said(*there, *command)
        assert done.returncode == 2, (command, done.stdout, done.stderr)
        assert f"it is running (process {pid} on {os.uname().nodename}, last beat" in done.stderr
    assert '"alive": true' in said(*there, "engine.cli.main", "runs", "--json").stdout
    assert store.run(run_id).state == "running", "it was over before everything was asked"
    until(lambda: store.run(run_id).state == "done", 120)
    assert store.run(run_id).pid == pid
    trained = [line.message for line in store.log_rows(run_id) if line.message.startswith("training stack")]
    assert trained
    assert len(trained) == len(set(trained)), "nothing was trained twice"
    exported = said(*there, "engine.cli.main", "export", run_id, "--table", "damage")
    assert (exported.returncode, exported.stdout) == (0, said(*SUBPOP, "export", run_id, "--table", "damage").stdout)


@pytest.mark.parametrize("way", ELSEWHERE)
def test_a_worker_suspended_for_seconds_is_left_alone_and_goes_on(store: Store, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_STEP_S", "0.02")
    row = run.start(store, parse(SCENARIO), worker=WORKER)
    until(lambda: store.run(row.id).victims_done > 0)
    pid = store.run(row.id).pid
    assert pid is not None
    until(lambda: suspended(store, pid))
    try:
        time.sleep(5)
        there = ELSEWHERE[way]
        for command in (("delete", row.id, "--yes"), ("resume", row.id), ("pause", row.id)):
            done = said(*there, "engine.cli.main", *command)
            assert done.returncode == 2, (command, done.stderr)
            assert "its engine is silent and cannot be looked at from here" in done.stderr
            assert "last beat" in done.stderr
            assert "it counts as gone when it has been silent for 60 s" in done.stderr
        assert '"lost": true' in said(*there, "engine.cli.main", "runs", "--json").stdout, "what is shown has a threshold of its own"
        stopped = said(*there, "engine.cli.main", "stop", row.id)
        assert (stopped.returncode, "last beat" in stopped.stderr) == (0, True), "a stop waits for it"
        assert store.run(row.id).state == "running"
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: store.run(row.id).state == "stopped")


@pytest.mark.parametrize("way", ELSEWHERE)
def test_of_two_workers_by_force_one_wins_and_the_other_stops(store: Store, way: str) -> None:
    """The first is suspended in the middle of its training, the run is taken by force from elsewhere, and the first wakes up."""
    run_id = said(*SUBPOP, "run", "quickstart", "--smoke", "--detach", "--set", "evaluation.trials=30").stdout.strip()
    until(lambda: store.run(run_id).victims_done > 0, 60)
    first = store.run(run_id).pid
    assert first is not None
    until(lambda: suspended(store, first))
    there, python = ELSEWHERE[way], " ".join(ELSEWHERE[way][ELSEWHERE[way].index(sys.executable) :])
    try:
        until(lambda: '"lost": true' in said(*there, "engine.cli.main", "runs", "--json").stdout, 20)
        refused = said(*there, "engine.cli.main", "resume", run_id)
        assert refused.returncode == 2
        assert f"subpop resume {run_id} --force" in refused.stderr
        if way == "unshare":  # whoever is the first in a PID namespace takes everybody with it when it ends
            both = f"{python} engine.cli.main resume {run_id} --force && {python} engine.cli.main watch {run_id}"
            second = subprocess.Popen([*UNSHARE, "sh", "-c", both], stdout=subprocess.DEVNULL)
        else:
            second = subprocess.Popen([sys.executable, "-c", STARTER, "engine.cli.main", "resume", run_id, "--force"])
        until(lambda: store.run(run_id).state == "running" and store.run(run_id).pid != first, 60)
    finally:
        os.kill(first, signal.SIGCONT)
    until(lambda: process_start(first) is None, 60)
    assert store.run(run_id).pid != first, "the row is the winner's"
    assert store.run(run_id).state in ("running", "done")
    assert [row["pid"] for row in store.read("SELECT pid FROM leases") if row["pid"] == first] == []
    assert "it was taken from this engine" in run.log_file(store, run_id).read_text()
    until(lambda: store.run(run_id).state == "done", 120)
    second.wait(30)
    assert store.run(run_id).victims_done == store.run(run_id).victims_total
    assert store.run(run_id).error == ""
    committed = [line.message.split(":")[0] for line in store.log_rows(run_id) if line.message.startswith("committed stack")]
    assert len(committed) == len(set(committed)) == len(store.plan(run_id) or ())


def test_another_host_name_hides_no_suspended_worker(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_STEP_S", "0.02")
    row = run.start(store, parse(SCENARIO), worker=WORKER)
    until(lambda: store.run(row.id).victims_done > 0)
    pid = store.run(row.id).pid
    assert pid is not None
    until(lambda: suspended(store, pid))
    try:
        time.sleep(5)
        for command in (("delete", row.id, "--yes"), ("delete", row.id, "--yes", "--force"), ("resume", row.id, "--force")):
            done = said(sys.executable, "-c", RENAMED, "engine.cli.main", *command)
            assert done.returncode == 2, (command, done.stderr)
            assert f"it is running (process {pid} on {os.uname().nodename}, last beat" in done.stderr
    finally:
        os.kill(pid, signal.SIGCONT)
    run.stop(store, row.id)
    until(lambda: store.run(row.id).state == "stopped")


# ---- who counts as gone ---------------------------------------------------------------------------------------------

HERE = identity()
GONE = replace(HERE, pid=2**22 + 1)
STRANGERS = {
    "another namespace": replace(GONE, namespace="pid:[1]"),
    "another boot": replace(GONE, boot="another"),
    "another host": replace(GONE, host="elsewhere", boot="another"),
    "an older version": replace(GONE, boot="", namespace=""),
}


@pytest.mark.parametrize("worker", STRANGERS.values(), ids=STRANGERS)
def test_what_destroys_waits_for_a_minute_of_silence(store: Store, worker: Process) -> None:
    run_id = new(store)
    row = silent(store, run_id, worker, HEARTBEAT_DEAD_S - 5)
    assert (row.alive, row.lost, row.may_live) == (False, True, True)
    for deed in (lambda: run.delete(store, run_id), lambda: run.resume(store, run_id)):
        with pytest.raises(RequestError, match=r"last beat 5[56] s ago\)"):
            deed()
    assert store.claim(run_id, HERE) is None
    assert not store.disown(run_id)
    store.assign(run_id, HERE)
    assert store.run(run_id).pid == worker.pid
    with pytest.raises(RequestError, match=r"another engine is at work on it: .*last beat"):
        work(store, run_id, pipeline=FakePipeline())
    row = silent(store, run_id, worker, HEARTBEAT_DEAD_S + 1)
    assert (row.lost, row.may_live) == (True, False)
    run.delete(store, run_id)
    assert store.runs() == []


@pytest.mark.parametrize("worker", STRANGERS.values(), ids=STRANGERS)
def test_by_force_the_silent_is_taken_and_what_beats_is_not(store: Store, worker: Process) -> None:
    run_id = new(store)
    silent(store, run_id, worker, 1)
    for deed in (lambda: run.delete(store, run_id, force=True), lambda: run.resume(store, run_id, force=True)):
        with pytest.raises(RequestError, match=r"it is running \(process .*, last beat [12] s ago\)"):
            deed()
    silent(store, run_id, worker, 10)
    with pytest.raises(RequestError, match=f"subpop resume {run_id} --force"):
        run.resume(store, run_id)
    with pytest.raises(RequestError, match=f"subpop delete {run_id} --force"):
        run.delete(store, run_id)
    assert store.disown(run_id, force=True)
    with pytest.raises(ClaimLost):
        store.fenced(run_id, "theirs").update_run(run_id, phase="awake again")
    run.delete(store, run_id, force=True)
    assert store.runs() == []


def test_another_name_of_this_host_hides_nothing(store: Store) -> None:
    """A look at the process is certain wherever boot and PID namespace are the same."""
    run_id = new(store)
    row = silent(store, run_id, replace(GONE, host="renamed"), 0.1)
    assert (row.lost, row.may_live) == (True, False), "it is dead, however fresh its beat is"
    row = silent(store, run_id, replace(HERE, host="renamed"), 3600)
    assert (row.alive, row.may_live) == (True, True), "it is there, however long it has been silent"
    with pytest.raises(RequestError, match="last beat 3600 s ago"):
        run.delete(store, run_id, force=True)


def test_what_has_died_here_is_gone_at_once(store: Store) -> None:
    run_id = new(store)
    row = silent(store, run_id, GONE, 0.1)
    assert (row.lost, row.may_live) == (True, False)
    assert store.claim(run_id, HERE)
    silent(store, run_id, GONE, 0.1)
    run.stop(store, run_id)
    assert store.run(run_id).state == "stopped"


def test_a_device_held_where_it_cannot_be_looked_at_is_not_taken_for_a_minute(store: Store) -> None:
    old, young = new(store), new(store)
    worker = STRANGERS["another namespace"]
    silent(store, young, worker, 0)
    assert store.lease("cpu", young, worker) is None
    silent(store, young, worker, HEARTBEAT_DEAD_S - 5)
    assert store.lease("cpu", old, HERE) == young
    silent(store, young, worker, HEARTBEAT_DEAD_S + 1)
    assert store.lease("cpu", old, HERE) is None


# ---- a worker that lost its run -------------------------------------------------------------------------------------


def test_who_lost_its_claim_spoils_nothing_of_the_winners(store: Store) -> None:
    """As if the first had been silent for so long that the run was given to another worker, and then woke up."""
    run_id = new(store)
    winner = replace(HERE, pid=1, start="1")
    before: list[object] = []

    def taken(stack: int, step: int) -> None:
        if (stack, step) == (2, 3):
            silent(store, run_id, STRANGERS["another host"], HEARTBEAT_DEAD_S + 1)
            claim = store.claim(run_id, winner)
            assert claim is not None
            theirs = store.fenced(run_id, claim)
            theirs.update_run(run_id, state="running", phase="the winner's")
            theirs.lease("cpu", run_id, winner)
            store.request(run_id, "pause")
            before.extend(store._db.iterdump())

    with pytest.raises(ClaimLost, match="it was taken from this engine"):
        work(store, run_id, pipeline=FakePipeline(on_step=taken))
    assert list(store._db.iterdump()) == before
    assert store.run(run_id).phase == "the winner's"
    assert store.stacks_done(run_id) == {0, 1}
    assert [row["pid"] for row in store.read("SELECT pid FROM leases")] == [1]
    assert store.take_requests(run_id) == ["pause"], "it was meant for the winner"


def test_who_fails_after_it_lost_its_claim_writes_no_failure(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    run_id = new(store)

    def taken(stack: int, step: int) -> None:
        if (stack, step) == (1, 19):  # the last step of the stack that fails
            silent(store, run_id, STRANGERS["another host"], 0)

    with pytest.raises(ClaimLost):
        work(store, run_id, pipeline=FakePipeline(fail_at=1, on_step=taken))
    row = store.run(run_id)
    assert (row.state, row.error) == ("running", "")
    assert [line for line in store.log_rows(run_id) if line.level == "error"] == []
    assert "the fake was told to fail" in capfd.readouterr().err, "it is in the file of the worker's own words"


def test_who_lost_its_claim_stops_at_its_next_beat(store: Store) -> None:
    run_id, control = new(store), Control()
    ended: list[BaseException] = []

    def losing() -> None:
        try:
            work(store, run_id, pipeline=FakePipeline(step_s=0.2), control=control)
        except ClaimLost as error:
            ended.append(error)

    working = threading.Thread(target=losing)
    working.start()
    until(lambda: store.run(run_id).phase.startswith("training"))
    silent(store, run_id, STRANGERS["another host"], 0)
    until(lambda: control.stopping, 5)
    working.join(10)
    assert len(ended) == 1
    assert store.run(run_id).state == "running"
    assert len(store.stacks_done(run_id)) < STACKS


def test_a_run_deleted_under_its_worker_ends_it_in_words(store: Store) -> None:
    run_id = new(store)

    def deleted(stack: int, step: int) -> None:
        if (stack, step) == (1, 0):
            with store.write() as db:
                db.execute("DELETE FROM runs WHERE id = ?", (run_id,))

    with pytest.raises(ClaimLost, match="it is no longer in the store: it was deleted"):
        work(store, run_id, pipeline=FakePipeline(on_step=deleted))
    assert store.runs() == []
