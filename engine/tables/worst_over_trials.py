"""The corrected worst k of one alpha as it stood after 2, 3, ... trials: whether more of them would tell more.

Made when asked for, never stored, for it needs every victim. It is the statistic of the table `worst` over the run's first trials; the last
row of each k is that table's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.rows import Column, Table, TableSpec
from engine.tables.columns import KS
from engine.tables.columns.shared import ALPHA, INTERVAL

if TYPE_CHECKING:
    from engine.rows import RunRow
    from engine.tables.figures import Figures
    from engine.tables.source import Source

NAME = "worst_over_trials"
SPEC = TableSpec(
    NAME,
    (
        ALPHA,
        Column("k", "int", "how many subpopulations"),
        Column("trials", "int", "the first so many of the run's complete trials"),
        Column("corrected", "fraction", "as in the table `worst`, from these trials alone"),
        *INTERVAL,
    ),
    ("alpha", "k", "trials"),
    "the corrected worst k as it stood after the first trials",
)
MOST = 12  # points of a curve: of more trials, so many numbers of trials spread evenly


def over_trials(figures: Figures, alpha: float) -> Table:
    """The curves of every k at an alpha, k by k. Empty below two complete trials, or where no subpopulation has enough test rows."""
    from engine.evaluation import worst  # here, for whoever draws needs the columns alone, and no numpy
    from engine.evaluation.damage import damages
    from engine.evaluation.layout import lay_out

    rows: dict[tuple[int, int], tuple[object, ...]] = {}
    numbers = figures.layout.trials
    for trials in steps(len(numbers)):
        layout = lay_out(figures.world.counts, (alpha,), figures.labels, trials=numbers[trials - 1] + 1)
        found = worst.worst_of(layout, 0, damages(layout).damage_AS[0], figures.published_sizes, figures.enough_test_rows, KS)
        for each in found:
            if each.corrected is not None:  # of trials that are not complete the last one that was stands
                rows[each.k, each.trials] = (alpha, each.k, each.trials, each.corrected, each.low, each.high)
    return Table(SPEC, tuple(rows[key] for key in sorted(rows)))


def steps(trials: int) -> list[int]:
    """After how many trials: 2, 3, ... up to all, at most MOST of them."""
    if trials <= MOST + 1:
        return list(range(2, trials + 1))
    return sorted({2 + round(place * (trials - 2) / (MOST - 1)) for place in range(MOST)})


def of_run(source: Source, run: RunRow, alpha: float) -> Table:
    """The curves of a stored run, finished or not. BadData where what is stored does not fit together."""
    from engine.scenario.parse import scenario_of
    from engine.tables.figures import Figures
    from engine.tables.world import World

    discovered = source.discovery(run.id)
    if discovered is None:
        return Table(SPEC, ())
    return over_trials(Figures(World.start(scenario_of(run), discovered, source.victims(run.id))), alpha)
