"""Dates as people write them into days since 1970: one order of day and month for a column, never one for each cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.datasets.tables.distinct import Distinct
from engine.datasets.wording import counted, shortened

if TYPE_CHECKING:
    import numpy as np

DATE = r"^([0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{2,4})([T ].*)?$"
YEAR_FIRST = r"^[0-9]{4}-(0[1-9]|1[0-2])-[0-3][0-9]($|[T ])"
PIECES = r"^(?P<first>[0-9]{1,2})(?P<sign>[-/.])(?P<second>[0-9]{1,2})[-/.](?P<year>[0-9]{4}|[0-9]{2})(?P<rest>[T ].*)?$"
LATEST_SHORT_YEAR = 68  # "68" is 2068, "69" is 1969, as in POSIX


def days(name: str, cells: Distinct) -> tuple[np.ndarray, list[str]]:
    """Days since 1970, float64 [rows], NaN for what is missing or no date; notes."""
    import numpy as np
    import pandas as pd
    from pyarrow import compute

    text = _two_digits(compute.replace_substring_regex(cells.values, r"^([0-9]{4})[/.]([0-9]{1,2})[/.]([0-9]{1,2})", r"\1-\2-\3"))
    parts = compute.extract_regex(text, PIECES)
    year_last = compute.is_valid(parts)
    notes = [f"{name!r}: dates read as days since 1970"]
    if compute.any(year_last).as_py():
        day_first, why = _order(cells, parts)
        text = compute.if_else(year_last, _year_first(parts, day_first), text)
        notes[0] += f", the {'day' if day_first else 'month'} first ({why})"
    text = compute.if_else(compute.match_substring_regex(text, YEAR_FIRST), text, None)  # a 13th month would be read as a day
    parsed = pd.to_datetime(pd.Series(text.to_pylist(), dtype=object), errors="coerce", format="mixed", utc=True)
    since = parsed.dt.as_unit("us") - pd.Timestamp(0, tz="UTC").as_unit("us")  # microseconds reach the year 1
    values = cells.spread(since.dt.total_seconds().to_numpy(np.float64) / 86_400)
    stray = np.isnan(values) & (cells.codes >= 0)
    if stray.any():
        examples = list(dict.fromkeys(cells.codes[stray].tolist()))[:3]
        quoted = ", ".join(repr(shortened(cells.values[code].as_py())) for code in examples)
        notes.append(f"{name!r}: not a date, and taken as missing: {counted(int(stray.sum()), 'value')} ({quoted})")
    return values, notes


def _order(cells: Distinct, parts: Any) -> tuple[bool, str]:
    """Whether the day comes first throughout the column, and why that is believed."""
    from pyarrow import compute

    def rows(mask: Any) -> int:
        return cells.rows(compute.fill_null(mask, False))

    first, second = (compute.cast(compute.struct_field(parts, name), "int64") for name in ("first", "second"))
    only_day_first = rows(compute.and_(compute.greater(first, 12), compute.less_equal(second, 12)))
    only_month_first = rows(compute.and_(compute.greater(second, 12), compute.less_equal(first, 12)))
    if only_day_first or only_month_first:
        day_first = only_day_first >= only_month_first
        return day_first, f"as {max(only_day_first, only_month_first):,} of them can only be read"
    dots = rows(compute.equal(compute.struct_field(parts, "sign"), "."))
    return (True, "as dates with dots are") if dots * 2 > cells.present else (False, "which no value settles")


def _year_first(parts: Any, day_first: bool) -> Any:
    """Year-month-day of the parts."""
    import pyarrow as pa
    from pyarrow import compute

    first, second, year, rest = (compute.struct_field(parts, name) for name in ("first", "second", "year", "rest"))
    number = compute.cast(year, pa.int64())
    century = compute.cast(compute.if_else(compute.greater(number, LATEST_SHORT_YEAR), "19", "20"), pa.large_string())
    none, dash = (pa.scalar(sign, pa.large_string()) for sign in ("", "-"))
    long = compute.if_else(compute.equal(compute.utf8_length(year), 2), compute.binary_join_element_wise(century, year, none), year)
    month, day = (second, first) if day_first else (first, second)
    return _two_digits(compute.binary_join_element_wise(compute.binary_join_element_wise(long, month, day, dash), rest, none))


def _two_digits(text: Any) -> Any:
    """Months and days in two digits, as ISO 8601 writes them."""
    from pyarrow import compute

    text = compute.replace_substring_regex(text, r"^([0-9]{4})-([0-9])-", r"\1-0\2-")
    return compute.replace_substring_regex(text, r"^([0-9]{4}-[0-9]{2})-([0-9])($|[T ])", r"\1-0\2\3")
