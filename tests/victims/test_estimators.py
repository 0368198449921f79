"""Victims that scikit-learn trains, whatever their kind: here a tree that draws its features, in the place of a kind's module."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.tree import DecisionTreeClassifier

from engine.errors import Interrupted, RequestError
from engine.rows import Dataset, Rows
from engine.scenario.sections import EstimatorKeys
from engine.training.recipe import Job
from engine.training.trial import How, Trial
from engine.victims import estimators
from engine.victims.choose import family_of, see, victims_of
from engine.victims.family import training_of
from tests.victims.test_victims import pictures

CPU = How(torch.device("cpu"), torch.float32)
NONE = np.empty(0, np.int64)


class Section(EstimatorKeys):
    kind: Literal["planted"] = "planted"


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    kind = SimpleNamespace(
        estimator=lambda section, random_state: DecisionTreeClassifier(max_features=1, max_depth=4, random_state=random_state),
        passes=lambda fitted: 1,
        deviations=lambda section: ("what is to be known",),
        notes=lambda section: ("how it is done",),
    )
    monkeypatch.setattr(estimators, "module", lambda package, name: kind)
    return kind


def rows(count: int = 90, classes: int = 3, seed: int = 0) -> Dataset:
    draw = np.random.default_rng(seed)

    def split(first: int) -> Rows:
        x = draw.normal(size=(count, 5)).astype(np.float32)
        y = np.digitize(x[:, 0] + draw.normal(0, 0.5, count), [-0.5, 0.5])[:count] % classes
        return Rows(x, y.astype(np.int64), np.arange(first, first + count), pd.DataFrame({"n": range(count)}))

    return Dataset("t", tuple("abc"), (), split(0), split(count), split(2 * count))


def jobs(count: int) -> list[Job]:
    draw = np.random.default_rng(1)
    return [Job(NONE, NONE), *(Job(draw.integers(90, size=8 * v), draw.integers(3, size=8 * v)) for v in range(1, count))]


def test_victims_are_those_of_a_plain_loop_however_many_train_side_by_side(planted: SimpleNamespace) -> None:
    data, todo = rows(), jobs(7)
    victims = victims_of(Section(), data)
    seen: list[tuple[float, float]] = []
    found = [
        victims.outcomes(training_of(data), data.test.x, todo, Trial(3, 1, CPU, control, workers))
        for workers, control in ((1, None), (2, None), (3, lambda done, total: seen.append((done, total))))
    ]
    assert seen[0][0] <= seen[-1][0] <= 7
    assert {total for _, total in seen} == {7}
    for v, job in enumerate(todo):
        x, y = np.concatenate([data.train.x, data.aux.x[job.rows]]), np.concatenate([data.train.y, job.labels])
        plain = DecisionTreeClassifier(max_features=1, max_depth=4, random_state=estimators.random_state(3, 1)).fit(x, y)
        for made in found:
            assert np.array_equal(made[v].predictions, plain.predict(data.test.x))
            assert made[v].predictions.dtype == np.uint8
            assert made[v].train_loss == pytest.approx(-np.log(plain.predict_proba(x)[np.arange(len(y)), y].clip(1e-15)).mean())


def test_a_trial_has_one_seed_for_every_arm_and_another_trial_another(planted: SimpleNamespace) -> None:
    data = rows()
    victims = victims_of(Section(), data)
    [first, again, other] = (
        victims.outcomes(training_of(data), data.test.x, jobs(1), Trial(3, trial, CPU))[0].predictions for trial in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert estimators.random_state(3, 0) < 2**32


def test_probabilities_have_a_column_for_a_class_that_was_never_seen(planted: SimpleNamespace) -> None:
    data = rows(classes=2)
    victims = victims_of(Section(), data)
    [fitted] = victims.fit(training_of(data), [Job(NONE, NONE)], Trial(0, 0, CPU))
    found = victims.probabilities(fitted, data.test.x, CPU)
    assert (found.shape, found.dtype) == ((90, 3), np.float32)
    assert (found[:, 2] == 0).all()
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    one = training_of(rows(classes=1))
    with pytest.raises(RequestError, match="rows of one class alone"):
        victims.fit(one, [Job(NONE, NONE)], Trial(0, 0, CPU))


def test_what_stops_a_run_stops_it_between_two_victims_and_leaves_no_process(planted: SimpleNamespace, tmp_path: Path) -> None:
    """Each victim writes down its process; the control raises when the first is done."""

    class Slow(DecisionTreeClassifier):
        def fit(self, x: np.ndarray, y: np.ndarray) -> Slow:  # type: ignore[override]
            (tmp_path / f"{os.getpid()}-{time.monotonic_ns()}").touch()
            time.sleep(0.4)
            return super().fit(x, y)

    planted.estimator = lambda section, random_state: Slow()
    data = rows()

    def control(done: float, total: float) -> None:
        if done >= 1:
            raise Interrupted("stop")

    with pytest.raises(Interrupted):
        victims_of(Section(), data).outcomes(training_of(data), data.test.x, jobs(12), Trial(0, 0, CPU, control, workers=2))
    pids = {int(path.name.partition("-")[0]) for path in tmp_path.iterdir()}
    assert 1 <= len(pids) <= 2
    assert os.getpid() not in pids
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert len(list(tmp_path.iterdir())) <= 6


def test_a_stack_takes_some_twenty_seconds(planted: SimpleNamespace) -> None:
    victims = victims_of(Section(), rows())
    size: Callable[[float, int], int] = lambda victim_s, most: victims.stack_size(lambda count, steps: victim_s, most, CPU, 2)  # noqa: E731
    assert (size(0.5, 1000), size(0.5, 30), size(60, 1000), size(0, 10)) == (80, 30, 2, 10)


def test_what_it_cannot_be_asked_is_refused_in_words(planted: SimpleNamespace) -> None:
    data = rows()
    victims = victims_of(Section(), data)
    [fitted] = victims.fit(training_of(data), [Job(NONE, NONE)], Trial(0, 0, CPU))
    quiet = lambda what, share: None  # noqa: E731
    for ask, told in (
        (lambda: victims.representation(fitted, "hidden", CPU, quiet), "planted has no layer 'hidden'"),
        (lambda: victims.hidden(fitted, data.aux.x, CPU, quiet), "has no hidden layer"),
        (lambda: victims.params(fitted), "has no gradients"),
        (lambda: victims.plain(training_of(data), Job(NONE, NONE), Trial(0, 0, CPU)), "is trained by a plain loop already"),
        (lambda: see(Section(), pictures(), 0, report=quiet), "reads rows of numbers, and this dataset has pictures"),
    ):
        with pytest.raises(RequestError, match=told):
            ask()
    assert victims.differentiable(fitted, CPU) is None
    assert family_of(Section()).BENCH is None
    assert family_of(Section()).deviations(Section()) == ("what is to be known",)
    assert see(Section(), data, 0, report=quiet) is data
