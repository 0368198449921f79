"""How many poison points, and which rows they copy."""

from __future__ import annotations

import numpy as np

from engine.errors import RequestError
from engine.seeds import generator


def draw(members: np.ndarray, points: int, *, seed: int, trial: int, subpopulation: int) -> np.ndarray:
    """int64 [points], drawn with replacement from `members` (row numbers).

    One stream per (seed, trial, subpopulation), read from its start, so that fewer points are the first of more points.
    """
    if points and not len(members):
        raise no_rows(subpopulation, points)
    if not points:
        return np.empty(0, dtype=np.int64)
    # Doubles, not bounded integers: one stream position per point, whatever the number of members
    shares = generator(seed, "poison", trial, subpopulation).random(points)
    return members[(shares * len(members)).astype(np.int64)].astype(np.int64)


def no_rows(subpopulation: int, points: int) -> RequestError:
    return RequestError(
        f"subpopulation {subpopulation} has no auxiliary rows to make {points} poison points of",
        where="subpopulations",
        next="set min_size to at least 1",
    )
