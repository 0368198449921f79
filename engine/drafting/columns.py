"""One column of a file in plain values: what it is taken for, how much of it is there, an example, where to cut it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from engine.datasets.tables.columns import Numbers, Unreadable, Words, why_left_out
from engine.datasets.wording import shortened
from engine.drafting.cuts import round_cuts
from engine.drafting.looks import ColumnLook, ReadAs
from engine.printable import clean

if TYPE_CHECKING:
    import numpy as np

SHOWN_LEVELS = 6
EXAMPLE = 40  # characters
LONG_WORDS, LONG_CHARACTERS = 4, 40  # of a value on average, from which on a column is free text
LOOKED_AT = 500  # values, to tell free text and codes
MANY = 50  # different values above which a column may be free text or an identifier; the scenario's own default for levels
YES_NO = [
    {"yes", "no"}, {"y", "n"}, {"true", "false"}, {"t", "f"}, {"0", "1"}, {"on", "off"}, {"ja", "nein"},
    {"oui", "non"}, {"si", "no"}, {"sí", "no"},
]  # fmt: skip
CODE = re.compile(r"0\d+|(?=.*\d)(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9._/-]*")  # zeros in front, or letters and digits in one word
FORMS: dict[str, ReadAs] = {"money": "money", "per cent": "per cent", "months": "months", "date": "date", "duration": "duration"}
TIMES = ("years", "weeks", "days", "hours", "hrs", "mins", "minutes", "secs", "seconds")


def look_at(column: Numbers | Words | Unreadable, array: Any, read: Numbers | Words | Unreadable) -> ColumnLook:
    """The column as it lies in the file (array, Arrow [rows]) and as it was read, its use left open. read: as it were, were it no label."""
    if isinstance(column, Unreadable):
        return ColumnLook(column.name, "unreadable", array.null_count, 0, "", "left out")
    gone = column.missing
    present = len(gone) - int(gone.sum())
    example = _example(array, gone) if present else ""
    different = _different(column.values) if isinstance(column, Numbers) else len(column.levels)
    levels = _levels(column) if isinstance(column, Words) else ()
    cuts = round_cuts(column.values) if isinstance(column, Numbers) else ()
    as_what = read_as(read, present, different)
    span = _span(column.values) if isinstance(column, Numbers) and present else None
    return ColumnLook(column.name, as_what, int(gone.sum()), different, example, "left out", levels=levels, cuts=cuts, span=span)


def read_as(column: Numbers | Words | Unreadable, present: int, different: int) -> ReadAs:
    """What a column is taken for. present: rows that have a value; different: values."""
    if isinstance(column, Unreadable):
        return "unreadable"
    if not present:
        return "empty"
    if different == 1 and present == len(column.missing):
        return "constant"
    why = why_left_out(column, MANY) or ""
    if isinstance(column, Numbers):
        if "identif" in why or "numbers the rows" in why:
            return "identifier"
        if different == 2 and column.form == "number" and set(_some(column.values)) == {0.0, 1.0}:
            return "yes/no"
        return FORMS.get(column.form, "duration" if column.form in TIMES else "number")
    if column.dates:
        return "date"
    if {level.casefold() for level in column.levels} in YES_NO:
        return "yes/no"
    values = column.levels[:: max(1, len(column.levels) // LOOKED_AT)]
    words = sum(len(value.split()) for value in values) / len(values)
    if different > MANY and (words >= LONG_WORDS or sum(map(len, values)) / len(values) >= LONG_CHARACTERS):
        return "free text" if words > 1.5 else "identifier"
    if sum(map(str.isdigit, values)) > 0.9 * len(values) and len({len(value) for value in values}) == 1 and values[0].isdigit():
        return "code"
    if "identif" in why or "names of persons" in why:
        return "free text" if "free text" in why and words >= 2.5 else "identifier"
    return "code" if sum(CODE.fullmatch(value) is not None for value in values) > 0.5 * len(values) and different > 2 else "category"


def _some(values: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.unique(values[~np.isnan(values)])


def _different(values: np.ndarray) -> int:
    """How many different numbers; values float64 [rows], NaN where missing."""
    import pyarrow as pa
    from pyarrow import compute

    return int(compute.count_distinct(pa.array(values, from_pandas=True)).as_py())


def _span(values: np.ndarray) -> tuple[float, float, float]:
    """The least, the median and the largest; values float64 [rows], NaN where missing, not all of them."""
    import numpy as np

    return float(np.nanmin(values)), float(np.nanmedian(values)), float(np.nanmax(values))


def _levels(column: Words) -> tuple[tuple[str, int], ...]:
    import numpy as np

    count = np.bincount(column.codes[column.codes >= 0], minlength=len(column.levels))
    most = np.argsort(-count, kind="stable")[:SHOWN_LEVELS]
    return tuple((clean(shortened(column.levels[k], EXAMPLE)), int(count[k])) for k in most)


def _example(array: Any, gone: np.ndarray) -> str:
    """The first value that is there, as the file writes it, on one line."""
    import numpy as np

    return clean(shortened(str(array[int(np.argmin(gone))].as_py()), EXAMPLE))
