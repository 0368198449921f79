"""Numbers as people write them: money, per cent, units, separators of thousands, brackets for negatives; one decimal mark a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.datasets.tables.distinct import MISSING_BESIDE_NUMBERS, Distinct
from engine.datasets.tables.shapes import pieces
from engine.datasets.wording import counted, shortened

if TYPE_CHECKING:
    import numpy as np

MOSTLY = 0.95  # a column is numbers, or dates, where at least this share of what it holds is
LEAST = 0.3  # and where so many are numbers at all: beside them, "-" or "unknown" may stand for missing as often as it likes
PLAIN = r"^[0-9]+\.?[0-9]*([eE][+-]?[0-9]+)?$|^\.[0-9]+([eE][+-]?[0-9]+)?$"
ENGLISH = r"^([0-9]+|[0-9]{1,3}(,[0-9]{3})+)(\.[0-9]*)?$|" + PLAIN
EUROPEAN = r"^([0-9]+|[0-9]{1,3}(\.[0-9]{3})+)(,[0-9]+)?$"
GROUP_SPACE = "([0-9])[ '’\u00a0\u2009\u202f]([0-9]{3})"
CURRENCY = (
    r"(?:US|CA|AU|NZ|HK|R|S)?\$|[€£¥₹₽₩₺₫₴₦฿₱₪]|(?:USD|EUR|GBP|CHF|JPY|CNY|CAD|AUD|NZD|INR|SEK|NOK|DKK|PLN|CZK|HUF|BRL|MXN|ZAR|TRY|RUB)\b"
    r"|kr\b\.?|zł|Kč|Rs\b\.?|Fr\b\.?"
)
UNIT = r"[%‰°µ]|[%‰°µ]?[\pL][\pL²³/ ]{0,18}\.?"
# An optional bracket, a sign and a currency in either order, the number, an optional currency or unit, a trailing minus, the bracket's end.
WRITTEN = (
    rf"^(?P<open>\()? *(?P<sign>[+-]? *)(?P<before>{CURRENCY})? *(?P<inner>[+-]? *)"
    r"(?P<number>[0-9](?:[0-9.,]*[0-9])?(?:[eE][+-]?[0-9]+)?|[.,][0-9]+(?:[eE][+-]?[0-9]+)?)(?:[.,][-–]{1,2})?"
    rf" *(?P<after>{CURRENCY})? *(?P<unit>{UNIT})? *(?P<trail>-)? *(?P<close>\))?$"
)
MAYBE = r"^\(? *[+-]? *[^0-9 ]{0,4} *[+-]? *[.,]?[0-9]"  # all that is WRITTEN begins so; far quicker to look for
TIMES = {"": 1.0, "k": 1e3, "tsd": 1e3, "m": 1e6, "mn": 1e6, "mio": 1e6, "b": 1e9, "bn": 1e9, "mrd": 1e9}


@dataclass
class _Read:
    """What the distinct values come to. fits: Arrow truths [distinct]; values: float64 [distinct]; notes, form: how they were read."""

    fits: Any
    values: np.ndarray
    notes: list[str] = field(default_factory=list)
    form: str = "number"


def numbers_in(name: str, cells: Distinct, at_least: float, decimal: str | None = None) -> tuple[np.ndarray, list[str], str] | None:
    """float64 [rows], NaN where missing, what was done to read them, and their form; None where too few of the values are numbers.

    at_least: what share must be. decimal: the file's decimal mark, which settles "1.206" where the column's other values do not.
    """
    from pyarrow import compute

    plain: Any = compute.replace_substring_regex(cells.values, "^[−–]", "-")
    for _ in range(2):  # each pass takes every other separator
        plain = compute.replace_substring_regex(plain, GROUP_SPACE, r"\1\2")
    doubtful = cells.among(MISSING_BESIDE_NUMBERS)
    wanted = cells.present - (cells.rows(doubtful) if at_least else 0)
    bare = compute.replace_substring_regex(plain, "^[+-]", "")
    read = None
    if at_least and cells.rows(compute.match_substring_regex(plain, MAYBE)) < max(1, at_least * wanted):
        return None
    if _count(cells, bare) >= max(1, at_least * wanted):
        read = _undecorated(name, cells, plain, bare, decimal)
    elif (written := _written(name, cells, plain, decimal)) is not None and cells.rows(written.fits) >= at_least * wanted:
        read = written
    if read is None or not cells.rows(read.fits) or cells.rows(read.fits) < (LEAST if at_least else 0.0) * cells.present:
        return None
    stray = compute.invert(read.fits)
    notes = read.notes
    if strays := cells.rows(stray):
        examples = [shortened(value) for value in compute.filter(cells.values, stray).slice(0, 3).to_pylist()]
        notes.append(f"{name!r}: not a number, and taken as missing: {counted(strays, 'value')} ({', '.join(map(repr, examples))})")
    return cells.spread(read.values), notes, read.form


def decimal_of(cells: Distinct) -> str | None:
    """The decimal mark that the column's own numbers can only have: "," or "."; None where it has none or is not numbers."""
    from pyarrow import compute

    plain: Any = cells.values
    for _ in range(2):
        plain = compute.replace_substring_regex(plain, GROUP_SPACE, r"\1\2")
    number = pieces(plain, WRITTEN).number
    english, european = (compute.match_substring_regex(number, pattern) for pattern in (ENGLISH, EUROPEAN))
    if cells.rows(compute.or_(english, european)) < MOSTLY * max(1, cells.present):
        return None
    return _mark(cells, english, european, number)


def _count(cells: Distinct, bare: Any) -> int:
    """In how many rows stands nothing but a number."""
    from pyarrow import compute

    return max(cells.rows(compute.match_substring_regex(bare, pattern)) for pattern in (ENGLISH, EUROPEAN))


def _mark(cells: Distinct, english: Any, european: Any, number: Any) -> str | None:
    """The decimal mark that more of the values need: "3,14" and "1.234,5" need a comma, "3.14" a point, "1.206" either. A zero before
    three digits ("0.206") is no thousand."""
    from pyarrow import compute

    zero_point = compute.match_substring_regex(number, r"^0\.[0-9]{3}$")
    zero_comma = compute.match_substring_regex(number, r"^0,[0-9]{3}$")
    comma = cells.rows(compute.or_(compute.and_not(european, english), zero_comma))
    point = cells.rows(compute.or_(compute.and_not(compute.and_(english, compute.match_substring(number, ".")), european), zero_point))
    grouped = cells.rows(compute.and_not(compute.and_(english, compute.match_substring(number, ",")), european))  # "1,234,567.5"
    return None if not (comma or point or grouped) else "," if comma > max(point, grouped) else "."


def _undecorated(name: str, cells: Distinct, plain: Any, bare: Any, decimal: str | None) -> _Read:
    fits, values, notes = _parsed(name, cells, bare, decimal)
    import numpy as np
    from pyarrow import compute

    negative = compute.starts_with(plain, "-").to_numpy(zero_copy_only=False)
    return _Read(fits, np.where(negative, -values, values), notes)


def _parsed(name: str, cells: Distinct, number: Any, decimal: str | None) -> tuple[Any, np.ndarray, list[str]]:
    """Unsigned numbers by one decimal mark: which fit, float64 [distinct], and notes."""
    import pyarrow as pa
    from pyarrow import compute

    english, european = (compute.match_substring_regex(number, pattern) for pattern in (ENGLISH, EUROPEAN))
    mark = _mark(cells, english, european, number)
    comma = (mark or decimal) == ","
    fits = european if comma else english
    notes = []
    if comma:
        dots = cells.rows(compute.and_(fits, compute.match_substring(number, ".")))
        number = compute.replace_substring(compute.replace_substring(number, ".", ""), ",", ".")
        if mark:
            notes.append(f"{name!r}: read with decimal commas")
        elif dots:
            notes.append(f"{name!r}: dots in {counted(dots, 'value')} read as thousands separators, for other columns have decimal commas")
    else:
        grouped = cells.rows(compute.and_(fits, compute.match_substring(number, ",")))
        number = compute.replace_substring(number, ",", "")
        if grouped:
            notes.append(f"{name!r}: commas in {counted(grouped, 'value')} read as thousands separators")
        if decimal == "," and mark == ".":
            notes.append(f"{name!r}: read with decimal points, though other columns of the file have decimal commas")
    numbers = compute.cast(compute.if_else(fits, number, pa.scalar(None, number.type)), pa.float64())
    return fits, numbers.to_numpy(zero_copy_only=False), notes


def _written(name: str, cells: Distinct, plain: Any, decimal: str | None) -> _Read | None:
    """Money, per cent, units, brackets; None where the values have several currencies. Of several units the most frequent counts."""
    import numpy as np
    import pyarrow as pa

    parts = pieces(plain, WRITTEN)
    bracketed = parts.of["open"] == "("
    brackets = bracketed[parts.shape]
    fits, values, notes = _parsed(name, cells, parts.number, decimal)
    use = fits.to_numpy(zero_copy_only=False) & (parts.fits & (bracketed == (parts.of["close"] == ")")))[parts.shape]
    currency = np.where(parts.of["before"] != "", parts.of["before"], parts.of["after"])
    unit, of_shape = np.unique([_plain_unit(text) for text in parts.of["unit"]], return_inverse=True)
    currencies = sorted(set(currency[parts.shape[use]]) - {""})
    if len(currencies) > 1:
        return None
    kept, factor, unit_note, form = _one_unit(unit.tolist(), of_shape[parts.shape], use, cells.count)
    values = values * factor
    use &= kept
    signs = zip(parts.of["sign"], parts.of["inner"], parts.of["trail"], strict=True)
    minus = np.array(["-" in "".join(each) for each in signs], bool)
    values = np.where((minus | bracketed)[parts.shape], -values, values)
    if currencies:
        notes.insert(0, f"{name!r}: read as money ({currencies[0]})")
    notes += [f"{name!r}: {unit_note}"] if unit_note else []
    if rows := int(cells.count[brackets & use].sum()):
        notes.append(f"{name!r}: brackets around {counted(rows, 'value')} read as a minus")
    return _Read(pa.array(use), np.where(use, values, np.nan), notes, "money" if currencies else form)


def _one_unit(units: Sequence[str], unit: np.ndarray, use: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray, str, str]:
    """Which values have the column's unit, bool [distinct]; by what each is multiplied, float64 [distinct]; in words; the form.

    units: all there are, sorted; unit: int [distinct] into them.
    """
    import numpy as np

    of_unit = np.bincount(unit[use], weights=count[use], minlength=len(units))
    rows = {name: int(n) for name, n in zip(units, of_unit, strict=True) if n}
    ones = np.ones(len(unit))
    lower = {name: name.lower() for name in rows}
    if set(lower.values()) <= TIMES.keys() and len(rows) > 1:
        suffixes = ", ".join(filter(None, rows))
        times = np.array([TIMES.get(name.lower(), 1.0) for name in units])
        return use, times[unit], f"multiplied by what stands behind it ({suffixes})", "number"
    usual = max(rows, key=lambda name: rows[name], default="")
    form = "per cent" if usual == "%" else usual or "number"
    return unit == (units.index(usual) if usual in units else -1), ones, f"read as {form}" if usual else "", form


def _plain_unit(text: str) -> str:
    """One spelling of a unit: "month" and "Months." are "months"."""
    text = text.strip(" .")
    if len(text) < 2:
        return text
    text = text.lower()
    return text if len(text) == 2 or text.endswith("s") or re.search(r"[²³/]", text) else f"{text}s"
