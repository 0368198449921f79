"""Rows of the `optimization` table: an optimised attack against label flipping (paper, section 5.6 and Table 8)."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

from engine.evaluation import worst
from engine.evaluation.optimised import Gain
from engine.evaluation.paired import Paired, mean_difference, paired
from engine.evaluation.worst import Worst
from engine.tables.cells import Row, cell, line, mean
from engine.tables.columns import KS
from engine.tables.figures import Figures

TWO_RANKINGS = "the worst of each attack by its own ranking: other subpopulations, so no interval"


def rows(figures: Figures) -> list[Row]:
    """Of each alpha: means over all and over those with enough test rows, the worst k both ways, then one row a subpopulation."""
    pair = paired(figures.label_flip, figures.layout)
    lines = []
    for a in range(len(figures.world.facts.alphas)):
        of = _Alpha(figures, pair, a)
        lines += [*of.means(), *of.worst(), *of.each()]
    return lines


class _Alpha:
    """The rows of one alpha."""

    def __init__(self, figures: Figures, pair: Paired, a: int) -> None:
        self.figures, self.pair, self.a = figures, pair, a

    def _points(self, s: int) -> float | None:
        trials = int(self.pair.trials_AS[self.a, s])
        return int(self.pair.attack.points_ATS[self.a, :, s].sum()) / trials if trials else None

    def _gain(self, s: int) -> Gain | None:
        """Of a subpopulation, also before its first victims where it does not depend on how many points there are."""
        return self.figures.world.optimised.gain(s, self._points(s) or 0.0)

    def _objective_cells(self, members: Sequence[int]) -> dict[str, object]:
        """What every row says of the optimised points and of how many there are: means over its subpopulations."""
        gains = [gain_of for s in members if (gain_of := self._gain(s)) is not None]
        before, after = mean([g.before for g in gains]), mean([g.after for g in gains])
        gain = None if before is None or after is None else after - before
        return {
            "objective_before": before,
            "objective_after": after,
            "gain": gain,
            "relative_gain": gain / abs(before) if gain is not None and before else None,
            "improved": mean([g.improved for g in gains if g.improved is not None]),
            "moved": mean([g.moved for g in gains if g.moved is not None]),
            "poison_points": mean([points for s in members if (points := self._points(s)) is not None]),
            "published": None,
            "published_as": None,
        }

    def _line(self, group: str, members: Sequence[int], **cells: object) -> Row:
        of_one = {"subpopulation": None, "description": None, "test_rows": None, "note": None}
        shared = {"alpha": self.figures.world.facts.alphas[self.a], "group": group, "subpopulations": len(members)}
        return line("optimization", **{**of_one, **shared, **self._objective_cells(members), **cells})

    def each(self) -> list[Row]:
        """One row a subpopulation."""
        pair, a = self.pair, self.a
        return [
            self._line(
                "one",
                [s.index],
                subpopulation=s.index,
                description=s.description,
                label_flip=cell(pair.control_AS[a, s.index]),
                optimized=cell(pair.attack_AS[a, s.index]),
                difference=cell(pair.difference_AS[a, s.index]),
                low=cell(pair.low_AS[a, s.index]),
                high=cell(pair.high_AS[a, s.index]),
                trials=int(pair.trials_AS[a, s.index]),
                test_rows=s.test_rows,
            )
            for s in self.figures.attacked
        ]

    def means(self) -> list[Row]:
        """Means over all subpopulations with a damage by both, and over those of them with enough test rows."""
        pair, a = self.pair, self.a
        known = [s.index for s in self.figures.attacked if not isnan(pair.difference_AS[a, s.index])]
        enough = [s for s in known if self.figures.enough_test_rows[s]]
        cells = []
        for group, members in (("all", known), ("enough test rows", enough)):
            interval = mean_difference(pair, a, members)
            cells.append(
                self._line(
                    group,
                    members,
                    label_flip=mean([float(pair.control_AS[a, s]) for s in members]),
                    optimized=mean([float(pair.attack_AS[a, s]) for s in members]),
                    difference=mean([float(pair.difference_AS[a, s]) for s in members]),
                    low=interval.low,
                    high=interval.high,
                    trials=interval.trials,
                    note=None if interval.low is not None else "an interval needs two complete trials",
                )
            )
        return cells

    def worst(self) -> list[Row]:
        """The worst k as published and corrected, each attack's own; what is said of points is of the optimised attack's worst."""
        pair, figures = self.pair, self.figures
        flip, best = (
            worst.worst_of(layout, self.a, damage_AS[self.a], figures.published_sizes, figures.enough_test_rows, KS)
            for layout, damage_AS in ((pair.control, pair.control_AS), (pair.attack, pair.attack_AS))
        )
        cells = []
        for k, one, other in zip(KS, flip, best, strict=True):
            cells.append(self._worst(f"worst {k}, as published", other.published_picks, one.published, other.published, other))
        for k, one, other in zip(KS, flip, best, strict=True):
            cells.append(self._worst(f"worst {k}, corrected", other.picks, one.corrected, other.corrected, other))
        return cells

    def _worst(self, group: str, picks: Sequence[int], flip: float | None, best: float | None, of: Worst) -> Row:
        return self._line(
            group,
            picks,
            label_flip=flip,
            optimized=best,
            difference=None if flip is None or best is None else best - flip,
            low=None,
            high=None,
            trials=of.trials if group.endswith("corrected") else max((int(self.pair.trials_AS[self.a, s]) for s in picks), default=0),
            note=TWO_RANKINGS if best is not None else of.note or None,
        )
