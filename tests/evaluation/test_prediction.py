"""What another run would show as published: how often such runs, drawn alike, fall outside, in worlds where they can be drawn.

The full table: `python -m tests.studies.coverage`. Seeds are fixed, so that what is measured is what is asserted.
"""

from __future__ import annotations

import numpy as np
import pytest

from engine.evaluation.prediction import Replications, members_of, replications
from tests.studies import coverage as study
from tests.studies.populations import KINDS, Population, layout_of

MOST = 0.05  # outside at either end, wanted .025; so few populations tell it within about .02


@pytest.mark.parametrize(("kind", "trials"), [("null", 10), ("flips", 3), ("shared", 3), ("few", 5)])
def test_runs_drawn_alike_are_seldom_outside(kind: str, trials: int) -> None:
    for k, found in zip(study.KS[1:], study.missed(study.cell(kind, trials, 60, seed=0))[1:], strict=True):
        assert found.below <= MOST, (k, found)
        assert found.above <= MOST, (k, found)
        assert found.below + found.above >= 0.005, (k, found)  # no wider than need be


@pytest.mark.parametrize(("trials", "others"), [(10, 3), (3, 10)])
def test_runs_of_more_or_fewer_trials_are_seldom_outside(trials: int, others: int) -> None:
    for kind in ("few", "null"):
        for found in study.missed(study.cell(kind, trials, 40, seed=0, others_trials=others))[1:]:
            assert max(found.below, found.above) <= MOST, (kind, found)


def test_the_largest_of_five_is_seldom_outside_either() -> None:
    largest, every, _ = study.missed(study.cell("five", 3, 150, seed=0))
    assert max(every.below, every.above) <= MOST
    assert max(largest.below, largest.above) <= MOST


def _seen(population: Population, trials: int, others: int, members: int | None = None) -> tuple[Replications, np.ndarray]:
    random = np.random.default_rng(0)
    layout = layout_of(population.draw(trials, random), population.folds())
    damage_S = layout.diff_ATR[0].mean(axis=0)
    damage_S = np.add.reduceat(damage_S, np.cumsum(layout.n_S) - layout.n_S) / layout.n_S
    told_S = np.arange(len(damage_S))[:members]
    return replications(layout, 0, told_S, others), -np.sort(-damage_S[told_S])


@pytest.mark.parametrize("members", [1, 2, 3, 28])
def test_the_interval_is_around_what_this_run_shows(members: int) -> None:
    found, damage_M = _seen(KINDS["shared"](np.random.default_rng(1)), 4, 4, members)
    for shown, interval in (
        (damage_M[:2].mean(), found.worst(2)),
        (damage_M.mean(), found.mean()),
        (np.median(damage_M), found.quantile(0.5)),
    ):
        assert interval.low is not None
        assert interval.high is not None
        assert -1 <= interval.low < shown < interval.high <= 1
    share = found.share(0.05)
    assert share.low is not None
    assert share.high is not None
    assert 0 <= share.low <= (damage_M >= 0.05).mean() <= share.high <= 1


def test_fewer_trials_of_another_widen_it_and_none_of_members_is_none() -> None:
    population = KINDS["null"](np.random.default_rng(1))
    few, many = (_seen(population, 10, others)[0].worst(5) for others in (2, 10))
    assert few.low is not None
    assert few.high is not None
    assert many.low is not None
    assert many.high is not None
    assert few.high - few.low > 1.3 * (many.high - many.low)
    assert _seen(population, 3, 3, 0)[0].worst(1).low is None


def test_the_order_of_members_does_not_matter() -> None:
    population = KINDS["few"](np.random.default_rng(2))
    layout = layout_of(population.draw(3, np.random.default_rng(0)), population.folds())
    assert replications(layout, 0, np.arange(28), 3).worst(5) == replications(layout, 0, np.arange(28)[::-1], 3).worst(5)


def test_members_have_a_damage_and_a_standard_error() -> None:
    nan = np.nan
    among_S = np.array([True, True, True, False])
    assert members_of(np.array([0.1, nan, 0.2, 0.3]), np.array([0.1, 0.1, nan, 0.1]), among_S).tolist() == [0]
