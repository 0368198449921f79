"""Rows of the `confidence` table: whether confidence foretells damage."""

from __future__ import annotations

from math import isnan

from engine.evaluation import confidence
from engine.evaluation.prediction import of_mean
from engine.tables.cells import Row, line, mean, predicted, reading
from engine.tables.figures import Figures


def rows(figures: Figures) -> list[Row]:
    d, table, published = figures.damages, [], figures.published
    for a, alpha in enumerate(figures.world.facts.alphas):
        for group in confidence.groups(figures.attacked):
            known = [s for s in group.members if not isnan(d.damage_AS[a, s.index])]
            values = [float(d.damage_AS[a, s.index]) for s in known]
            value, source = reading(None if published is None else published.confidence.get(group.name))
            rank, _ = reading(None if published is None or group.name != "all" else published.spearman.get(alpha))
            rho = confidence.spearman([s.confidence for s in known], values)
            pairs = sum(s.confidence is not None for s in known)
            told_rho, others = confidence.spearman_interval(rho, pairs), confidence.spearman_interval(rho, pairs, pairs)
            table.append(
                line(
                    "confidence",
                    alpha=alpha,
                    group=group.name,
                    subpopulations=len(known),
                    confidence=mean([s.confidence for s in known if s.confidence is not None]),
                    confidence_in_sample=mean([s.confidence_in_sample for s in known if s.confidence_in_sample is not None]),
                    damage=mean(values),
                    spearman=rho,
                    published=value,
                    published_as=source,
                    published_spearman=rank,
                    spearman_low=told_rho.low,
                    spearman_high=told_rho.high,
                    **predicted(of_mean(values, confidence.GROUP), value),
                    spearman_outside=others.outside(rank),
                )
            )
    return table
