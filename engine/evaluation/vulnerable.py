"""Which subpopulations are vulnerable: Benjamini and Hochberg (1995)."""

from __future__ import annotations

import numpy as np

Q = 0.05
LEAST_TRIALS = 3


def adjusted(p: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg adjusted p values, float64 [tests]: a test is called at level q where its adjusted p is at most q."""
    order = np.argsort(p, kind="stable")[::-1]
    ranks = np.arange(len(p), 0, -1)
    stepped = np.minimum.accumulate(np.minimum(1.0, p[order] * len(p) / ranks))
    out = np.empty(len(p))
    out[order] = stepped
    return out
