"""A Ray cluster, with a stand-in for Ray: who trains what, what is lost and what is refused. Real Ray: `tests/studies/cluster.py`."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.cli import main as cli
from engine.errors import ClaimLost, Interrupted, RequestError, RunFailed
from engine.pipeline import order as pipeline
from engine.rows import Cores, StackPlan, Table
from engine.runs import start as run
from engine.runs.control import Control
from engine.runs.executors import Job, at_node, joining, nodes, sent, trainer
from engine.runs.executors import ray as clusters
from engine.runs.executors.local import Local
from engine.runs.worker import work as work_on
from engine.scenario.parse import parse
from engine.store import Store
from engine.store.bundle import bundle, open_bundle
from engine.system import devices
from tests.defenses import test_defended
from tests.runs.test_devices import job, messages
from tests.runs.test_worker import tables
from tests.training import test_moved_points
from tests.worlds.executors import FakeWatch
from tests.worlds.fake_pipeline import SCENARIO, STACKS, VICTIMS, FakePipeline
from tests.worlds.ray import FakeRay
from tests.worlds.waiting import until

ADDRESS = "ray://head:10001"
AWAY = parse(SCENARIO, overrides=[f'compute.device="{ADDRESS}"'])
CPU = f"cpu ({torch.backends.cpu.get_cpu_capability()})"
TWO_NODES = {"a": {"CPU": 1.0}, "b": {"CPU": 2.0}, "head": {"memory": 5.0}}


class FakePost(trainer.Trainer):
    """A trainer of the fake pipeline. step_s, fail_at: its. end: as where its process is killed."""

    step_s, fail_at = 0.0, None

    def __init__(self, device: str) -> None:
        super().__init__(device, lambda: FakePipeline(self.step_s, self.fail_at))

    def end(self) -> None:
        self._control.stop_soon()


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay(TWO_NODES)
    monkeypatch.setattr(joining, "joined", fake.joined)
    monkeypatch.setattr(nodes, "apart", lambda scenario, address: nodes.nodes(fake))
    monkeypatch.setattr(clusters, "Post", FakePost)
    monkeypatch.setattr(clusters, "NODES_S", 0.1)
    monkeypatch.setattr(clusters, "LOOK_S", 0.02)
    monkeypatch.setattr(FakePost, "step_s", 0.0)
    monkeypatch.setattr(FakePost, "fail_at", None)
    return fake


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "runs.db") as opened:
        yield opened


@pytest.fixture(scope="module")
def on_one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    with Store.open(tmp_path_factory.mktemp("one") / "runs.db") as store:
        run_id = run.start(store, parse(SCENARIO), spawn=False).id
        assert work_on(store, run_id, pipeline=FakePipeline()) == "done"
        return tables(store, run_id)


# ---- a run ----------------------------------------------------------------------------------------------------------


def test_a_run_on_a_cluster_comes_to_the_tables_of_one_machine_and_names_its_nodes(
    ray: FakeRay, store: Store, on_one: dict[str, Table], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(FakePost, "step_s", 0.01)
    row = run.start(store, AWAY, spawn=False)
    phases: list[str] = []
    leases: set[str] = set()

    def look(found: Store, run_id: str) -> None:
        while found.run(run_id).state in ("queued", "running"):
            phases.append(found.run(run_id).phase)
            leases.update(each["device"] for each in found.read("SELECT device FROM leases WHERE held"))
            time.sleep(0.005)

    thread = threading.Thread(target=look, args=(store, row.id))
    thread.start()
    assert work_on(store, row.id, pipeline=FakePipeline()) == "done"
    thread.join()
    row = store.run(row.id)
    assert tables(store, row.id) == on_one
    assert (row.device, row.victims_done, row.progress) == (ADDRESS, VICTIMS, 1.0)
    said = store.provenance(row.id)
    assert said["device"] == "a Ray cluster"
    assert said["cluster"] == {"ray": "2.99.0", "nodes": {"a": f"1 x {CPU}", "b": f"2 x {CPU}"}}
    begun = [line.rpartition(", on ")[2] for line in messages(store, row.id) if line.startswith("training stack")]
    assert set(begun) == {"a", "b, cpu 1", "b, cpu 2"}
    assert len(begun) == STACKS
    assert any(phase.startswith("training stacks ") and " on a; " in phase and phase.endswith(f" on b; of {STACKS}") for phase in phases)
    assert sum(lease.startswith("ray ") for lease in leases) == 3, "one for each device"
    assert "cpu" in leases, "this machine's own, until all but the training was done"
    assert store.read("SELECT * FROM leases") == []
    assert not any(actor.alive for actor in ray.actors), "none is left"
    assert ray.stored == 1, "the data were sent once"
    # what was added to the provenance is under its digest
    bundle(store, row.id, tmp_path / "run.subpop")
    with Store.open(tmp_path / "other.db") as other:
        assert other.provenance(open_bundle(other, tmp_path / "run.subpop"))["cluster"] == said["cluster"]


def test_a_node_that_is_lost_loses_its_own_stack_alone(
    ray: FakeRay, store: Store, on_one: dict[str, Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakePost, "step_s", 0.02)
    row = run.start(store, AWAY, spawn=False)

    def strike() -> None:
        until(lambda: any(line.endswith(", on a") for line in messages(store, row.id)))
        ray.take_away("a")
        ray.up["c"] = {"CPU": 1.0}  # and another comes

    thread = threading.Thread(target=strike)
    thread.start()
    assert work_on(store, row.id, pipeline=FakePipeline()) == "done"
    thread.join()
    assert tables(store, row.id) == on_one
    said = messages(store, row.id)
    lost = [line for line in said if "is trained again, in the same company" in line]
    assert len(lost) == 1
    assert lost[0].startswith("the process on a is gone: The actor died because its node has died. a: stack ")
    begun = Counter(line.split(":")[0] for line in said if line.startswith("training stack"))
    committed = Counter(line.split(":")[0] for line in said if line.startswith("committed stack"))
    assert sum(begun.values()) == STACKS + 1
    assert set(committed.values()) == {1}
    assert "a node more: c, 1 device" in said
    assert set(store.provenance(row.id)["cluster"]["nodes"]) == {"a", "b", "c"}


def test_pause_and_stop_reach_the_trainers_within_a_step(ray: FakeRay, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakePost, "step_s", 0.03)
    row = run.start(store, AWAY, spawn=False)
    took: dict[str, Any] = {}

    def ask() -> None:
        until(lambda: store.run(row.id).phase.startswith("training stacks"))
        run.pause(store, row.id)
        until(lambda: store.run(row.id).state == "paused")
        time.sleep(0.2)
        at = [actor.it._at for actor in ray.actors if actor.it]
        time.sleep(0.3)
        took["stood"] = [actor.it._at for actor in ray.actors if actor.it] == at
        done = store.run(row.id).victims_done
        run.resume(store, row.id)
        until(lambda: store.run(row.id).victims_done > done)
        run.stop(store, row.id)
        took["asked"] = time.monotonic()

    thread = threading.Thread(target=ask)
    thread.start()
    assert work_on(store, row.id, pipeline=FakePipeline()) == "stopped"
    thread.join()
    assert time.monotonic() - took["asked"] < 1.5
    assert took["stood"]
    assert not any(actor.alive for actor in ray.actors)


def test_a_resumed_run_ends_the_trainers_of_the_worker_before_it(ray: FakeRay) -> None:
    what, stacks = job()
    first = clusters.Cluster(ADDRESS, "run1")
    handed = first.train(stacks, what, FakeWatch())
    next(handed)  # and here its process is killed: it says good-bye to nobody
    other = clusters.Cluster(ADDRESS, "run2")
    assert len(list(other.train(stacks[:2], what, FakeWatch()))) == 2
    old = [actor for actor in ray.actors if actor.name.startswith("run1 ") and actor.alive]
    assert old, "those of another run are left alone"
    with closing(clusters.Cluster(ADDRESS, "run1")) as second:
        assert len(list(second.train(stacks, what, FakeWatch()))) == STACKS
    assert not any(actor.alive for actor in old)
    other.close()
    first.close()


# ---- the executor ---------------------------------------------------------------------------------------------------


def test_a_stack_that_fails_twice_ends_the_run_with_the_node_named(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakePost, "fail_at", 1)
    (what, stacks), watch = job(), FakeWatch()
    with (
        closing(clusters.Cluster(ADDRESS, "run")) as executor,
        pytest.raises(
            RunFailed, match=r"stack 2: it failed twice: the process on (a|b, cpu \d) failed: unexpected RuntimeError: the fake was told"
        ),
    ):
        list(executor.train(stacks, what, watch))
    assert watch.lost[0][0] == 1
    assert sum(index == 1 for index, _ in watch.begun) == 2


def test_devices_that_another_run_has_are_taken_when_they_are_given_back(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    free = {"b"}
    (what, stacks), watch = job(), FakeWatch()

    def claim(name: str) -> bool:
        return any(name.split()[1] == node.encode().hex().ljust(40, "0")[:16] for node in free)

    monkeypatch.setattr(FakePost, "step_s", 0.02)
    with closing(clusters.Cluster(ADDRESS, "run", claim)) as executor:
        handed = executor.train(stacks, what, watch)
        next(handed)
        assert {where for _, where in watch.begun} <= {"b, cpu 1", "b, cpu 2"}
        free.add("a")
        assert len(list(handed)) == STACKS - 1
    assert "a" in {where for _, where in watch.begun}


def test_a_run_without_any_device_says_so_and_can_be_stopped(ray: FakeRay) -> None:
    control = Control()
    (what, stacks), watch = job(), FakeWatch(control.check)
    threading.Timer(0.4, control.obey, ("stop",)).start()
    with closing(clusters.Cluster(ADDRESS, "run", lambda name: False)) as executor, pytest.raises(Interrupted):
        list(executor.train(stacks, what, watch))
    assert "waiting: other runs have the cluster's devices" in watch.lines


def test_a_node_that_comes_later_and_differs_takes_no_part(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakePost, "step_s", 0.02)
    ray.probed["c"] = lambda answer: {**answer, "versions": {**answer["versions"], "torch": "1.0"}}
    (what, stacks), watch = job(), FakeWatch()
    with closing(clusters.Cluster(ADDRESS, "run")) as executor:
        handed = executor.train(stacks, what, watch)
        next(handed)
        ray.up["c"] = {"CPU": 8.0}
        list(handed)
    assert not any(where.startswith("c") for _, where in watch.begun)
    assert any("takes no part" in line and "c: torch is 1.0, here " in line for line in watch.lines)


def test_a_gpu_that_comes_later_does_not_train_beside_cpus(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakePost, "step_s", 0.02)
    (what, stacks), watch = job(), FakeWatch()
    with closing(clusters.Cluster(ADDRESS, "run")) as executor:
        handed = executor.train(stacks, what, watch)
        next(handed)
        ray.up["g"] = {"GPU": 4.0}
        list(handed)
    assert {where.partition(",")[0] for _, where in watch.begun} <= {"a", "b"}


def test_what_the_store_says_is_not_taken_for_the_cluster(ray: FakeRay) -> None:
    what, stacks = job()

    def claim(name: str) -> bool:
        raise ClaimLost("the run was given to another worker")

    with closing(clusters.Cluster(ADDRESS, "run", claim)) as executor, pytest.raises(ClaimLost):
        list(executor.train(stacks, what, FakeWatch()))


def test_a_trainer_says_at_which_stack_it_is_and_hears_the_last_word_though_it_comes_first() -> None:
    (what, stacks), heard = job(), []
    post = FakePost("cpu")
    post._pipeline = FakePipeline(on_step=lambda stack, step: heard.append(post.look()[:3]) if step == 5 else None)
    post._say("a line")
    answer, said = trainer.pickle.loads(post.train(sent.packed(what), 1, trainer.pickle.dumps(trainer.Train(stacks[3], None))))
    assert isinstance(answer, trainer.Done)
    assert heard == [(3, 5, 20)]
    assert said == []  # it was said at the look
    post._say("another")
    assert post.look() == (3, 20, 20, ["another"])
    post.hold(2, False)
    post.hold(1, True)  # which was said before
    assert not post._control.pausing
    post.hold(3, True)
    assert post._control.pausing


def test_a_late_word_of_the_stack_before_is_not_taken_for_this_ones(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(FakePost):
        def look(self) -> tuple[int, float, float, list[str]]:
            stack, done, total, said = super().look()
            return stack + 100, done, total, said

    monkeypatch.setattr(FakePost, "step_s", 0.02)
    what, stacks = job()
    seen = []
    for post in (FakePost, Late):
        with closing(clusters.Cluster(ADDRESS, "run", post=post)) as executor:
            watch = FakeWatch()
            assert len(list(executor.train(stacks[:3], what, watch))) == 3
            seen.append(len(watch.steps))
    assert seen[0] > 3
    assert seen[1] == 0


def test_where_no_trainer_begins_the_run_fails_in_words(ray: FakeRay) -> None:
    class Broken(FakePost):
        def begin(self) -> str:
            raise OSError("no room on that disk")

    what, stacks = job()
    with (
        closing(clusters.Cluster(ADDRESS, "run", post=Broken)) as executor,
        pytest.raises(RunFailed, match=r"no node of it can start a trainer: the process on .* is gone: no room on that disk"),
    ):
        list(executor.train(stacks, what, FakeWatch()))


def test_a_cluster_that_is_gone_is_told_as_a_failure_that_can_be_resumed(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    what, stacks = job()
    with closing(clusters.Cluster(ADDRESS, "run7")) as executor:
        handed = executor.train(stacks, what, FakeWatch())
        next(handed)

        def gone(*args: object, **options: object) -> None:
            raise ConnectionError("Request can't be sent because the Ray client has already been disconnected")

        monkeypatch.setattr(ray, "wait", gone)
        with pytest.raises(RunFailed, match=r"does not answer any more \(Request can't be sent .*; resume it when .*: subpop resume run7"):
            list(handed)


def test_the_engines_own_trainer_comes_to_the_bits_of_one_machine_and_writes_into_nothing_that_it_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In turn what a machine forks, from memory that is shared: a defence, pictures that were moved, scikit-learn's."""
    monkeypatch.setattr("engine.training.parts.in_turn", False)
    more = ["evaluation.trials=1", "model.epochs=1", "compute.victims_per_stack=6"]
    defended = test_defended.scenario("trim", *more)
    moved = parse(test_moved_points.TEXT.format(kind="conv"), overrides=more)
    quiet = test_defended.quiet
    few = ["evaluation.trials=1", "subpopulations.clusters=3", "model.n_estimators=4"]
    trees = parse(SCENARIO.replace('"logistic"', '"random_forest"'), overrides=few)
    for scenario in (defended, moved, trees):
        here = test_moved_points.discovered(scenario) if scenario is moved else None
        found = here or pipeline.discover(scenario, Path("."), device="cpu", log=quiet, progress=quiet)
        whole = pipeline.plan(scenario, found, "cpu", log=quiet)[0]
        stack = StackPlan(0, whole.trial, whole.victims[:6])
        what = Job(scenario, found, Cores(2, 1))
        monkeypatch.setattr("engine.training.parts.in_turn", False)
        [one] = Local(pipeline.RunPipeline(), "cpu").train([stack], what, FakeWatch())
        parts = sent.packed(sent.lean(what))
        before = [part.tobytes() for part in parts]
        shared = [np.frombuffer(bytearray(data), np.uint8) for data in before]
        for part in shared:
            part.flags.writeable = False
        post, handed = at_node.Post("cpu"), trainer.pickle.dumps(trainer.Train(stack, None))
        forked = threading.Event()
        monkeypatch.setattr(os, "fork", forked.set)
        for _ in range(2):
            away, _ = trainer.pickle.loads(post.train(shared, 1, handed))
        monkeypatch.undo()
        monkeypatch.setattr("engine.training.parts.in_turn", False)
        assert isinstance(away, trainer.Done), away
        assert not forked.is_set()
        assert [part.tobytes() for part in shared] == before
        for a, b in zip(one.victims, away.victims, strict=True):
            assert (a.spec, a.train_loss, a.epochs) == (b.spec, b.train_loss, b.epochs)
            assert np.array_equal(a.predictions, b.predictions)


def test_what_is_sent_has_no_raw_rows() -> None:
    quiet = test_defended.quiet
    scenario = test_defended.scenario("trim")
    found = pipeline.discover(scenario, Path("."), device="cpu", log=quiet, progress=quiet)
    assert found.dataset.train.frame is not None
    there = sent.unpacked(sent.packed(sent.lean(Job(scenario, found))))
    assert isinstance(there, Job)
    for split in (there.discovery.dataset.train, there.discovery.dataset.aux, there.discovery.dataset.test):
        assert split.frame is None
        assert split.texts is None
    assert np.array_equal(there.discovery.dataset.train.x, found.dataset.train.x)
    assert not there.discovery.dataset.train.x.flags.owndata, "it is the bytes' own memory"
    assert {each.name for each in fields(found.arrays)} >= {"annotations", "foretold"}, "left out by name"
    assert there.discovery.arrays.annotations != found.arrays.annotations or not found.arrays.annotations.by_name()


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_nodes_that_differ_are_told_together(ray: FakeRay, tmp_path: Path) -> None:
    weights = tmp_path / "w.pt"
    weights.write_bytes(b"weights")
    wanted = (nodes.Need(str(weights), "weights"), nodes.Need(str(tmp_path / "states"), "hidden states", whole=False))
    (tmp_path / "states").write_bytes(b"12345")
    found = nodes.nodes(ray)
    nodes.check(ray, found, wanted, ADDRESS)
    path = str(weights)
    ray.probed["a"] = lambda answer: {**answer, "python": "3.8.1", "package": "0.0+src.1"}
    ray.probed["b"] = lambda answer: {**answer, "files": {path: "", str(tmp_path / "states"): "4"}}
    with pytest.raises(RequestError) as told:
        nodes.check(ray, found, wanted, ADDRESS)
    lines = str(told.value).splitlines()
    assert lines[0] == f"{ADDRESS}: its nodes are not as this machine is:"
    assert lines[1].startswith("  a: Python is 3.8.1, here 3.")
    assert lines[2].startswith("  a: subpop is 0.0+src.1, here ")
    assert lines[3] == f"  b: {path} (weights) is not there; it must be what it is here, at the same path"
    last = f"  b: {tmp_path / 'states'} (hidden states) is another; it must be what it is here, at the same path"
    assert lines[4] == f"{last}; put that right, or take the node out of the cluster"
    assert len(lines) == 5


def test_a_node_without_the_package_says_so(ray: FakeRay) -> None:
    def lacks(answer: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**answer, "package": "", "why": "No module named 'engine'", "environment": "/usr"}

    ray.probed["a"] = lacks
    with pytest.raises(RequestError, match=r"a: subpop is not installed in /usr \(No module named 'engine'\); put the same"):
        nodes.check(ray, nodes.nodes(ray), (), ADDRESS)
    ray.up = {"head": {"memory": 1.0}}
    with pytest.raises(RequestError, match="no node of it has a CPU or GPU to give"):
        nodes.check(ray, nodes.nodes(ray), (), ADDRESS)


def test_where_there_are_gpus_they_alone_train_and_names_are_told_apart() -> None:
    both = [
        {"NodeID": f"{at}" * 40, "NodeName": name, "Alive": alive, "Resources": has}
        for at, (name, alive, has) in enumerate(
            [("x", True, {"CPU": 8.0, "GPU": 2.0}), ("y", True, {"CPU": 4.0}), ("z", False, {"GPU": 1.0}), ("x", True, {"CPU": 1.0})]
        )
    ]
    fake = type("Ray", (), {"nodes": staticmethod(lambda: both)})
    assert [(node.name, node.devices) for node in nodes.nodes(fake)] == [("x (000000)", ("cuda:0", "cuda:0"))]
    assert [(node.name, len(node.devices)) for node in nodes.nodes(fake, "CPU")] == [("x (000000)", 8), ("x (333333)", 1), ("y", 4)]


def test_what_training_reads_of_a_nodes_disk(tmp_path: Path) -> None:
    from engine.rows import Dataset, Rows, States

    head = 'title = "t"\n[dataset]\nkind = "cifar10"\n[subpopulations]\nkind = "cluster_match"\n[model]\n'
    whole = parse(f'{head}kind = "vgg"\ntune = "all"\nweights = "{tmp_path / "w.pt"}"')
    assert nodes.needs(whole) == (nodes.Need(str(tmp_path / "w.pt"), "weights"),)
    assert nodes.needs(parse(f'{head}kind = "vgg"\ntune = "last_layer"\nweights = "{tmp_path / "w.pt"}"')) == ()
    assert nodes.needs(parse(f'{head}kind = "conv"')) == ()
    text = head.replace("cifar10", "imdb").replace('"cluster_match"', '"cluster_match"\nlayer = "hidden"')
    bert = parse(f'{text}kind = "bert"\ntune = "last_layer"\nweights = "{tmp_path}"')
    rows: Any = Rows(*(np.zeros(1),) * 3, None)  # type: ignore[arg-type]
    data = Dataset("imdb", ("a", "b"), (), rows, rows, rows, states=States(tmp_path / "s", (1, 1, 1), "float32", np.zeros(1)))
    assert [need.path for need in nodes.needs(bert, data)] == [str(tmp_path), str(tmp_path / "s")]
    moved = nodes.located(replace_weights(whole, "~/w.pt"), nodes.needs(whole))
    assert moved.model.weights == str(tmp_path / "w.pt")  # type: ignore[union-attr]


def replace_weights(scenario: Any, path: str) -> Any:
    return scenario.model_copy(update={"model": scenario.model.model_copy(update={"weights": path})})


@pytest.mark.parametrize(
    "address", ["head:10001", "ray://head", "ray://head:0", "ray://head:99999", "ray://:10001", "ray://a b:1", "http://h:1"]
)
def test_what_is_no_address_is_refused_before_anything(address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "quickstart", "--cluster", address, "--store", str(tmp_path / "s.db")]) == 2
    assert "is no address of a Ray cluster; give it as ray://HOST:PORT" in capsys.readouterr().err


def test_a_device_and_a_cluster_do_not_go_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "quickstart", "--cluster", ADDRESS, "--device", "cpu", "--store", str(tmp_path / "s.db")]
    assert cli.main(words) == 2
    assert "--device: not with --cluster" in capsys.readouterr().err


def test_nobody_there_is_one_message_and_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the child process that looks, with or without Ray installed: whichever is missing first is told."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    store = tmp_path / "s.db"
    assert cli.main(["run", "quickstart", "--smoke", "--cluster", "ray://127.0.0.1:9", "--store", str(store)]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("looking at")]
    assert len(said) == 1
    assert "nobody answers there (" in said[0] or "needs Ray, which is not installed" in said[0]
    with Store.open(store) as opened:
        assert opened.runs() == []


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RequestError, match=r"--cluster: needs Ray, which is not installed \(.*\); install it here and on every node"):
        joining.library()


def test_ray_is_kept_from_what_it_does_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks at its environment when it is imported; that it starts nothing then: `tests/studies/cluster.py`, head."""
    for name in joining.WITHOUT:
        monkeypatch.setenv(name, "1")
    seen: dict[str, str] = {}

    class Finder:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == "ray":
                seen.update(os.environ)

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    for name in [name for name in sys.modules if name.partition(".")[0] == "ray"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray.util.client", None)  # far enough
    with pytest.raises(RequestError, match="needs Ray"):
        joining.library()
    assert seen["RAY_ENABLE_AUTO_CONNECT"] == "0"
    assert seen["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] == "0"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("Invalid or missing authentication token"), "does not take this token, or asks for one; set RAY_AUTH_MODE=token"),
        (RuntimeError("Version mismatch: The cluster was started with:\n Ray: 2.9"), "another version is at work there: Version mismatch"),
        (ConnectionError("ray client connection timeout"), "nobody answers there (ray client connection timeout)"),
    ],
)
def test_why_a_cluster_takes_nobody_is_said_in_words(error: Exception, told: str) -> None:
    assert told in str(joining.refused(ADDRESS, error))


def test_a_clusters_address_is_a_device() -> None:
    assert devices.where(ADDRESS) == ADDRESS
    assert devices.where("cpu,cpu") == "cpu,cpu"
    assert len(devices.resolve_all(ADDRESS)) == 1
    assert devices.cores_of_cluster(None) == Cores(1, 1)
    assert devices.cores_of_cluster(3) == Cores(3, 3)
    with pytest.raises(RequestError, match="a cluster's"):
        parse(SCENARIO, overrides=['compute.device="ray://a,cpu"'])


def test_ray_is_loaded_where_a_cluster_is_asked_for_alone() -> None:
    """By one function of one module."""
    root = Path(nodes.__file__).parents[3]
    files = [file for folder in ("engine", "tui") for file in (root / folder).rglob("*.py")]
    saying = [file for file in files if re.search(r"^\s*(import|from) ray\b", file.read_text(encoding="utf-8"), re.M)]
    assert saying == [Path(joining.__file__)]
    assert not re.search(r"^(import|from) ray\b", saying[0].read_text(), re.M)


def test_devices_of_several_sorts_are_said(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(FakePost):
        def begin(self) -> str:
            return f"cpu ({id(self)})"

    (what, stacks), watch = job(), FakeWatch()
    monkeypatch.setattr(FakePost, "step_s", 0.01)
    with closing(clusters.Cluster(ADDRESS, "run", post=Odd)) as executor:
        list(executor.train(stacks, what, watch))
    assert any("the last bits of what they train may differ" in line for line in watch.lines)


# ---- what it buys ---------------------------------------------------------------------------------------------------


def test_the_bench_trains_the_same_stacks_here_and_there(
    ray: FakeRay, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from engine.runs import cluster_bench

    monkeypatch.setattr(clusters, "Post", trainer.Trainer)
    monkeypatch.setattr(cluster_bench, "cores", lambda: 1)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    few = ["--set", "compute.victims_per_stack=4", "--set", "model.epochs=2", "--set", "evaluation.trials=1"]
    assert cli.main(["bench", "quickstart", "--smoke", "--cluster", ADDRESS, *few]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "11 victims in 3 stacks"
    assert said[1].startswith("host ")
    assert said[1].endswith(" victims an hour (1 x cpu)")
    assert said[2].endswith(" victims an hour (a: 1 x cpu, b: 2 x cpu)")
    assert said[3].endswith(" times this host; every prediction is the same")
    assert not any(actor.alive for actor in ray.actors)


def test_a_stopped_run_is_resumed_where_its_cluster_is_there_alone(
    ray: FakeRay, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = run.start(store, AWAY, spawn=False)
    store.update_run(row.id, state="stopped", device=ADDRESS)
    monkeypatch.setattr(run, "_spawn", lambda *args: pytest.fail("an engine was started"))

    def gone(scenario: Any, address: str) -> None:
        raise joining.nobody(address, "Connection refused")

    monkeypatch.setattr(nodes, "apart", gone)
    assert cli.main(["resume", row.id, "--store", str(store.path)]) == 2
    assert "ray://head:10001: nobody answers there (Connection refused); look for it with" in capsys.readouterr().err
    assert store.run(row.id).state == "stopped"
