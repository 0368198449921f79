"""What a column of one's own table holds, numbers or words, and whether a model should be fed it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

MISSING = "missing"  # the level of a missing word, and how it is shown
ID_NAME = re.compile(r"(^|[_\-. ])(id|uuid|guid|rowid|index|key)$|[a-z]I[dD]$", re.ASCII)


@dataclass(frozen=True)
class Numbers:
    """A column of numbers: float64 [rows], NaN where missing. said: what was done to read it so; gone: words read as missing -> rows."""

    name: str
    values: np.ndarray
    said: tuple[str, ...] = ()
    gone: Mapping[str, int] = field(default_factory=dict)

    @property
    def missing(self) -> np.ndarray:
        import numpy as np

        return np.isnan(self.values)


@dataclass(frozen=True)
class Words:
    """A column of words: int32 [rows] into levels (trimmed, sorted), -1 where missing. dates: they read as dates."""

    name: str
    codes: np.ndarray
    levels: tuple[str, ...]
    said: tuple[str, ...] = ()
    dates: bool = False
    gone: Mapping[str, int] = field(default_factory=dict)

    @property
    def missing(self) -> np.ndarray:
        return self.codes < 0


@dataclass(frozen=True)
class Unreadable:
    """A column that holds neither numbers nor words (lists, bytes, structures)."""

    name: str
    why: str


def why_left_out(column: Numbers | Words, max_categories: int) -> str | None:
    """Why a model should not be fed this column unless a person says so, or None."""
    import numpy as np

    present = ~column.missing
    n = int(present.sum())
    if n == 0:
        return "all missing"
    if isinstance(column, Numbers):
        values = column.values[present]
        if values.min() == values.max():
            return None if n < len(present) else "the same in every row"
        whole = n == len(present) and n >= 20 and bool((values == np.round(values)).all()) and len(np.unique(values)) == n
        if whole and values.max() - values.min() == n - 1:
            return "numbers the rows"
        return "an identifier, different in every row" if whole and ID_NAME.search(column.name) else None
    counts = np.bincount(column.codes[present], minlength=len(column.levels))
    different = int((counts > 0).sum())
    if different == 1:
        return None if n < len(present) else "the same in every row"
    if column.dates:
        return "dates; list it in dataset.numeric for days, or in dataset.annotations"
    kept = np.sort(counts)[::-1][: max_categories - 1].sum()
    if different > max_categories and (different > n / 2 or kept < n / 10):
        return f"an identifier or free text: {different:,} different values in {n:,} rows"
    return None
