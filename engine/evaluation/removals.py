"""What defences took from their victims' rows: poison, clean rows of the target, clean rows of others. Integer counts, once a victim."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from engine.errors import BadData
from engine.rows import Suspected, VictimResult, VictimSpec


@dataclass(frozen=True)
class Taken:
    """From one victim: rows removed or relabelled.

    points              of its poison, of how many;  of_rows: the rows of train
    rows_S              int64 [subpopulations + 1], clean rows of train by subpopulation, the last those in none
    suspected           None where the defence has no such order
    """

    spec: VictimSpec
    points: int
    of_points: int
    of_rows: int
    rows_S: np.ndarray
    suspected: Suspected | None = None

    @property
    def rows(self) -> int:
        """Of train and its poison."""
        return self.of_rows + self.of_points

    @property
    def clean(self) -> int:
        return int(self.rows_S.sum())


@dataclass(frozen=True)
class Removals:
    """The victims with a defence counted so far. slot_N: the subpopulation of each row of train; `subpopulations` where it is in none."""

    subpopulations: int
    slot_N: np.ndarray
    victims: dict[int, Taken] = field(default_factory=dict)
    defended: dict[tuple[int | None, float | None], list[Taken]] = field(default_factory=dict)  # by target and rate

    @classmethod
    def start(cls, membership_train: np.ndarray, subpopulations: int) -> Removals:
        member_N = np.asarray(membership_train)
        return cls(subpopulations, np.where(member_N < 0, subpopulations, member_N).astype(np.int64))

    @property
    def rows_S(self) -> np.ndarray:
        """Rows of train by subpopulation, the last those in none: int64."""
        return np.bincount(self.slot_N, minlength=self.subpopulations + 1)

    def add(self, results: Iterable[VictimResult]) -> None:
        """Count these; those without a defence, and those counted before, are passed over. BadData where lengths disagree."""
        for result in results:
            if result.judged is None or result.spec.index in self.victims:
                continue
            taken_R, n = ~result.judged.kept_R | (result.judged.given_R >= 0), len(self.slot_N)
            if len(taken_R) != n + result.poison_points:
                what = f"victim {result.spec.index} was judged on {len(taken_R)} rows of {n + result.poison_points}"
                raise BadData(what, where="stored victims", next="delete the run and start it again")
            rows_S = np.bincount(self.slot_N[taken_R[:n]], minlength=self.subpopulations + 1)
            suspected = result.judged.suspected
            if suspected is not None and len(suspected.points_P) != result.poison_points:
                what = f"victim {result.spec.index} has places of {len(suspected.points_P)} points of {result.poison_points}"
                raise BadData(what, where="stored victims", next="delete the run and start it again")
            taken = Taken(result.spec, int(taken_R[n:].sum()), result.poison_points, n, rows_S, suspected)
            self.victims[result.spec.index] = taken
            if result.spec.arm == "defended":
                self.defended.setdefault((result.spec.subpopulation, result.spec.alpha), []).append(taken)

    def of(self, subpopulation: int | None, alpha: float | None) -> list[Taken]:
        """From the defended victims of this target and rate; the random removals are not among them."""
        return self.defended.get((subpopulation, alpha), [])


@dataclass(frozen=True)
class Shares:
    """Means over trials; None where there is nothing to divide by.

    recall      share of the poison that was taken;  precision: share of what was taken that is poison
    inside      share of the target's own clean rows that was taken;  outside: of all other clean rows;  rows: how many in all
    """

    recall: float | None
    precision: float | None
    inside: float | None
    outside: float | None
    rows: float | None


def shares(taken: list[Taken], subpopulation: int, rows_S: np.ndarray) -> Shares:
    """rows_S: as `Removals.rows_S`. Precision is over all trials together, for one may have taken nothing."""
    if not taken:
        return Shares(None, None, None, None, None)
    points, all_points = sum(t.points for t in taken), sum(t.of_points for t in taken)
    inside, clean = sum(int(t.rows_S[subpopulation]) for t in taken), sum(t.clean for t in taken)
    own, total = int(rows_S[subpopulation]) * len(taken), int(rows_S.sum()) * len(taken)
    return Shares(
        recall=_ratio(points, all_points),
        precision=_ratio(points, points + clean),
        inside=_ratio(inside, own),
        outside=_ratio(clean - inside, total - own),
        rows=(points + clean) / len(taken),
    )


def first(taken: list[Taken], share: float) -> Shares | None:
    """What is gone where that share of all rows is removed in the order in which the defence suspects them: means over trials.

    None where no victim has such an order.
    """
    ordered = [(t, t.suspected, round(share * t.rows)) for t in taken if t.suspected is not None]
    if not ordered:
        return None
    rows = sum(count for _, _, count in ordered)
    points = sum(int((suspected.points_P < count).sum()) for _, suspected, count in ordered)
    own = sum(int((suspected.own_O < count).sum()) for _, suspected, count in ordered)
    all_own = sum(len(suspected.own_O) for _, suspected, _ in ordered)
    return Shares(
        recall=_ratio(points, sum(t.of_points for t, _, _ in ordered)),
        precision=_ratio(points, rows),
        inside=_ratio(own, all_own),
        outside=_ratio(rows - points - own, sum(t.of_rows for t, _, _ in ordered) - all_own),
        rows=rows / len(ordered),
    )


def _ratio(top: int, bottom: int) -> float | None:
    return top / bottom if bottom else None
