"""Rows of the `defenses` table: what the run's defence took, and whether it helped more than removing as many rows at random.

Three arms of the same trials are set side by side: without a defence, with it, and with as many rows removed at random. The worst k are
each arm's own: an adversary who knows the defence picks again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isnan

from engine.evaluation import worst
from engine.evaluation.cost import cost
from engine.evaluation.paired import Paired, mean_difference, paired
from engine.evaluation.removals import Shares, first, shares
from engine.evaluation.worst import Worst
from engine.tables.cells import Row, cell, line, mean
from engine.tables.columns import KS, SPECS
from engine.tables.figures import Figures

TWO_RANKINGS = "the worst of each by its own ranking: other subpopulations, so no interval"
FIRST = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # shares of all rows at which the curve of removals is read
TAKEN = ("poison_recall", "precision", "removed_own", "removed_others", "removed_rows", "poison_points")
COSTS = ("cost", "cost_elsewhere", "random_cost", "random_cost_elsewhere")


FIRST_ROWS = "most suspect "  # what the group of a row of the curve begins with
_OF_GONE: dict[str, Callable[[Shares], float | None]] = {
    "poison_recall": lambda gone: gone.recall,
    "precision": lambda gone: gone.precision,
    "removed_own": lambda gone: gone.inside,
    "removed_others": lambda gone: gone.outside,
    "removed_rows": lambda gone: gone.rows,
}


def rows(figures: Figures) -> list[Row]:
    """Of each alpha: means over all and over those with enough test rows, the worst k both ways, then one row a subpopulation."""
    against_none = paired(figures.layout, figures.defended)
    against_random = paired(figures.random_removal, figures.defended)
    costs, random_costs = cost(figures.world.counts, "defended"), cost(figures.world.counts, "random_removal")
    figure_S = {
        "cost": costs.target_S,
        "cost_elsewhere": costs.elsewhere_S,
        "random_cost": random_costs.target_S,
        "random_cost_elsewhere": random_costs.elsewhere_S,
    }
    lines = []
    for a in range(len(figures.world.facts.alphas)):
        of = _Alpha(figures, against_none, against_random, {name: of_S.tolist() for name, of_S in figure_S.items()}, a)
        lines += [*of.means(), *of.worst(), *of.each(), *of.curve()]
    return lines


class _Alpha:
    """The rows of one alpha."""

    def __init__(self, figures: Figures, none: Paired, random: Paired, costs: dict[str, list[float]], a: int) -> None:
        self.figures, self.none, self.random, self.costs, self.a = figures, none, random, costs, a

    def _cells(self, s: int) -> dict[str, float | None]:
        """What is said of one subpopulation and, as means, of a group of them."""
        removals, alpha = self.figures.world.removals, self.figures.world.facts.alphas[self.a]
        taken = shares(removals.of(s, alpha), s, removals.rows_S)
        points = cell(self.figures.damages.points_AS[self.a, s])
        told = (taken.recall, taken.precision, taken.inside, taken.outside, taken.rows, points)
        return {**dict(zip(TAKEN, told, strict=True)), **{name: cell(of_S[s]) for name, of_S in self.costs.items()}}

    def _line(self, group: str, members: Sequence[int], **cells: object) -> Row:
        each = [self._cells(s) for s in members]
        means = {name: mean([value for of in each if (value := of[name]) is not None]) for name in (*TAKEN, *COSTS)}
        blank = dict.fromkeys(
            (
                "subpopulation",
                "description",
                "difference_low",
                "difference_high",
                "beyond_low",
                "beyond_high",
                "train_rows",
                "test_rows",
                "note",
            )
        )
        return line(
            "defenses",
            **{**blank, "alpha": self.figures.world.facts.alphas[self.a], "group": group, "subpopulations": len(members), **means, **cells},
        )

    def each(self) -> list[Row]:
        """One row a subpopulation."""
        none, random, a = self.none, self.random, self.a
        return [
            self._line(
                "one",
                [s.index],
                subpopulation=s.index,
                description=s.description,
                damage_without=cell(none.control_AS[a, s.index]),
                damage_defended=cell(none.attack_AS[a, s.index]),
                damage_random=cell(random.control_AS[a, s.index]),
                difference=cell(none.difference_AS[a, s.index]),
                difference_low=cell(none.low_AS[a, s.index]),
                difference_high=cell(none.high_AS[a, s.index]),
                beyond_random=cell(random.difference_AS[a, s.index]),
                beyond_low=cell(random.low_AS[a, s.index]),
                beyond_high=cell(random.high_AS[a, s.index]),
                trials=int(none.trials_AS[a, s.index]),
                train_rows=s.train_rows,
                test_rows=s.test_rows,
            )
            for s in self.figures.attacked
        ]

    def curve(self) -> list[Row]:
        """What is gone at each share of rows removed, the most suspect first: means over subpopulations. None where there is no order."""
        removals, alpha = self.figures.world.removals, self.figures.world.facts.alphas[self.a]
        lines = []
        for share in FIRST:
            gone = [g for s in self.figures.attacked if (g := first(removals.of(s.index, alpha), share)) is not None]
            if not gone:
                continue
            columns = {name: mean([v for g in gone if (v := of(g)) is not None]) for name, of in _OF_GONE.items()}
            points = mean(
                [float(p) for s in self.figures.attacked if (p := cell(self.figures.damages.points_AS[self.a, s.index])) is not None]
            )
            blank = dict.fromkeys(column.name for column in SPECS["defenses"].columns)
            known = {"alpha": alpha, "group": f"{FIRST_ROWS}{100 * share:g} %", "subpopulations": len(gone), "poison_points": points}
            lines.append(line("defenses", **{**blank, **known, **columns}))
        return lines

    def means(self) -> list[Row]:
        """Means over all subpopulations with all three damages, and over those of them with enough test rows."""
        none, random, a = self.none, self.random, self.a
        known = [
            s.index
            for s in self.figures.attacked
            if not isnan(none.difference_AS[a, s.index]) and not isnan(random.difference_AS[a, s.index])
        ]
        enough = [s for s in known if self.figures.enough_test_rows[s]]
        lines = []
        for group, members in (("all", known), ("enough test rows", enough)):
            change, beyond = mean_difference(none, a, members), mean_difference(random, a, members)
            lines.append(
                self._line(
                    group,
                    members,
                    damage_without=mean([float(none.control_AS[a, s]) for s in members]),
                    damage_defended=mean([float(none.attack_AS[a, s]) for s in members]),
                    damage_random=mean([float(random.control_AS[a, s]) for s in members]),
                    difference=mean([float(none.difference_AS[a, s]) for s in members]),
                    difference_low=change.low,
                    difference_high=change.high,
                    beyond_random=mean([float(random.difference_AS[a, s]) for s in members]),
                    beyond_low=beyond.low,
                    beyond_high=beyond.high,
                    trials=change.trials,
                    note=None if change.low is not None else "an interval needs two complete trials",
                )
            )
        return lines

    def worst(self) -> list[Row]:
        """The worst k as published and corrected, each arm's own; what is said of rows is of the defended arm's worst."""
        figures = self.figures
        without, defended, at_random = (
            worst.worst_of(layout, self.a, damage_AS[self.a], figures.published_sizes, figures.enough_test_rows, KS)
            for layout, damage_AS in (
                (self.none.control, self.none.control_AS),
                (self.none.attack, self.none.attack_AS),
                (self.random.control, self.random.control_AS),
            )
        )
        of_k = list(zip(KS, without, defended, at_random, strict=True))
        return [
            *(self._worst(f"worst {k}, as published", d.published_picks, n.published, d.published, r.published, d) for k, n, d, r in of_k),
            *(self._worst(f"worst {k}, corrected", d.picks, n.corrected, d.corrected, r.corrected, d) for k, n, d, r in of_k),
        ]

    def _worst(self, group: str, picks: Sequence[int], none: float | None, defended: float | None, random: float | None, of: Worst) -> Row:
        trials = of.trials if group.endswith("corrected") else max((int(self.none.trials_AS[self.a, s]) for s in picks), default=0)
        return self._line(
            group,
            picks,
            damage_without=none,
            damage_defended=defended,
            damage_random=random,
            difference=None if none is None or defended is None else defended - none,
            beyond_random=None if random is None or defended is None else defended - random,
            trials=trials,
            note=TWO_RANKINGS if defended is not None else of.note or None,
        )
