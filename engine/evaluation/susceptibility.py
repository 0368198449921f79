"""How well a ranking made before any attack orders what the attacks did: rank correlation, recall of the worst, calibration, ceiling.

The ceiling is the rank correlation of the mean damages of two halves of the trials, mean over ways to halve them. A predictor of the mean
of all trials may come out above it, for each half is noisier than the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil

import numpy as np

from engine.evaluation.confidence import spearman, spearman_interval
from engine.evaluation.layout import Layout
from engine.evaluation.prediction import Interval
from engine.seeds import generator

SHARES = (0.2, 0.3, 0.5)  # of the subpopulations that are attacked first
WORST = 10  # whose recall is asked, of thirty subpopulations or more; of fewer a third
HALVINGS = 20  # at most


@dataclass(frozen=True)
class Ranking:
    """How a score orders n damages. recall: at each of SHARES, the part of the worst `worst` that is among those of largest score."""

    n: int
    spearman: float | None
    interval: Interval
    worst: int
    recall: tuple[float | None, ...]


def ranking(score_S: np.ndarray, damage_S: np.ndarray) -> Ranking:
    """score, damage: float64 [subpopulations], all finite. Ties by index."""
    n = len(damage_S)
    rho = spearman(score_S.tolist(), damage_S.tolist())
    worst = min(WORST, n // 3)
    return Ranking(n, rho, spearman_interval(rho, n), worst, recall(score_S, damage_S, worst, SHARES))


def recall(score_S: np.ndarray, damage_S: np.ndarray, worst: int, shares: Sequence[float]) -> tuple[float | None, ...]:
    """Of the `worst` subpopulations of largest damage, the part that is among the share of largest score."""
    if worst < 1:
        return (None,) * len(shares)
    true = np.argsort(-damage_S, kind="stable")[:worst]
    order = np.argsort(-score_S, kind="stable")
    return tuple(float(np.isin(true, order[: ceil(share * len(order) - 1e-9)]).mean()) for share in shares)


@dataclass(frozen=True)
class Trials:
    """What each trial's victims lost. lost_TS: int64 [trials, subpopulations], test rows; rows_S: int64, how many each has."""

    lost_TS: np.ndarray
    rows_S: np.ndarray

    def __len__(self) -> int:
        return len(self.lost_TS)

    def mean(self, trials: Sequence[int]) -> list[float]:
        """Mean damage over some trials: a ratio of whole numbers, so that equal damages are ties, to the bit."""
        damage_S = self.lost_TS[list(trials)].sum(axis=0) / np.maximum(self.rows_S * len(trials), 1)
        each: list[float] = damage_S.tolist()
        return each


def of_trials(layout: Layout, a: int, among_S: np.ndarray) -> Trials:
    """Of an alpha and these subpopulations, of the trials that have all of them."""
    have_TS = layout.have_ATS[a][:, among_S]
    lost_TS = (layout.clean_TS - layout.right_ATS[a])[:, among_S]
    return Trials(lost_TS[have_TS.all(axis=1)], layout.n_S[among_S])


def halves(by_trial: Trials, seed: int) -> float | None:
    """Mean rank correlation of two halves of the trials; None below two trials."""
    trials = len(by_trial)
    ways = list(combinations(range(trials), trials // 2)) if 2 <= trials <= 6 else []
    if trials > 6:
        random = generator(seed, "trial halves")
        ways = [tuple(random.permutation(trials)[: trials // 2].tolist()) for _ in range(HALVINGS)]
    values = []
    for way in ways:
        other = [t for t in range(trials) if t not in way]
        values.append(spearman(by_trial.mean(way), by_trial.mean(other)))
    return _mean(values)


def one_victim(by_trial: Trials) -> float | None:
    """Mean rank correlation of one trial's damages, which is one victim for each subpopulation, with the mean of the others'."""
    every = range(len(by_trial))
    if len(every) < 2:
        return None
    return _mean([spearman(by_trial.mean([t]), by_trial.mean([u for u in every if u != t])) for t in every])


def calibration(predicted_S: np.ndarray, damage_S: np.ndarray) -> tuple[float | None, float | None]:
    """Mean absolute error of the predictions, and of the best constant, which is known only afterwards: the median damage."""
    if not len(damage_S):
        return None, None
    return float(np.abs(predicted_S - damage_S).mean()), float(np.abs(np.median(damage_S) - damage_S).mean())


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
