"""Rows of the `damage` table: target damage of every attacked subpopulation at every poison rate."""

from __future__ import annotations

from math import isnan

from engine.evaluation import vulnerable
from engine.evaluation.prediction import NONE, of_half
from engine.tables.cells import Row, cell, line, predicted, reading
from engine.tables.figures import Figures


def rows(figures: Figures) -> list[Row]:
    d, off, true, train_rows = figures.damages, figures.off_target, figures.true_label, figures.world.train_rows
    table = []
    for a, alpha in enumerate(figures.world.facts.alphas):
        for s in figures.attacked:
            at = (a, s.index)
            points, labelled = cell(d.points_AS[at]), figures.labels[s.index] is not None
            value, source = reading(None if figures.published is None else figures.published.single.get((s.description, alpha)))
            table.append(
                line(
                    "damage",
                    subpopulation=s.index,
                    description=s.description,
                    alpha=alpha,
                    damage=cell(d.damage_AS[at]),
                    low=cell(d.low_AS[at]),
                    high=cell(d.high_AS[at]),
                    trials=int(d.trials_AS[at]),
                    vulnerable=None if isnan(d.q_AS[at]) else bool(d.q_AS[at] <= vulnerable.Q),
                    p=cell(d.p_AS[at]),
                    q=cell(d.q_AS[at]),
                    p_from=None if isnan(d.p_AS[at]) else "off_target" if d.others_AS[at] else "t",
                    off_target_victims=None if isnan(d.p_AS[at]) else int(d.others_AS[at]),
                    clean_accuracy=cell(d.clean_AS[at]),
                    poisoned_accuracy=cell(d.poisoned_AS[at]),
                    collateral=cell(d.collateral_AS[at]),
                    off_target=cell(off[at]) if "off_target" in figures.world.facts.controls else None,
                    true_label=None if true is None else cell(true[at]),
                    target_given=cell(d.label_AS[at]) if labelled else None,
                    target_given_clean=cell(d.clean_label_AS[at]) if labelled else None,
                    poison_points=points,
                    poison_share=None if points is None or not train_rows else points / train_rows,
                    already_target=cell(d.already_AS[at]),
                    aux_rows=s.aux_rows,
                    test_rows=s.test_rows,
                    published=value,
                    published_as=source,
                    **_one_more(figures, at, value),
                )
            )
    return table


def _one_more(figures: Figures, at: tuple[int, int], published: float | None) -> dict[str, object]:
    """What the paper's trials would show of one subpopulation's damage; worked out where they did."""
    if published is None:
        return predicted(NONE, None)
    d = figures.damages
    low, centre, high = float(d.low_AS[at]), float(d.damage_AS[at]), float(d.high_AS[at])
    return predicted(of_half(centre, max(centre - low, high - centre), int(d.trials_AS[at]), figures.others), published)
