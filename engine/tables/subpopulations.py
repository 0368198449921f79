"""Rows of the `subpopulations` table: what was discovered."""

from __future__ import annotations

from engine.evaluation.damage import ratio
from engine.rows import class_mix_words
from engine.tables.cells import Row, cell, line
from engine.tables.figures import Figures


def rows(figures: Figures) -> list[Row]:
    clean_TS, n_S = figures.layout.clean_TS, figures.layout.n_S
    clean_S = ratio(clean_TS.sum(axis=0), len(clean_TS) * n_S)
    return [
        line(
            "subpopulations",
            subpopulation=s.index,
            description=s.description,
            train_rows=s.train_rows,
            aux_rows=s.aux_rows,
            test_rows=s.test_rows,
            class_mix=class_mix_words(s.class_mix),
            confidence=s.confidence,
            confidence_in_sample=s.confidence_in_sample,
            adversary_accuracy=s.clean_accuracy,
            clean_accuracy=cell(clean_S[s.index]),
            target_label=s.target_label,
            attacked=s.attacked,
            reason=s.reason,
            predicted=s.predicted,
        )
        for s in figures.world.subpopulations
    ]
