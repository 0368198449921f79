"""Rows of the `attributes` table: how subpopulations correlate with annotated attributes (paper, section 5.5)."""

from __future__ import annotations

import numpy as np

from engine.evaluation.association import association
from engine.tables.cells import Row, line
from engine.tables.figures import Figures


def rows(figures: Figures) -> list[Row]:
    """One row for each annotated column, the most tied first."""
    lines = [_row(figures, column) for column in figures.world.annotations.levels]
    return sorted(lines, key=_strength)


def _strength(row: Row) -> tuple[float, str]:
    nmi, by_chance = row[3], row[4]
    return (-(nmi - by_chance) if isinstance(nmi, float) and isinstance(by_chance, float) else 1.0, str(row[0]))


def _row(figures: Figures, column: str) -> Row:
    levels, code_R = figures.world.annotations.levels[column], figures.world.annotations.codes[column]
    slot_R, size = figures.world.counts.slot_R, figures.size
    inside = slot_R < size
    flat = slot_R[inside].astype(np.int64) * len(levels) + code_R[inside]
    table_SL = np.bincount(flat, minlength=size * len(levels)).reshape(size, len(levels))
    strength = association(table_SL)
    return line(
        "attributes",
        attribute=column,
        levels=len(levels),
        rows=strength.rows,
        nmi=strength.nmi,
        nmi_by_chance=strength.nmi_by_chance,
        cramers_v=strength.cramers_v,
        p=strength.p,
        strongest=_strongest(figures, table_SL, levels),
        published=None,
        published_as=None,
    )


def _strongest(figures: Figures, table_SL: np.ndarray, levels: tuple[str, ...]) -> str | None:
    enough = [s.index for s in figures.world.subpopulations if s.test_rows >= figures.world.facts.min_test_rows]
    if not enough or not table_SL.sum():
        return None
    overall_L = table_SL.sum(axis=0) / table_SL.sum()
    share_SL = table_SL[enough] / table_SL[enough].sum(axis=1, keepdims=True).clip(1)
    at, level = np.unravel_index(int(np.argmax(share_SL - overall_L)), share_SL.shape)
    return f"{enough[int(at)]}: {levels[int(level)]} {share_SL[at, level]:.2f} (of all {overall_L[level]:.2f})"
