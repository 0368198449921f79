"""Which rows a step sees. A pure function of (seed, trial, epoch), so every arm, subpopulation and stack of a trial agrees on it.

Clean rows: one permutation an epoch, cut into batches; the last may be short (as scikit-learn cuts them).
Poison rows: a victim visits each of its points once an epoch. A point's place is a position among the epoch's clean rows, drawn evenly;
its step is the batch that holds that position. So no step holds, in expectation, another share of an epoch's poison than its share of the
clean rows, as where train and poison are shuffled together. (Spread evenly over *steps*, as schedule 1 did, a last batch of 41 rows had a
full step's poison, and Adult's victims were judged right after it: damages at alpha 2 were twice too high.)
A position is drawn by point number alone, so the places of a smaller alpha's points are the same in every stack and at every alpha.

The schedule has a version, `engine.versions.SCHEDULE`: raise it with any change of which rows a step sees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.seeds import generator


@dataclass(frozen=True)
class Schedule:
    """The order of rows for one trial."""

    rows: int
    batch: int
    seed: int
    trial: int

    @property
    def steps(self) -> int:
        return -(-self.rows // self.batch)

    def order(self, epoch: int) -> np.ndarray:
        """The epoch's order of the clean rows, int64 [rows]."""
        return generator(self.seed, "batch order", self.trial, epoch).permutation(self.rows)

    def bounds(self, step: int) -> tuple[int, int]:
        """Where the step's clean rows lie in the epoch's order."""
        return step * self.batch, min((step + 1) * self.batch, self.rows)

    def places(self, epoch: int, points_V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where each victim's poison points go in this epoch.

        points_V: int64 [victims], how many points each has.
        Returns point_SVP, int32 [steps, victims, places], the number of the victim's own point or -1 for padding, with places the most
        that any victim has in any one step; and count_SV, int32 [steps, victims], how many places are real.
        """
        victims, steps, most = len(points_V), self.steps, int(points_V.max(initial=0))
        if most == 0:
            return np.full((steps, victims, 0), -1, np.int32), np.zeros((steps, victims), np.int32)
        position_M = generator(self.seed, "poison place", self.trial, epoch).integers(0, self.rows, most)
        step_M = position_M // self.batch
        step_VM = np.where(np.arange(most) < points_V[:, None], step_M, steps)  # a point that the victim does not have is in no step
        by_step_VM = np.argsort(step_VM, axis=1, kind="stable")  # within a step by point number
        sorted_VM = np.take_along_axis(step_VM, by_step_VM, axis=1)
        rank_M = np.arange(most)
        first_VM = np.ones_like(sorted_VM, dtype=bool)
        first_VM[:, 1:] = sorted_VM[:, 1:] != sorted_VM[:, :-1]
        place_VM = rank_M - np.maximum.accumulate(np.where(first_VM, rank_M, 0), axis=1)
        v, r = np.nonzero(sorted_VM < steps)
        point_SVP = np.full((steps, victims, int(place_VM[v, r].max()) + 1), -1, np.int32)
        point_SVP[sorted_VM[v, r], v, place_VM[v, r]] = by_step_VM[v, r]
        return point_SVP, (point_SVP >= 0).sum(2, dtype=np.int32)


def union_order(seed: int, trial: int, epoch: int, rows: int) -> np.ndarray:
    """The authors' order: clean and poison rows shuffled together, int64 [rows]."""
    return generator(seed, "union order", trial, epoch).permutation(rows)
