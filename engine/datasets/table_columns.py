"""What a column of one's own table means: numbers or words, what is missing in it, and whether a model should see it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.datasets.wording import counted
from engine.errors import BadData

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

MISSING_WORDS = ("", "?", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "missing")
MISSING = "missing"  # the level of a missing word, and how it is shown
MOSTLY = 0.95  # a column is numbers, or dates, where at least this share of what it holds is
PLAIN = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
ENGLISH = r"^[+-]?([0-9]+|[0-9]{1,3}(,[0-9]{3})+)(\.[0-9]*)?$|" + PLAIN
EUROPEAN = r"^[+-]?([0-9]+|[0-9]{1,3}(\.[0-9]{3})+)(,[0-9]+)?$"
GROUP_SPACE = "([0-9])[ '\u00a0\u2009\u202f]([0-9]{3})"
CODE = r"^0[0-9]"  # "0042" is a code: as a number it would lose its zeros
DATE = r"^([0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{2,4})([T ].*)?$"
ID_NAME = re.compile(r"(^|[_\-. ])(id|uuid|guid|rowid|index|key)$|[a-z]I[dD]$", re.ASCII)
LARGEST = 3e38  # float32 ends here


@dataclass(frozen=True)
class Numbers:
    """A column of numbers: float64 [rows], NaN where missing. said: what was done to read it so."""

    name: str
    values: np.ndarray
    said: tuple[str, ...] = ()

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

    @property
    def missing(self) -> np.ndarray:
        return self.codes < 0


@dataclass(frozen=True)
class Unreadable:
    """A column that holds neither numbers nor words (lists, bytes, structures)."""

    name: str
    why: str


def read_column(name: str, array: pa.ChunkedArray, where: str, forced: str | None = None) -> Numbers | Words | Unreadable:
    """What the column holds, found by type. forced: "number" or "category". BadData where it cannot be what it is forced to be."""
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
        return _words(name, pa.array([""] * len(array), pa.large_string()), ())
    return _from_text(name, _text(array), where, forced)


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


# ---- text -----------------------------------------------------------------------------------------------------------


def _text(array: pa.ChunkedArray) -> Any:
    """Trimmed text [rows], null where missing."""
    import pyarrow as pa
    from pyarrow import compute

    text: Any = compute.utf8_trim_whitespace(array.cast(pa.large_string()))
    spellings = sorted({spelling for word in MISSING_WORDS for spelling in (word, word.upper(), word.title(), _camel(word))})
    gone = compute.is_in(text, value_set=pa.array(spellings, pa.large_string()))
    return compute.if_else(gone, pa.scalar(None, pa.large_string()), text)


def _camel(word: str) -> str:
    return {"nan": "NaN", "n/a": "N/a"}.get(word, word)


def _from_text(name: str, text: Any, where: str, forced: str | None) -> Numbers | Words:
    import pyarrow as pa
    from pyarrow import compute

    if forced == "category":
        return _words(name, text, ())
    codes = compute.any(compute.match_substring_regex(text, CODE)).as_py() and forced is None
    if not codes:
        try:  # the common case: nothing but numbers
            return (
                _finite(name, compute.cast(text, pa.float64()).to_numpy(zero_copy_only=False), ()) if _any(text) else _words(name, text, ())
            )
        except pa.ArrowInvalid:
            pass
        if forced == "number" and _share(compute.match_substring_regex(text, DATE), text) >= 0.5:
            return _days(name, text)
        numbers = _odd_numbers(name, text, at_least=MOSTLY if forced is None else 0.0)
        if numbers is not None:
            return numbers
    if forced == "number":
        example = next((value for value in text.to_pylist() if value is not None), "")
        raise BadData(
            f"column {name!r} is to be numbers and has none (for instance {example!r})", where=where, next="take it out of dataset.numeric"
        )
    return _words(name, text, (), dates=_share(compute.match_substring_regex(text, DATE), text) >= MOSTLY)


def _odd_numbers(name: str, text: Any, at_least: float) -> Numbers | None:
    """Numbers with thousands separators, decimal commas or stray words among them; None where too few are numbers."""
    import pyarrow as pa
    from pyarrow import compute

    plain = compute.replace_substring_regex(compute.replace_substring_regex(text, GROUP_SPACE, r"\1\2"), GROUP_SPACE, r"\1\2")
    english, european = (compute.match_substring_regex(plain, pattern) for pattern in (ENGLISH, EUROPEAN))
    comma = _share(european, text) > _share(english, text)
    fits = european if comma else english
    share = _share(fits, text)
    if share < at_least or share == 0:
        return None
    said = []
    if comma:
        plain = compute.replace_substring(compute.replace_substring(plain, ".", ""), ",", ".")
        said.append(f"{name!r}: read with decimal commas")
    else:
        grouped = _count(compute.and_(fits, compute.match_substring(plain, ",")))
        plain = compute.replace_substring(plain, ",", "")
        if grouped:
            said.append(f"{name!r}: commas in {counted(grouped, 'value')} read as thousands separators")
    stray = compute.and_(compute.invert(fits), compute.is_valid(text))
    if strays := _count(stray):
        examples = compute.unique(compute.filter(text, stray)).to_pylist()[:3]
        said.append(f"{name!r}: not a number, and taken as missing: {counted(strays, 'value')} ({', '.join(map(repr, examples))})")
    numbers = compute.cast(compute.if_else(fits, plain, pa.scalar(None, pa.large_string())), pa.float64())
    return _finite(name, numbers.to_numpy(zero_copy_only=False), tuple(said))


def _words(name: str, text: Any, said: tuple[str, ...], dates: bool = False) -> Words:
    import numpy as np
    import pyarrow as pa
    from pyarrow import compute

    whole = text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text
    whole = compute.if_else(compute.equal(whole, ""), pa.scalar(None, pa.large_string()), whole)
    coded = whole.dictionary_encode()
    levels = coded.dictionary.to_pylist()
    order = np.argsort(np.array(levels, dtype=object), kind="stable")
    rank = np.empty(len(levels), np.int32)
    rank[order] = np.arange(len(levels), dtype=np.int32)
    raw = compute.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)
    codes = np.where(raw < 0, np.int32(-1), rank[raw] if len(levels) else np.int32(-1)).astype(np.int32)
    return Words(name, codes, tuple(levels[i] for i in order), said, dates)


def _days(name: str, text: Any) -> Numbers:
    """Dates as days since 1970; what is no date is missing, aloud."""
    import numpy as np
    import pandas as pd

    column = _words(name, text, ())
    parsed = pd.to_datetime(pd.Series(column.levels, dtype=object), errors="coerce", format="mixed", utc=True)
    since = parsed.dt.as_unit("us") - pd.Timestamp(0, tz="UTC").as_unit("us")  # microseconds reach the year 1
    days = np.append(since.dt.total_seconds().to_numpy(np.float64) / 86_400, np.nan)  # the last is for missing
    values = days[column.codes]
    said = [f"{name!r}: dates read as days since 1970, the month first where that is open"]
    if strays := int((np.isnan(values) & ~column.missing).sum()):
        said.append(f"{name!r}: not a date, and taken as missing: {counted(strays, 'value')}")
    return _finite(name, values, said)


def _finite(name: str, values: np.ndarray, said: Sequence[str]) -> Numbers:
    """Infinite and unrepresentable numbers become missing, aloud."""
    import numpy as np

    with np.errstate(invalid="ignore"):
        beyond = np.abs(values) > LARGEST
    if beyond.any():
        said = (*said, f"{name!r}: infinite or too large, and taken as missing: {counted(int(beyond.sum()), 'value')}")
        values = np.where(beyond, np.nan, values)
    return Numbers(name, np.asarray(values, np.float64), tuple(said))


def _any(text: Any) -> bool:
    return text.null_count < len(text)


def _count(mask: Any) -> int:
    from pyarrow import compute

    return int(compute.sum(mask).as_py() or 0)


def _share(mask: Any, text: Any) -> float:
    """Share of the present values for which mask holds."""
    present = len(text) - text.null_count
    return _count(mask) / present if present else 0.0
