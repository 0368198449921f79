"""Which rows a step sees. A pure function of (seed, trial, epoch), so every arm, subpopulation and stack of a trial agrees on it.

Clean rows: one permutation an epoch, cut into batches; the last may be short (as scikit-learn cuts them).
Poison rows: a victim with m points visits each once an epoch, spread evenly over the steps: the point of rank r goes to step
floor((r + phase) * steps / m). Ranks come from one key per point number, the same for every victim, so that the places of a smaller
alpha's points do not depend on who shares the stack.
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
        draw = generator(self.seed, "poison order", self.trial, epoch)
        phase, keys = draw.random(), draw.random(most)
        rank_M = np.arange(most)
        real_VM = rank_M < points_V[:, None]
        by_rank_VM = np.argsort(np.where(real_VM, keys, 2.0), axis=1, kind="stable")
        at_VM = np.floor((rank_M + phase) * steps / np.maximum(points_V, 1)[:, None]).astype(np.int64)
        step_VM = np.where(real_VM, np.minimum(at_VM, steps - 1), steps)  # a phase next to one may round up
        new_VM = np.ones_like(real_VM)
        new_VM[:, 1:] = step_VM[:, 1:] != step_VM[:, :-1]
        place_VM = rank_M - np.maximum.accumulate(np.where(new_VM, rank_M, 0), axis=1)
        point_SVP = np.full((steps, victims, int(place_VM[real_VM].max()) + 1), -1, np.int32)
        v, r = np.nonzero(real_VM)
        point_SVP[step_VM[v, r], v, place_VM[v, r]] = by_rank_VM[v, r]
        return point_SVP, (point_SVP >= 0).sum(2, dtype=np.int32)


def union_order(seed: int, trial: int, epoch: int, rows: int) -> np.ndarray:
    """The authors' order: clean and poison rows shuffled together, int64 [rows]."""
    return generator(seed, "union order", trial, epoch).permutation(rows)
