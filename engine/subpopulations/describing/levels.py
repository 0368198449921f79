"""How one raw column reads: missing values, numbers, ranges, and the words for a level. Shared by both matchers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

MISSING = "missing"
_MARKS = frozenset({"", "?", "na", "n/a", "nan", "none", "null", MISSING})
# fmt: off
_SAYS_NOTHING = frozenset({
    "yes", "no", "true", "false", "on", "off", "other", "others", "unknown", "none", "all", "any", "never", "always", "first", "last",
    "low", "lower", "lowest", "mid", "middle", "medium", "centre", "center", "high", "higher", "highest", "left", "right", "top", "bottom",
    "upper", "small", "smaller", "smallest", "large", "larger", "largest", "thin", "thinner", "thinnest", "thick", "thicker", "thickest",
    "light", "dark", "weak", "strong", "good", "bad", "new", "old", "short", "long", MISSING,
})
# fmt: on


def plain(column: pd.Series) -> pd.Series:
    """The column without pandas' category type, and whole numbers among mixed values as such (9.0 beside "9" is one level)."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.astype(column.cat.categories.dtype)
    if column.dtype == object:
        return column.map(lambda value: number(value).replace(",", "") if isinstance(value, float) and np.isfinite(value) else value)
    return column


def in_order(names: Iterable[str]) -> list[str]:
    """Levels in reading order: by number where all are numbers ("9" before "10"), else by letter."""
    names = list(names)
    try:
        return sorted(names, key=lambda name: (float(name), name))
    except ValueError:
        return sorted(names)


def is_missing(column: pd.Series) -> np.ndarray:
    """bool [rows]: no value, or one of the marks that stand for none ("?", "", "NA", ...)."""
    column = plain(column)
    gone = column.isna().to_numpy(dtype=bool)
    if pd.api.types.is_numeric_dtype(column):
        return gone
    text = column.astype("string").str.strip().str.lower()
    return gone | text.isin(_MARKS).fillna(False).to_numpy(dtype=bool)


def numbers(column: pd.Series, *, parse: bool = False) -> np.ndarray | None:
    """float64 [rows], NaN where missing; None where the column is not one of numbers.

    parse: a column of text counts too where every value that is not missing reads as a number.
    """
    column = plain(column)
    if pd.api.types.is_bool_dtype(column):
        return None
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    if not parse:
        return None
    values = pd.to_numeric(column.astype("string").str.strip(), errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return None if (np.isnan(values) & ~is_missing(column)).any() else values


def text(column: pd.Series) -> np.ndarray:
    """object [rows] of str: the value as a person reads it, MISSING where there is none."""
    column = plain(column)
    values = numbers(column)
    if values is not None:
        read = np.array([number(value) for value in values], dtype=object)
    else:
        read = column.astype("string").str.strip().to_numpy(dtype=object, na_value=MISSING)
    read[is_missing(column)] = MISSING
    return read


def integral(values: np.ndarray) -> bool:
    """Whether every number that is there is whole."""
    finite = values[np.isfinite(values)]
    return bool((finite == np.floor(finite)).all())


def number(value: float, digits: int = 3) -> str:
    """A number for reading: whole ones in full ("12,285"), others to so many significant digits ("0.0417"), none before the point lost."""
    if not np.isfinite(value):
        return MISSING if np.isnan(value) else str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}" if abs(value) >= 10_000 else str(int(value))
    if not 100 <= abs(value) < 1e15:
        return f"{value:.{digits}g}"
    places = max(0, digits - len(str(int(abs(value)))))
    text = f"{value:,.{places}f}" if abs(value) >= 10_000 else f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def numbers_apart(values: Sequence[float]) -> tuple[str, ...]:
    """Numbers for reading, each as `number` writes it, or with as many more digits as tell different ones apart."""
    for digits in range(3, 18):
        names = tuple(number(value, digits) for value in values)
        if len(set(names)) == len(set(values)):
            break
    return names


def span(low: float | None, high: float | None, digits: int = 3) -> str:
    """A closed range for reading; None is no bound: "13+", "≤ 35", "40–50", "-3 to 5"; one number where both ends read alike."""
    if low is None and high is None:
        return "any"
    if high is None:
        assert low is not None
        return f"{number(low, digits)}+"
    if low is None:
        return f"≤ {number(high, digits)}"
    ends = number(low, digits), number(high, digits)
    if ends[0] == ends[1]:
        return ends[0]
    return " to ".join(ends) if low < 0 or high < 0 else "–".join(ends)


def ambiguous(columns: Iterable[Iterable[str]]) -> frozenset[str]:
    """Levels that more than one column has: they need their column's name beside them."""
    seen: set[str] = set()
    twice: set[str] = set()
    for levels in columns:
        levels = set(levels)
        twice |= seen & levels
        seen |= levels
    return frozenset(twice)


def says_itself(level: str, twice: frozenset[str]) -> bool:
    """Whether a level is understood without its column's name ("Female", but not "3", "yes" or "missing")."""
    return len(level) > 2 and any(c.isalpha() for c in level) and level.lower() not in _SAYS_NOTHING and level not in twice


def phrase(column: str, level: str, twice: frozenset[str] = frozenset()) -> str:
    """A level in words: bare where it says itself, else behind its column's name."""
    return level if says_itself(level, twice) else f"{column} {level}"
