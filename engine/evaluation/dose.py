"""How much poison it takes: damage as a curve over alpha that never falls and starts at 0, and where it reaches a level.

The curve is the least-squares one that does not fall (pool adjacent violators, weights: trials), held at 0 or above, for no poison does no
damage; straight between the alphas that were tried. Beyond the largest of them nothing is said: the alpha is censored.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np

from engine import seeds

COPIES = 200
SHARED = 0.5  # share of the variance that alphas have in common: the same clean victims and test rows, nested poison


@dataclass(frozen=True)
class Needed:
    """The smallest alpha at which the curve reaches the level (inf: beyond the largest tried), its 95 % interval (None below two trials).

    alphas, fitted: float64 [alphas], the curve, without its start at (0, 0).
    """

    alphas: np.ndarray
    fitted: np.ndarray
    alpha: float
    low: float | None
    high: float | None


def needed(alphas: np.ndarray, damage: np.ndarray, trials: np.ndarray, se: np.ndarray, df: np.ndarray, level: float) -> Needed | None:
    """Of one subpopulation: float64 [alphas] ascending, those with a damage. None without any. se, df may be nan."""
    if not len(alphas):
        return None
    fitted = isotonic(damage[None], trials)[0]
    at = float(crossing(alphas, fitted[None], level)[0])
    if np.isnan(se).any():
        return Needed(alphas, fitted, at, None, None)
    random = seeds.generator(0, "dose interval")
    common_C1, own_CA = random.standard_normal((COPIES, 1)), random.standard_normal((COPIES, len(alphas)))
    least = float(df.min())
    scale_C1 = np.sqrt(least / random.chisquare(least, (COPIES, 1)))  # variances are estimated: t, not normal
    drawn_CA = damage + se * scale_C1 * (np.sqrt(SHARED) * common_C1 + np.sqrt(1 - SHARED) * own_CA)
    at_C = np.sort(crossing(alphas, isotonic(drawn_CA, trials), level))
    low, high = float(at_C[int(0.025 * COPIES)]), float(at_C[int(0.975 * COPIES) - 1])
    return Needed(alphas, fitted, at, min(low, at), max(high, at))


def isotonic(damage_CA: np.ndarray, weight_A: np.ndarray) -> np.ndarray:
    """Each row's least-squares curve that does not fall and is nowhere under 0: float64 [copies, alphas]. Min-max formula."""
    size = damage_CA.shape[1]
    weight_A = np.asarray(weight_A, dtype=float)
    sums_C = np.concatenate([np.zeros((len(damage_CA), 1)), np.cumsum(damage_CA * weight_A, axis=1)], axis=1)
    total = np.concatenate([[0.0], np.cumsum(weight_A)])
    fitted_CA = np.empty_like(damage_CA)
    for j in range(size):
        best_C = np.full(len(damage_CA), -inf)
        for i in range(j + 1):
            means_CK = (sums_C[:, j + 1 :] - sums_C[:, [i]]) / (total[j + 1 :] - total[i])
            best_C = np.maximum(best_C, means_CK.min(axis=1))
        fitted_CA[:, j] = best_C
    return np.maximum(fitted_CA, 0.0)


def crossing(alphas: np.ndarray, fitted_CA: np.ndarray, level: float) -> np.ndarray:
    """The smallest alpha at which each curve, straight from (0, 0) on, reaches the level (> 0): float64 [copies], inf where none does."""
    x_A = np.concatenate([[0.0], alphas])
    y_CA = np.concatenate([np.zeros((len(fitted_CA), 1)), fitted_CA], axis=1)
    reached_CA = y_CA >= level
    at_C = np.where(reached_CA.any(axis=1), reached_CA.argmax(axis=1), 0)
    rows = np.arange(len(y_CA))
    before_C, after_C = y_CA[rows, at_C - 1], y_CA[rows, at_C]
    step_C = np.where(at_C > 0, after_C - before_C, 1.0)
    share_C = (level - before_C) / np.where(step_C == 0, 1.0, step_C)
    found_C = x_A[at_C - 1] + share_C * (x_A[at_C] - x_A[at_C - 1])
    return np.where(at_C > 0, found_C, inf)
