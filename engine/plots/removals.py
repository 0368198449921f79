"""What a defence would take if it removed more or fewer rows, the most suspect first."""

from __future__ import annotations

from collections.abc import Mapping

from engine.plots.data import Plot, Series, largest, records
from engine.rows import Table
from engine.tables.defenses import FIRST_ROWS

CURVES = (("poison", "poison_recall"), ("the target's own clean rows", "removed_own"), ("others' clean rows", "removed_others"))


def removals(tables: Mapping[str, Table], alpha: float | None = None) -> Plot | None:
    """Recall of the poison against rows removed, beside what is lost of clean rows. alpha: that one alone; None: the largest."""
    rows = [row for row in records(tables, "defenses") if str(row["group"]).startswith(FIRST_ROWS) and alpha in (None, row["alpha"])]
    alphas, _ = largest(rows, 1)
    rows = sorted((row for row in rows if row["alpha"] in alphas), key=lambda row: row["removed_rows"])
    series = []
    for name, column in CURVES:
        known = [row for row in rows if row[column] is not None and row["removed_rows"]]
        if known:
            x, y = (tuple(float(row[of]) for row in known) for of in ("removed_rows", column))
            series.append(Series(name, x, y, style="line"))
    if not series:
        return None
    notes = (
        "means over subpopulations and trials, in the order in which the defence suspects rows; its labels and refits are not in it",
        "others' clean rows: what removing as many at random would take of anything",
    )
    title = f"What a defence takes, alpha {alphas[0]:g}"
    return Plot("removals", title, "rows removed, the most suspect first", "share that is gone", tuple(series), notes=notes, x_log=True)
