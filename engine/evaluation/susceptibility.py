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


def of_trials(layout: Layout, a: int, among_S: np.ndarray) -> np.ndarray:
    """Damages of an alpha by trial, float64 [trials, subpopulations among those], of the trials that have all of these."""
    have_TS = layout.have_ATS[a][:, among_S]
    lost_TS = (layout.clean_TS - layout.right_ATS[a])[:, among_S]
    damage_TS: np.ndarray = (lost_TS / np.maximum(layout.n_S[among_S], 1))[have_TS.all(axis=1)]
    return damage_TS


def halves(damage_TS: np.ndarray, seed: int) -> float | None:
    """Mean rank correlation of two halves of the trials; None below two trials."""
    trials = len(damage_TS)
    ways = list(combinations(range(trials), trials // 2)) if 2 <= trials <= 6 else []
    if trials > 6:
        random = generator(seed, "trial halves")
        ways = [tuple(random.permutation(trials)[: trials // 2].tolist()) for _ in range(HALVINGS)]
    values = []
    for way in ways:
        other = [t for t in range(trials) if t not in way]
        values.append(spearman(damage_TS[list(way)].mean(axis=0).tolist(), damage_TS[other].mean(axis=0).tolist()))
    return _mean(values)


def one_victim(damage_TS: np.ndarray) -> float | None:
    """Mean rank correlation of one trial's damages, which is one victim for each subpopulation, with the mean of the others'."""
    if len(damage_TS) < 2:
        return None
    each = [spearman(damage_TS[t].tolist(), np.delete(damage_TS, t, axis=0).mean(axis=0).tolist()) for t in range(len(damage_TS))]
    return _mean(each)


def calibration(predicted_S: np.ndarray, damage_S: np.ndarray) -> tuple[float | None, float | None]:
    """Mean absolute error of the predictions, and of the best constant, which is known only afterwards: the median damage."""
    if not len(damage_S):
        return None, None
    return float(np.abs(predicted_S - damage_S).mean()), float(np.abs(np.median(damage_S) - damage_S).mean())


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
