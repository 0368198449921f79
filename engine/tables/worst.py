"""Rows of the `worst` table: the worst k, as published and corrected."""

from __future__ import annotations

from collections.abc import Sequence

from engine.evaluation import worst
from engine.tables.cells import Row, line, mean, predicted, reading
from engine.tables.columns import KS
from engine.tables.work import Work


def rows(work: Work) -> list[Row]:
    d, table, aux_rows = work.damages, [], {s.index: s.aux_rows for s in work.world.subpopulations}
    published = work.published
    for a, alpha in enumerate(work.world.facts.alphas):
        found = worst.worst_of(work.layout, a, d.damage_AS[a], work.published_sizes, work.enough_test_rows, KS)
        for k, w in zip(KS, found, strict=True):
            value, told = (None, None) if published is None else reading(published.worst.get((alpha, k)), published.rerun(alpha, k))
            size, _ = reading(None if published is None else published.size.get(k))
            table.append(
                line(
                    "worst",
                    alpha=alpha,
                    k=k,
                    as_published=w.published,
                    as_published_k=len(w.published_picks),
                    corrected=w.corrected,
                    low=w.low,
                    high=w.high,
                    k_used=w.k_used,
                    eligible=w.eligible,
                    trials=w.trials,
                    clean_accuracy=mean([float(d.clean_AS[a, s]) for s in w.published_picks]),
                    size=mean([aux_rows[s] for s in w.published_picks]),
                    published=value,
                    published_as=told,
                    published_size=size,
                    chosen=_list(w.published_picks),
                    chosen_corrected=_list(w.picks),
                    note=w.note,
                    **predicted(work.replications[a].worst(k), value),
                )
            )
    return table


def _list(indices: Sequence[int]) -> str:
    return " ".join(map(str, indices))
