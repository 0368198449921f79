"""Plots as data, from a run's stored tables alone: what a screen and a file draw.

Tables of a running run are half filled: what is not there yet (an absent table, an empty cell) is left out, and said where it matters. No
plot is made of nothing. One plot, `worst_trials`, is of a table that is made when asked for, from every victim's predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from engine.plots.data import DAMAGE, Plot, Records, Series, grouped, largest, points, records, valued
from engine.plots.dose import dose_response
from engine.plots.foretold import predicted_measured, recall
from engine.plots.removals import curve_rows, removals
from engine.plots.trials import worst_trials
from engine.rows import RunRow, Table
from engine.scenario.claim import claim_of, lead
from engine.tables import worst_over_trials
from engine.tables.source import Source

MOST_ALPHAS = 3  # of a cloud of points: more hide each other; the largest are kept
MOST_CURVES = 4  # alphas of the distribution and of the worst k

NEEDED = ("damage", "dose", "subpopulations", "confidence", "distribution", "worst", "defenses", "susceptibility")  # tables


def plots_of_run(
    store: Source,
    run: RunRow,
    names: Sequence[str] | None = None,
    *,
    subpopulations: Sequence[int] | None = None,
    alpha: float | None = None,
) -> dict[str, Plot]:
    """The named plots (None: those of stored tables) of a run as it stands, under its name, each saying what it must be read with.

    subpopulations: those whose dose and response to draw; None: all. alpha: as in `plots_of`. Those that have no data yet are left out.
    """
    available = store.tables(run.id)
    tables = {name: store.table(run.id, name) for name in NEEDED if name in available}
    if names is not None and "worst_trials" in names and (alphas := alphas_of(tables, "worst_trials")):
        tables[worst_over_trials.NAME] = worst_over_trials.of_run(store, run, alphas[-1] if alpha is None else alpha)
    notes = [f"run {run.id}, {run.state}: {run.victims_done} of {run.victims_total} victims"]
    notes += [f"{lead(claim_of(run.scenario_toml))}: {'; '.join(run.deviations)}"] if run.deviations else []
    plots = plots_of(tables, names, notes=notes, run=run.name, alpha=alpha)
    if subpopulations is not None and (names is None or "dose_response" in names):
        plots.pop("dose_response", None)
        if (chosen := dose_response(tables, subpopulations)) is not None:
            plots["dose_response"] = replace(chosen, title=f"{chosen.title}: {run.name}", notes=(*notes, *chosen.notes))
    return plots


def plots_of(
    tables: Mapping[str, Table], names: Sequence[str] | None = None, *, notes: Sequence[str] = (), run: str = "", alpha: float | None = None
) -> dict[str, Plot]:
    """The named plots (None: all), without those that have no data yet. KeyError for a name that is not in EVERY.

    notes: what every one of them must say (a run's deviations); they come first. run: its name, behind each title. alpha: of those that can
    show one alone; None: what they show by themselves.
    """
    plots = {}
    for name in PLOTS if names is None else names:
        if (plot := _OF_ALPHA[name](tables, alpha) if name in _OF_ALPHA else _MADE[name](tables)) is not None:
            title = f"{plot.title}: {run}" if run else plot.title
            plots[name] = replace(plot, title=title, notes=(*notes, *plot.notes))
    return plots


# ---- what foretells damage --------------------------------------------------------------------------------------------


def damage_confidence(tables: Mapping[str, Table]) -> Plot | None:
    """Damage against the adversary's confidence (cross-fitted), a point for each subpopulation, per alpha."""
    confidence = {row["subpopulation"]: row["confidence"] for row in records(tables, "subpopulations")}
    rows = [row | {"confidence": confidence.get(row["subpopulation"])} for row in records(tables, "damage")]
    series, notes = _clouds(rows, "confidence")
    if not series:
        return None
    correlated = [row for row in records(tables, "confidence") if row["group"] == "all" and row["spearman"] is not None]
    for row in correlated:
        if f"alpha {row['alpha']:g}" in {each.name for each in series}:
            low, high = row.get("spearman_low"), row.get("spearman_high")
            between = f" ({low:.2f} to {high:.2f})" if low is not None and high is not None else ""
            notes.append(f"alpha {row['alpha']:g}: rank correlation {row['spearman']:.2f}{between}")
    x_label = "confidence of the adversary's model (cross-fitted)"
    return Plot("damage_confidence", "Damage against confidence", x_label, DAMAGE, tuple(series), notes=tuple(notes))


def damage_size(tables: Mapping[str, Table]) -> Plot | None:
    """Damage against size, a point for each subpopulation, per alpha."""
    series, notes = _clouds([row for row in records(tables, "damage") if row["aux_rows"]], "aux_rows")
    if not series:
        return None
    x_label = "size (aux rows of the subpopulation)"
    return Plot("damage_size", "Damage against size", x_label, DAMAGE, tuple(series), notes=tuple(notes), x_log=True)


def _clouds(rows: Records, x: str) -> tuple[list[Series], list[str]]:
    """A cloud of points for each of the largest alphas, in order of x."""
    rows = [row for row in rows if row["damage"] is not None and row[x] is not None]
    alphas, notes = largest(rows, MOST_ALPHAS)
    series = []
    for alpha in alphas:
        of_alpha = sorted((row for row in rows if row["alpha"] == alpha), key=lambda row: (row[x], row["subpopulation"]))
        series.append(points(f"alpha {alpha:g}", of_alpha, x))
    return series, notes


# ---- how damage is spread ---------------------------------------------------------------------------------------------


def distribution(tables: Mapping[str, Table], alpha: float | None = None) -> Plot | None:
    """The share of subpopulations with more damage than x: as measured, as steps; corrected for noise and the paper's, at thresholds.

    alpha: that one alone; None: the largest.
    """
    damage = [row for row in records(tables, "damage") if row["damage"] is not None and alpha in (None, row["alpha"])]
    shares = [row for row in records(tables, "distribution") if row["group"] == "share"]
    alphas, notes = largest(damage, MOST_CURVES)
    series, paper = [], []
    for each in alphas:
        name = f"alpha {each:g}"
        seen = sorted(row["damage"] for row in damage if row["alpha"] == each)
        x = sorted({min(0.0, seen[0]), *seen})
        above = [sum(value > least for value in seen) / len(seen) for least in x]
        series.append(Series(f"{name}, as published", tuple(x), tuple(above), style="steps"))
        of_alpha = [row for row in shares if row["alpha"] == each]
        corrected = [row for row in of_alpha if row["corrected"] is not None]
        if corrected:
            series.append(valued(f"{name}, corrected", corrected, "at", "corrected", of=series[-1].name, intervals=True))
        elif of_alpha and of_alpha[0]["note"]:
            notes.append(f"{name}: {of_alpha[0]['note']}")
        counted = {row["as_published_n"] for row in of_alpha} - {None, len(seen)}
        if counted:
            notes.append(f"{name}: the steps are of all {len(seen)} subpopulations, the table's of {counted.pop()} of the published sizes")
        if published := [row for row in of_alpha if row["published"] is not None]:
            paper.append(valued(f"{name}, the paper", published, "at", "published"))
    if not series:
        return None
    if any(one.of for one in series):
        over = max(row["corrected_n"] for row in shares if row["corrected"] is not None and row["alpha"] in alphas)
        notes.append(f"corrected: the noise of trials and test rows taken out, over the {over} subpopulations with enough test rows")
        notes.append("corrected at 0: the share above less the share below, which chance made")
    x_label, y_label = DAMAGE, "share of subpopulations with more"
    title = "How damage is spread" if alpha is None else f"How damage is spread, alpha {alpha:g}"
    return Plot("distribution", title, x_label, y_label, tuple(series + paper), notes=tuple(notes))


# ---- the worst --------------------------------------------------------------------------------------------------------


def published_corrected(tables: Mapping[str, Table]) -> Plot | None:
    """Mean damage of the worst k at each alpha: as published, corrected with its interval, and the paper's."""
    rows = [row for row in records(tables, "worst") if (row["as_published"], row["corrected"]) != (None, None)]
    alphas, notes = largest(rows, MOST_CURVES)
    rows = [row for row in rows if row["alpha"] in alphas]
    placed = [row | {"place": float(place)} for place, row in enumerate(rows)]
    sources = (("as published", "as_published"), ("corrected", "corrected"), ("the paper", "published"))
    series = [
        valued(name, measured, "place", column, intervals=column == "corrected")
        for name, column in sources
        if (measured := [row for row in placed if row[column] is not None])
    ]
    if not series:
        return None
    notes += [f"{_places(noted)}: {note}" for note, noted in grouped((row["note"], row) for row in rows if row["note"]).items()]
    outside = grouped((row["outside"], row) for row in rows if row.get("outside"))
    notes += [f"{_places(noted)}: the paper's value lies {side} what this protocol would show" for side, noted in outside.items()]
    notes.append(
        "as published: chosen and scored on the same trials, which overstates; corrected: chosen by the other trials and test rows"
    )
    ticks = tuple(f"worst {row['k']}, alpha {row['alpha']:g}" for row in rows)
    y_label = f"mean {DAMAGE}"
    return Plot("published_corrected", "The worst subpopulations", "chosen", y_label, tuple(series), ticks=ticks, notes=tuple(notes))


def _places(rows: Records) -> str:
    """Which rows of `worst`: "alpha 1, worst 1, 5; alpha 2, worst 1"."""
    by_alpha = grouped((row["alpha"], row) for row in rows)
    return "; ".join(f"alpha {alpha:g}, worst {', '.join(str(row['k']) for row in of_alpha)}" for alpha, of_alpha in by_alpha.items())


_MADE: dict[str, Callable[[Mapping[str, Table]], Plot | None]] = {
    "dose_response": dose_response,
    "damage_confidence": damage_confidence,
    "damage_size": damage_size,
    "distribution": distribution,
    "published_corrected": published_corrected,
    "removals": removals,
    "predicted_measured": predicted_measured,
    "predicted_recall": recall,
}
_OF_ALPHA: dict[str, Callable[[Mapping[str, Table], float | None], Plot | None]] = {
    "distribution": distribution,
    "removals": removals,
    "worst_trials": worst_trials,
}
PLOTS: tuple[str, ...] = tuple(_MADE)  # those of stored tables
EVERY: tuple[str, ...] = (*PLOTS, "worst_trials")
ONE_ALPHA: tuple[str, ...] = tuple(_OF_ALPHA)  # those that can show one alpha alone


def possible(tables: Mapping[str, Table]) -> tuple[str, ...]:
    """The plots that such a run comes to have: not those of a defence's order, or of predictions, where it has none."""
    lacking = {*(() if curve_rows(tables) else ("removals",))}
    if "susceptibility" not in tables:
        lacking |= {"predicted_measured", "predicted_recall"}
    return tuple(name for name in EVERY if name not in lacking)


def alphas_of(tables: Mapping[str, Table], name: str) -> tuple[float, ...]:
    """Of a plot in ONE_ALPHA, the alphas that it has data for, in order. Of `worst_trials`, before its own table is made."""
    if name == "removals":
        return tuple(sorted({row["alpha"] for row in curve_rows(tables)}))
    table, column = {"distribution": ("damage", "damage"), "worst_trials": ("worst", "corrected")}[name]
    return tuple(sorted({row["alpha"] for row in records(tables, table) if row[column] is not None}))


__all__ = [
    "EVERY",
    "ONE_ALPHA",
    "PLOTS",
    "Plot",
    "Series",
    "alphas_of",
    "damage_confidence",
    "damage_size",
    "distribution",
    "dose_response",
    "plots_of",
    "plots_of_run",
    "possible",
    "published_corrected",
    "worst_trials",
]
