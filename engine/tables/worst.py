"""Rows of the `worst` table: the worst k, as published and corrected."""

from __future__ import annotations

from collections.abc import Sequence

from engine.evaluation import worst
from engine.tables.cells import Row, line, mean, predicted, reading
from engine.tables.columns import KS
from engine.tables.figures import Figures


def rows(figures: Figures) -> list[Row]:
    d, table, aux_rows = figures.damages, [], {s.index: s.aux_rows for s in figures.world.subpopulations}
    test_rows = {s.index: s.test_rows for s in figures.attacked}
    all_rows = sum(test_rows.values())
    published = figures.published
    for a, alpha in enumerate(figures.world.facts.alphas):
        worst_k = worst.worst_of(figures.layout, a, d.damage_AS[a], figures.published_sizes, figures.enough_test_rows, KS)
        for k, w in zip(KS, worst_k, strict=True):
            value, source = (None, None) if published is None else reading(published.worst.get((alpha, k)), published.rerun(alpha, k))
            size, _ = reading(None if published is None else published.size.get(k))
            table.append(
                line(
                    "worst",
                    alpha=alpha,
                    k=k,
                    as_published=w.published,
                    as_published_k=len(w.published_picks),
                    test_rows=sum(test_rows[s] for s in w.published_picks) if w.published_picks else None,
                    fewest_test_rows=min((test_rows[s] for s in w.published_picks), default=None),
                    on_eligible=w.on_eligible,
                    corrected=w.corrected,
                    low=w.low,
                    high=w.high,
                    k_used=w.k_used,
                    eligible=len(w.eligible),
                    attacked=len(test_rows),
                    eligible_share=sum(test_rows[s] for s in w.eligible) / all_rows if all_rows else None,
                    trials=w.trials,
                    clean_accuracy=mean([float(d.clean_AS[a, s]) for s in w.published_picks]),
                    size=mean([aux_rows[s] for s in w.published_picks]),
                    published=value,
                    published_as=source,
                    published_size=size,
                    chosen=_list(w.published_picks),
                    chosen_corrected=_list(w.picks),
                    left_out=" ".join(f"{s} ({rows})" for s, rows in test_rows.items() if s not in w.eligible),
                    note=w.note,
                    **predicted(figures.replications[a].worst(k), value),
                )
            )
    return table


def _list(indices: Sequence[int]) -> str:
    return " ".join(map(str, indices))
