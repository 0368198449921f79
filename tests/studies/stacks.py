"""Is a stack what its victims would be alone? Random worlds, the stacked trainer against the slow one, in float64.

    python -m tests.studies.stacks [--worlds 300] [--seed 0]

A world draws its model (no hidden layer to two, two classes to six), rows, features, batch size (one row to more than all), numbers of
poison points (none to twice the rows), penalty, stopping rule, and for half of the worlds what a defence left of each victim's rows. Adam
divides by the root of squared gradients, so that a gradient that is zero but for rounding moves a parameter by up to the learning rate: a
gap may grow by that in steps, and worlds are kept to tens of steps. Exit status 1 where any gap is above 1e-8.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from engine.models.dense.mlp import Mlp
from engine.training.dense import train_stacked
from engine.training.recipe import Job, Recipe, Trained, Training
from engine.training.reference.sequential import train_sequential
from engine.training.trial import Trial
from tests.worlds import rows as worlds

MOST_GAP = 1e-8


@dataclass(frozen=True)
class World:
    """One draw: its victims as the stacked trainer leaves them, and as the slow one does."""

    model: Mlp
    data: Training
    jobs: list[Job]
    recipe: Recipe
    trial: Trial

    @classmethod
    def draw(cls, seed: int) -> World:
        rng = np.random.default_rng(seed)
        features, classes = int(rng.integers(1, 9)), int(rng.choice([2, 2, 2, 3, 6]))
        hidden = tuple(int(width) for width in rng.integers(1, 8, rng.integers(0, 3)))
        n, pool = int(rng.integers(2, 70)), int(rng.integers(1, 40))
        batch = int(rng.choice([1, 2, 7, max(1, n // 3), n - 1, n, n + 5]))
        steps = -(-n // batch)
        epochs = int(rng.integers(1, max(2, 60 // steps)))
        stop: Literal["plateau", "epochs"] = "plateau" if rng.random() < 0.4 else "epochs"
        recipe = Recipe(
            epochs, batch, lr=float(rng.choice([1e-3, 1e-2, 3e-2])), weight_decay=float(rng.choice([0, 1e-3, 0.1])),
            per_rows=bool(rng.random() < 0.5), stop=stop, tol=5e-3, patience=int(rng.integers(1, 4)),
        )  # fmt: skip
        (x, y), (aux, _) = (worlds.rows(many, features, classes, int(rng.integers(1 << 30))) for many in (n, pool))
        sizes = rng.integers(0, 2 * n + 1, rng.integers(1, 7)) * (rng.random() < 0.9)
        jobs = [Job(rng.integers(0, pool, size), rng.integers(0, classes, size)) for size in sizes]
        if rng.random() < 0.5:
            jobs = worlds.judged(jobs, y, classes)
        data = Training(*(torch.from_numpy(a) for a in (x, y, aux)))
        most = int(rng.integers(1, 60)) if rng.random() < 0.3 else None
        return cls(Mlp(features, hidden, classes), data, jobs, recipe, Trial(seed, int(rng.integers(5)), max_steps=most))

    def stacked(self) -> list[Trained]:
        return train_stacked(lambda params: self.model.stack(params, worlds.CPU, torch.float64), *self._given(self.jobs))

    def alone(self) -> list[Trained]:
        init, data, jobs, recipe, trial = self._given(self.jobs)
        return [train_sequential(self.model, init[0], data, job, recipe, trial) for job in jobs]

    def _given(self, jobs: list[Job]) -> tuple[list[list[torch.Tensor]], Training, list[Job], Recipe, Trial]:
        return [worlds.init(self.model)] * len(jobs), self.data, jobs, self.recipe, self.trial

    def __str__(self) -> str:
        sizes = [len(job.rows) for job in self.jobs]
        return f"{self.model}, {tuple(self.data.x_NF.shape)} rows, points {sizes}, judged {self.jobs[0].judged is not None}, {self.recipe}"


def gap(ours: list[Trained], slow: list[Trained]) -> float:
    """The largest difference of any parameter of any victim, and of any victim's epochs."""
    return max(worlds.worst_gap(ours, slow), *(float(abs(a.epochs - b.epochs)) for a, b in zip(ours, slow, strict=True)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0, help="of the first world")
    given = parser.parse_args()
    torch.set_num_threads(1)
    gaps = []
    for seed in range(given.seed, given.seed + given.worlds):
        world = World.draw(seed)
        gaps.append(gap(world.stacked(), world.alone()))
        if not gaps[-1] <= MOST_GAP:
            print(f"world {seed}: {gaps[-1]:.2g}: {world}")
    above = sum(not each <= MOST_GAP for each in gaps)
    print(f"{len(gaps)} worlds: median gap {np.median(gaps):.1e}, largest {max(gaps):.1e}, {above} above {MOST_GAP:g}")
    return int(not max(gaps) <= MOST_GAP)


if __name__ == "__main__":
    sys.exit(main())
