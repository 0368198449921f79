"""What a person types after `/`: words that must all be there, and comparisons such as `damage>0.2` or `state=failed`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.rows import Column

LIMIT = 200  # characters kept of a filter, however much is pasted
HELP = "words must all be there · -word must not · column>0.2 · column=text · marked"

COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
TERM = re.compile(r"^([\w .-]+?)(>=|<=|!=|>|<|=)(.*)$")
Cells = tuple[object, ...]


@dataclass(frozen=True)
class Predicate:
    """passes: whether a row's cells are shown. marked: True only marked rows, False only unmarked, None both."""

    passes: Callable[[Cells], bool]
    marked: bool | None = None


def compile_filter(text: str, columns: Sequence[Column]) -> Predicate:
    """A filter as typed, made ready. A half-typed comparison is treated as words, so that typing never errs."""
    tests: list[Callable[[Cells], bool]] = []
    marked: bool | None = None
    for raw in text[:LIMIT].lower().split():
        negated = raw.startswith("-") and len(raw) > 1
        term = raw[1:] if negated else raw
        if term == "marked":
            marked = not negated
            continue
        test = _comparison(term, columns) or _word(term)
        tests.append(_not(test) if negated else test)
    return Predicate(lambda cells: all(test(cells) for test in tests), marked)


def _not(test: Callable[[Cells], bool]) -> Callable[[Cells], bool]:
    return lambda cells: not test(cells)


def _word(word: str) -> Callable[[Cells], bool]:
    return lambda cells: any(word in str(cell).lower() for cell in cells if cell is not None)


def _comparison(term: str, columns: Sequence[Column]) -> Callable[[Cells], bool] | None:
    match = TERM.match(term)
    if not match or not match[3]:
        return None
    name, sign, wanted = match[1], match[2], match[3]
    at = _column(name, columns)
    if at is None:
        return None
    if columns[at].kind in ("text", "bool"):
        if sign == "=":
            return lambda cells: wanted in str(cells[at]).lower()
        if sign == "!=":
            return lambda cells: wanted not in str(cells[at]).lower()
        return None
    try:
        number = float(wanted)
    except ValueError:
        return None
    compare = COMPARE[sign]
    return lambda cells: isinstance(cells[at], (int, float)) and compare(cells[at], number)  # type: ignore[arg-type]


def _column(name: str, columns: Sequence[Column]) -> int | None:
    """The column meant by a name or a prefix of one."""
    names = [column.name.lower() for column in columns]
    if name in names:
        return names.index(name)
    near = [i for i, known in enumerate(names) if known.startswith(name)]
    return near[0] if near else None
