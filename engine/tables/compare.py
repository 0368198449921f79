"""The tables `compare` and `compare_worst`, of two runs or more: what they are made of, and rows from two runs' numbers.

Made when asked for. Difference means other minus baseline throughout; the first run is the baseline of all others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Any

from engine.rows import Column, Table, TableSpec
from engine.tables.cells import Row, by_key, cell, mover
from engine.tables.columns.shared import ALPHA, DESCRIPTION

if TYPE_CHECKING:
    from engine.evaluation.between import Between
    from engine.tables.figures import Figures

PAIRED = (
    "a difference of damages, other minus baseline. Paired: over the trials that both have of the same seed and number, on the same test "
    "rows; the two victims of a trial share initial weights and batch order only where the runs' model and dataset agree. Intervals are a "
    "damage's, moderated across the subpopulations compared"
)
_RUNS = (Column("baseline", "text", "id of the first run"), Column("other", "text", "id of the run held against it"))

COMPARISONS: dict[str, TableSpec] = {
    "compare": TableSpec(
        "compare",
        (
            *_RUNS,
            Column("subpopulation", "int", "its index, in the baseline"),
            DESCRIPTION,
            ALPHA,
            Column("baseline_damage", "fraction", "target damage in the baseline, over all its trials; under its defence where it has one"),
            Column("baseline_trials", "int"),
            Column("other_damage", "fraction", "target damage in the other, over all its trials; under its defence where it has one"),
            Column("other_trials", "int"),
            Column("matched", "int", "trials that match: same seed and number, same test rows"),
            Column("difference", "fraction", "other minus baseline, over the matched trials; where none match, of the two damages"),
            Column("low", "fraction", "lower end of its 95 % interval; where no trial matches, from the intervals of the two"),
            Column("high", "fraction", "upper end"),
            Column("differs", "bool", "the difference is not 0, at q = 0.05; withheld below three matched trials"),
            Column("p", "float", "two-sided, from the moderated t"),
            Column("q", "float", "p adjusted over all matched rows of the two runs (Benjamini-Hochberg)"),
            Column("test_rows", "int", "of the subpopulation, in the baseline"),
            Column("note", "text", "why it is not paired, or a value is missing"),
        ),
        ("other", "alpha", "subpopulation"),
        PAIRED,
    ),
    "compare_worst": TableSpec(
        "compare_worst",
        (
            *_RUNS,
            ALPHA,
            Column("k", "int"),
            Column("baseline_as_published", "fraction", "worst k, chosen and scored on the same trials"),
            Column("other_as_published", "fraction"),
            Column("as_published_difference", "fraction", "other minus baseline; chosen and scored alike, so without an interval"),
            Column("baseline_corrected", "fraction", "worst k, each trial and fold scored on those chosen by the others"),
            Column("baseline_low", "fraction", "lower end of its 95 % interval"),
            Column("baseline_high", "fraction", "upper end"),
            Column("other_corrected", "fraction"),
            Column("other_low", "fraction", "lower end of its 95 % interval"),
            Column("other_high", "fraction", "upper end"),
            Column("difference", "fraction", "corrected, other minus baseline; each run's own worst k"),
            Column("low", "fraction", "95 % interval of the difference, from the intervals of the two (Zou and Donner 2008)"),
            Column("high", "fraction", "upper end"),
            Column("note", "text", "why a value is missing"),
        ),
        ("other", "alpha", "k"),
        "the worst k of two runs, each its own, as published and corrected; the interval of the difference takes the runs as independent",
    ),
}

ONE_HAS_IT = "only the {} has this alpha"
NO_TRIAL = "not paired: no trial in common"
SAME = "the same victims in both"
FEW_TRIALS = "an interval needs two matched trials"
FEW_ROWS = "an interval needs two test rows"


@dataclass(frozen=True)
class Both:
    """Two runs whose subpopulations are matched. at, others_at: indices of the one and of the other, place by place.

    paired    paired differences of those at `places` of the match, or None where no trial can be matched; why: then, in words
    """

    baseline: str
    other: str
    one: Figures
    two: Figures
    at: tuple[int, ...]
    others_at: tuple[int, ...]
    paired: Between | None
    why: Mapping[int, str]  # place -> why it is not paired
    places: tuple[int, ...]  # those that are, in the order of `paired`
    same: bool  # nothing differs that moves a victim


def line(table: str, /, **cells: object) -> Row:
    """One row of a comparison, its cells in the order of the spec."""
    columns = COMPARISONS[table].columns
    if len(cells) != len(columns):
        raise ValueError(f"{table}: {sorted(set(cells) ^ {column.name for column in columns})}")
    return tuple(cells[column.name] for column in columns)


def compare_rows(both: Both) -> Iterator[Row]:
    """Every matched subpopulation at every alpha of either, by alpha and index."""
    from engine.evaluation import vulnerable

    one, two = both.one.world.facts.alphas, both.two.world.facts.alphas
    pairs = [_pair(both, alpha, place) for alpha in sorted({*one, *two}) for place in range(len(both.at))]
    tested = [row for row in pairs if row["p"] is not None]
    if tested:
        import numpy as np

        for row, q in zip(tested, vulnerable.adjusted(np.array([row["p"] for row in tested])).tolist(), strict=True):
            row |= {"q": q, "differs": q <= vulnerable.Q}
    for row in pairs:
        yield line("compare", **row)


def _pair(both: Both, alpha: float, place: int) -> dict[str, Any]:
    subpopulation = next(s for s in both.one.attacked if s.index == both.at[place])
    sides = [_side(figures, alpha, s) for figures, s in ((both.one, both.at[place]), (both.two, both.others_at[place]))]
    row: dict[str, Any] = {
        "baseline": both.baseline,
        "other": both.other,
        "subpopulation": subpopulation.index,
        "description": subpopulation.description,
        "alpha": alpha,
        "baseline_damage": sides[0][0],
        "baseline_trials": sides[0][3],
        "other_damage": sides[1][0],
        "other_trials": sides[1][3],
        "matched": None,
        "difference": None,
        "low": None,
        "high": None,
        "differs": None,
        "p": None,
        "q": None,
        "test_rows": subpopulation.test_rows,
        "note": None,
    }
    missing = [name for name, side in zip(("other", "baseline"), sides, strict=True) if side[3] is None]
    if missing:
        return row | {"note": ONE_HAS_IT.format(missing[0])}
    if both.paired is not None and place in both.places:
        at = both.paired.alphas.index(alpha), both.places.index(place)
        if matched := int(both.paired.trials_AM[at]):
            row |= {"matched": matched, "difference": cell(both.paired.difference_AM[at])}
            if both.same and both.paired.alike_AM[at]:  # no estimate, so no interval: it is 0
                return row | {"note": SAME}
            low, high = cell(both.paired.low_AM[at]), cell(both.paired.high_AM[at])
            note = None if low is not None else FEW_TRIALS if matched < 2 else FEW_ROWS
            return row | {"low": low, "high": high, "p": cell(both.paired.p_AM[at]), "note": note}
    difference, low, high = mover(sides[1][:3], sides[0][:3])
    why = both.why.get(place, NO_TRIAL) if sides[0][3] and sides[1][3] else None  # nothing to pair yet
    return row | {"matched": 0, "difference": difference, "low": low, "high": high, "note": why}


def _side(figures: Figures, alpha: float, s: int) -> tuple[float | None, float | None, float | None, int | None]:
    """(damage, low, high, trials) of a run; trials is None where it has no such alpha."""
    if alpha not in figures.world.facts.alphas:
        return None, None, None, None
    at, d = (figures.world.facts.alphas.index(alpha), s), figures.damages
    return cell(d.damage_AS[at]), cell(d.low_AS[at]), cell(d.high_AS[at]), 0 if isnan(d.damage_AS[at]) else int(d.trials_AS[at])


def worst_rows(baseline: str, other: str, one: Table, two: Table) -> Iterator[Row]:
    """Every alpha and k of either run's `worst`, in that order."""
    sides = {"baseline": by_key(one, "alpha", "k"), "other": by_key(two, "alpha", "k")}
    for alpha, k in sorted({*sides["baseline"], *sides["other"]}):
        by_side = {name: rows.get((alpha, k), {}) for name, rows in sides.items()}
        cells = {
            f"{name}_{column}": row.get(column) for name, row in by_side.items() for column in ("as_published", "corrected", "low", "high")
        }
        notes = [ONE_HAS_IT.format("other" if name == "baseline" else "baseline") for name, row in by_side.items() if not row]
        notes += [f"{name}: {row['note']}" for name, row in by_side.items() if row.get("note") and row.get("low") is None]
        difference, low, high = mover(
            *([row.get(part) for part in ("corrected", "low", "high")] for row in (by_side["other"], by_side["baseline"]))
        )
        published = mover(*([row.get("as_published"), None, None] for row in (by_side["other"], by_side["baseline"])))[0]
        yield line(
            "compare_worst",
            baseline=baseline,
            other=other,
            alpha=alpha,
            k=k,
            as_published_difference=published,
            difference=difference,
            low=low,
            high=high,
            note="; ".join(notes) or None,
            **cells,
        )
