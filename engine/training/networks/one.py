"""One victim, as fast as one goes: channels last where a convolution gains by it, one fused optimiser call, no waiting for a loss."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor

from engine.milestones import Arrays
from engine.training import graphs, host
from engine.training.adam import DecayedAdam
from engine.training.dropout import dropout_draws
from engine.training.models import CuttingModel
from engine.training.networks.rows import NetworkStep, StackPictures
from engine.training.networks.trial import NetworkTrial
from engine.training.recipe import Job, Plateau, Trained


def train_one(
    shared: NetworkTrial,
    job: Job,
    report: Callable[[float], None],
    finish: Callable[[list[Tensor], Callable[[float], None]], list[Tensor]] | None = None,
) -> Trained:
    """Train one victim. report is called after every step with the share done, 0 to 1; what it raises ends the training.

    Where its trial says so it goes on from where it stood when it was stopped, to the same bits.
    """
    recipe, model = shared.recipe, shared.model
    params = [_laid_out(p) for p in shared.init]
    trained = [p.requires_grad_() for p in params[: model.trainable]]
    # Adam's decay is a term of the loss, which knows what it is on; AdamW's is the optimiser's
    decayed = model.kernels if recipe.optimizer == "adamw" else ()
    optimizer, rule = DecayedAdam(trained, recipe, decayed), Plateau(1, recipe)
    schedule = shared.schedule
    pictures = StackPictures(shared.data, [job], schedule, recipe.augment, shared.dtype, alone=True, lengths=shared.lengths)
    asked = shared.trial.asked if finish else 0.0
    steps, epoch, first, rows, stopped, mean = 0, 0, 0, 0, False, 0.0
    total = torch.zeros((), dtype=torch.float64, device=shared.device)
    stands = shared.trial.stands

    def one_step(batch: _Batch, epoch: int, step: int) -> None:
        loss = _loss(shared, params, batch.x_BCHW, batch.y_B, epoch, step)
        loss.backward()
        total.add_(loss.detach().double() * max(1, len(batch.y_B)))
        with torch.no_grad():
            optimizer.step(trained, [p.grad for p in trained])  # type: ignore[misc]
        for p in trained:
            p.grad = None

    # dropout seeds its draws at each step, which cannot be captured
    take_step = graphs.Steps(one_step, shared.device, shared.trial.how.capture and not model.has_dropout)
    changing = [*params, *optimizer.means, *optimizer.squares, optimizer.count, total]  # what a step changes in place
    if stands and (stood := stands.milestones.state(stands.name)):
        steps, epoch, first, rows = _gone_back_to(stood, changing, rule)
    while not stopped:
        plan = pictures.epoch(epoch)
        for step in range(first, schedule.steps):
            batch = _joined(shared, plan.step(step))
            take_step(batch, *((epoch, step) if model.has_dropout else (0, 0)))
            rows_B = max(1, len(batch.y_B))
            rows, steps = rows + rows_B, steps + 1
            if steps == shared.trial.max_steps:
                break
            if stands:
                stands.milestones.hold(stands.name, partial(_standing, changing, rule, (steps, epoch, step + 1, rows)))
            report((1 - asked) * (epoch + (step + 1) / schedule.steps) / recipe.epochs)
        mean = float(host.to_host(total)) / rows if shared.loss_wanted(epoch) else 0.0
        stopped = steps == shared.trial.max_steps or bool(rule.stopped(epoch, np.array([mean]))[0])
        total.zero_()
        epoch, first, rows = epoch + 1, 0, 0
    left = [p.detach() for p in params]
    with torch.no_grad():
        if finish:
            return Trained(finish(left, lambda share: report(1 - asked + asked * share)), epoch, mean)
        return Trained([p.contiguous() for p in left], epoch, mean)


def _standing(changing: list[Tensor], rule: Plateau, at: tuple[int, int, int, int]) -> Arrays:
    with torch.no_grad():
        tensors = {f"t{i}": host.to_host(t.contiguous()) for i, t in enumerate(changing)}
    return {**tensors, "at": np.array(at), "best": rule.best_V, "stale": rule.stale_V}


def _gone_back_to(stood: Arrays, changing: list[Tensor], rule: Plateau) -> tuple[int, ...]:
    """Put everything back as it stood, each tensor as it is laid out; returns `at`."""
    with torch.no_grad():
        for i, t in enumerate(changing):
            t.copy_(torch.from_numpy(stood[f"t{i}"]))
    rule.best_V, rule.stale_V = stood["best"].copy(), stood["stale"].copy()
    return tuple(int(n) for n in stood["at"])


def _laid_out(p: Tensor) -> Tensor:
    """A victim's own copy of a parameter."""
    return p.detach().clone(memory_format=torch.channels_last) if p.dim() == 4 else p.detach().clone()


@dataclass(frozen=True)
class _Batch:
    """Clean and poison rows of a step."""

    x_BCHW: Tensor
    y_B: Tensor


def _joined(shared: NetworkTrial, rows: NetworkStep) -> _Batch:
    """Clean and poison rows of the victim's step as one batch. None of its places is padding, since no other victim shares the step.

    What a defence removed is not among them: batch norm would look at it, and dropout's draws follow from the rows before.
    """
    x_BHWC, y_B = rows.x_BHWC, rows.y_B if rows.y_B.dim() == 1 else rows.y_B[0]
    if rows.x_VPHWC is not None and rows.y_VP is not None:
        x_BHWC, y_B = torch.cat([x_BHWC, rows.x_VPHWC[0]]), torch.cat([y_B, rows.y_VP[0]])
    if rows.longest is not None:
        return _Batch(cast(CuttingModel, shared.model).cut(x_BHWC, rows.longest), y_B)
    return _Batch(shared.model.pixels(x_BHWC), y_B)


def _loss(shared: NetworkTrial, params: list[Tensor], x_BCHW: Tensor, y_B: Tensor, epoch: int, step: int) -> Tensor:
    model, recipe = shared.model, shared.recipe
    training = len(y_B) > 1 or model.trainable == len(params)  # as `reference/sequential.py` has it
    dropout = dropout_draws(shared.trial.seed, shared.trial.number, epoch, step, shared.device) if model.has_dropout else nullcontext()
    with shared.precision(), dropout:
        logits_BO = model.logits(params, x_BCHW, training=training)
    rows_B = max(1, len(y_B))
    loss = model.losses(logits_BO.to(shared.dtype), y_B).sum() / rows_B
    if recipe.weight_decay and recipe.optimizer == "adam":
        loss = loss + recipe.weight_decay / (rows_B if recipe.per_rows else 1) * model.penalty(params)
    return loss
