"""The slow, obvious trainer: one victim, autograd, PyTorch's own Adam. The reference that gates every faster one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from engine.training.recipe import Job, Plateau, Recipe, Trained, Training
from engine.training.schedule import Schedule


class VictimModel(Protocol):
    """What a trainer of single victims needs of a model."""

    def logits(self, params: Sequence[Tensor], x_BF: Tensor) -> Tensor: ...
    def losses(self, logits_BO: Tensor, y_B: Tensor) -> Tensor: ...
    def penalty(self, params: Sequence[Tensor]) -> Tensor: ...


Batches = Iterator[tuple[Tensor, Tensor]]


def train_sequential(
    model: VictimModel,
    init: Sequence[Tensor],
    data: Training,
    job: Job,
    recipe: Recipe,
    *,
    seed: int,
    trial: int,
    max_steps: int | None = None,
) -> Trained:
    """Train one victim on the shared schedule of its trial.

    init: its initial parameters, as the model lists them. max_steps: cuts training short (for tests).
    """
    schedule = Schedule(len(data.y_N), recipe.batch, seed, trial)
    return fit(model, init, recipe, lambda epoch: shared_batches(schedule, data, job, epoch), max_steps)


def shared_batches(schedule: Schedule, data: Training, job: Job, epoch: int) -> Batches:
    """The epoch's steps: the trial's clean batch, then the victim's own poison rows of that step."""
    order = torch.from_numpy(schedule.order(epoch)).to(data.y_N.device)
    pool_rows, labels = (torch.from_numpy(a).to(data.y_N.device) for a in (job.rows, job.labels))
    point_SVP, _ = schedule.places(epoch, np.array([len(job.rows)]))
    for step in range(schedule.steps):
        lo, hi = schedule.bounds(step)
        clean = order[lo:hi]
        own = torch.from_numpy(point_SVP[step, 0][point_SVP[step, 0] >= 0].astype(np.int64)).to(data.y_N.device)
        yield torch.cat([data.x_NF[clean], data.x_AF[pool_rows[own]]]), torch.cat([data.y_N[clean], labels[own]])


def fit(
    model: VictimModel, init: Sequence[Tensor], recipe: Recipe, batches_of: Callable[[int], Batches], max_steps: int | None = None
) -> Trained:
    """The eager loop itself; `batches_of(epoch)` yields x_BF [rows of the step, features] and y_B, int64 [rows of the step]."""
    params = [p.clone().requires_grad_() for p in init]
    optimizer = torch.optim.Adam(params, lr=recipe.lr)
    rule = Plateau(1, recipe)
    steps = 0
    for epoch in range(recipe.epochs):
        total, rows = 0.0, 0
        for x_BF, y_B in batches_of(epoch):
            loss = model.losses(model.logits(params, x_BF), y_B).mean()
            if recipe.weight_decay:
                loss = loss + recipe.weight_decay / (len(y_B) if recipe.per_rows else 1) * model.penalty(params)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total, rows, steps = total + loss.item() * len(y_B), rows + len(y_B), steps + 1
            if steps == max_steps:
                break
        mean = total / rows
        if steps == max_steps or rule.stopped(epoch, np.array([mean]))[0]:
            break
    return Trained([p.detach() for p in params], epoch + 1, mean)
