"""Rows of the `collateral` table: what the attack does to everyone else."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

from engine.evaluation import worst
from engine.evaluation.damage import Collateral, collateral_of
from engine.evaluation.prediction import NONE, Interval, of_half, of_mean
from engine.tables.cells import Row, line, mean, predicted, reading
from engine.tables.columns import KS
from engine.tables.figures import Figures


def rows(figures: Figures) -> list[Row]:
    d, table = figures.damages, []
    for a, alpha in enumerate(figures.world.facts.alphas):
        order = worst.worst_first(d.damage_AS[a], figures.published_sizes)
        everyone = worst.worst_first(d.damage_AS[a], figures.mask(lambda _: True))
        groups: list[tuple[str, int | None, Sequence[int]]] = [(f"worst {k}", k, order[:k]) for k in KS]
        for name, k, picks in [*groups, ("all", None, everyone)]:
            interval = collateral_of(figures.layout, a, picks)
            value, source = reading(None if figures.published is None or k is None else figures.published.collateral.get((alpha, k)))
            each = [float(d.collateral_AS[a, s]) for s in picks if not isnan(d.collateral_AS[a, s])]
            table.append(
                line(
                    "collateral",
                    alpha=alpha,
                    group=name,
                    subpopulations=len(picks),
                    collateral=mean(each),
                    low=interval.low,
                    high=interval.high,
                    largest=max(each, default=None),
                    damage=mean([float(d.damage_AS[a, s]) for s in picks]),
                    trials=interval.trials,
                    published=value,
                    published_as=source,
                    **predicted(_other_groups(interval, each, figures.others), value),
                )
            )
    return table


def _other_groups(interval: Collateral, each: Sequence[float], others: int) -> Interval:
    """What as large a group of other subpopulations would show of their collateral, over so many trials."""
    centre = mean(each)
    if centre is None or interval.high is None or interval.low is None:
        return NONE
    spread = of_mean(each, len(each))
    apart = 0.0 if spread.low is None else (centre - spread.low) / 2**0.5  # that of one mean, not of the difference of two
    trials = of_half(centre, (interval.high - interval.low) / 2, interval.trials, others)
    assert trials.low is not None
    reach = ((centre - trials.low) ** 2 + apart**2) ** 0.5
    return Interval.around(centre, reach)
