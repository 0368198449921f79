"""Where to cut a column of numbers into groups of about one size, in numbers that a person would choose."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

GROUPS = 4
LEAST_VALUES = 7  # different ones; fewer are levels as they are
LOOKED_AT = 100_000  # rows
SLACK = 0.045  # of the rows, by which a cut may miss its quantile
LEAST_SHARE = 0.1  # of the rows that each group must have


def round_cuts(values: np.ndarray, groups: int = GROUPS) -> tuple[float, ...]:
    """Ascending cuts near the quantiles, so that each group [cut, next cut) has at least a tenth of the rows; empty where there are none.

    values: float64 [rows], NaN where missing. Of the numbers near a quantile the roundest is taken: 45 for 44.6, 2,500 for 2,471.
    """
    import numpy as np

    present = values[~np.isnan(values)]
    if len(present) > LOOKED_AT:
        present = present[:: len(present) // LOOKED_AT]
    present = np.sort(present)
    if len(present) < 20 or present[0] == present[-1]:
        return ()
    if len(np.unique(present[:: max(1, len(present) // 1000)])) < LEAST_VALUES and len(np.unique(present)) < LEAST_VALUES:
        return ()
    chosen: list[float] = []
    for k in range(1, groups):
        low, high = (float(np.quantile(present, k / groups + off)) for off in (-SLACK, SLACK))
        chosen.append(roundest(low, high, float(np.quantile(present, k / groups))))
    cuts: list[float] = []
    before = 0
    for cut in sorted(set(chosen)):
        at = int(np.searchsorted(present, cut))
        if at - before >= LEAST_SHARE * len(present) and len(present) - at >= LEAST_SHARE * len(present):
            cuts.append(cut)
            before = at
    return tuple(cuts)


def roundest(low: float, high: float, wanted: float) -> float:
    """The number between low and high that has the fewest digits, 1 and 5 before others; of several the nearest to `wanted`."""
    if not low < high:
        return float(f"{wanted:.6g}")
    for power in range(math.ceil(math.log10(high - low)) + 1, math.floor(math.log10(high - low)) - 3, -1):
        for step in (10.0**power, 5 * 10.0 ** (power - 1)):
            nearest = round(wanted / step) * step
            inside = [each for each in (nearest, nearest - step, nearest + step) if low <= each <= high]
            if inside:
                return float(f"{min(inside, key=lambda each: abs(each - wanted)):.12g}")
    return float(f"{wanted:.6g}")
