"""Rows of the `certificates` table: how many inserted points the vote of a run's ensemble is proven to withstand, and at what accuracy.

The ensemble is one for the whole run: its models saw clean train alone, so no poisoned victim is behind a row of this table.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine import rates
from engine.evaluation.certificates import most_points, withstood
from engine.evaluation.damage import ratio
from engine.rows import Subpopulation
from engine.tables.cells import Row, cell, line, mean
from engine.tables.figures import Figures

BEYOND = "more points than any row of so many parts can withstand"


def rows(figures: Figures) -> list[Row]:
    """Of each alpha: the whole test set, means over the attacked and over those with enough test rows, then every one that has test rows.

    None before the last model of the ensemble is committed.
    """
    if not figures.world.ensemble.complete:
        return []
    of = _Certificates(figures)
    there = [s for s in figures.world.subpopulations if len(figures.world.counts.rows_of(s.index))]
    attacked = [s for s in there if s.attacked]
    enough = [s for s in attacked if figures.enough_test_rows[s.index]]
    return [
        row
        for alpha in figures.world.facts.alphas
        for row in (
            of.everyone(alpha),
            of.mean_over("all", attacked, alpha),
            of.mean_over("enough test rows", enough, alpha),
            *(of.one(s, alpha) for s in there),
        )
    ]


class _Certificates:
    def __init__(self, figures: Figures) -> None:
        self.figures, self.counts, self.ensemble = figures, figures.world.counts, figures.world.ensemble
        layout = figures.layout
        self.clean_S = ratio(layout.clean_TS.sum(axis=0), len(layout.clean_TS) * layout.n_S).tolist()
        self.clean_all = float(layout.clean_all_T.mean()) / layout.n_all if len(layout.trials) and layout.n_all else float("nan")
        self.per_train = figures.world.facts.per == "train"

    def _line(self, alpha: float, group: str, members: int, **cells: object) -> Row:
        """What is the same for all rows, and what is blank where it is not said."""
        blank = ("subpopulation", "description", "points", "certified", "certified_right", "out_of_reach", "attacked", "train_rows")
        return line(
            "certificates",
            **{
                **dict.fromkeys((*blank, "aux_rows", "note")),
                "alpha": alpha,
                "group": group,
                "subpopulations": members,
                "parts": self.ensemble.k,
                "most_points": most_points(self.ensemble.k),
                "smallest_part": min(self.ensemble.rows),
                **cells,
            },
        )

    def everyone(self, alpha: float) -> Row:
        """The whole test set, of which alpha has no meaning."""
        points_N, right_N = self.ensemble.certified.points_N, self.ensemble.right_N
        return self._line(
            alpha,
            "test set",
            len(self.figures.world.subpopulations),
            ensemble_accuracy=mean(right_N.tolist()),
            clean_accuracy=cell(self.clean_all),
            withstood=withstood(points_N),
            withstood_right=withstood(points_N, right_N),
            test_rows=len(points_N),
        )

    def _figures(self, s: Subpopulation, alpha: float) -> dict[str, float | None]:
        """Of one subpopulation; where more are told of, means of these."""
        rows_R = self.counts.rows_of(s.index)
        points_R, right_R = self.ensemble.certified.points_N[rows_R], self.ensemble.right_N[rows_R]
        points = rates.count(alpha, s.train_rows if self.per_train else s.aux_rows)
        held_R = points_R >= points
        return {
            "points": points,
            "certified": _share(held_R),
            "certified_right": _share(held_R & right_R),
            "ensemble_accuracy": _share(right_R),
            "clean_accuracy": cell(self.clean_S[s.index]),
            "withstood": withstood(points_R),
            "withstood_right": withstood(points_R, right_R),
            "out_of_reach": float(points > most_points(self.ensemble.k)),
        }

    def one(self, s: Subpopulation, alpha: float) -> Row:
        figures = self._figures(s, alpha)
        return self._line(
            alpha,
            "one",
            1,
            **figures,
            subpopulation=s.index,
            description=s.description,
            attacked=s.attacked,
            train_rows=s.train_rows,
            aux_rows=s.aux_rows,
            test_rows=len(self.counts.rows_of(s.index)),
            note=BEYOND if figures["out_of_reach"] else None,
        )

    def mean_over(self, group: str, members: Sequence[Subpopulation], alpha: float) -> Row:
        each = [self._figures(s, alpha) for s in members]
        names = ("points", "certified", "certified_right", "ensemble_accuracy", "clean_accuracy", "out_of_reach")
        means = {name: mean([value for of in each if (value := of[name]) is not None]) for name in names}
        # half of the rows of all: a mean over subpopulations would leave out those where fewer than half are right
        rows_R = np.concatenate([self.counts.rows_of(s.index) for s in members]) if members else np.empty(0, np.int64)
        points_R, right_R = self.ensemble.certified.points_N[rows_R], self.ensemble.right_N[rows_R]
        half = {"withstood": withstood(points_R), "withstood_right": withstood(points_R, right_R)}
        return self._line(alpha, group, len(members), **means, **half, test_rows=len(rows_R))


def _share(of_R: np.ndarray) -> float:
    return int(of_R.sum()) / len(of_R)
