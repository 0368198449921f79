"""Integer counts of what each victim did. A victim is counted once, when it is committed; tables are rebuilt from counts alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from engine.errors import BadData
from engine.evaluation.folds import FOLDS, assign_folds
from engine.rows import VictimResult, VictimSpec


@dataclass(frozen=True)
class Counted:
    """One victim, counted.

    right_S     int32 [subpopulations + 1], test rows it got right; the last: those in no subpopulation
    given_SC    int32 [subpopulations + 1, classes], how often each class was predicted
    right_rows  bool, row by row in the order of `Counts.order_R`: a clean victim's on every row, another's on its target's
    """

    spec: VictimSpec
    poison_points: int
    already_target: int
    epochs: int
    train_loss: float
    right_S: np.ndarray
    given_SC: np.ndarray
    right_rows: np.ndarray


@dataclass(frozen=True)
class Counts:
    """The test rows as every victim meets them, and the victims counted so far.

    slot_R    int32 [test rows], the subpopulation's index, or `subpopulations` where a row is in none
    y_R       uint8 [test rows]
    order_R   int64 [test rows], the rows by (slot, fold): every subpopulation's rows are one slice, each of its folds within
    total_SF  int64 [subpopulations + 1, folds], test rows there are
    ends_S    int64 [subpopulations + 1], where each slot's slice of order_R ends
    victims   victim's number in the plan -> its counts; grows with `add`, nothing in it ever changes
    """

    classes: int
    slot_R: np.ndarray
    y_R: np.ndarray
    order_R: np.ndarray
    total_SF: np.ndarray
    ends_S: np.ndarray
    victims: dict[int, Counted] = field(default_factory=dict)

    @classmethod
    def start(cls, membership_test: np.ndarray, y_test: np.ndarray, *, classes: int, subpopulations: int, seed: int) -> Counts:
        """No victims yet. membership_test: int [test rows], -1 for none; y_test: int [test rows]; seed: the scenario's.

        Raises BadData where the two disagree in length or a membership is out of range.
        """
        membership_R = np.asarray(membership_test, dtype=np.int32)
        if len(membership_R) != len(y_test):
            raise _bad(f"{len(membership_R)} memberships for {len(y_test)} test rows", "stored discovery")
        if len(membership_R) and not -1 <= int(membership_R.min()) <= int(membership_R.max()) < subpopulations:
            raise _bad(f"a test row is in a subpopulation beyond the {subpopulations} there are", "stored discovery")
        slot_R = np.where(membership_R < 0, subpopulations, membership_R).astype(np.int32)
        fold_R = assign_folds(seed, membership_R)
        total_SF = np.bincount(slot_R * FOLDS + fold_R, minlength=(subpopulations + 1) * FOLDS).reshape(-1, FOLDS)
        order_R = np.lexsort((fold_R, slot_R))
        return cls(classes, slot_R, np.asarray(y_test, dtype=np.uint8), order_R, total_SF, total_SF.sum(axis=1).cumsum())

    @property
    def subpopulations(self) -> int:
        return len(self.ends_S) - 1

    def rows_of(self, subpopulation: int) -> np.ndarray:
        """The subpopulation's test rows, fold by fold: int64."""
        start = 0 if subpopulation == 0 else int(self.ends_S[subpopulation - 1])
        return self.order_R[start : int(self.ends_S[subpopulation])]

    def add(self, results: Iterable[VictimResult]) -> None:
        """Count these victims; those counted before are left as they are.

        Raises BadData for predictions of the wrong length or of a class that does not exist.
        """
        for result in results:
            if result.spec.index not in self.victims:
                self.victims[result.spec.index] = self._count(result)

    def _count(self, result: VictimResult) -> Counted:
        given_R, name = np.asarray(result.predictions), f"victim {result.spec.index}"
        if len(given_R) != len(self.y_R):
            raise _bad(f"{name} has {len(given_R)} predictions for {len(self.y_R)} test rows", "stored victims")
        slots, target = self.subpopulations + 1, result.spec.subpopulation
        right_R = given_R == self.y_R
        if len(given_R) and int(given_R.max()) >= self.classes:
            raise _bad(f"{name} predicts class {int(given_R.max())} of {self.classes}", "stored victims")
        given_SC = np.bincount(self.slot_R * self.classes + given_R, minlength=slots * self.classes)
        return Counted(
            spec=result.spec,
            poison_points=result.poison_points,
            already_target=result.already_target,
            epochs=result.epochs,
            train_loss=result.train_loss,
            right_S=np.bincount(self.slot_R[right_R], minlength=slots).astype(np.int32),
            given_SC=given_SC.reshape(slots, self.classes).astype(np.int32),
            right_rows=right_R[self.order_R if target is None else self.rows_of(target)],
        )

    def in_order(self) -> list[Counted]:
        """The victims by their number in the plan, whatever the order in which they were counted."""
        return [self.victims[index] for index in sorted(self.victims)]


def _bad(what: str, where: str) -> BadData:
    return BadData(what, where=where, next="delete the run and start it again")
