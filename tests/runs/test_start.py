"""What surrounds a run's process: whether it lives, which device it has, how it is asked."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import Interrupted, RequestError, RunFailed
from engine.runs import provenance
from engine.runs import start as run
from engine.runs.at_work import Status
from engine.runs.control import Control
from engine.scenario.parse import parse
from engine.store import MEMORY, Store
from engine.system import devices, installed, processes
from tests.worlds.store import new_run

SCENARIO = 'title = "T"\n[dataset]\nkind = "digits"\n[model]\nkind = "logistic"\n[subpopulations]\nkind = "cluster_match"\n'


@pytest.fixture
def store() -> Iterator[Store]:
    with Store.open(MEMORY) as opened:
        yield opened


# ---- processes ------------------------------------------------------------------------------------------------------


def test_a_process_is_told_from_a_later_one_with_its_number() -> None:
    mine = processes.process_start(os.getpid())
    assert mine
    here = processes.identity()
    assert here.start == mine
    assert processes.alive(here, None, 0.0)
    assert not processes.alive(replace(here, start="1"), 0.0, 0.0)
    assert not processes.alive(replace(here, pid=None), 0.0, 0.0)
    assert processes.process_start(2**22 + 1) is None


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    end = time.monotonic() + 5
    while processes.process_start(child.pid) is not None and time.monotonic() < end:
        time.sleep(0.01)
    assert processes.process_start(child.pid) is None
    assert child.returncode is None, "not collected yet"
    child.wait()


@pytest.mark.parametrize("other", [{"boot": "an earlier one"}, {"namespace": "pid:[1]"}, {"boot": ""}, {"namespace": ""}])
def test_where_a_process_cannot_be_looked_at_the_heartbeat_counts(other: dict[str, str]) -> None:
    """Whether or not something with its number and start lives here; and a row of an older version has no boot."""
    for there in (replace(processes.identity(), **other), replace(processes.identity(), pid=2**22 + 1, **other)):
        assert processes.seen(there) is None
        assert processes.alive(there, 100.0, 102.9)
        assert not processes.alive(there, 100.0, 103.1)
        assert processes.alive(there, 100.0, 159.9, processes.HEARTBEAT_DEAD_S)
        assert not processes.alive(there, 100.0, 160.1, processes.HEARTBEAT_DEAD_S)
        assert not processes.alive(there, 1e6, 100.0, processes.HEARTBEAT_DEAD_S), "written before the clock was set back"
        assert not processes.alive(there, None, 0.0)


def test_a_process_that_proc_hides_is_not_taken_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mounted with hidepid it shows none of other users'."""

    def refused(pid: int, number: int) -> None:
        raise PermissionError

    gone = replace(processes.identity(), pid=2**22 + 1)
    assert processes.seen(gone) is False
    monkeypatch.setattr(os, "kill", refused)
    assert processes.seen(gone) is None


def test_numbers_of_another_namespaces_proc_mean_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert processes.pid_namespace().startswith("pid:[") or not Path("/proc/self").exists()
    monkeypatch.setattr(os, "getpid", lambda: 1)  # as under `unshare --pid --fork` without --mount-proc
    assert processes.pid_namespace() in ("", "one")


def test_where_there_is_no_proc_ps_is_asked() -> None:
    mine = processes._process_start_ps(os.getpid())
    assert mine
    assert mine == processes._process_start_ps(os.getpid())
    assert processes._process_start_ps(2**22 + 1) is None


# ---- requests -------------------------------------------------------------------------------------------------------


def test_control_holds_while_paused_and_raises_when_stopped() -> None:
    said: list[str] = []
    control = Control(lambda: (said.append("hold"), control.obey("resume"))[0], lambda: said.append("go on"))
    control.check()
    control.obey("pause")
    control.check()
    assert said == ["hold", "go on"]
    control.obey("pause")
    control.obey("stop")
    with pytest.raises(Interrupted):
        control.check()
    assert said == ["hold", "go on"], "a stop does not wait for the pause to end"


def test_what_cannot_be_asked_is_refused_in_words(store: Store) -> None:
    run_id = new_run(store)
    with pytest.raises(RequestError, match=f"its engine is gone, so it cannot pause; go on with: subpop resume {run_id}"):
        run.pause(store, run_id)
    run.stop(store, run_id)
    assert store.run(run_id).state == "stopped"
    with pytest.raises(RequestError, match="it is stopped, so it cannot pause"):
        run.pause(store, run_id)
    store.update_run(run_id, state="done")
    with pytest.raises(RequestError, match="it is done"):
        run.resume(store, run_id)


def test_a_stop_cannot_be_taken_back_and_resume_says_so(store: Store) -> None:
    row = store.create_run(name="n", title="t", scenario_toml="", scenario_hash="0" * 16)
    store.claim(row.id, processes.identity())
    store.update_run(row.id, state="running", phase="training stack 1 of 9")
    with pytest.raises(RequestError, match=r"it is running \(process \d+ on .*, last beat 0 s ago\); there is nothing to resume"):
        run.resume(store, row.id)
    run.pause(store, row.id)
    run.resume(store, row.id)
    run.stop(store, row.id)
    with pytest.raises(RequestError, match="it is stopping; resume it when it has stopped"):
        run.resume(store, row.id)
    assert store.take_requests(row.id) == ["pause", "resume", "stop"]
    control, status = Control(), Status()
    status.control = control
    control.obey("stop")
    store.update_run(row.id, phase=status.fields()["phase"])  # as the heart does at once
    with pytest.raises(RequestError, match="it is stopping"):
        run.resume(store, row.id)


def test_a_run_keeps_its_scenario_and_where_its_data_is(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = parse(SCENARIO)
    monkeypatch.delenv("SUBPOP_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    row = run.start(store, scenario, name="mine", data_dir=Path("data"), spawn=False)
    assert (row.name, row.title, row.state) == ("mine", "T", "queued")
    assert parse(row.scenario_toml) == scenario
    assert store.data_dir(row.id) == tmp_path / "data"
    assert store.data_dir(run.start(store, scenario, spawn=False).id) is None


def test_a_worker_that_cannot_start_is_told_and_leaves_a_run_to_resume(tmp_path: Path) -> None:
    with Store.open(tmp_path / "runs.db") as store:
        with pytest.raises(RunFailed, match="its engine could not be started"):
            run.start(store, parse(SCENARIO), worker=(str(tmp_path / "nothing"),))
        assert store.find("latest").lost


# ---- devices --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["tpu", "cuda:x", "cuda:", "auto:1", "", "cpu:0"])
def test_what_is_no_device_is_refused(device: str) -> None:
    with pytest.raises(RequestError, match="is not a device; use auto, cpu, cuda or cuda:1"):
        devices.resolve(device)


def test_a_device_that_is_not_here_is_refused_with_those_that_are() -> None:
    with pytest.raises(RequestError, match=r"this machine has no cuda:99.*it has cpu.*use auto"):
        devices.resolve("cuda:99")
    assert devices.resolve("cpu") == devices.lease_name("cpu") == "cpu"
    assert devices.resolve("auto") in ("cpu", "cuda:0")


def test_the_code_version_changes_with_the_sources() -> None:
    version = provenance.code_version()
    assert "+src." in version
    assert version == provenance.code_version()
    assert installed.library_version("no such thing") == "unknown"


def test_a_gpu_is_asked_for_its_name_by_a_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run in the queue must not hold a context on the GPU: this process never asks CUDA."""
    (tmp_path / "torch.py").write_text(
        "import types\nclass cuda:\n    @staticmethod\n    def get_device_properties(device):\n"
        "        assert device != 'cuda:1', 'fell off the bus'\n        return types.SimpleNamespace(uuid='GPU-5e1f')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    devices._uuid.cache_clear()
    assert devices.lease_name("cuda:0") == "cuda GPU-5e1f"
    with pytest.raises(RunFailed, match="cuda:1 does not answer: AssertionError: fell off the bus"):
        devices.lease_name("cuda:1")
    devices._uuid.cache_clear()
