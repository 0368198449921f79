"""Variances over few trials, moderated across many subpopulations; t intervals from them.

Empirical Bayes after Smyth (2004), "Linear models and empirical Bayes methods": x_s / prior_s ~ F(d, d0), with d0 fitted here by the
first two moments (Smyth's log-moment fit breaks on the exact zeros that accuracies over few rows give).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Moderated:
    """variance_S: float64, moderated; df_S: float64, its degrees of freedom (inf where the prior is sure); prior_df: float."""

    variance_S: np.ndarray
    df_S: np.ndarray
    prior_df: float


def moderate(variance_S: np.ndarray, df_S: np.ndarray, shape_S: np.ndarray) -> Moderated:
    """Shrink each variance towards c * shape_S, with c and the strength of the prior estimated from all of them.

    variance_S: sample variances >= 0, some may be 0; df_S: their degrees of freedom (0: no information, the prior alone);
    shape_S > 0: what the variance is expected to be proportional to. With fewer than three informative entries there is nothing to
    learn a prior from: each stands alone.
    """
    ratio_S, told_S = variance_S / shape_S, df_S > 0
    if told_S.sum() < 3:
        return Moderated(variance_S.copy(), df_S.astype(float), 0.0)
    x, d = ratio_S[told_S], float(np.average(df_S[told_S]))
    mean = float(np.average(x, weights=df_S[told_S]))
    if mean == 0.0:
        return Moderated(np.zeros_like(variance_S), np.full(len(df_S), np.inf), float("inf"))
    second = float(np.average(x * x, weights=df_S[told_S])) / mean**2  # (d + 2)(d0 - 2) / (d (d0 - 4)) under the model
    excess = second * d - (d + 2)
    d0 = 2 * (2 * second * d - (d + 2)) / excess if excess > 0 else float("inf")
    if not np.isfinite(d0) or d0 > 1e6:
        return Moderated(mean * shape_S, np.full(len(df_S), np.inf), float("inf"))
    prior_S = mean * (d0 - 2) / d0 * shape_S
    return Moderated((d0 * prior_S + df_S * variance_S) / (d0 + df_S), d0 + df_S, d0)


def satterthwaite(variances: tuple[np.ndarray, ...], dfs: tuple[np.ndarray, ...]) -> np.ndarray:
    """The degrees of freedom of a sum of independent variance estimates: float64, shaped as they are."""
    total = sum(variances)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = sum(np.where(np.isfinite(df), v * v / df, 0.0) for v, df in zip(variances, dfs, strict=True))
        return np.where(spread > 0, total * total / spread, np.inf)
