"""Gradient boosting as a victim: against plain calls of scikit-learn, over a stop and a resume, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from engine.errors import ScenarioError
from engine.models.estimators import gradient_boosting
from engine.pipeline import order as pipeline
from engine.rows import Dataset
from engine.runs import start as run
from engine.runs.control import Control
from engine.runs.worker import work
from engine.scenario.parse import parse
from engine.scenario.sections import GradientBoostingSection
from engine.seeds import seed_for
from engine.store import Store
from engine.training.recipe import Job
from engine.training.trial import How, Trial
from engine.victims.choose import victims_of
from engine.victims.family import training_of
from tests.tui.test_form_fields import shown
from tests.victims.test_estimators import rows

TEXT = """
title = "boosted trees"
[dataset]
kind = "breast_cancer"
[model]
kind = "gradient_boosting"
max_iter = 12
min_samples_leaf = 5
[subpopulations]
kind = "cluster_match"
clusters = 4
min_size = 10
[attack]
alphas = [1, 2]
target_label = "flip"
[evaluation]
trials = 2
min_test_rows = 5
[compute]
threads = 2
victims_per_stack = 4
"""


def quiet(*_: object) -> None:
    pass


@pytest.mark.parametrize("stops", ["model.early_stopping=false", "model.early_stopping=true"])
def test_victims_are_those_of_plain_calls(stops: str) -> None:
    given = parse(TEXT, overrides=[stops])
    found = pipeline.discover(given, Path("."), log=quiet, progress=quiet)
    assert found.arrays.proba_aux_AC.shape == (len(found.dataset.aux), 2)
    stacks = pipeline.plan(given, found, "cpu", log=quiet)
    results = [victim for stack in stacks for victim in pipeline.train_stack(pipeline.StackJob(given, found, stack, "cpu"))]
    assert len(results) > 12
    data = found.dataset
    for victim in results:
        poison = pipeline.poison_of(given, found, victim.spec)
        x, y = np.concatenate([data.train.x, data.aux.x[poison.rows]]), np.concatenate([data.train.y, poison.labels])
        seed = seed_for(given.seed, "estimator", victim.spec.trial) % 2**32
        plain = HistGradientBoostingClassifier(max_iter=12, min_samples_leaf=5, early_stopping=stops.endswith("true"), random_state=seed)
        assert np.array_equal(victim.predictions, plain.fit(x, y).predict(data.test.x))
        assert victim.epochs == plain.n_iter_


def test_a_run_that_is_stopped_and_resumed_exports_the_same_bytes(tmp_path: Path) -> None:
    tables = []
    for stopped in (False, True):
        with Store.open(tmp_path / f"{stopped}.db") as store:
            run_id = run.start(store, parse(TEXT), spawn=False).id
            if stopped:
                assert work(store, run_id, control=StopsAfterAStack(store, run_id)) == "stopped"
                assert 0 < store.run(run_id).victims_done < store.run(run_id).victims_total
            assert work(store, run_id) == "done"
            tables.append({name: store.table(run_id, name).rows for name in ("damage", "worst", "victims")})
            tables[-1]["predictions"] = tuple(victim.predictions.tobytes() for victim in store.victims(run_id))
            assert any("by their poison alone" in line.message for line in store.log_rows(run_id))
    for name, cells in tables[0].items():
        assert cells == tables[1][name], name


class StopsAfterAStack(Control):
    """As a person who stops a run whose first stack is committed."""

    def __init__(self, store: Store, run_id: str) -> None:
        super().__init__()
        self.store, self.run_id = store, run_id

    def check(self) -> None:
        self.stopping = bool(self.store.stacks_done(self.run_id))
        super().check()


def test_it_stops_early_where_it_is_told_to_and_not_by_the_number_of_rows() -> None:
    """scikit-learn's own default turns on above 10,000 rows, which poison could carry a victim across."""
    data, clean = rows(10_050), [Job(np.empty(0, np.int64), np.empty(0, np.int64))]
    data = Dataset(data.kind, data.classes, (), data.train, data.aux.take(np.arange(9)), data.test.take(np.arange(9)))
    trial = Trial(0, 0, How(torch.device("cpu"), torch.float32))
    section = GradientBoostingSection(max_iter=40, max_leaf_nodes=31, learning_rate=0.5)
    [whole] = victims_of(section, data).outcomes(training_of(data), data.test.x, clean, trial)
    assert whole.epochs == 40
    stopping = section.model_copy(update={"early_stopping": True, "n_iter_no_change": 2})
    [stopped] = victims_of(stopping, data).outcomes(training_of(data), data.test.x, clean, trial)
    assert stopped.epochs < 40
    assert victims_of(stopping, data).deviations(stopping)[0].startswith("early stopping: ")
    assert victims_of(section, data).deviations(section) == ()


REFUSED = [
    (
        ["dataset.kind=cifar10"],
        'model.kind: is "gradient_boosting", which reads numbers; dataset "cifar10" has pictures: use "conv"',
    ),
    (["dataset.kind=imdb"], 'reads numbers; dataset "imdb" has texts: use "bert"'),
    (["subpopulations.layer=hidden"], 'is "hidden", which kind "gradient_boosting" does not have; use "input"'),
    (
        ["attack.kind=influence"],
        'is "influence", which needs an adversary\'s model with gradients; "gradient_boosting" has none',
    ),
    (["attack.kind=gradient"], "which moves pixels"),
    (["compute.precision=float64"], '"gradient_boosting" has a precision of its own'),
    (["compute.device=cuda"], "is trained on the CPU"),
    (["model.epochs=3"], "has no meaning for kind"),
    (["model.max_bins=256"], "from 2 to 255"),
]


@pytest.mark.parametrize(("overrides", "told"), REFUSED, ids=[overrides[0] for overrides, _ in REFUSED])
def test_what_it_cannot_do_is_refused_in_words(overrides: list[str], told: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse(TEXT, overrides=overrides)
    assert told in str(caught.value)


def test_another_model_may_choose_its_poison() -> None:
    given = parse(TEXT, overrides=["attack.kind=influence", 'adversary.model={kind="logistic", epochs=20}', "evaluation.trials=1"])
    found = pipeline.discover(given, Path("."), log=quiet, progress=quiet)
    assert np.isfinite(found.arrays.influence.score).any()
    [stack, *_] = pipeline.plan(given, found, "cpu", log=quiet)
    assert len(pipeline.train_stack(pipeline.StackJob(given, found, stack, "cpu"))) == 4


def test_it_never_takes_a_gpu_by_itself_and_its_form_hides_what_means_nothing() -> None:
    assert parse(TEXT).device == "cpu"
    assert parse(TEXT, overrides=["model.kind=mlp"]).device == "auto"
    plain = shown(dataset__kind="adult", model__kind="gradient_boosting")
    assert {"model.max_iter", "model.learning_rate", "model.early_stopping"} <= plain
    assert not {"model.epochs", "model.lr", "model.validation_fraction", "model.n_iter_no_change"} & plain
    stopping = shown(model__kind="gradient_boosting", model__early_stopping=True)  # type: ignore[arg-type]
    assert {"model.validation_fraction", "model.n_iter_no_change"} <= stopping


@pytest.mark.parametrize("early_stopping", [False, True])
def test_what_it_can_be_fitted_to_is_what_scikit_learn_takes(early_stopping: bool) -> None:
    """The smallest parts of train that an ensemble has, however their classes are mixed."""
    draws, taken = np.random.default_rng(0), set()
    for rows_C in [(1, 1), (1, 9), (2, 2), (2, 9), (2, 20), (3, 3, 3), (2, 2, 7), (2, 8, 11), (1, 40), (5, 1, 40), (2, 3), (30, 2, 2)]:
        for share in (0.1, 0.5, 0.9):
            section = GradientBoostingSection(
                kind="gradient_boosting", max_iter=1, early_stopping=early_stopping, validation_fraction=share
            )
            y = np.repeat(np.arange(len(rows_C)), rows_C)
            try:
                gradient_boosting.estimator(section, 0).fit(draws.normal(size=(len(y), 2)), y)
                fits = True
            except ValueError:
                fits = False
            assert gradient_boosting.can_fit(section, np.array(rows_C)) == fits, (rows_C, share)
            taken.add(fits)
    assert taken == ({True, False} if early_stopping else {True})
