"""Cells and rows of tables."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, isnan

from engine import paper
from engine.tables_specs import SPECS

Row = tuple[object, ...]


def cell(value: float) -> float | None:
    """A float for a table: None where it is not known."""
    value = float(value)
    return None if isnan(value) else value


def mean(values: Sequence[float]) -> float | None:
    """Their mean, the same whatever their order; None of none."""
    return fsum(values) / len(values) if values else None


def line(table: str, /, **cells: object) -> Row:
    """One row: the cells by column name, put in the order of the table's spec."""
    columns = SPECS[table].columns
    if len(cells) != len(columns):
        raise ValueError(f"{table}: {sorted(set(cells) ^ {column.name for column in columns})}")
    return tuple(cells[column.name] for column in columns)


def reading(entry: paper.Reading | None) -> tuple[float | None, str | None]:
    """A published value and where it stands: ("Table 4, sure")."""
    if entry is None:
        return None, None
    return entry.value, ", ".join(part for part in (entry.table, entry.certainty, entry.remark) if part)
