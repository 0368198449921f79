"""Spectral signatures (Tran, Li and Madry, NeurIPS 2018): rows that stand out along the main direction of their class's hidden states.

Of each class's states, centred, the top right singular vector; a row's score is its squared projection on it. One and a half times the
budget is removed, as published, of the highest scores of all classes together: a bound for each class would take as many from a class
that has no poison.
"""

from __future__ import annotations

import math

import numpy as np

from engine.defenses.seen import Asked, Judgement, Seen, largest, without
from engine.scenario.sections import SpectralSection

MARGIN = 1.5  # of the budget: the paper's epsilon is an upper bound of the poison


def asks(section: SpectralSection) -> frozenset[Asked]:
    return frozenset({"hidden"})


def judge(section: SpectralSection, seen: Seen, remove: int, draws: np.random.Generator) -> Judgement:
    assert seen.hidden_RW is not None
    score_R = scores(seen.hidden_RW, seen.labels_R)
    return without(seen, largest(score_R, min(len(seen), math.ceil(MARGIN * remove))), score_R)


def scores(hidden_RW: np.ndarray, labels_R: np.ndarray) -> np.ndarray:
    """float64 [rows]; 0 in a class of one row."""
    score_R = np.zeros(len(labels_R))
    for label in np.unique(labels_R):
        rows = np.flatnonzero(labels_R == label)
        centred_RW = hidden_RW[rows].astype(np.float64)
        centred_RW -= centred_RW.mean(0)
        # the top eigenvector of the covariance is the top right singular vector, and [width, width] is small
        top_W = np.linalg.eigh(centred_RW.T @ centred_RW)[1][:, -1]
        score_R[rows] = (centred_RW @ top_W) ** 2
    return score_R
