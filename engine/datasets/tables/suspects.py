"""Columns of one's own table that need a second look: copies, entities that stand in train and test, numbers that stand for missing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.datasets.tables.columns import STRICT_ID, Numbers, Words
from engine.datasets.tables.file import RawTable
from engine.datasets.tables.reading import read_column
from engine.datasets.wording import counted, listed, shortened

if TYPE_CHECKING:
    import numpy as np

ENTITY = re.compile(  # with an id behind it, or alone
    r"^(patient|subject|participant|speaker)s?$"
    r"|(patient|subject|person|user|customer|client|participant|household|family|respondent|student|pupil|employee|speaker|author"
    r"|session|member|donor|animal|mouse|device|account|borrower|applicant|owner|player|driver|vehicle|site|group)s?"
    r"[_\-. ]*(id|no|nr|number|code)$",
    re.IGNORECASE,
)
FEW_ENTITIES = 20  # an id with fewer values is taken for a category, unless its name says that it is a person's or the like
BEGINNING = 5_000  # rows that often show already that a column has too many values
SENTINELS = frozenset({-1, *(sign * int(digit * n) for sign in (-1, 1) for digit in "978" for n in range(1, 7))})


def copies(columns: Sequence[Numbers | Words]) -> dict[str, str]:
    """Name of a column -> name of an earlier one that holds the very same values."""
    first: dict[bytes, str] = {}
    copy_of = {}
    for column in columns:
        known = first.setdefault(_digest(column), column.name)
        if known != column.name:
            copy_of[column.name] = known
    return copy_of


def renamings(columns: Sequence[Numbers | Words], most_levels: int) -> list[str]:
    """That two columns say the same in other words ("DE" where the other has "Germany"), said of columns of a few values."""
    import numpy as np

    first: dict[bytes, str] = {}
    notes = []
    for column in columns:
        codes = column.codes if isinstance(column, Words) else np.where(column.missing, np.nan, column.values)
        if len(np.unique(codes[:BEGINNING])) > most_levels:
            continue
        _, at, inverse = np.unique(codes, return_index=True, return_inverse=True)
        if not 2 < len(at) <= most_levels:  # of two values each, many columns are each other's by chance or on purpose
            continue
        order = np.empty(len(at), np.int32)
        order[np.argsort(at)] = np.arange(len(at), dtype=np.int32)  # levels numbered as they first appear
        known = first.setdefault(order[inverse].tobytes(), column.name)
        if known != column.name:
            notes.append(
                f"{column.name!r} says the same as {known!r} in other words, and both are fed: dataset.drop = [{column.name!r}] leaves one"
            )
    return notes


def list_notes(columns: Sequence[Numbers | Words]) -> list[str]:
    """That most cells of a column are lists, as JSON writes them: each different list is fed as a value of its own."""
    notes = []
    for column in columns:
        if isinstance(column, Words):
            lists = [level for level in column.levels if level.startswith("[") and level.endswith("]")]
            if len(lists) > len(column.levels) / 2:
                notes.append(
                    f"{column.name!r} holds lists ({shortened(lists[0])}), and each different list is a value of its own: "
                    f"dataset.drop = [{column.name!r}] leaves it out, a column for each of their members says more"
                )
    return notes


def _digest(column: Numbers | Words) -> bytes:
    from hashlib import blake2b

    import numpy as np

    digest = blake2b(digest_size=16)
    if isinstance(column, Numbers):
        digest.update(np.where(column.missing, np.nan, column.values + 0.0).tobytes())  # one NaN, no minus zero
    else:
        digest.update("\0".join(column.levels).encode() + column.codes.tobytes())
    return digest.digest()


def entity_notes(raw: RawTable, known: Sequence[str | None], splits: Sequence[np.ndarray]) -> list[str]:
    """That rows of one person, patient and so on stand in train and in test. known: columns whose role is known; splits: rows of each."""
    import numpy as np

    train, _, test = splits
    notes = []
    for name, array in zip(raw.names, raw.arrays, strict=True):
        named = ENTITY.search(name)
        if name in known or not (named or STRICT_ID.search(name)):
            continue
        column = read_column(name, array, str(raw.path), forced=None if not _texts(array) else "category")
        if not isinstance(column, Numbers | Words):
            continue
        values = column.codes.astype(np.float64) if isinstance(column, Words) else column.values
        values = np.where(column.missing, np.nan, values)
        present = values[np.concatenate(splits)]
        present = present[~np.isnan(present)]
        different = len(np.unique(present))
        if different < 2 or different > 0.95 * len(present) or (not named and different <= FEW_ENTITIES):
            continue
        inside = values[test][~np.isnan(values[test])]
        both = int(np.isin(inside, values[train]).sum())
        if both:
            notes.append(
                f"{name!r} repeats ({counted(different, 'value')} in {counted(len(present), 'row')}): {both:,} of "
                f"{counted(len(test), 'test row')} belong to one that train has rows of too, which makes test easier than the world; "
                "a dataset.split_column of your own keeps them apart"
            )
    return notes


def _texts(array: object) -> bool:
    import pyarrow as pa

    kind = array.type  # type: ignore[attr-defined]
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def sentinel_notes(columns: Sequence[Numbers | Words], rows: np.ndarray) -> list[str]:
    """Numbers that stand for a missing value, as -999 does: they repeat, and lie far from the rest of their column. rows: int [n]."""
    notes = []
    for column in columns:
        if isinstance(column, Numbers):
            suspected = [f"{value:g} in {counted(n, 'row')}" for value, n in sentinels(column.values[rows])]
            if suspected:
                words = ", ".join(f'"{item.split()[0]}"' for item in suspected)
                notes.append(
                    f"{column.name!r}: {listed(suspected)}, far from the rest: does it mean missing? it is read as a number; "
                    f"dataset.missing_words = [{words}] makes it missing"
                )
    return notes


def sentinels(values: np.ndarray) -> list[tuple[float, int]]:
    """(value, rows) of the ends of a column that are -1, -9, -99, 999 and so on, repeat, and lie farther off than the rest is wide."""
    import numpy as np

    distinct, count = np.unique(values[~np.isnan(values)], return_counts=True)
    outliers: list[tuple[float, int]] = []
    low, high = 0, len(distinct)
    while high - low > 5:
        rest_low, rest_high = distinct[low + 1], distinct[high - 1]
        if _stands_out(distinct[low], count[low], rest_low, rest_high, count[low:high].sum()):
            outliers.append((float(distinct[low]), int(count[low])))
            low += 1
            continue
        rest_low, rest_high = distinct[low], distinct[high - 2]
        if _stands_out(distinct[high - 1], count[high - 1], rest_low, rest_high, count[low:high].sum()):
            outliers.append((float(distinct[high - 1]), int(count[high - 1])))
            high -= 1
            continue
        break
    return outliers


def _stands_out(value: float, rows: int, rest_low: float, rest_high: float, of: int) -> bool:
    if value not in SENTINELS or rows < 2 or rows < 0.002 * of:
        return False
    if value < rest_low:  # "-9" below numbers of which none is negative needs no gap
        return bool(rest_low >= 0) or bool(rest_low - value >= rest_high - rest_low)
    return bool(value - rest_high >= rest_high - rest_low)
