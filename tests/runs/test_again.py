"""Attack again: what is asked, what is taken over from the other run, and what is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import notebook
from engine.cli import main as cli
from engine.errors import RequestError
from engine.pipeline import order as pipeline
from engine.pipeline.discovery import StackJob
from engine.rows import Dataset, StackPlan, VictimResult, VictimSpec
from engine.runs import again
from engine.runs import start as run
from engine.runs.control import Control
from engine.runs.progress import Progress
from engine.runs.rebuild import rebuild
from engine.runs.worker import work
from engine.scenario.parse import parse
from engine.scenario.sections import Scenario
from engine.seeds import generator
from engine.store import Store
from engine.store import bundle as store_bundle
from engine.subpopulations import reselected
from tests.pipeline.test_pipeline import QUICK
from tests.worlds.fake_pipeline import SCENARIO, FakePipeline
from tests.worlds.store import as_of

ALPHAS = "attack.alphas=[1, 2, 4]"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "runs.db") as opened:
        yield opened


class Fake(FakePipeline):
    """As its base, of the scenario's own targets and trials; what a victim predicts is a function of its key alone."""

    def discover(self, scenario: Scenario, *args: Any, **options: Any) -> Any:
        found: Any = super().discover(scenario, *args, **options)
        return replace(found, subpopulations=reselected(scenario, found.subpopulations))

    def plan(self, scenario: Scenario, discovery: Any, device: str, *, log: Any, milestones: Any, cores: Any) -> tuple[StackPlan, ...]:
        stacks: list[StackPlan] = []
        aims = [(s.index, a) for s in discovery.subpopulations if s.attacked for a in scenario.attack.alphas]
        for at, trial in enumerate(scenario.evaluation.trial_numbers):
            first = at * (1 + len(aims))
            specs = [VictimSpec(first, trial, "clean")]
            specs += [VictimSpec(first + 1 + i, trial, "poisoned", s, a) for i, (s, a) in enumerate(aims)]
            stacks += [StackPlan(len(stacks) + i, trial, tuple(specs[lo : lo + 5])) for i, lo in enumerate(range(0, len(specs), 5))]
        return tuple(stacks)

    def train_stack(self, job: StackJob, on_step: Any, log: Any) -> list[VictimResult]:
        super().train_stack(job, on_step, log)
        self.victims = [*getattr(self, "victims", []), *job.stack.victims]
        return [self.result(job.scenario.seed, spec, job.discovery.dataset.test.y) for spec in job.stack.victims]

    def result(self, seed: int, spec: VictimSpec, y: np.ndarray) -> VictimResult:
        wrong = generator(seed, "again", spec.trial, spec.arm, str(spec.subpopulation), str(spec.alpha)).random(len(y)) < 0.2
        points = 0 if spec.alpha is None else int(spec.alpha * 15)
        return VictimResult(spec, np.where(wrong, 1 - y, y).astype(np.uint8), points, 0, 3, 0.5)


def parent_run(store: Store, *overrides: str, fake: Fake | None = None) -> str:
    run_id = run.start(store, parse(SCENARIO, overrides=overrides), spawn=False).id
    assert work(store, run_id, pipeline=fake or Fake()) == "done"
    return run_id


def carried_out(
    store: Store, parent: str, only: list[int], *overrides: str, fresh: bool = False, fake: Fake | None = None
) -> tuple[str, Fake]:
    child = again.start(store, parent, only, overrides, fresh=fresh, spawn=False).id
    fake = fake or Fake()
    assert work(store, child, pipeline=fake) == "done", store.run(child).error
    return child, fake


def by_key(store: Store, run_id: str) -> dict[tuple[object, ...], VictimResult]:
    return {(v.spec.trial, v.spec.arm, v.spec.subpopulation, v.spec.alpha): v for v in store.victims(run_id)}


def trained(fake: Fake) -> list[VictimSpec]:
    return getattr(fake, "victims", [])


def said(store: Store, run_id: str) -> str:
    return "\n".join(line.message for line in store.log_rows(run_id))


# ---- what is asked --------------------------------------------------------------------------------------------------


def test_the_scenario_is_the_runs_own_with_what_was_marked(store: Store) -> None:
    parent = parent_run(store)
    made = again.scenario_of(store, parent, [3, 1, 3], ["evaluation.trials=6", ALPHAS])
    assert (made.subpopulations.only, made.evaluation.trials, made.evaluation.first_trial) == ((1, 3), 6, 0)
    assert made.attack.alphas == (1.0, 2.0, 4.0)
    assert made.dataset == parse(SCENARIO).dataset
    fresh = again.scenario_of(store, parent, [1], fresh=True)
    assert list(fresh.evaluation.trial_numbers) == [3, 4, 5]


def test_the_sliver_of_a_scenario_need_not_have_what_was_marked(store: Store) -> None:
    toml = SCENARIO + "[smoke]\nsubpopulations.clusters = 2\n"
    parent = run.start(store, parse(toml), spawn=False).id
    assert work(store, parent, pipeline=Fake()) == "done"
    assert again.scenario_of(store, parent, [3]).subpopulations.only == (3,)
    sliver = run.start(store, parse(toml, smoke=True), spawn=False).id
    assert work(store, sliver, pipeline=Fake()) == "done"
    made = again.scenario_of(store, sliver, [1])
    assert (made.smoked, made.subpopulations.clusters) == (True, 2)


def test_fresh_trials_are_those_that_nobody_looked_at_in_the_whole_line(store: Store) -> None:
    parent = parent_run(store)
    child, _ = carried_out(store, parent, [1, 2], "evaluation.trials=1")
    assert list(again.scenario_of(store, child, [1], fresh=True).evaluation.trial_numbers) == [3]
    run.delete(store, parent)
    assert list(again.scenario_of(store, child, [1], fresh=True).evaluation.trial_numbers) == [1]


@pytest.mark.parametrize(
    ("only", "overrides", "told"),
    [
        ([], [], "no subpopulation is marked; give some of 0 to 3"),
        ([1, 9, 7], [], "there is no subpopulation 7, 9; there are 4, numbered 0 to 3"),
        ([1], ["subpopulations.min_size=16"], r"cannot be attacked: subpopulation 1 \(15 aux rows, fewer than min_size 16\)"),
        ([1], ["seed=4", "subpopulations.clusters=9"], "with seed and subpopulations changed there would be other subpopulations"),
        ([1], ["adversary.rows=0.5"], "with adversary changed"),
        ([1], ["subpopulations.only=[2]"], "are given twice"),
        ([1], ["evaluation.trails=2"], "evaluation.trails: there is no such key"),
    ],
)
def test_what_cannot_be_attacked_again_is_refused_in_words(store: Store, only: list[int], overrides: list[str], told: str) -> None:
    parent = parent_run(store)
    with pytest.raises(RequestError, match=told):
        again.start(store, parent, only, overrides, spawn=False)
    assert len(store.runs()) == 1


def test_a_run_without_a_discovery_cannot_be_attacked_again(store: Store) -> None:
    parent = run.start(store, parse(SCENARIO), spawn=False).id
    with pytest.raises(RequestError, match="its subpopulations are not discovered yet"):
        again.start(store, parent, [1], spawn=False)


def test_a_model_that_forms_the_subpopulations_cannot_be_another(store: Store) -> None:
    of_model = parent_run(store, "model.kind=mlp", "subpopulations.layer=hidden")
    for override, word in (("model.epochs=9", "model"), ("compute.precision=float64", "precision")):
        with pytest.raises(RequestError, match=f"with {word} changed"):
            again.scenario_of(store, of_model, [1], [override])
    assert again.scenario_of(store, parent_run(store), [1], ["model.epochs=9"]).model.epochs == 9


def test_marks_in_words(store: Store) -> None:
    parent = parent_run(store)
    assert again.marked(store, parent, " 3, 1,") == [3, 1]
    table = store.table(parent, "damage")
    names = [column.name for column in table.spec.columns]
    rows = [dict(zip(names, cells, strict=True)) for cells in table.rows]
    at_2: list[Any] = [row for row in rows if row["alpha"] == 2.0]
    at_2.sort(key=lambda row: -row["damage"])
    assert again.marked(store, parent, "worst:2") == [row["subpopulation"] for row in at_2[:2]]
    few = parent_run(store, "evaluation.min_test_rows=99")
    assert len(again.marked(store, few, "worst:9")) == 4, "of all, where none has enough test rows"
    for wrong in ("", "a,b", "worst:", "worst:x", "worst:0", "-1"):
        with pytest.raises(RequestError):
            again.marked(store, parent, wrong)


def test_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(tmp_path / "runs.db") as store:
        parent = parent_run(store)
    monkeypatch.setattr(run, "_spawn", lambda *args: None)
    mine = notebook.Run(parent, tmp_path / "runs.db").again([3, 1], "evaluation.trials=6", fresh=True, name="closer", wait=False)
    assert (mine.row.parent, mine.row.name) == (parent, "closer")
    assert parse(mine.row.scenario_toml).subpopulations.only == (1, 3)


# ---- what is taken over ---------------------------------------------------------------------------------------------


def test_more_trials_train_only_those(store: Store) -> None:
    parent = parent_run(store)
    child, fake = carried_out(store, parent, [1, 3], "evaluation.trials=5")
    assert fake.discovered == 0
    assert {spec.trial for spec in trained(fake)} == {3, 4}
    assert len(trained(fake)) == 2 * 5
    row = store.run(child)
    assert (row.parent, row.name, row.victims_done, row.victims_total) == (parent, "A fake again", 25, 25)
    assert row.deviations[0] == f"attacked again: 2 subpopulations were marked by looking at run {parent}, whose trials 0-2 count here too"
    assert f"reused 15 victims of run {parent}, 3 clean and 12 others; 10 to train" in said(store, child)
    mine, theirs = by_key(store, child), by_key(store, parent)
    assert len(mine) == 25
    for key, victim in mine.items():
        if key in theirs:
            assert victim.predictions.tobytes() == theirs[key].predictions.tobytes()
            assert replace(victim, predictions=0, spec=None) == replace(theirs[key], predictions=0, spec=None)  # type: ignore[arg-type]
    attacked = {s.index: (s.attacked, s.reason) for s in store.subpopulations(child)}
    assert attacked[1] == (True, "")
    assert attacked[0] == (False, "not among subpopulations.only")
    assert [v.spec.index for v in store.victims(child)] == list(range(25))


def test_the_tables_are_those_of_an_ordinary_run(store: Store) -> None:
    parent = parent_run(store)
    child, _ = carried_out(store, parent, [1, 3], "evaluation.trials=5", ALPHAS)
    ordinary = run.start(store, parse(store.run(child).scenario_toml), spawn=False).id
    assert work(store, ordinary, pipeline=Fake()) == "done"
    assert store.tables(child).keys() == store.tables(ordinary).keys()
    for name in store.tables(child):
        assert store.table(child, name).rows == store.table(ordinary, name).rows, name


def test_another_alpha_trains_only_its_victims(store: Store) -> None:
    parent = parent_run(store)
    child, fake = carried_out(store, parent, [2], ALPHAS)
    assert sorted((spec.trial, spec.alpha) for spec in trained(fake)) == [(0, 4.0), (1, 4.0), (2, 4.0)]
    stacks = store.plan(child)
    assert stacks is not None
    assert max(len(stack.victims) for stack in stacks) <= 5
    assert [stack.index for stack in stacks] == list(range(len(stacks)))
    assert sum(seconds == 0.0 for seconds in store.stack_durations(child).values()) >= 3


def test_nothing_new_trains_nothing(store: Store) -> None:
    parent = parent_run(store)
    child, fake = carried_out(store, parent, [0, 1])
    assert trained(fake) == []
    assert store.run(child).victims_done == 15


def test_fresh_trials_train_all_anew_under_other_numbers(store: Store) -> None:
    parent = parent_run(store)
    child, fake = carried_out(store, parent, [1], "evaluation.trials=2", fresh=True)
    assert sorted({spec.trial for spec in trained(fake)}) == [3, 4]
    assert len(trained(fake)) == store.run(child).victims_total == 6
    assert store.run(child).deviations[0].endswith(f"marked by looking at run {parent}; fresh trials alone count here")
    assert f"none of the victims to train was trained in run {parent}" in said(store, child)
    damage = store.table(child, "damage")
    trials = [column.name for column in damage.spec.columns].index("trials")
    assert [row[trials] for row in damage.rows] == [2, 2], "its own trials count, whatever their numbers"


def test_fresh_trials_of_a_search_begin_beyond_its_own(store: Store) -> None:
    parent = parent_run(store, "evaluation.find=0.1")
    looked_at = max(v.spec.trial for v in store.victims(parent))
    assert looked_at >= 2
    child, _ = carried_out(store, parent, [1, 2], "evaluation.trials=2", fresh=True)
    numbers = parse(store.run(child).scenario_toml).evaluation.trial_numbers
    assert numbers.start == looked_at + 1
    assert {v.spec.trial for v in store.victims(child)} >= set(numbers)


def test_a_search_again_reuses_its_grid(store: Store) -> None:
    parent = parent_run(store, "evaluation.find=0.1")
    child, fake = carried_out(store, parent, [0, 1, 2, 3])
    assert trained(fake) == [], "the same victims lead to the same further plans"
    assert by_key(store, child).keys() == by_key(store, parent).keys()


def test_a_searchs_fresh_trials_that_the_other_run_had_are_said(store: Store) -> None:
    parent = parent_run(store)
    child = again.start(store, parent, [1], ["evaluation.trials=1", "evaluation.find=0.1"], spawn=False)
    assert child.deviations[0].endswith("whose trials 0-1 count here too")


def test_another_model_is_trained_anew(store: Store) -> None:
    parent = parent_run(store)
    child, fake = carried_out(store, parent, [1], "model.epochs=9")
    assert (fake.discovered, len(trained(fake))) == (1, store.run(child).victims_total)
    assert f"of run {parent} no victim is reused: another model is trained, or another way" in said(store, child)


def test_another_target_label_reuses_the_clean_victims_alone(store: Store) -> None:
    parent = parent_run(store)
    child, fake = carried_out(store, parent, [1], "attack.target_label=least_likely")
    assert all(spec.arm == "poisoned" for spec in trained(fake))
    assert f"of run {parent} the clean victims alone are reused: another attack makes other poison" in said(store, child)
    assert "reused 3 victims" in said(store, child)


def test_an_optimised_attack_reuses_the_clean_victims_alone(store: Store) -> None:
    parent = parent_run(store, "attack.kind=influence")
    child, fake = carried_out(store, parent, [1], "evaluation.trials=4")
    assert fake.discovered == 1, "its points are worked out for its own targets"
    assert sorted((spec.trial, spec.arm) for spec in trained(fake)) == [*((t, "poisoned") for t in (0, 0, 1, 1, 2, 2)), (3, "clean"),
                                                                          (3, "poisoned"), (3, "poisoned")]  # fmt: skip
    assert "the points of an optimised attack are its run's own" in said(store, child)


class Changed(Fake):
    """The data file is another, with the same rows."""

    def load(self, *args: Any, **options: Any) -> Dataset:
        return replace(super().load(*args, **options), checksums={"fake.csv": "md5:1"})


class Regrouped(Changed):
    def discover(self, *args: Any, **options: Any) -> Any:
        found = super().discover(*args, **options)
        return replace(found, membership=replace(found.membership, aux=np.roll(found.membership.aux, 1)))


def test_over_changed_data_nothing_is_reused_and_it_is_said(store: Store) -> None:
    parent = parent_run(store)
    child, fake = carried_out(store, parent, [1], fake=Changed())
    assert (fake.discovered, len(trained(fake))) == (1, 9)
    assert f"the data is not what it was in run {parent}: everything is made anew" in said(store, child)
    assert not any("may mean others" in deviation for deviation in store.run(child).deviations)
    child, fake = carried_out(store, parent, [1], fake=Regrouped())
    assert len(trained(fake)) == 9
    assert any("the numbers marked there may mean others here" in deviation for deviation in store.run(child).deviations)


def test_victims_made_otherwise_are_reused_and_it_is_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.runs import provenance

    with monkeypatch.context() as patch:
        patch.setattr(provenance, "code_version", lambda: "0.0+src.old")
        patch.setattr(provenance, "library_version", lambda name: "0.1" if name == "torch" else "9")
        parent = parent_run(store)
    child, fake = carried_out(store, parent, [1])
    assert trained(fake) == []
    (told,) = [line for line in store.run(child).deviations if line.startswith("reused")]
    assert told.startswith(f"reused victims of run {parent} were trained with code 0.0+src.old, torch 0.1")


# ---- what befalls them ----------------------------------------------------------------------------------------------


def test_without_its_parent_a_run_trains_everything_and_says_so(store: Store) -> None:
    parent = parent_run(store)
    child = again.start(store, parent, [1], spawn=False).id
    run.delete(store, parent)
    fake = Fake()
    assert work(store, child, pipeline=fake) == "done"
    assert (fake.discovered, len(trained(fake))) == (1, 9)
    assert f"run {parent}, of which this one attacks some subpopulations again, is gone: everything is made anew" in said(store, child)


def test_a_run_is_whole_when_its_parent_is_deleted(store: Store, tmp_path: Path) -> None:
    parent = parent_run(store)
    child, _ = carried_out(store, parent, [1, 2], ALPHAS)
    tables = {name: store.table(child, name) for name in store.tables(child)}
    victims = by_key(store, child)
    run.delete(store, parent)
    assert {name: store.table(child, name) for name in store.tables(child)} == tables
    assert by_key(store, child).keys() == victims.keys()
    store_bundle.bundle(store, child, tmp_path / "child.subpop")
    with Store.open(tmp_path / "other.db") as other:
        assert store_bundle.open_bundle(other, tmp_path / "child.subpop") == child
        assert other.run(child).parent == parent
        rebuild(other, [child])
        assert other.table(child, "damage") == tables["damage"]


def test_a_store_and_a_bundle_of_before_are_opened(store: Store, tmp_path: Path) -> None:
    parent = parent_run(store)
    store_bundle.bundle(store, parent, tmp_path / "old.subpop")
    for file in ("old.subpop", "old.db"):
        if file == "old.db":
            with Store.open(tmp_path / file) as old:
                store_bundle.open_bundle(old, tmp_path / "old.subpop")
        as_of(tmp_path / file, 1)
    with Store.open(tmp_path / "old.db") as old:
        assert old.run(parent).parent == ""
        child, fake = carried_out(old, parent, [1])
        assert len(trained(fake)) == old.run(child).victims_total, "its victims are of another schedule"
    with Store.open(tmp_path / "other.db") as other:
        assert store_bundle.open_bundle(other, tmp_path / "old.subpop") == parent
        assert other.run(parent).parent == ""
        rebuild(other, [parent])
        assert other.table(parent, "damage") == store.table(parent, "damage")


@pytest.mark.parametrize("deleted", [False, True])
def test_a_stopped_run_goes_on_with_what_it_took_over(store: Store, deleted: bool) -> None:
    parent = parent_run(store)
    child = again.start(store, parent, [1, 3], ["evaluation.trials=5"], spawn=False).id
    control = Control()
    fake = Fake(on_step=lambda stack, step: control.obey("stop") if step == 5 and len(trained(fake)) else None)
    assert work(store, child, pipeline=fake, control=control) == "stopped"
    assert store.run(child).victims_done == 15 + len(trained(fake))
    if deleted:
        run.delete(store, parent)
    rest = Fake()
    assert work(store, child, pipeline=rest) == "done"
    assert rest.discovered == 0
    assert len(trained(fake)) + len(trained(rest)) == 10
    assert {spec.trial for spec in trained(rest)} <= {3, 4}


def test_a_run_killed_before_it_took_anything_over_takes_it_then(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = parent_run(store)
    for deleted in (False, True):
        child = again.start(store, parent, [1, 3], ["evaluation.trials=4"], spawn=False).id
        with monkeypatch.context() as patch:
            patch.setattr(Store, "commit_stacks", lambda *args, **options: (_ for _ in ()).throw(RuntimeError("killed")))
            assert work(store, child, pipeline=Fake()) == "failed"
        assert store.run(child).victims_done == 0
        if deleted:
            run.delete(store, parent)
        fake = Fake()
        assert work(store, child, pipeline=fake) == "done"
        assert len(trained(fake)) == (20 if deleted else 5)


def test_victims_taken_over_are_no_work_in_the_estimate() -> None:
    now = [0.0]
    stacks = [StackPlan(i, 0, tuple(VictimSpec(10 * i + j, 0, "clean") for j in range(10))) for i in range(3)]
    progress = Progress(stacks, {0: 0.0}, clock=lambda: now[0])
    progress.start(stacks[1])
    now[0] = 10.0
    progress.finish()
    assert progress.fraction == pytest.approx(2 / 3)
    assert progress.victims_per_minute == pytest.approx(60.0)


# ---- trained for real -----------------------------------------------------------------------------------------------


def test_a_real_run_attacked_again_has_the_tables_of_an_ordinary_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = run.start(store, parse(QUICK, overrides=["compute.precision=float64", "compute.threads=1", "model.epochs=4"]), spawn=False).id
    assert work(store, parent) == "done", store.run(parent).error
    calls: list[StackPlan] = []
    real = pipeline.train_stack

    def train_stack(job: StackJob, *args: Any) -> list[VictimResult]:
        calls.append(job.stack)
        return real(job, *args)

    monkeypatch.setattr(pipeline, "train_stack", train_stack)
    only = again.marked(store, parent, "worst:2")
    child = again.start(store, parent, only, ["evaluation.trials=3", "attack.alphas=[0.5, 1, 2]"], spawn=False).id
    assert work(store, child) == "done", store.run(child).error
    specs = [spec for stack in calls for spec in stack.victims]
    assert sorted((s.trial, s.alpha) for s in specs if s.arm != "clean") == sorted(
        [*((t, 0.5) for t in (0, 1) for _ in only), *((2, a) for a in (0.5, 1.0, 2.0) for _ in only)]
    )
    assert [s.trial for s in specs if s.arm == "clean"] == [2]
    ordinary = run.start(store, parse(store.run(child).scenario_toml), spawn=False).id
    assert work(store, ordinary) == "done"
    mine, theirs = by_key(store, child), by_key(store, ordinary)
    assert mine.keys() == theirs.keys()
    for key, victim in mine.items():
        assert (victim.predictions == theirs[key].predictions).all(), key
    for name in ("damage", "worst", "collateral", "subpopulations", "dose"):
        assert store.table(child, name).rows == store.table(ordinary, name).rows, name


# ---- the command ----------------------------------------------------------------------------------------------------


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "runs.db"
    with Store.open(path) as store:
        parent = parent_run(store)
    monkeypatch.setattr(run, "_spawn", lambda *args: None)
    words = ["again", parent[:4], "--only", "1,3", "--set", "evaluation.trials=4", "--name", "closer", "--detach", "--store", str(path)]
    assert cli.main(words) == 0
    child = capsys.readouterr().out.strip()
    with Store.open(path) as store:
        row = store.run(child)
        assert (row.parent, row.name) == (parent, "closer")
        assert parse(row.scenario_toml).subpopulations.only == (1, 3)
    assert cli.main(["runs", "--store", str(path)]) == 0
    assert f"closer*, again: of {parent}" in capsys.readouterr().out
    assert cli.main(["runs", "--json", "--store", str(path)]) == 0
    assert f'"parent": "{parent}"' in capsys.readouterr().out
    assert cli.main(["again", parent, "--only", "1,77", "--store", str(path)]) == 2
    assert f"run {parent}: there is no subpopulation 77; there are 4, numbered 0 to 3" in capsys.readouterr().err
    assert cli.main(["again", parent, "--only", "worst:1", "--fresh", "--detach", "--store", str(path)]) == 0
    with Store.open(path) as store:
        assert parse(store.find("latest").scenario_toml).evaluation.first_trial == 3
