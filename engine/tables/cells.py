"""Cells and rows of tables."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, isfinite
from typing import TYPE_CHECKING

from engine import paper
from engine.rows import Record, Table
from engine.tables.columns import SPECS

if TYPE_CHECKING:
    from engine.evaluation.prediction import Interval

Row = tuple[object, ...]


def cell(value: float) -> float | None:
    """A float for a table: None where it is not known, or beyond all bounds as the loss of a training that diverged."""
    value = float(value)
    return value if isfinite(value) else None


def mean(values: Sequence[float]) -> float | None:
    """Their mean, the same whatever their order; None of none."""
    return fsum(values) / len(values) if values else None


def line(table: str, /, **cells: object) -> Row:
    """One row: the cells by column name, put in the order of the table's spec."""
    columns = SPECS[table].columns
    if len(cells) != len(columns):
        raise ValueError(f"{table}: {sorted(set(cells) ^ {column.name for column in columns})}")
    return tuple(cells[column.name] for column in columns)


def reading(entry: paper.Reading | None, reruns: Sequence[float] = ()) -> tuple[float | None, str | None]:
    """A published value, and where it stands: "Table 4, sure". reruns: what others' runs of the released protocol gave in its place."""
    if entry is None:
        return None, None
    others = f"; rerun {' and '.join(f'{value:.3f}' for value in reruns)}" if reruns else ""
    return entry.value, ", ".join(part for part in (entry.table, entry.certainty, entry.remark) if part) + others


def mover(one: Sequence[float | None], other: Sequence[float | None]) -> tuple[float | None, float | None, float | None]:
    """(difference, low, high) of one minus other, each (value, low, high) of its own run: each side's own reach counted (MOVER)."""
    a, b = one[0], other[0]
    if a is None or b is None:
        return None, None, None
    (low_a, high_a), (low_b, high_b) = one[1:], other[1:]
    if low_a is None or high_a is None or low_b is None or high_b is None:
        return a - b, None, None
    return a - b, a - b - ((a - low_a) ** 2 + (high_b - b) ** 2) ** 0.5, a - b + ((high_a - a) ** 2 + (b - low_b) ** 2) ** 0.5


def by_key(table: Table, *keys: str) -> dict[tuple[object, ...], Record]:
    """A table's rows by the cells that stand in these columns."""
    return {tuple(row[key] for key in keys): row for row in table.records()}


def predicted(interval: Interval, published: float | None) -> dict[str, object]:
    """The cells of an interval that a published value is held against."""
    return {"predicted_low": interval.low, "predicted_high": interval.high, "outside": interval.outside(published)}
