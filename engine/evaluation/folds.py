"""Five folds of the test rows: what a worst-k was chosen on never scores it."""

from __future__ import annotations

import numpy as np

from engine import seeds

FOLDS = 5


def assign_folds(seed: int, membership_R: np.ndarray) -> np.ndarray:
    """Which fold each test row is in: int8 [test rows], 0..4, drawn at random and level within each subpopulation.

    A pure function of the scenario's seed and the membership, so that every rebuild of a table makes the same folds.
    """
    order_R = seeds.generator(seed, "test folds").permutation(len(membership_R))
    order_R = order_R[np.argsort(membership_R[order_R], kind="stable")]  # by subpopulation, at random within
    sorted_R = membership_R[order_R]
    starts_R = np.searchsorted(sorted_R, sorted_R, side="left")
    fold_R = np.empty(len(membership_R), dtype=np.int8)
    fold_R[order_R] = (np.arange(len(membership_R)) - starts_R) % FOLDS
    return fold_R
