"""The authors' schedule: train and poison rows shuffled together. Here to check, once, that sharing clean batches moves no mean damage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from engine.seeds import generator
from engine.training.models import VictimModel
from engine.training.recipe import Job, Recipe, Trained, Training
from engine.training.reference.sequential import Batches, fit


def union_order(seed: int, trial: int, epoch: int, rows: int) -> np.ndarray:
    """The authors' order: clean and poison rows shuffled together, int64 [rows]."""
    return generator(seed, "union order", trial, epoch).permutation(rows)


def train_union(model: VictimModel, init: Sequence[Tensor], data: Training, job: Job, recipe: Recipe, *, seed: int, trial: int) -> Trained:
    """Train one victim on train + poison in one shuffled order."""
    device = data.y_N.device
    x_UF = torch.cat([data.x_NF, data.x_AF[torch.from_numpy(job.rows).to(device)]])
    y_U = torch.cat([data.y_N, torch.from_numpy(job.labels).to(device)])

    def batches(epoch: int) -> Batches:
        order = torch.from_numpy(union_order(seed, trial, epoch, len(y_U))).to(device)
        for chunk in order.split(recipe.batch):
            yield x_UF[chunk], y_U[chunk]

    return fit(model, init, recipe, batches)
