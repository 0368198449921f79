"""Whether more trials would help: the corrected worst k and its interval after the first 2, 3, ... trials of a run, at one alpha."""

from __future__ import annotations

from collections.abc import Mapping

from engine.plots.data import DAMAGE, Plot, Records, Series, valued
from engine.rows import Table
from engine.tables.worst_over_trials import NAME


def worst_trials(tables: Mapping[str, Table], alpha: float | None = None) -> Plot | None:
    """A curve for each k, of the table that `worst_over_trials.of_run` makes; None as long as that is not there or has no row."""
    rows = [row for row in tables[NAME].records() if alpha in (None, row["alpha"])] if NAME in tables else []
    if not rows:
        return None
    counts = sorted({row["trials"] for row in rows})
    series: list[Series] = []
    notes = []
    for k in sorted({row["k"] for row in rows}):
        of_k = [row | {"place": float(counts.index(row["trials"]))} for row in rows if row["k"] == k]
        series.append(valued(f"worst {k}", of_k, "place", "corrected", intervals=True))
        notes += [f"worst {k}: {words}"] if (words := narrowing(of_k)) else []
    if not notes:
        notes = ["an interval needs three complete trials"]
    notes.append("corrected, as in the table worst, from the first trials alone; where it stops narrowing, test rows are its limit")
    title = f"Would more trials help? alpha {rows[0]['alpha']:g}"
    return Plot("worst_trials", title, "trials", f"mean {DAMAGE}", tuple(series), ticks=tuple(map(str, counts)), notes=tuple(notes))


def narrowing(rows: Records) -> str:
    """How wide the interval is, what the last trials did to it, and what as many again could do."""
    wide = [(row["trials"], row["high"] - row["low"]) for row in rows if row["low"] is not None and row["high"] is not None]
    if not wide:
        return ""
    trials, now = wide[-1]
    before = f", {wide[-2][1]:.2f} after {wide[-2][0]}" if len(wide) > 1 else ""
    more = f"{2 * trials} would make it about {now / 2**0.5:.2f}, if trials are its limit"
    return f"its interval is {now:.2f} wide after {trials} trials{before}; {more}"
