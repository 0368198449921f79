"""A column as it lies in the file into numbers or words: found by type, or as told. Text is looked at once per distinct value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.datasets.tables import dates
from engine.datasets.tables.columns import Numbers, Unreadable, Words
from engine.datasets.tables.distinct import MISSING_WORDS as MISSING_WORDS
from engine.datasets.tables.distinct import Distinct, distinct, trimmed
from engine.datasets.tables.numbers import MOSTLY, decimal_of, numbers_in
from engine.datasets.wording import counted, shortened
from engine.errors import BadData

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

PADDED = r"^0[0-9]+$"  # "0042" may be a code: as a number it would lose its zeros
CODE_SHARE = 0.02  # of a column of codes of one width, at least so many begin with a zero
CODE_NAME = re.compile(r"zip|post|plz|code|fips|phone|tel|isbn|ean\b|gtin|sku", re.IGNORECASE)
LARGEST = 3e38  # float32 ends here
PARTS_OF_A_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
SAMPLE = 20_000  # rows of a column in which the file's decimal mark is looked for


@dataclass(frozen=True)
class Spelling:
    """How a file's cells are written. decimal: "," where a column shows that it is its mark; missing: further words that mean missing."""

    decimal: str | None = None
    missing: tuple[str, ...] = ()


USUAL = Spelling()


def spelling_of(arrays: Sequence[pa.ChunkedArray], missing: tuple[str, ...] = ()) -> Spelling:
    """One decimal mark for the file: a comma where a column of numbers can only be read so. arrays: its columns."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import compute

    for array in arrays:
        if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
            continue
        rows = np.unique(np.linspace(0, len(array) - 1, min(SAMPLE, len(array))).astype(np.int64))
        sample = array.take(pa.array(rows)) if len(rows) < len(array) else array
        if compute.any(compute.match_substring(sample, ",")).as_py() and decimal_of(distinct(trimmed(sample, missing)[0])) == ",":
            return Spelling(",", missing)
    return Spelling(None, missing)


def read_column(
    name: str, array: pa.ChunkedArray, where: str, forced: str | None = None, spelling: Spelling = USUAL
) -> Numbers | Words | Unreadable:
    """What the column holds, found by type. forced: "number" or "category". BadData where it cannot be what it is forced to be."""
    import numpy as np
    import pyarrow as pa

    kind = array.type
    if pa.types.is_dictionary(kind):
        array = array.cast(kind.value_type)
        kind = array.type
    if not is_readable(kind):
        if forced:
            raise BadData(f"column {name!r} holds {kind}", where=where, next=f"it cannot be a {forced}: take it out of the scenario")
        return Unreadable(name, f"holds {kind}" + (", an identifier" if "uuid" in str(kind) else ""))
    if pa.types.is_null(kind):
        return Words(name, np.full(len(array), -1, np.int32), ())
    if forced != "category" and pa.types.is_duration(kind):
        seconds = array.cast(pa.int64()).cast(pa.float64(), safe=False).to_numpy() / PARTS_OF_A_SECOND[kind.unit]
        return _finite(name, seconds, (f"{name!r}: lengths of time read as seconds",), form="duration")
    if forced != "category" and (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        values = array.cast(pa.float64(), safe=False).to_numpy()
        values, gone = _without(values, spelling.missing)
        return _finite(name, values, (), gone)
    text, gone = trimmed(array.cast(pa.int64()) if pa.types.is_duration(kind) else array, spelling.missing)
    return _from_text(name, text, where, forced, spelling, gone)


def is_readable(kind: pa.DataType) -> bool:
    """Whether an Arrow type is text, numbers, truths, times or nothing at all. Any other, and any extension of one, is left out."""
    import pyarrow as pa

    of = pa.types
    if of.is_dictionary(kind):
        return is_readable(kind.value_type)
    text = of.is_string(kind) or of.is_large_string(kind) or of.is_string_view(kind)
    number = of.is_integer(kind) or of.is_floating(kind) or of.is_decimal(kind) or of.is_boolean(kind)
    moment = of.is_date(kind) or of.is_timestamp(kind) or of.is_time(kind) or of.is_duration(kind)
    return bool(text or number or moment or of.is_null(kind)) and not isinstance(kind, pa.BaseExtensionType)


def read_label(name: str, array: pa.ChunkedArray, where: str, missing: Sequence[str] = ()) -> Words:
    """A label column's words: missing is an empty cell, NaN and the words given, nothing else. BadData where it holds no words."""
    import pyarrow as pa

    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        return _words(name, distinct(trimmed(array, missing, label=True)[0]))
    if pa.types.is_dictionary(array.type) and is_readable(array.type):
        return read_label(name, array.cast(array.type.value_type), where, missing)
    if pa.types.is_string_view(array.type):
        return read_label(name, array.cast(pa.large_string()), where, missing)
    column = read_column(name, array, where, forced="category", spelling=Spelling(missing=tuple(missing)))
    assert isinstance(column, Words)
    return column


def _from_text(name: str, text: Any, where: str, forced: str | None, spelling: Spelling, gone: dict[str, int]) -> Numbers | Words:
    import pyarrow as pa
    from pyarrow import compute

    if forced == "category":
        return _words(name, distinct(text), gone=gone)
    notes: list[str] = []
    coded = False
    if forced is None:
        coded, notes = _coded(name, text)
    pointed = spelling.decimal == "," and compute.any(compute.match_substring(text, ".")).as_py()
    if not coded and not pointed and text.null_count < len(text):
        try:  # the common case: nothing but numbers (a failing cast is slow, so a few rows go first)
            compute.cast(text.slice(0, 1000), pa.float64())
            values, more = _without(compute.cast(text, pa.float64()).to_numpy(zero_copy_only=False), spelling.missing)
            return _finite(name, values, notes, {**gone, **more})
        except pa.ArrowInvalid:
            pass
    cells = distinct(text)
    dated = cells.share(dates.DATE)
    if forced == "number" and dated >= 0.5:
        return _finite(name, *dates.days(name, cells), gone, "date")
    numbers = None if coded or dated >= MOSTLY else numbers_in(name, cells, MOSTLY if forced is None else 0.0, spelling.decimal)
    if numbers is not None:
        values, more = _without(numbers[0], spelling.missing)
        return _finite(name, values, notes + numbers[1], {**gone, **more}, numbers[2])
    if forced == "number":
        example = cells.values[0].as_py() if len(cells.values) else ""
        raise BadData(
            f"column {name!r} is to be numbers and has none (for instance {example!r})", where=where, next="take it out of dataset.numeric"
        )
    return _words(name, cells, dates=dated >= MOSTLY, gone=gone)


def _coded(name: str, text: Any) -> tuple[bool, list[str]]:
    """Whether the digits of a column are codes, padded with zeros to one width, and a note where only few are padded."""
    from pyarrow import compute

    zeros = compute.filter(text, compute.fill_null(compute.starts_with(text, "0"), False))  # far fewer than all, mostly
    padded = compute.filter(zeros, compute.match_substring_regex(zeros, PADDED))
    if not len(padded):
        return False, []
    digits = compute.drop_null(compute.filter(text, compute.match_substring_regex(text, "^[0-9]+$")))
    widths = compute.value_counts(compute.utf8_length(digits)).to_pylist()
    one_width = max(width["counts"] for width in widths) >= MOSTLY * len(digits)
    share = len(padded) / len(digits)
    if share > 0.5 or (one_width and (share >= CODE_SHARE or CODE_NAME.search(name))):
        return True, []
    examples = ", ".join(repr(shortened(value)) for value in padded.slice(0, 3).to_pylist())
    return False, [
        f"{name!r}: {counted(len(padded), 'value')} with zeros in front ({examples}) read as numbers; dataset.categorical keeps codes"
    ]


def _without(values: np.ndarray, words: Sequence[str]) -> tuple[np.ndarray, dict[str, int]]:
    """Numbers without those that the scenario says mean missing; how many of each."""
    import numpy as np

    gone = {}
    for word in words:
        try:
            hit = values == float(word)
        except ValueError:
            continue
        if hit.any():
            gone[word] = int(hit.sum())
            values = np.where(hit, np.nan, values)
    return values, gone


def _words(name: str, cells: Distinct, dates: bool = False, gone: dict[str, int] | None = None) -> Words:
    import numpy as np
    from pyarrow import compute

    order = compute.sort_indices(cells.values).to_numpy()
    rank = np.full(len(order) + 1, -1, np.int32)  # the last is for missing
    rank[order] = np.arange(len(order), dtype=np.int32)
    return Words(name, rank[cells.codes], tuple(compute.take(cells.values, order).to_pylist()), dates=dates, gone=gone or {})


def _finite(name: str, values: np.ndarray, notes: Sequence[str], gone: dict[str, int] | None = None, form: str = "number") -> Numbers:
    """Infinite and unrepresentable numbers become missing, aloud."""
    import numpy as np

    with np.errstate(invalid="ignore"):
        beyond = np.abs(values) > LARGEST
    if beyond.any():
        notes = (*notes, f"{name!r}: infinite or too large, and taken as missing: {counted(int(beyond.sum()), 'value')}")
        values = np.where(beyond, np.nan, values)
    return Numbers(name, np.asarray(values, np.float64), tuple(notes), gone=gone or {}, form=form)
