"""A column as it lies in the file into numbers or words: found by type, or as told. Text is looked at once per distinct value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.datasets.tables.columns import MISSING, Numbers, Unreadable, Words
from engine.datasets.wording import counted, shortened
from engine.errors import BadData

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

MISSING_WORDS = ("", "?", "na", "n/a", "#n/a", "nan", "null", "none", "nil", MISSING)
MOSTLY = 0.95  # a column is numbers, or dates, where at least this share of what it holds is
PLAIN = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
ENGLISH = r"^[+-]?([0-9]+|[0-9]{1,3}(,[0-9]{3})+)(\.[0-9]*)?$|" + PLAIN
EUROPEAN = r"^[+-]?([0-9]+|[0-9]{1,3}(\.[0-9]{3})+)(,[0-9]+)?$"
GROUP_SPACE = "([0-9])[ '\u00a0\u2009\u202f]([0-9]{3})"
CODE = r"^0[0-9]"  # "0042" is a code: as a number it would lose its zeros
DATE = r"^([0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{2,4})([T ].*)?$"
LARGEST = 3e38  # float32 ends here


def read_column(name: str, array: pa.ChunkedArray, where: str, forced: str | None = None) -> Numbers | Words | Unreadable:
    """What the column holds, found by type. forced: "number" or "category". BadData where it cannot be what it is forced to be."""
    import numpy as np
    import pyarrow as pa

    kind = array.type
    if pa.types.is_dictionary(kind):
        array = array.cast(kind.value_type)
        kind = array.type
    if forced != "category" and (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return _finite(name, array.cast(pa.float64(), safe=False).to_numpy(), ())
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        if forced:
            raise BadData(f"column {name!r} holds {kind}", where=where, next=f"it cannot be a {forced}: take it out of the scenario")
        return Unreadable(name, f"holds {kind}")
    if pa.types.is_null(kind):
        return Words(name, np.full(len(array), -1, np.int32), ())
    return _from_text(name, _trimmed(array), where, forced)


@dataclass(frozen=True)
class _Distinct:
    """Text by its distinct values. values: Arrow text [distinct]; codes: int32 [rows] into it, -1 where missing; count: [distinct]."""

    values: Any
    codes: np.ndarray
    count: np.ndarray

    def rows(self, mask: Any) -> int:
        """In how many rows the mask over the distinct values holds."""
        return int(self.count[mask.to_numpy(zero_copy_only=False)].sum())

    def share(self, pattern: str) -> float:
        """Share of the present rows whose value matches."""
        from pyarrow import compute

        return self.rows(compute.match_substring_regex(self.values, pattern)) / max(1, int(self.count.sum()))

    def spread(self, numbers: np.ndarray) -> np.ndarray:
        """One number per distinct value, [distinct], to one per row; NaN where missing."""
        import numpy as np

        return np.append(numbers, np.nan)[self.codes]


def _trimmed(array: pa.ChunkedArray) -> Any:
    """Trimmed text [rows], null where missing."""
    import pyarrow as pa
    from pyarrow import compute

    text: Any = compute.utf8_trim_whitespace(array.cast(pa.large_string()))
    spellings = {spelling for word in MISSING_WORDS for spelling in (word, word.upper(), word.title())} | {"NaN", "N/a"}
    gone = compute.is_in(text, value_set=pa.array(sorted(spellings), pa.large_string()))
    text = compute.if_else(gone, pa.scalar(None, pa.large_string()), text)
    return text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text


def _distinct(text: Any) -> _Distinct:
    import numpy as np
    from pyarrow import compute

    coded = text.dictionary_encode()
    codes = compute.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32)
    return _Distinct(coded.dictionary, codes, np.bincount(codes + 1, minlength=len(coded.dictionary) + 1)[1:])


def _from_text(name: str, text: Any, where: str, forced: str | None) -> Numbers | Words:
    import pyarrow as pa
    from pyarrow import compute

    if forced == "category":
        return _words(name, _distinct(text))
    zeros = compute.filter(text, compute.fill_null(compute.starts_with(text, "0"), False))  # far fewer than all, mostly
    coded = forced is None and compute.any(compute.match_substring_regex(zeros, CODE)).as_py()
    if not coded and text.null_count < len(text):
        try:  # the common case: nothing but numbers (a failing cast is slow, so a few rows go first)
            compute.cast(text.slice(0, 1000), pa.float64())
            return _finite(name, compute.cast(text, pa.float64()).to_numpy(zero_copy_only=False), ())
        except pa.ArrowInvalid:
            pass
    found = _distinct(text)
    dates = found.share(DATE)
    if forced == "number" and dates >= 0.5:
        return _days(name, found)
    numbers = None if coded else _odd_numbers(name, found, at_least=MOSTLY if forced is None else 0.0)
    if numbers is not None:
        return numbers
    if forced == "number":
        example = found.values[0].as_py() if len(found.values) else ""
        raise BadData(
            f"column {name!r} is to be numbers and has none (for instance {example!r})", where=where, next="take it out of dataset.numeric"
        )
    return _words(name, found, dates=dates >= MOSTLY)


def _odd_numbers(name: str, found: _Distinct, at_least: float) -> Numbers | None:
    """Numbers with thousands separators, decimal commas or stray words among them; None where too few are numbers."""
    import pyarrow as pa
    from pyarrow import compute

    plain: Any = found.values
    for _ in range(2):  # each pass takes every other separator
        plain = compute.replace_substring_regex(plain, GROUP_SPACE, r"\1\2")
    english, european = (compute.match_substring_regex(plain, pattern) for pattern in (ENGLISH, EUROPEAN))
    comma = found.rows(european) > found.rows(english)
    fits = european if comma else english
    if not found.rows(fits) or found.rows(fits) < at_least * found.count.sum():
        return None
    said = []
    if comma:
        plain = compute.replace_substring(compute.replace_substring(plain, ".", ""), ",", ".")
        said.append(f"{name!r}: read with decimal commas")
    else:
        grouped = found.rows(compute.and_(fits, compute.match_substring(plain, ",")))
        plain = compute.replace_substring(plain, ",", "")
        if grouped:
            said.append(f"{name!r}: commas in {counted(grouped, 'value')} read as thousands separators")
    stray = compute.invert(fits)
    if strays := found.rows(stray):
        examples = [shortened(value) for value in compute.filter(found.values, stray).slice(0, 3).to_pylist()]
        said.append(f"{name!r}: not a number, and taken as missing: {counted(strays, 'value')} ({', '.join(map(repr, examples))})")
    numbers = compute.cast(compute.if_else(fits, plain, pa.scalar(None, pa.large_string())), pa.float64())
    return _finite(name, found.spread(numbers.to_numpy(zero_copy_only=False)), said)


def _words(name: str, found: _Distinct, dates: bool = False) -> Words:
    import numpy as np
    from pyarrow import compute

    order = compute.sort_indices(found.values).to_numpy()
    rank = np.full(len(order) + 1, -1, np.int32)  # the last is for missing
    rank[order] = np.arange(len(order), dtype=np.int32)
    return Words(name, rank[found.codes], tuple(compute.take(found.values, order).to_pylist()), dates=dates)


def _days(name: str, found: _Distinct) -> Numbers:
    """Dates as days since 1970; what is no date is missing, aloud."""
    import numpy as np
    import pandas as pd

    parsed = pd.to_datetime(pd.Series(found.values.to_pylist(), dtype=object), errors="coerce", format="mixed", utc=True)
    since = parsed.dt.as_unit("us") - pd.Timestamp(0, tz="UTC").as_unit("us")  # microseconds reach the year 1
    days = found.spread(since.dt.total_seconds().to_numpy(np.float64) / 86_400)
    said = [f"{name!r}: dates read as days since 1970, the month first where that is open"]
    if strays := int((np.isnan(days) & (found.codes >= 0)).sum()):
        said.append(f"{name!r}: not a date, and taken as missing: {counted(strays, 'value')}")
    return _finite(name, days, said)


def _finite(name: str, values: np.ndarray, said: Sequence[str]) -> Numbers:
    """Infinite and unrepresentable numbers become missing, aloud."""
    import numpy as np

    with np.errstate(invalid="ignore"):
        beyond = np.abs(values) > LARGEST
    if beyond.any():
        said = (*said, f"{name!r}: infinite or too large, and taken as missing: {counted(int(beyond.sum()), 'value')}")
        values = np.where(beyond, np.nan, values)
    return Numbers(name, np.asarray(values, np.float64), tuple(said))
