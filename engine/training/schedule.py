"""Which rows a step sees. A pure function of (seed, trial, epoch), so every arm, subpopulation and stack of a trial agrees on it.

Clean rows: one permutation an epoch, cut into batches; the last may be short (as scikit-learn cuts them). A rest of less than an eighth of
a batch joins the batch before it. Alone it would be a step of Adam's, as large as any other, on a row or two, and every victim would be
judged right after it; where train and poison are shuffled together few victims' rows leave such a rest, for each has its own number.
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

LEAST_REST = 8  # a last batch holds at least a batch's rows over this


@dataclass(frozen=True)
class Schedule:
    """The order of rows for one trial."""

    rows: int
    batch: int
    seed: int
    trial: int

    @property
    def steps(self) -> int:
        whole, rest = divmod(self.rows, self.batch)
        return max(whole, 1) if rest * LEAST_REST < self.batch else whole + 1

    def order(self, epoch: int) -> np.ndarray:
        """The epoch's order of the clean rows, int64 [rows]."""
        return generator(self.seed, "batch order", self.trial, epoch).permutation(self.rows)

    def bounds(self, step: int) -> tuple[int, int]:
        """Where the step's clean rows lie in the epoch's order."""
        return step * self.batch, self.rows if step == self.steps - 1 else (step + 1) * self.batch

    @property
    def all_bounds(self) -> list[tuple[int, int]]:
        """The bounds of each step."""
        return [self.bounds(step) for step in range(self.steps)]

    def most_places(self, points: int, epochs: int) -> int:
        """The most of so many points that any step of any epoch has."""
        return max((int(np.bincount(self._steps_of(epoch, points)).max(initial=0)) for epoch in range(epochs)), default=0)

    def _steps_of(self, epoch: int, points: int) -> np.ndarray:
        position_M = generator(self.seed, "poison place", self.trial, epoch).integers(0, self.rows, points)
        return np.minimum(position_M // self.batch, self.steps - 1)

    def places(self, epoch: int, points_V: np.ndarray, least: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Where each victim's poison points go in this epoch.

        points_V: int64 [victims], how many points each has. least: places that a step has at least, where there are points.
        Returns point_SVP, int32 [steps, victims, places], the number of the victim's own point or -1 for padding, with places the most
        that any victim has in any one step, or `least`; and count_SV, int32 [steps, victims], how many places are real.
        """
        steps, most = self.steps, int(points_V.max(initial=0))
        if most == 0:
            return np.full((steps, len(points_V), 0), -1, np.int32), np.zeros((steps, len(points_V)), np.int32)
        step_M = self._steps_of(epoch, most)
        point_M = np.argsort(step_M, kind="stable")  # by step, and within a step by point number
        count_S = np.bincount(step_M, minlength=steps)
        place_M = np.arange(most) - np.repeat(np.cumsum(count_S) - count_S, count_S)
        point_SP = np.full((steps, max(int(count_S.max()), least)), most, np.int32)
        point_SP[step_M[point_M], place_M] = point_M
        # ascending within a step, so that the points which a victim has come first there
        own_SVP = point_SP[:, None] < points_V[:, None].astype(np.int32)
        return np.where(own_SVP, point_SP[:, None], np.int32(-1)), own_SVP.sum(2, dtype=np.int32)
