"""Which columns are settled by another one, so that a description which has said the one need not say the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SETTLED = {"correlation": 0.9, "variance": 0.8, "information": 0.9}  # from here on the one column settles the other
ROWS = 5_000  # looked at

Column = tuple[np.ndarray, bool]  # [rows], float64 with NaN missing or int64 codes from 0; whether it is of numbers


def settles(column: Column, other: Column) -> bool:
    """Whether `other` is (nearly) a function of `column`.

    Two of numbers: |rank correlation|; one of each: the share of the ranks' variance between levels; two of levels: the share of the
    other's entropy that `column` removes (Theil's U). That means nothing where `column` has a level for every few rows, and is not asked
    there.
    """
    keep = np.ones(len(column[0]), dtype=bool)
    for values, is_number in (column, other):
        if is_number:
            keep &= ~np.isnan(values)
    keep = np.flatnonzero(keep)[:ROWS]
    if len(keep) < 2:
        return False
    (a, a_number), (b, b_number) = ((values[keep], is_number) for values, is_number in (column, other))
    if a_number and b_number:
        a, b = _ranks(a), _ranks(b)
        spread = float(np.sqrt((a**2).sum() * (b**2).sum()))
        return spread > 0 and abs(float((a * b).sum())) / spread >= SETTLED["correlation"]
    levels, numbers = (b, a) if a_number else (a, b)
    if a_number or b_number:
        return _few(levels) and between(_ranks(numbers), levels) >= SETTLED["variance"]
    return _few(levels) and _information(column=a, other=b) >= SETTLED["information"]


def memory(columns: list[Column]) -> Callable[[int, int], bool]:
    """`settles` by position in `columns`, each pair worked out once."""
    known: dict[tuple[int, int], bool] = {}

    def ask(column: int, other: int) -> bool:
        if (column, other) not in known:
            known[column, other] = settles(columns[column], columns[other])
        return known[column, other]

    return ask


def _few(codes: np.ndarray) -> bool:
    return len(np.unique(codes)) <= max(2, len(codes) // 10)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Centred mid-ranks: float64 [rows]."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    return (middle - (len(values) + 1) / 2)[inverse.reshape(-1)]


def between(centred: np.ndarray, codes: np.ndarray) -> float:
    """The share of the variance of `centred` (float64 [rows], mean 0) that lies between the groups of `codes` (int [rows], from 0)."""
    sums, sizes = np.bincount(codes, weights=centred), np.bincount(codes)
    return float((sums**2 / np.maximum(sizes, 1)).sum() / max(float((centred**2).sum()), 1e-300))


def _information(column: np.ndarray, other: np.ndarray) -> float:
    """Theil's U: 1 - H(other | column) / H(other); 0 where `other` is constant."""
    whole = _entropy(np.bincount(other))
    joint = _entropy(np.bincount(column * (int(other.max()) + 1) + other))
    return 1 - (joint - _entropy(np.bincount(column))) / whole if whole > 0 else 0.0


def _entropy(counts: np.ndarray) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
