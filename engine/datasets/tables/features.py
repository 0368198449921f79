"""Columns into the features of a model: levels, medians and scales are learnt from train rows alone, or from those of aux."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engine.datasets.tables.columns import MISSING, Numbers, Words
from engine.datasets.wording import counted, shortened
from engine.errors import BadData

if TYPE_CHECKING:
    import numpy as np

OTHER = "other"


@dataclass(frozen=True)
class NumberFeature:
    """A number, its missing values filled with the median of train, and with a 0/1 column beside it where train has missing ones."""

    column: Numbers
    fill: float
    flagged: bool
    mean: float = 0.0
    scale: float = 1.0

    @property
    def names(self) -> tuple[str, ...]:
        return (self.column.name, f"{self.column.name} is missing") if self.flagged else (self.column.name,)

    @property
    def kept(self) -> tuple[str, ...]:
        """Levels that are told apart: numbers have none."""
        return ()

    def unseen(self, rows: np.ndarray) -> int:
        """How many of the rows have a value for which there is no feature: none."""
        return 0

    def write(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Into out, float32 [rows, len(names)]."""
        import numpy as np

        values = self.column.values[rows]
        gone = np.isnan(values)
        out[:, 0] = (np.where(gone, self.fill, values) - self.mean) / self.scale
        if self.flagged:
            out[:, 1] = gone


@dataclass(frozen=True)
class WordFeature:
    """One 0/1 column per level (of two levels, the second alone). place: int32 [levels of the column + 1] -> kept level, -1 for
    none of them; its last entry is where missing goes. kept: names of the kept levels."""

    column: Words
    place: np.ndarray
    kept: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        shown = self.kept[1:] if len(self.kept) == 2 else self.kept
        return tuple(f"{self.column.name}={shortened(level)}" for level in shown)

    def unseen(self, rows: np.ndarray) -> int:
        """How many of the rows have a value that train lacks, where there is no "other" to take it."""
        return int((self.place[self.column.codes[rows]] < 0).sum())

    def write(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Into out, float32 [rows, len(names)], zeros before."""
        import numpy as np

        at = self.place[self.column.codes[rows]] - (len(self.kept) == 2)
        seen = np.flatnonzero(at >= 0)
        out[seen, at[seen]] = 1.0


Feature = NumberFeature | WordFeature


def fit(
    columns: Sequence[Numbers | Words], train: np.ndarray, max_categories: int, standard: bool
) -> tuple[tuple[Feature, ...], list[str]]:
    """Features of the columns, learnt from the train rows (int [n]), or those given in their place, and notes on them."""
    features: list[Feature] = []
    notes: list[str] = []
    for column in columns:
        if isinstance(column, Numbers):
            features.append(_number(column, train, standard))
        else:
            feature, merged = _word(column, train, max_categories)
            features.append(feature)
            if merged:
                gone = counted(merged, "rare value")
                notes.append(f"{column.name!r}: {gone} merged into {OTHER!r}, the {max_categories - 1:,} most frequent kept")
    return tuple(features), notes


def encode(features: Sequence[Feature], rows: np.ndarray) -> np.ndarray:
    """float32 [rows, features] of the given rows (int [n])."""
    import numpy as np

    x = np.zeros((len(rows), sum(len(f.names) for f in features)), np.float32)
    start = 0
    for feature in features:
        feature.write(rows, x[:, start : (start := start + len(feature.names))])
    return x


def assert_fits_memory(rows: int, features: int, where: str) -> None:
    """BadData where the encoded rows alone would take more than half of this machine's memory."""
    needed = rows * features * 4
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return
    if needed > memory / 2:
        raise BadData(
            f"{rows:,} rows of {features:,} features would take {needed / 2**30:.1f} GiB; this machine has {memory / 2**30:.1f} GiB",
            where=where,
            next="set dataset.rows, lower dataset.max_categories, or drop columns",
        )


def _number(column: Numbers, train: np.ndarray, standard: bool) -> NumberFeature:
    import numpy as np

    values = column.values[train]
    gone = np.isnan(values)
    fill = float(np.median(values[~gone])) if not gone.all() else 0.0
    feature = NumberFeature(column, fill, bool(gone.any()))
    if not standard:
        return feature
    filled = np.where(gone, fill, values)
    deviation = float(filled.std())
    return replace(feature, mean=float(filled.mean()), scale=deviation if deviation > 0 else 1.0)


def _word(column: Words, train: np.ndarray, max_categories: int) -> tuple[WordFeature, int]:
    """The levels that train has, the most frequent kept where they are too many; rarer and unseen ones become "other"."""
    import numpy as np

    names = np.array([*column.levels, MISSING], dtype=object)
    count = np.bincount(column.codes[train] % len(names), minlength=len(names))  # -1 wraps to the last
    seen = np.flatnonzero(count)
    place = np.full(len(names), -1, np.int32)
    if len(seen) <= max_categories:
        place[seen] = np.arange(len(seen))
        return WordFeature(column, place, tuple(names[seen])), 0
    # a level that is itself called "other" joins the rest
    seen = seen[names[seen] != OTHER]
    frequent = np.sort(seen[np.argsort(-count[seen], kind="stable")][: max_categories - 1])
    place[:] = len(frequent)
    place[frequent] = np.arange(len(frequent))
    return WordFeature(column, place, (*names[frequent], OTHER)), len(seen) - len(frequent)
