"""What clean models foretell: predicted against measured damage, and how soon a sweep that begins with those foretold finds the worst."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from engine.plots.data import DAMAGE, Plot, Records, Series, largest, points, records
from engine.rows import Table

MOST_ALPHAS = 3
WORST = 10  # of which a sweep shall find as many as it can; of fewer than thirty subpopulations a third


def predicted_measured(tables: Mapping[str, Table]) -> Plot | None:
    """Measured damage against the foretold, a point for each subpopulation of enough test rows, per alpha; and the line of equality."""
    rows = _measured(tables)
    alphas, notes = largest(rows, MOST_ALPHAS)
    series = []
    for alpha in alphas:
        of_alpha = sorted((row for row in rows if row["alpha"] == alpha), key=lambda row: (row["predicted"], row["subpopulation"]))
        series.append(points(f"alpha {alpha:g}", of_alpha, "predicted"))
    if not series:
        return None
    ends = (min(0.0, *(x for each in series for x in each.x)), max(x for each in series for x in each.x))
    for row in records(tables, "susceptibility"):
        if row["group"] == "predicted" and row["alpha"] in alphas and row["spearman"] is not None:
            low, high = row["spearman_low"], row["spearman_high"]
            between = f" ({low:.2f} to {high:.2f})" if low is not None and high is not None else ""
            notes.append(f"alpha {row['alpha']:g}: rank correlation {row['spearman']:.2f}{between}, mean error {row['mae']:.2f}")
    series.append(Series("as foretold", ends, ends, style="line"))
    x_label = "damage foretold by clean models alone (on auxiliary rows)"
    return Plot("predicted_measured", "Measured against predicted damage", x_label, DAMAGE, tuple(series), notes=tuple(notes))


def recall(tables: Mapping[str, Table]) -> Plot | None:
    """The part of the worst subpopulations found, against the share attacked, those foretold to be worst first; and as chance has it."""
    rows = _measured(tables)
    alphas, notes = largest(rows, MOST_ALPHAS)
    series = []
    for alpha in alphas:
        of_alpha = [row for row in rows if row["alpha"] == alpha]
        n, k = len(of_alpha), min(WORST, len(of_alpha) // 3)
        if k < 1:
            continue
        worst = {row["subpopulation"] for row in sorted(of_alpha, key=lambda row: (-row["damage"], row["subpopulation"]))[:k]}
        name = f"alpha {alpha:g}"
        at_half = []
        for view, called in (("predicted", name), ("predicted_on_test", f"{name}, on test rows")):
            found = [0.0]
            for each in sorted(of_alpha, key=lambda row: (-(row[view] or 0.0), row["subpopulation"])):
                found.append(found[-1] + (each["subpopulation"] in worst))
            shares = tuple(i / n for i in range(n + 1))
            if called == name or alpha == alphas[-1]:  # by test rows at the largest alone: more lines hide each other
                series.append(Series(called, shares, tuple(each / k for each in found), style="line"))
            at_half.append(f"{found[ceil(n / 2)] / k:.0%}")
        notes.append(f"{name}: of the worst {k} of {n}, {at_half[0]} are in the half foretold to be worst, {at_half[1]} by test rows")
    if not series:
        return None
    series.append(Series("in any order", (0.0, 1.0), (0.0, 1.0), style="line"))
    x_label, y_label = "share of subpopulations attacked, the worst foretold first", "share of the worst found"
    return Plot("predicted_recall", "How soon the worst are found", x_label, y_label, tuple(series), notes=tuple(notes))


def _measured(tables: Mapping[str, Table]) -> Records:
    rows = records(tables, "susceptibility")
    return [row for row in rows if row["group"] == "one" and row["ranked"]]
