"""Random forests as victims: against plain calls of scikit-learn, and what pairing by seed alone comes to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from engine.errors import ScenarioError
from engine.pipeline import order as pipeline
from engine.scenario.parse import parse
from engine.scenario.sections import RandomForestSection
from engine.seeds import seed_for
from engine.victims.choose import victims_of

TEXT = """
title = "forests"
[dataset]
kind = "digits"
[model]
kind = "random_forest"
n_estimators = 15
max_features = "log2"
[subpopulations]
kind = "cluster_match"
clusters = 5
[attack]
alphas = [0.5, 2]
target_label = "least_likely"
[evaluation]
trials = 2
min_test_rows = 5
confidence_folds = 2
[compute]
threads = 2
victims_per_stack = 7
"""


def quiet(*_: object) -> None:
    pass


def test_victims_are_those_of_plain_calls_whose_arms_share_a_seed() -> None:
    given = parse(TEXT)
    found = pipeline.discover(given, Path("."), log=quiet, progress=quiet)
    data, results = found.dataset, []
    for stack in pipeline.plan(given, found, "cpu", log=quiet):
        results += pipeline.train_stack(pipeline.StackJob(given, found, stack, "cpu"))
    assert len(results) == 2 * (1 + 5 * 2)
    for victim in results:
        poison = pipeline.poison_of(given, found, victim.spec)
        x, y = np.concatenate([data.train.x, data.aux.x[poison.rows]]), np.concatenate([data.train.y, poison.labels])
        seed = seed_for(given.seed, "estimator", victim.spec.trial) % 2**32
        plain = RandomForestClassifier(15, max_features="log2", random_state=seed).fit(x, y)
        assert np.array_equal(victim.predictions, plain.predict(data.test.x))
        assert victim.epochs == 15
    clean = [victim.predictions for victim in results if victim.spec.arm == "clean"]
    assert (clean[0] != clean[1]).any()  # of two trials
    (said,) = [line for line in pipeline.deviations(given, data) if "forest" in line]
    assert said.startswith("arms of a forest are paired by their seed alone")


@pytest.mark.parametrize(
    ("section", "asked"),
    [
        (RandomForestSection(max_features="all"), {"max_features": None, "n_jobs": 1, "bootstrap": True, "min_samples_leaf": 1}),
        (
            RandomForestSection(max_depth=3, min_samples_leaf=4, bootstrap=False),
            {"max_depth": 3, "min_samples_leaf": 4, "bootstrap": False},
        ),
    ],
)
def test_its_keys_are_scikit_learns(section: RandomForestSection, asked: dict[str, object]) -> None:
    found = parse(TEXT)
    data = pipeline.load(found, Path("."), log=quiet, progress=quiet)
    estimator = victims_of(section, data)._kind.estimator(section, 7)  # type: ignore[attr-defined]
    assert asked.items() <= estimator.get_params().items()
    assert estimator.get_params()["random_state"] == 7


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["dataset.kind=cifar10"], 'is "random_forest", which reads numbers; dataset "cifar10" has pictures'),
        (["dataset.kind=imdb"], 'is "random_forest", which reads numbers; dataset "imdb" has texts'),
        (["subpopulations.layer=hidden"], 'which kind "random_forest" does not have; use "input"'),
        (["attack.kind=influence"], '"random_forest" has none'),
        (["model.learning_rate=0.1"], 'has no meaning for kind "random_forest": it is a key of gradient_boosting'),
        (["model.max_features=some"], 'expected one of "sqrt", "log2", "all"'),
    ],
)
def test_what_it_cannot_do_is_refused_in_words(overrides: list[str], told: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse(TEXT, overrides=overrides)
    assert told in str(caught.value)
