"""Several devices: a process each, stacks in any order, one writer; what befalls these processes, and what is there afterwards."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from engine.errors import Interrupted, RequestError, RunFailed
from engine.pipeline import order as pipeline
from engine.pipeline.discovery import StackJob
from engine.rows import Cores, StackPlan, Table, VictimResult
from engine.runs import plans, provenance, training
from engine.runs import start as run
from engine.runs.at_work import Work
from engine.runs.control import Control
from engine.runs.executors import Job, TrainedStack
from engine.runs.executors.devices import Devices
from engine.runs.executors.local import Local
from engine.runs.pipeline import Pipeline
from engine.runs.worker import work as work_on
from engine.scenario.parse import parse
from engine.store import Store
from engine.system import devices, processes
from engine.system.processes import process_start
from tests.defenses import test_defended
from tests.runs.test_worker import tables
from tests.studies.kill_storm import trained_again
from tests.training import test_moved_points
from tests.worlds.executors import FakeExecutor, FakeWatch
from tests.worlds.fake_pipeline import CHILD, SCENARIO, STACKS, VICTIMS, WORKER, FakePipeline, victim
from tests.worlds.waiting import until

TWO = parse(SCENARIO, overrides=['compute.device="cpu,cpu"'])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "runs.db") as opened:
        yield opened
        for row in opened.runs():
            if row.alive and row.pid and row.pid != os.getpid():
                os.kill(row.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def on_one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    with Store.open(tmp_path_factory.mktemp("one") / "runs.db") as store:
        run_id = run.start(store, parse(SCENARIO), spawn=False).id
        assert work_on(store, run_id, pipeline=FakePipeline()) == "done"
        return tables(store, run_id)


@pytest.fixture
def executor() -> Iterator[Devices]:
    made = Devices(("cpu", "cpu"), CHILD)
    yield made
    made.close()


def job() -> tuple[Job, tuple[StackPlan, ...]]:
    fake, scenario = FakePipeline(), parse(SCENARIO)

    def quiet(*args: object, **options: object) -> None:
        pass

    discovery = fake.discover(scenario, Path(), device="cpu", log=quiet, progress=quiet, on_step=quiet, milestones=None)
    return Job(scenario, discovery, Cores(1, 1)), fake.plan(scenario, discovery, "cpu", log=quiet, milestones=None, cores=None)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def messages(store: Store, run_id: str) -> list[str]:
    return [line.message for line in store.log_rows(run_id)]


# ---- a run ----------------------------------------------------------------------------------------------------------


def test_on_two_devices_it_comes_to_the_tables_of_one_and_says_so_throughout(
    store: Store, on_one: dict[str, Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_STEP_S", "0.02")
    row = run.start(store, TWO, worker=WORKER)
    until(lambda: " and " in store.run(row.id).phase and store.run(row.id).phase.startswith("training stacks "))
    assert store.read("SELECT device, held FROM leases")[0]["device"] == "cpu"
    until(lambda: store.run(row.id).state == "done", 40)
    row = store.run(row.id)
    assert tables(store, row.id) == on_one
    assert (row.device, row.victims_done, row.progress) == ("cpu,cpu", VICTIMS, 1.0)
    assert store.provenance(row.id)["device"] == f"2 x cpu, {devices.cores_of(('cpu', 'cpu'), None).parts} threads"
    said = messages(store, row.id)
    for where in ("cpu (1)", "cpu (2)"):
        assert any(line.startswith("training stack") and line.endswith(f", on {where}") for line in said)
    assert sum(line.startswith("committed stack") for line in said) == STACKS
    until(lambda: store.read("SELECT * FROM leases") == [])  # given back a moment after it is done


@pytest.mark.parametrize("whose", ["child", "worker"])
def test_what_is_killed_loses_its_own_stacks_alone_and_leaves_nobody(
    store: Store, on_one: dict[str, Table], monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    monkeypatch.setenv("FAKE_STEP_S", "0.03")
    row = run.start(store, TWO, worker=WORKER)
    until(lambda: store.run(row.id).phase.startswith("training stacks "), 40)
    pid = store.run(row.id).pid or 0
    both = children_of(pid)
    assert len(both) == 2
    os.kill(both[0] if whose == "child" else pid, signal.SIGKILL)
    if whose == "worker":
        until(lambda: all(process_start(child) is None for child in both), 5)
        monkeypatch.setenv("FAKE_STEP_S", "0")
        run.resume(store, row.id, worker=WORKER)
    until(lambda: store.run(row.id).state == "done", 40)
    assert tables(store, row.id) == on_one
    begun = Counter(line.split(":")[0] for line in messages(store, row.id) if line.startswith("training stack"))
    again = sum(begun.values()) - STACKS
    assert again == 1 if whose == "child" else 0 <= again <= 2, begun  # one that was begun just before may not be in the log
    assert trained_again(store, row.id) == 0, "nothing that was committed"
    lost = [line for line in messages(store, row.id) if "is trained again, in the same company" in line]
    assert len(lost) == (whose == "child")
    assert all("ended without a word (killed by signal 9)" in line for line in lost)


def test_pause_holds_every_process_and_a_stop_ends_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_STEP_S", "0.05")
    row = run.start(store, TWO, worker=WORKER)
    until(lambda: store.run(row.id).phase.startswith("training stacks "), 40)
    both = children_of(store.run(row.id).pid or 0)
    run.pause(store, row.id)
    until(lambda: store.run(row.id).state == "paused")
    time.sleep(0.2)  # a step
    used = [_cpu_s(child) for child in both]
    time.sleep(0.4)
    held = store.run(row.id)
    assert [_cpu_s(child) for child in both] == used, "they stand still"
    run.resume(store, row.id)
    until(lambda: store.run(row.id).victims_done > held.victims_done)
    run.stop(store, row.id)
    until(lambda: store.run(row.id).state == "stopped")
    until(lambda: all(process_start(child) is None for child in both))


def _cpu_s(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_pause_in_the_queue_for_the_second_device_does_not_lose_the_first(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is paused it is in no queue, so it must take again what it held already: another run may train there otherwise."""
    monkeypatch.setattr(devices, "resolve_all", lambda device: ("a", "b"))
    monkeypatch.setattr(devices, "lease_name", lambda device: device)
    monkeypatch.setattr(provenance, "device_name", lambda device, threads: device)
    held: list[dict[str, tuple[str, int]]] = []

    def train(each: StackJob) -> list[VictimResult]:
        held.append({row["device"]: (row["run_id"], row["held"]) for row in store.read("SELECT device, run_id, held FROM leases")})
        return [victim(0, spec, each.discovery.dataset.test.y) for spec in each.stack.victims]

    monkeypatch.setattr(training, "executor_of", lambda w, pipeline: FakeExecutor(train))
    other, run_id = (run.start(store, TWO, spawn=False).id for _ in range(2))
    control = Control()
    assert store.lease("b", other, processes.identity()) is None
    working = threading.Thread(target=work_on, args=(store, run_id), kwargs={"pipeline": FakePipeline(), "control": control})
    working.start()
    until(lambda: len(store.read("SELECT * FROM leases WHERE run_id = ?", (run_id,))) == 2)
    control.obey("pause")
    until(lambda: store.run(run_id).state == "paused")
    assert store.read("SELECT * FROM leases WHERE run_id = ?", (run_id,)) == []
    control.obey("resume")
    until(lambda: store.read("SELECT * FROM leases WHERE run_id = ?", (run_id,)) != [])
    store.release(other)
    working.join()
    assert store.run(run_id).state == "done"
    assert held == [{"a": (run_id, 1), "b": (run_id, 1)}] * STACKS


@pytest.mark.parametrize("order", [range(STACKS - 1, -1, -1), (1, 3, 5)])
def test_the_order_of_commits_decides_nothing(
    store: Store, on_one: dict[str, Table], monkeypatch: pytest.MonkeyPatch, order: Sequence[int]
) -> None:
    """Even where a trial's clean victim comes last."""
    fake = FakeExecutor(lambda each: [victim(0, spec, each.discovery.dataset.test.y) for spec in each.stack.victims], order)

    def given(w: Work, pipeline: Pipeline) -> FakeExecutor:
        return fake

    monkeypatch.setattr(training, "executor_of", given)
    run_id = run.start(store, TWO, spawn=False).id
    assert work_on(store, run_id, pipeline=FakePipeline()) == "done"
    assert fake.asked[: len(order)] == list(order)
    assert fake.closed
    assert tables(store, run_id) == on_one


# ---- the executor ---------------------------------------------------------------------------------------------------


def test_a_stack_that_fails_twice_ends_the_run_in_words(executor: Devices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_FAIL_AT", "1")
    (what, stacks), watch = job(), FakeWatch()
    done: list[TrainedStack] = []
    with pytest.raises(RunFailed, match=r"stack 2: it failed twice: unexpected RuntimeError: the fake was told to fail; the log file"):
        done.extend(executor.train(stacks, what, watch))
    assert watch.lost[0][0] == 1
    assert sum(index == 1 for index, _ in watch.begun) == 2


def test_a_device_whose_process_never_begins_ends_the_run(tmp_path: Path) -> None:
    broken = Devices(("cpu", "cpu"), ("/bin/sh", "-c", "exit 3"))
    what, stacks = job()
    with pytest.raises(RunFailed, match=r"the process on cpu \([12]\) ended without a word \(exit status 3\) before it had begun"):
        list(broken.train(stacks, what, FakeWatch()))
    broken.close()
    nothing = Devices(("cpu",), (str(tmp_path / "nothing"),))
    with pytest.raises(RunFailed, match="the process for cpu could not be started"):
        list(nothing.train(stacks, what, FakeWatch()))


def test_what_is_known_of_memory_goes_with_a_stack_and_a_second_try_knows_no_more(executor: Devices) -> None:
    what, stacks = job()
    watch = FakeWatch()
    handed = executor.train(stacks, Job(what.scenario, what.discovery, what.cores, too_many=7), watch)
    first = next(handed)
    assert first.too_many == 7
    sent = {child.at.stack.index: child.at.too_many for child in executor._children.values() if child.at}
    assert set(sent.values()) == {7}
    executor._room.learn(3)  # another device's stack was too large meanwhile
    [pid] = [child.process.pid for child in executor._children.values() if child.at and child.at.stack.index == max(sent)]
    os.kill(pid, signal.SIGSTOP)  # it cannot be done before it is killed
    os.kill(pid, signal.SIGKILL)
    again: dict[int, int | None] = {}
    seen = watch.begin

    def begin(stack: StackPlan, where: str) -> None:
        seen(stack, where)
        again.update({child.at.stack.index: child.at.too_many for child in executor._children.values() if child.at})

    watch.begin = begin  # type: ignore[method-assign]
    rest = {done.stack.index for done in handed}
    assert rest | {first.stack.index} == {stack.index for stack in stacks}
    if watch.lost:  # it was in time
        assert again[watch.lost[0][0]] == 7, "in the company of its first try"
    assert set(again.values()) <= {3, 7}


def test_a_stop_leaves_the_generator_and_close_leaves_no_process(executor: Devices) -> None:
    what, stacks = job()
    control = Control()
    watch = FakeWatch(control.check)
    handed = executor.train(stacks, what, watch)
    next(handed)
    pids = [child.process.pid for child in executor._children.values()]
    threading.Timer(0.05, control.obey, ("stop",)).start()
    with pytest.raises(Interrupted):
        [time.sleep(0.1) for done in handed]  # type: ignore[func-returns-value]
    executor.close()
    assert all(process_start(pid) is None for pid in pids)


def test_the_engines_own_processes_come_to_the_bits_of_this_one() -> None:
    """What a defence asks of its stack, and points whose pixels were moved, travel with the job; the same processes take both."""
    more = ["evaluation.trials=1", "model.epochs=1", "compute.victims_per_stack=3"]
    defended = test_defended.scenario("trim", *more)
    moved = parse(test_moved_points.TEXT.format(kind="conv"), overrides=more)
    quiet = test_defended.quiet
    worlds = (
        (defended, pipeline.discover(defended, Path("."), device="cpu", log=quiet, progress=quiet)),
        (moved, test_moved_points.discovered(moved)),
    )
    with closing(Devices(("cpu", "cpu"))) as several:
        for scenario, found in worlds:
            planned = pipeline.plan(scenario, found, "cpu", log=quiet)
            plans.check_victims(plans.Plan("", Cores(1, 1), {}, "", planned), scenario, found.subpopulations)
            stacks = planned[:2]
            what, watch = Job(scenario, found, Cores(1, 1)), FakeWatch()
            away = {done.stack.index: done.victims for done in several.train(stacks, what, watch)}
            here = {done.stack.index: done.victims for done in Local(pipeline.RunPipeline(), "cpu").train(stacks, what, FakeWatch())}
            assert watch.lost == []
            assert here.keys() == away.keys() == {stack.index for stack in stacks}
            for one, other in [pair for index in here for pair in zip(here[index], away[index], strict=True)]:
                assert (one.spec, one.train_loss, one.poison_points) == (other.spec, other.train_loss, other.poison_points)
                assert np.array_equal(one.predictions, other.predictions)
                assert (one.judged is None) == (other.judged is None)
                if one.judged is not None and other.judged is not None:
                    assert np.array_equal(one.judged.kept_R, other.judged.kept_R)
            assert any(victim.judged is not None for victims in here.values() for victim in victims) == (scenario is defended)


# ---- which devices --------------------------------------------------------------------------------------------------


def test_lists_of_devices() -> None:
    assert devices.resolve_all("cpu,cpu") == ("cpu", "cpu")
    assert devices.resolve_all("cpu") == ("cpu",)
    with pytest.raises(RequestError, match="is no list of devices"):
        devices.resolve_all("auto,cpu")
    with pytest.raises(RequestError, match="this machine has no cuda:98"):
        devices.resolve_all("cuda:98,cuda:99")
    assert devices.cores_of(("cpu", "cpu"), 3) == Cores(3, max(1, devices.cores() // 2))
    assert provenance.device_name("cpu,cpu", 1) == "2 x cpu, 1 threads"


@pytest.mark.parametrize("wrong", ["cpu,", "cpu,,cpu", "cuda:all,cpu", "cpu cpu", "cuda:0;cuda:1", "auto,cpu"])
def test_what_is_no_list_of_devices_is_a_mistake_of_the_scenario(wrong: str) -> None:
    with pytest.raises(RequestError, match='expected "auto", "cpu", "cuda", "cuda:0" and so on'):
        parse(SCENARIO, overrides=[f'compute.device="{wrong}"'])


def test_a_cpu_and_a_gpu_do_not_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "resolve", lambda name: name)
    with pytest.raises(RequestError, match="names the CPU and a GPU"):
        devices.resolve_all("cpu,cuda:0")
    with pytest.raises(RequestError, match="names cuda:0 twice"):
        devices.resolve_all("cuda:0,cuda:0")
