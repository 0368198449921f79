"""Rows of the `victims` table: what each trained model got right."""

from __future__ import annotations

from engine.tables.cells import Row, cell, line
from engine.tables.figures import Figures


def rows(figures: Figures) -> list[Row]:
    counts, table = figures.world.counts, []
    n_S, n_all = counts.total_SF.sum(axis=1).tolist(), len(counts.y_R)
    for v in counts.in_order():
        s, everywhere = v.spec.subpopulation, int(v.right_S.sum())
        right, total = (None, None) if s is None else (int(v.right_S[s]), n_S[s])
        table.append(
            line(
                "victims",
                victim=v.spec.index,
                trial=v.spec.trial,
                arm=v.spec.arm,
                subpopulation=s,
                alpha=v.spec.alpha,
                target_right=right,
                target_total=total,
                rest_right=everywhere - (right or 0),
                rest_total=n_all - (total or 0),
                poison_points=v.poison_points,
                already_target=v.already_target,
                epochs=v.epochs,
                train_loss=cell(v.train_loss),
            )
        )
    return table
