"""The slow, obvious trainer of an encoder's last layer: one victim, every token projected, autograd, PyTorch's own optimiser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from engine.steps import Kept
from engine.training.encoders.dropout import DropoutDraws, Rates
from engine.training.encoders.states import StateRows
from engine.training.recipe import Job, Recipe, Trained, Training
from engine.training.reference.sequential import labels_of, step_rows
from engine.training.schedule import Schedule
from engine.training.trial import Trial


class PlainLayer(Rates, Protocol):
    """What this trainer needs of the layer."""

    @property
    def kernels(self) -> tuple[int, ...]: ...
    def logits(self, params: Sequence[Tensor], x_BTW: Tensor, real_BT: Tensor, kept: Kept | None = None) -> Tensor: ...
    def losses(self, logits_BO: Tensor, y_B: Tensor) -> Tensor: ...
    def penalty(self, params: Sequence[Tensor]) -> Tensor: ...


def train_encoder_sequential(
    layer: PlainLayer, init: Sequence[Tensor], data: Training, states: StateRows, job: Job, recipe: Recipe, trial: Trial
) -> Trained:
    """Train one victim on the shared schedule of its trial; see `train_encoder_stack`."""
    schedule = Schedule(len(data.y_N), recipe.batch, trial.seed, trial.number)
    draws = DropoutDraws(layer, trial.seed, trial.number, states.tokens, states.device, states.dtype)
    params = [p.to(states.device, states.dtype).clone().requires_grad_() for p in init]
    optimizer = _optimizer(params, recipe, layer.kernels)
    labels, steps = torch.from_numpy(job.labels).to(states.device), 0
    for epoch in range(recipe.epochs):
        drawn, total, rows = draws.poison(epoch, len(job.rows)), 0.0, 0
        for step, (clean, poison) in enumerate(step_rows(schedule, data, job, epoch)):
            x, real = states.take(data.x_NF[clean, 0].cpu().numpy())
            # drawn for all of the step's rows, of which a defence may have left some
            lo, hi = schedule.bounds(step)
            at = np.flatnonzero(np.isin(schedule.order(epoch)[lo:hi], clean.cpu().numpy()))
            kept = draws.clean(epoch, step, hi - lo, x.shape[1])
            kept = None if kept is None else Kept(kept.attention[at], kept.hidden[at])
            logits = layer.logits(params, x, real, kept)
            losses = layer.losses(logits, labels_of(data, job)[clean])
            if len(poison):
                points = poison.cpu().numpy()
                x, real = states.take(data.x_AF[torch.from_numpy(job.rows[points]), 0].cpu().numpy())
                logits = layer.logits(params, x, real, draws.of_points(drawn, points, x.shape[1]))
                losses = torch.cat([losses, layer.losses(logits, labels[poison])])
            rows_B = max(1, len(losses))
            loss = losses.sum() / rows_B
            if recipe.weight_decay and recipe.optimizer == "adam":
                loss = loss + recipe.weight_decay * layer.penalty(params)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total, rows, steps = total + loss.item() * rows_B, rows + rows_B, steps + 1
            if steps == trial.max_steps:
                break
        if steps == trial.max_steps:
            break
    return Trained([p.detach() for p in params], epoch + 1, total / rows)


def _optimizer(params: Sequence[Tensor], recipe: Recipe, kernels: Sequence[int]) -> torch.optim.Optimizer:
    if recipe.optimizer == "adam":
        return torch.optim.Adam(params, lr=recipe.lr)
    decayed = set(kernels)
    groups = [
        {"params": [p for i, p in enumerate(params) if i in decayed], "weight_decay": recipe.weight_decay},
        {"params": [p for i, p in enumerate(params) if i not in decayed], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.lr)
