"""What a plot is, and how rows of stored tables become points of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from engine.rows import Table
from engine.tables.columns import SPECS

DAMAGE = "target damage (fraction of accuracy)"

Records = list[dict[str, Any]]


@dataclass(frozen=True)
class Series:
    """Points in the order of x. `low` and `high`: the interval of y; of a band, its edges. Empty, or as long as y; None where not known.

    style   "steps": y holds from its x up to the next x
    keys    the subpopulation of each point; empty where a point is of many
    of      the name of the series whose colour and mark it shares: the line through its points. Empty: it has its own
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    style: Literal["points", "line", "steps", "band"] = "points"
    keys: tuple[int, ...] = ()
    of: str = ""


@dataclass(frozen=True)
class Plot:
    """level: a horizontal line. x_log: x is best read on a logarithmic scale (all x > 0). notes: said under the plot.

    ticks: names of x = 0, 1, 2 ... where x is categories; else empty.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    level: float | None = None
    ticks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    x_log: bool = False


def alt(plot: Plot, *, notes: bool = False) -> str:
    """The plot in words, for those who cannot see it; with what is said under it."""
    drawn = "; ".join(f"{each.name} ({len(each.x)} {'value' if len(each.x) == 1 else 'values'})" for each in plot.series)
    return ". ".join((f"{plot.title}. {plot.y_label} against {plot.x_label}: {drawn}", *(plot.notes if notes else ()))) + "."


def records(tables: Mapping[str, Table], name: str) -> Records:
    """The rows by column; of a table that there is not yet none. A column that a run of another version lacks is empty."""
    if name not in tables:
        return []
    empty = dict.fromkeys(column.name for column in SPECS[name].columns)
    return [empty | row for row in tables[name].records()]


def largest(rows: Records, most: int) -> tuple[list[float], list[str]]:
    """The largest alphas there are, in order, and what is not drawn."""
    alphas = sorted({row["alpha"] for row in rows})
    left = ", ".join(f"{alpha:g}" for alpha in alphas[:-most])
    return alphas[-most:], [f"not drawn: alpha {left}"] if left else []


def points(name: str, rows: Records, x: str, *, intervals: bool = False) -> Series:
    """Damages, each of one subpopulation."""
    return replace(valued(name, rows, x, "damage", intervals=intervals), keys=tuple(row["subpopulation"] for row in rows))


def valued(name: str, rows: Records, x: str, y: str, *, of: str = "", intervals: bool = False) -> Series:
    low, high = (tuple(row[end] for row in rows) if intervals else () for end in ("low", "high"))
    return Series(name, tuple(float(row[x]) for row in rows), tuple(float(row[y]) for row in rows), low, high, of=of)


def grouped(pairs: Iterable[tuple[Any, dict[str, Any]]]) -> dict[Any, Records]:
    """Rows by what stands before them, in order."""
    groups: dict[Any, Records] = {}
    for key, row in pairs:
        groups.setdefault(key, []).append(row)
    return groups
