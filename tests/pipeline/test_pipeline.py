"""The whole way on embedded data: from a scenario to what victims predict, and that plans and trainers agree on it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from engine import datasets
from engine.errors import Interrupted, RequestError, RunFailed
from engine.pipeline import adversary as adversaries
from engine.pipeline import order as pipeline
from engine.pipeline.adversary import Adversary
from engine.pipeline.discovery import Discovery
from engine.rows import Cores, VictimResult, VictimSpec
from engine.scenario import kinds
from engine.scenario.parse import load, parse
from engine.scenario.sections import ComputeSection, Scenario
from engine.system import threads
from engine.training import sharing
from engine.training.parts import train_in_parts
from engine.training.recipe import Job
from engine.training.reference.sequential import train_sequential
from engine.training.trial import How, Trial
from engine.victims import family
from engine.victims.choose import victims_of
from engine.victims.dense import predict
from engine.victims.family import DTYPES, job_of, training_of

QUICK = """
title = "a small world"
[dataset]
kind = "breast_cancer"
scale = "standard"
[model]
kind = "mlp"
hidden = [8]
epochs = 12
batch = 32
lr = 1e-2
[subpopulations]
kind = "cluster_match"
clusters = 6
min_size = 15
[attack]
alphas = [1, 2]
target_label = "flip"
[evaluation]
trials = 2
confidence_folds = 3
"""


def scenario(*overrides: str) -> Scenario:
    return parse(QUICK, overrides=overrides)


def discover(given: Scenario) -> Discovery:
    return pipeline.discover(given, Path("."), log=lambda line: None, progress=lambda what, share: None)


@pytest.fixture(scope="module")
def found() -> Discovery:
    return discover(scenario())


def run(given: Scenario, found: Discovery) -> list[VictimResult]:
    stacks = pipeline.plan(given, found, "cpu", log=lambda line: None)
    return [result for stack in stacks for result in pipeline.train_stack(pipeline.StackJob(given, found, stack, "cpu"))]


def damages(results: list[VictimResult], found: Discovery) -> dict[tuple[int, int, float], float]:
    """(trial, subpopulation, alpha) -> clean minus poisoned accuracy on its test rows."""
    y, member = found.dataset.test.y, found.membership.test
    clean = {r.spec.trial: r.predictions == y for r in results if r.spec.arm == "clean"}
    return {
        (r.spec.trial, r.spec.subpopulation, r.spec.alpha): float(
            (clean[r.spec.trial].astype(int) - (r.predictions == y))[member == r.spec.subpopulation].mean()
        )
        for r in results
        if r.spec.subpopulation is not None and r.spec.arm == "poisoned"
    }


def test_discovery_says_what_is_attacked_and_probabilities_are_cross_fitted(found: Discovery):
    attacked = [s for s in found.subpopulations if s.attacked]
    assert attacked
    assert all(s.aux_rows >= 15 for s in attacked)
    assert all(s.reason for s in found.subpopulations if not s.attacked)
    assert found.arrays.proba_aux_AC.shape == (len(found.dataset.aux), 2)
    np.testing.assert_allclose(found.arrays.proba_aux_AC.sum(1), 1, atol=1e-5)


def test_confidence_is_of_rows_that_the_model_did_not_see(found: Discovery, monkeypatch: pytest.MonkeyPatch):
    aux, seen = found.dataset.aux, []

    def probabilities(self: Adversary, fitted_on: np.ndarray, x: np.ndarray) -> np.ndarray:
        known = {row.tobytes() for row in aux.x[fitted_on]}
        seen.append(sum(row.tobytes() in known for row in x))
        return np.full((len(x), 2), 0.5, np.float32)

    monkeypatch.setattr(Adversary, "_fit", lambda self, index, fold, report, name: index)
    monkeypatch.setattr(Adversary, "_trained", lambda self, name, index, fold, report: index)
    monkeypatch.setattr(Adversary, "_probabilities", probabilities)
    given = scenario("compute.threads=1")  # folds side by side come back as what a process can hand over: see the next test
    adversary = Adversary(victims_of(given.model, found.dataset, given.seed), given, torch.device("cpu"), lambda what, share: None, None)
    adversary.cross_fitted(3)
    assert seen == [0, 0, 0]
    adversary.cross_fitted(1)
    assert seen[3:] == [len(aux)], "one fold is in-sample, as published"


def test_folds_trained_side_by_side_are_those_trained_one_after_the_other(found: Discovery, monkeypatch: pytest.MonkeyPatch):
    def asked(threads: int) -> tuple[np.ndarray, list[float]]:
        given, shares = scenario(f"compute.threads={threads}"), []
        model = victims_of(given.model, found.dataset, given.seed)
        adversary = Adversary(model, given, torch.device("cpu"), lambda what, share: shares.append(share), lambda done, total: None)
        return adversary.cross_fitted(5), shares

    together = []
    side_by_side = adversaries.train_in_parts
    monkeypatch.setattr(
        adversaries, "train_in_parts", lambda train, parts, *more: together.append(parts) or side_by_side(train, parts, *more)
    )
    alone, _ = asked(1)
    assert together == []
    proba, shares = asked(2)
    assert (proba == alone).all()
    assert together == [[[0], [1]], [[2], [3]]]
    assert 0 <= min(shares) <= max(shares) <= 1


@pytest.mark.parametrize("folds", [1, 3])
def test_a_discovery_whose_models_train_beside_its_clusters_is_the_same(folds: int, monkeypatch: pytest.MonkeyPatch):
    more = ["subpopulations.layer=input", f"evaluation.confidence_folds={folds}"]
    alone = discover(scenario("compute.threads=1", *more))
    together, side_by_side = [], adversaries.train_in_parts
    monkeypatch.setattr(
        adversaries, "train_in_parts", lambda train, parts, *of, **more: together.append(parts) or side_by_side(train, parts, *of, **more)
    )
    monkeypatch.setattr(adversaries.Adversary, "_fit", of_a_part_alone(adversaries.Adversary._fit))
    beside = discover(scenario("compute.threads=3", *more))
    assert together == [[[1], [0]] if folds == 1 else [[4], [0], [1], [2], [3]]]
    assert beside.subpopulations == alone.subpopulations
    for name in ("train", "aux", "test"):
        assert (getattr(beside.membership, name) == getattr(alone.membership, name)).all()
    assert (beside.arrays.proba_aux_AC == alone.arrays.proba_aux_AC).all()
    assert (np.asarray(beside.arrays.distance_A) == np.asarray(alone.arrays.distance_A)).all()


@pytest.mark.parametrize("ends", ["in words", "killed"])
def test_where_memory_does_not_hold_them_side_by_side_models_and_clusters_are_made_in_turn(ends: str, monkeypatch: pytest.MonkeyPatch):
    more = ["subpopulations.layer=input", "evaluation.confidence_folds=3"]
    alone = discover(scenario("compute.threads=1", *more))
    fit, short = adversaries.Adversary._fit, []

    def too_large(self: Adversary, *args: Any, in_a_part: bool = False, **options: Any) -> Any:
        if in_a_part and ends == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if in_a_part:
            raise MemoryError("Unable to allocate 7.00 GiB")
        short.append(self)
        return fit(self, *args, **options)

    monkeypatch.setattr(adversaries.Adversary, "_fit", too_large)
    found = discover(scenario("compute.threads=3", *more))
    assert len(short) == 4
    assert found.subpopulations == alone.subpopulations
    assert (found.arrays.proba_aux_AC == alone.arrays.proba_aux_AC).all()


def test_folds_that_memory_does_not_hold_side_by_side_are_trained_in_turn(monkeypatch: pytest.MonkeyPatch):
    fit = adversaries.Adversary._fit

    def too_large(self: Adversary, *args: Any, in_a_part: bool = False, **options: Any) -> Any:
        if in_a_part:
            raise MemoryError
        return fit(self, *args, **options)

    more = ["subpopulations.layer=hidden", "evaluation.confidence_folds=3"]
    alone = discover(scenario("compute.threads=1", *more))
    monkeypatch.setattr(adversaries.Adversary, "_fit", too_large)
    assert (discover(scenario("compute.threads=2", *more)).arrays.proba_aux_AC == alone.arrays.proba_aux_AC).all()


def test_a_part_of_a_stack_that_memory_does_not_hold_ends_it_in_words():
    def train(part: Any, report: Any, on_halved: Any) -> Any:
        raise MemoryError("Unable to allocate 7.00 GiB")

    with pytest.raises(RunFailed, match=r"not fit in memory beside the others: Unable to allocate 7\.00 GiB; resume with fewer"):
        train_in_parts(train, [[0], [1]], lambda done: None, lambda victims: None)


def of_a_part_alone(fit: Any) -> Any:
    """`Adversary._fit`, which this process asks for nothing but what its parts have made."""

    def checked(self: Adversary, index: np.ndarray, fold: int, report: Any, name: str = "", *, in_a_part: bool = False) -> Any:
        assert in_a_part or fold in self._ahead
        return fit(self, index, fold, report, name, in_a_part=in_a_part)

    return checked


def test_what_is_wrong_with_the_clusters_is_refused_as_ever_where_they_are_formed_beside_the_models():
    few = ("subpopulations.layer=input", "subpopulations.pca=50")
    told = []
    for cores in (1, 2):
        with pytest.raises(RequestError, match="principal components") as refused:
            discover(scenario(f"compute.threads={cores}", *few))
        told.append(str(refused.value))
    assert told[0] == told[1]


def test_the_plan_names_every_victim_once_and_keeps_trials_apart(found: Discovery):
    given = scenario("compute.victims_per_stack=4", 'evaluation.controls=["off_target", "true_label"]')
    stacks = pipeline.plan(given, found, "cpu", log=lambda line: None)
    specs = [spec for stack in stacks for spec in stack.victims]
    attacked = sum(s.attacked for s in found.subpopulations)
    assert [s.index for s in specs] == list(range(2 * (1 + attacked * 2 * 2)))
    assert len(set(specs)) == len(specs)
    assert all(len(stack.victims) <= 4 and {s.trial for s in stack.victims} == {stack.trial} for stack in stacks)
    assert [s.arm for s in specs].count("clean") == 2


def test_how_a_stack_uses_the_cpu_is_the_plans_word_not_the_machines(found: Discovery, monkeypatch: pytest.MonkeyPatch):
    """A trained loss, in its last bits, tells who shared a part."""
    given = scenario("compute.victims_per_stack=20")
    [stack, *_] = pipeline.plan(given, found, "cpu", log=lambda line: None)
    seen: list[int] = []
    real = sharing.train_in_parts

    def counted(train: Any, parts: Any, *rest: Any) -> Any:
        seen.append(len(parts))
        return real(train, parts, *rest)

    def losses(cores: Cores | None) -> list[float]:
        return [r.train_loss for r in pipeline.train_stack(pipeline.StackJob(given, found, stack, "cpu", cores))]

    monkeypatch.setattr(sharing, "train_in_parts", counted)
    monkeypatch.setattr(family, "cores", lambda: 2)
    on_two = losses(None)
    monkeypatch.setattr(family, "cores", lambda: 3)
    assert losses(Cores(2, 2)) == on_two
    on_three = losses(None)
    assert seen == [2, 2, 3]
    assert on_three == pytest.approx(on_two, rel=1e-3)
    assert losses(Cores(3, 3)) == on_three


def test_threads_where_victims_are_asked_are_the_plans(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threads, "cores", lambda: 3)
    before = torch.get_num_threads()
    with threads.counted(2), threads.all_cores():
        assert torch.get_num_threads() == 2
    with threads.counted(None), threads.all_cores():
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == before


def test_the_same_plan_gives_the_same_bits_and_poison_does_damage(found: Discovery):
    given = scenario("compute.victims_per_stack=5")
    first, again = run(given, found), run(given, found)
    assert all(np.array_equal(a.predictions, b.predictions) and a.train_loss == b.train_loss for a, b in zip(first, again, strict=True))
    by_alpha = {alpha: np.mean([d for key, d in damages(first, found).items() if key[2] == alpha]) for alpha in (1.0, 2.0)}
    assert by_alpha[2.0] > 0.15
    assert by_alpha[2.0] > by_alpha[1.0]


def test_results_agree_across_plans_and_side_by_side(found: Discovery):
    """The share of equal test predictions across stack sizes and part counts, float32: trained to the end, nearly all."""
    whole = run(scenario("compute.victims_per_stack=50", "compute.threads=1"), found)
    for other in ("compute.victims_per_stack=3", "compute.threads=2"):
        parts = run(scenario(other), found)
        same = np.mean([np.mean(a.predictions == b.predictions) for a, b in zip(whole, parts, strict=True)])
        print(f"{other}: {same:.5f} of the test predictions are equal")
        assert same > 0.995


def test_damages_are_those_of_the_sequential_reference(found: Discovery):
    """Float32 to the end of training: not the same bits, the same damages but for a row or two."""
    given = scenario()
    victims, data, params = victims_of(given.model, found.dataset, given.seed), training_of(found.dataset), []
    stacked = run(given, found)
    for result in stacked:
        job = job_of(pipeline.poison_of(given, found, result.spec))
        init = victims.initial(given.seed, result.spec.trial, torch.float32)
        recipe = victims.recipe
        params.append(train_sequential(victims.model, init, data, job, recipe, Trial(given.seed, result.spec.trial)).params)
    predictions = predict(victims.model, params, found.dataset.test.x, torch.device("cpu"), torch.float32)
    one_by_one = [VictimResult(r.spec, p, r.poison_points, 0, 0, 0.0) for r, p in zip(stacked, predictions, strict=True)]
    a, b = damages(stacked, found), damages(one_by_one, found)
    assert max(abs(a[key] - b[key]) for key in a) < 0.05
    assert np.mean(list(a.values())) == pytest.approx(np.mean(list(b.values())), abs=0.005)


def test_true_labels_do_no_such_damage(found: Discovery):
    given = scenario('evaluation.controls=["true_label"]', "attack.alphas=[2]")
    results = run(given, found)
    y, member = found.dataset.test.y, found.membership.test

    def accuracy(arm: str) -> float:
        return float(np.mean([(r.predictions == y)[member == r.spec.subpopulation].mean() for r in results if r.spec.arm == arm]))

    assert accuracy("true_label") > accuracy("poisoned") + 0.1


def test_poison_is_nested_and_counts_by_train_or_aux(found: Discovery):
    target = next(s for s in found.subpopulations if s.attacked)

    def poison(alpha: float, *overrides: str):
        return pipeline.poison_of(scenario(*overrides), found, VictimSpec(0, 1, "poisoned", target.index, alpha))

    one, two = poison(1.0), poison(2.0)
    assert len(one) == target.aux_rows
    assert len(poison(1.0, 'attack.per="train"')) == target.train_rows
    assert np.array_equal(two.rows[: len(one)], one.rows)
    assert (one.labels != one.true_labels).all()
    assert len(pipeline.poison_of(scenario(), found, VictimSpec(0, 1, "clean"))) == 0


def test_an_adversary_with_less_data_and_another_model(found: Discovery):
    given = scenario("adversary.rows=0.5", 'adversary.model={kind="logistic", epochs=5, lr=0.05}', "subpopulations.min_size=2")
    other = discover(given)
    assert len(other.dataset.aux) == len(found.dataset.aux) // 2
    assert len(other.dataset.train) == len(found.dataset.train)
    assert sum(s.aux_rows for s in other.subpopulations) == len(other.dataset.aux)


def test_clusters_of_the_hidden_layer_are_not_those_of_the_input(found: Discovery):
    hidden = discover(scenario('subpopulations.layer="hidden"'))
    assert not np.array_equal(hidden.membership.aux, found.membership.aux)


def test_a_stop_ends_training_at_once(found: Discovery):
    given = scenario("model.epochs=100000")
    [stack, *_] = pipeline.plan(given, found, "cpu", log=lambda line: None)

    def stop(done: float, total: float) -> None:
        raise Interrupted("stopped as asked")

    with pytest.raises(Interrupted, match="as asked"):
        pipeline.train_stack(pipeline.StackJob(given, found, stack, "cpu"), stop)


def test_what_a_small_model_has_no_use_for_is_refused_in_words():
    with pytest.raises(RequestError, match=r"compute\.precision: is .bfloat16., which is for networks"):
        discover(scenario('compute.precision="bfloat16"'))


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ('attack.target_label="purple"', "no class or rule called 'purple'"),
        ("subpopulations.clusters=5000", "5000 clusters from"),
        ("subpopulations.pca=500", "500 principal components"),
    ],
)
def test_what_the_data_cannot_serve_is_refused_before_anything_is_trained(override: str, told: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Adversary, "_fit", lambda *args, **more: pytest.fail("the adversary's model was trained first"))
    with pytest.raises(RequestError, match=told):
        discover(scenario(override, "compute.threads=1"))  # where there are more cores, models are trained beside what may be refused


def test_what_the_grammar_names_is_here():
    assert set(kinds.unions()[("dataset",)]) == set(datasets.summaries())
    assert set(get_args(ComputeSection.model_fields["precision"].annotation)) == set(DTYPES)


def test_a_run_that_is_not_the_presets_says_which_keys_differ(found: Discovery):
    def said(*overrides: str) -> tuple[str, ...]:
        return pipeline.deviations(load("adult-clustermatch", overrides), found.dataset)

    assert said() == ()
    assert said("seed=3", "evaluation.trials=9", "compute.threads=1") == ()
    assert said("model.hidden=[50]", 'attack.per="aux"') == ("not as published: model.hidden, attack.per",)
    assert pipeline.deviations(load("adult-clustermatch", smoke=True), found.dataset)[0].startswith("smoke: a sliver")
    assert pipeline.deviations(load("quickstart", ["model.hidden=[50]"]), found.dataset) == (), "it claims to reproduce nothing"


def test_adult_is_learned_as_scikit_learn_learns_it(shared_data: Path):
    """Real Adult, the published recipe: our clean victim against MLPClassifier on the same rows."""
    from sklearn.neural_network import MLPClassifier

    from engine.scenario.parse import load

    given = load("adult-clustermatch")
    data = datasets.load(given.dataset, 0, shared_data)
    victims, cpu = victims_of(given.model, data, given.seed), torch.device("cpu")
    no_poison = Job(np.empty(0, np.int64), np.empty(0, np.int64))
    accuracies = []
    for trial in range(3):
        [fit] = victims.fit(training_of(data), [no_poison], Trial(0, trial, How(cpu, torch.float32)))
        [predicted] = predict(victims.model, [fit.params], data.test.x, cpu, torch.float32)
        accuracies.append(float((predicted == data.test.y).mean()))
    theirs = [
        MLPClassifier((10,), max_iter=3000, random_state=s).fit(data.train.x, data.train.y).score(data.test.x, data.test.y)
        for s in range(3)
    ]
    assert np.mean(accuracies) == pytest.approx(np.mean(theirs), abs=0.015)
