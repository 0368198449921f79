"""A discovery that was stopped or killed goes on from what it had done, and comes to the same bits; a plan too."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.errors import ClaimLost, Interrupted, StoreError
from engine.milestones import NOTHING_KEPT, Arrays, Milestones
from engine.pipeline import order as pipeline
from engine.pipeline.discovery import Discovery
from engine.runs import milestones as kept
from engine.runs import start as run
from engine.runs.control import Control
from engine.runs.milestones import StoredMilestones
from engine.runs.provenance import provenance
from engine.runs.worker import work
from engine.scenario.parse import parse
from engine.scenario.sections import Scenario
from engine.store import MEMORY, Store
from engine.system.processes import identity
from engine.training.networks import one as network
from tests.worlds import pictures

PICTURES = """
title = "small pictures"
[dataset]
kind = "image_folder"
path = "pictures"
image_size = 8
split = [0.4, 0.3, 0.3]
[model]
kind = "conv"
epochs = 2
batch = 8
lr = 1e-2
stop = "plateau"
[subpopulations]
kind = "cluster_match"
clusters = 4
layer = "pool1"
pca = 3
[attack]
kind = "gradient"
alphas = [1]
steps = 5
target_label = "rarest"
[evaluation]
trials = 2
confidence_folds = 2
min_test_rows = 1
[compute]
threads = 1
device = "cpu"
"""
NUMBERS = """
title = "small rows"
[dataset]
kind = "breast_cancer"
scale = "standard"
[model]
kind = "mlp"
hidden = [4]
epochs = 3
batch = 32
lr = 1e-2
[subpopulations]
kind = "cluster_match"
clusters = 4
[attack]
kind = "influence"
alphas = [1]
[evaluation]
trials = 1
confidence_folds = 3
[compute]
threads = 1
device = "cpu"
"""
WORLDS = {
    "pictures": PICTURES,
    "pictures, inner layers": PICTURES.replace("steps = 5", 'steps = 5\nlayer = "all"'),
    "numbers": NUMBERS,
    "a forest": NUMBERS.replace('kind = "influence"', 'kind = "label_flip"').replace(
        'kind = "mlp"\nhidden = [4]\nepochs = 3\nbatch = 32\nlr = 1e-2', 'kind = "random_forest"\nn_estimators = 5'
    ),
}


class Killed(BaseException):
    """What no handler of the product hears of, as SIGKILL."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty pictures of each of two classes, in `pictures`."""
    files = {
        f"pictures/{label}/{n}.png": pictures.coded(pictures.pixels(n + 100 * at, 8)) for at, label in enumerate("ab") for n in range(40)
    }
    pictures.unpacked(files, tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def store() -> Iterator[Store]:
    with Store.open(MEMORY) as opened:
        yield opened


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is written as it is done, however quick it was."""
    monkeypatch.setattr(kept, "EVERY_S", 0.0)
    monkeypatch.setattr(kept, "STATE_EVERY_S", 0.0)
    monkeypatch.setattr(kept, "STATE_SHARE", 1e9)
    monkeypatch.setattr(kept, "BYTES_A_SECOND", 1e15)


def of_run(store: Store, scenario: Scenario, run_id: str) -> StoredMilestones:
    return StoredMilestones(store, run_id, lambda checksums: provenance(scenario, "cpu", checksums))


def discovered(scenario: Scenario, milestones: Milestones, look: Callable[[str], None] = lambda what: None) -> Discovery:
    return pipeline.discover(
        scenario, Path(), log=lambda line: None, progress=lambda what, share: look(what), on_step=lambda done, total: look("step"),
        milestones=milestones,
    )  # fmt: skip


def bits(discovery: Discovery) -> dict[str, bytes]:
    arrays = discovery.arrays.by_name() | {split: getattr(discovery.membership, split) for split in ("train", "aux", "test")}
    return {name: array.tobytes() for name, array in arrays.items()} | {"subpopulations": repr(discovery.subpopulations).encode()}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.usefixtures("at_once")
def test_however_often_it_is_killed_it_comes_to_the_same_bits(store: Store, world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "STATE_EVERY_S", 0.05)
    scenario = parse(WORLDS[world])
    calls: list[str] = []
    expected = bits(discovered(scenario, NOTHING_KEPT, calls.append))
    run_id = run.start(store, scenario, spawn=False).id
    moments = np.random.default_rng(0).integers(0, len(calls), 5)
    for moment in moments:
        seen: list[str] = []

        def look(what: str, seen: list[str] = seen, moment: int = moment) -> None:
            seen.append(what)
            if len(seen) > moment:
                raise Killed

        with contextlib.suppress(Killed):  # not every moment comes: there is less to do each time
            discovered(scenario, of_run(store, scenario, run_id), look)
    milestones, left = of_run(store, scenario, run_id), list[str]()
    discovery = discovered(scenario, milestones, left.append)
    assert bits(discovery) == expected
    assert milestones.reused > 0
    assert len(left) < len(calls) / 2


@pytest.mark.usefixtures("at_once")
def test_points_that_were_moved_are_not_moved_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten kills within the optimisation: every step is taken once, beside the one that was not offered yet at each kill."""
    from engine.attacks import gradient

    monkeypatch.setitem(gradient.MOST_ROWS, "cpu", 8)
    scenario = parse(PICTURES, overrides=["attack.steps=9"])
    taken: list[str] = []
    expected = bits(discovered(scenario, NOTHING_KEPT, taken.append))
    steps = sum("alignment" in what for what in taken)
    run_id = run.start(store, scenario, spawn=False).id
    again: list[str] = []
    for _ in range(10):
        before = len([what for what in again if "alignment" in what])

        def look(what: str, before: int = before) -> None:
            again.append(what)
            if len([each for each in again if "alignment" in each]) > before + 1:
                raise Killed

        with pytest.raises(Killed):
            discovered(scenario, of_run(store, scenario, run_id), look)
    assert bits(discovered(scenario, of_run(store, scenario, run_id), again.append)) == expected
    assert steps <= sum("alignment" in what for what in again) <= steps + 3, "the pass after the last step may be made again"
    assert sum(what == "training the adversary's model" for what in again) == sum(
        what == "training the adversary's model" for what in taken
    )


@pytest.mark.usefixtures("at_once")
def test_a_network_goes_on_in_the_middle_of_its_training(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = parse(PICTURES)
    steps: list[int] = []
    loss = network._loss
    monkeypatch.setattr(network, "_loss", lambda *args: (steps.append(1), loss(*args))[1])
    discovered(scenario, NOTHING_KEPT)
    once, run_id = len(steps), run.start(store, scenario, spawn=False).id
    steps.clear()

    def killed_at(count: int) -> Callable[[str], None]:
        def look(what: str) -> None:
            if what == "step" and len(steps) == count:
                raise Killed

        return look

    for count in (3, 7, once - 2):
        with pytest.raises(Killed):
            discovered(scenario, of_run(store, scenario, run_id), killed_at(count))
    discovered(scenario, of_run(store, scenario, run_id))
    assert len(steps) == once


def test_a_quick_discovery_writes_nothing_and_a_stop_what_there_is(store: Store) -> None:
    scenario = parse(NUMBERS)
    run_id = run.start(store, scenario, spawn=False).id
    milestones = of_run(store, scenario, run_id)
    discovered(scenario, milestones)
    assert store.milestones(run_id) == {}
    milestones.put_away(stopped=True)
    assert {"subpopulations", "the adversary's model", "confidence, fold 3 of 3"} <= set(store.milestones(run_id))


# ---- of a run -------------------------------------------------------------------------------------------------------


def stopped_in(store: Store, run_id: str, phase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Carry the run out until it says that it is at this phase, where it is asked to stop."""
    control, update = Control(), Store.update_run

    def watched(self: Store, of: str, **fields: object) -> None:
        update(self, of, **fields)
        if str(fields.get("phase", "")).startswith(phase):
            control.stop_soon()

    with monkeypatch.context() as patched:
        patched.setattr(Store, "update_run", watched)
        assert work(store, run_id, control=control) == "stopped"


def test_a_run_that_was_stopped_in_its_discovery_goes_on_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "BYTES_A_SECOND", 1e15)
    with Store.open(tmp_path / "runs.db") as store:
        scenario = parse(PICTURES, overrides=["compute.victims_per_stack=4"])
        whole, disturbed = (run.start(store, scenario, spawn=False).id for _ in range(2))
        assert work(store, whole) == "done"
        stopped_in(store, disturbed, "optimising poison points", monkeypatch)
        assert store.discovery(disturbed) is None
        assert "the adversary's model" in store.milestones(disturbed)
        stopped_in(store, disturbed, "training stack", monkeypatch)
        assert store.milestones(disturbed) == {}, "what they led to is stored"
        assert work(store, disturbed) == "done"
        log = [line.message for line in store.log_rows(disturbed)]
        assert any("were done before: they were kept" in line for line in log)
        assert sum(line.startswith("training the adversary's model") for line in log) == 1
        one, other = store.discovery(whole, bulk=True), store.discovery(disturbed, bulk=True)
        assert one is not None
        assert other is not None
        for name, array in one.arrays.by_name().items():
            assert np.array_equal(array, other.arrays.by_name()[name], equal_nan=True), name
        for a, b in zip(store.victims(whole), store.victims(disturbed), strict=True):
            assert np.array_equal(a.predictions, b.predictions)
        assert store.table(whole, "damage").rows == store.table(disturbed, "damage").rows


@pytest.mark.usefixtures("at_once")
def test_what_was_made_of_other_data_or_by_other_code_does_not_count(store: Store) -> None:
    scenario = parse(NUMBERS)
    run_id = run.start(store, scenario, spawn=False).id
    dataset = discovered(scenario, of_run(store, scenario, run_id)).dataset
    there = of_run(store, scenario, run_id)
    there.begin(dataset)
    assert there.step("subpopulations", lambda: {"x": np.zeros(1)}).keys() > {"train", "aux", "test"}
    changed = StoredMilestones(store, run_id, lambda checksums: {**provenance(scenario, "cpu", checksums), "code": "another"})
    changed.begin(dataset)
    assert changed.step("subpopulations", lambda: {"x": np.zeros(1)}).keys() == {"x"}
    assert "made of other data, or by other code" in store.log_rows(run_id)[-1].message


@pytest.mark.usefixtures("at_once")
def test_a_damaged_one_is_made_anew(store: Store) -> None:
    scenario = parse(NUMBERS)
    run_id = run.start(store, scenario, spawn=False).id
    expected = bits(discovered(scenario, of_run(store, scenario, run_id)))
    with store.write() as db:
        db.execute("UPDATE milestone_arrays SET data = x'00' WHERE step = 'subpopulations' AND name = 'aux'")
    assert bits(discovered(scenario, of_run(store, scenario, run_id))) == expected
    assert "is made anew" in store.log_rows(run_id)[-1].message


@pytest.mark.usefixtures("at_once")
def test_who_lost_the_run_writes_none(store: Store) -> None:
    run_id = run.start(store, parse(NUMBERS), spawn=False).id
    claim = store.claim(run_id, identity())
    assert claim is not None
    theirs = of_run(store.fenced(run_id, claim), parse(NUMBERS), run_id)
    assert store.claim(run_id, identity())
    with pytest.raises(ClaimLost):
        theirs.step("a step", lambda: {"x": np.zeros(1)})
    assert store.milestones(run_id) == {}


@pytest.mark.usefixtures("at_once")
def test_stacks_that_were_timed_are_not_timed_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.pipeline import plan

    scenario = parse(NUMBERS.replace('kind = "influence"', 'kind = "label_flip"'))
    run_id = run.start(store, scenario, spawn=False).id
    found = discovered(scenario, NOTHING_KEPT)
    times = iter([1.0, Killed(), 1.5, 2.0])
    asked: list[object] = []

    def timed(train: object, device: object) -> float:
        asked.append(train)
        time = next(times)
        if isinstance(time, Killed):
            raise time
        return time

    monkeypatch.setattr(plan, "timed", timed)
    monkeypatch.setattr("engine.victims.dense.measured_size", lambda seconds, *rest: int(seconds(2) + seconds(3) + seconds(4)))
    with pytest.raises(Killed):
        pipeline.plan(scenario, found, "cpu", log=lambda line: None, milestones=of_run(store, scenario, run_id))
    pipeline.plan(scenario, found, "cpu", log=lambda line: None, milestones=of_run(store, scenario, run_id))
    assert len(asked) == 4


@pytest.mark.usefixtures("at_once")
def test_a_store_that_takes_nothing_ends_no_work(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = run.start(store, parse(NUMBERS), spawn=False).id
    milestones = of_run(store, parse(NUMBERS), run_id)
    with monkeypatch.context() as patched:

        def full(*args: object, **more: object) -> None:
            raise StoreError("the disk is full")

        patched.setattr(Store, "put_milestones", full)
        assert milestones.step("one", lambda: {"x": np.ones(1)})["x"] == 1
        milestones.put_away(stopped=True)
    milestones.step("another", lambda: {"x": np.ones(1)})
    assert set(store.milestones(run_id)) == {"one", "another"}, "the next write has them both"


def test_an_unfinished_step_is_written_now_and_then(store: Store) -> None:
    run_id = run.start(store, parse(NUMBERS), spawn=False).id
    now = 0.0
    milestones = StoredMilestones(store, run_id, lambda checksums: {}, clock=lambda: now)
    asked: list[float] = []

    def state() -> Arrays:
        asked.append(now)
        return {"x": np.array([now])}

    def make() -> Arrays:
        nonlocal now
        for _ in range(100):
            now += 1
            milestones.hold("long", state)
        return {"x": np.array([now])}

    milestones.step("long", make)
    assert asked == [30, 60, 90]
    assert store.milestones(run_id)["long"][1] is False, "it is done now"
    with pytest.raises(Interrupted):
        milestones.step("longer", lambda: (_ for _ in ()).throw(Interrupted("stopped")))
