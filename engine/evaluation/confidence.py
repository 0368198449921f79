"""Groups by the adversary's confidence (paper, Table 7), and rank correlation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.evaluation.prediction import Interval
from engine.rows import Subpopulation

GROUP = 10


@dataclass(frozen=True)
class Group:
    """name: low, mid, high or all. members in order of confidence, ties by index."""

    name: str
    members: tuple[Subpopulation, ...]


def groups(subpopulations: Sequence[Subpopulation]) -> tuple[Group, ...]:
    """The ten of lowest, middle and highest confidence (a third each where there are under thirty), and all."""
    order = tuple(sorted((s for s in subpopulations if s.confidence is not None), key=lambda s: (s.confidence, s.index)))
    size = min(GROUP, len(order) // 3)
    middle = (len(order) - size) // 2
    return (
        Group("low", order[:size]),
        Group("mid", order[middle : middle + size]),
        Group("high", order[len(order) - size :]),
        Group("all", order),
    )


def spearman(left: Sequence[float | None], right: Sequence[float]) -> float | None:
    """Spearman's rank correlation, ties given their mean rank; None with fewer than three pairs or where one side is all ties."""
    pairs = [(a, b) for a, b in zip(left, right, strict=True) if a is not None]
    if len(pairs) < 3:
        return None
    ranks = [_ranks(np.array(side, dtype=float)) for side in zip(*pairs, strict=True)]
    centred = [rank - rank.mean() for rank in ranks]
    size = float(np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum()))
    return None if size == 0.0 else float((centred[0] * centred[1]).sum() / size)


def spearman_interval(rho: float | None, pairs: int, others: int | None = None) -> Interval:
    """95 % of a rank correlation of so many pairs, by Fisher's z with Bonett and Wright's (2000) variance; none below five pairs.

    others: of the correlation that so many other pairs, drawn like these, would show.
    """
    if rho is None or pairs < 5 or (others is not None and others < 5):
        return Interval()
    z = float(np.arctanh(np.clip(rho, -0.999999, 0.999999)))
    variance = (1 + rho * rho / 2) * (1 / (pairs - 3) + (1 / (others - 3) if others is not None else 0.0))
    reach = 1.959964 * variance**0.5
    return Interval(float(np.tanh(z - reach)), float(np.tanh(z + reach)))


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[place]
