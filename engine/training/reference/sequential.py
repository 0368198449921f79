"""The slow, obvious trainer: one victim, autograd, PyTorch's own Adam. The reference that gates every faster one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from engine.training import augmentation
from engine.training.dropout import dropout_draws
from engine.training.models import NetworkModel, VictimModel
from engine.training.recipe import Job, Plateau, Recipe, Trained, Training
from engine.training.schedule import Schedule
from engine.training.trial import Trial

Batches = Iterator[tuple[Tensor, Tensor]]
Logits = Callable[[Sequence[Tensor], Tensor, int, int], Tensor]  # (params, x_BF, epoch, step) -> logits_BO


def train_sequential(
    model: VictimModel,
    init: Sequence[Tensor],
    data: Training,
    job: Job,
    recipe: Recipe,
    trial: Trial,
) -> Trained:
    """Train one victim on the shared schedule of its trial. init: its initial parameters, as the model lists them."""
    schedule = Schedule(len(data.y_N), recipe.batch, trial.seed, trial.number)
    return fit(model, init, recipe, lambda epoch: shared_batches(schedule, data, job, epoch), trial.max_steps)


def train_network_sequential(
    model: NetworkModel, init: Sequence[Tensor], data: Training, job: Job, recipe: Recipe, trial: Trial
) -> Trained:
    """`train_sequential` for a network on pictures, with their augmentation, moved points, dropout and buffers."""
    schedule = Schedule(len(data.y_N), recipe.batch, trial.seed, trial.number)
    dtype, device = init[0].dtype, data.y_N.device

    def logits(params: Sequence[Tensor], pixels_BCHW: Tensor, epoch: int, step: int) -> Tensor:
        # a row alone has no variance for batch norm to divide by: it is run as a test row is
        training = len(pixels_BCHW) > 1 or model.trainable == len(params)
        with dropout_draws(trial.seed, trial.number, epoch, step, device):
            return model.logits(params, pixels_BCHW, training=training)

    def batches(epoch: int) -> Batches:
        of_pictures = data.x_NF.dtype == torch.uint8
        steps = (
            picture_batches(schedule, data, job, epoch, recipe.augment, dtype)
            if of_pictures
            else shared_batches(schedule, data, job, epoch)
        )
        for x, y_B in steps:
            yield model.pixels(x), y_B

    return fit(model, init, recipe, batches, trial.max_steps, logits=logits, trainable=model.trainable, kernels=model.kernels)


def shared_batches(schedule: Schedule, data: Training, job: Job, epoch: int) -> Batches:
    """The epoch's steps: the trial's clean batch, then the victim's own poison rows of that step."""
    pool_rows, labels = (torch.from_numpy(a).to(data.y_N.device) for a in (job.rows, job.labels))
    y_N = labels_of(data, job)
    for clean, points in step_rows(schedule, data, job, epoch):
        yield torch.cat([data.x_NF[clean], data.x_AF[pool_rows[points]]]), torch.cat([y_N[clean], labels[points]])


def picture_batches(schedule: Schedule, data: Training, job: Job, epoch: int, augment: bool, dtype: torch.dtype) -> Batches:
    """`shared_batches` of pictures, 0 to 1: float [rows of the step, height, width, 3]."""
    device, image = data.y_N.device, (data.x_NF.shape[1], data.x_NF.shape[2])
    labels = torch.from_numpy(job.labels).to(device)
    y_N = labels_of(data, job)
    poison = data.x_AF[torch.from_numpy(job.rows).to(device)].to(dtype) / 255
    if job.delta is not None:
        poison = (poison + torch.from_numpy(job.delta).to(device, dtype)).clamp(0, 1)
    draws = partial(augmentation.draws, schedule.seed, schedule.trial, epoch, image=image, device=device)
    how_clean, how_poison = draws(rows=len(data.y_N), of="clean rows"), draws(rows=len(job.rows), of="poison points")
    for clean, points in step_rows(schedule, data, job, epoch):
        x, x_own = data.x_NF[clean].to(dtype) / 255, poison[points]
        if augment:
            x, x_own = augmentation.apply(x, how_clean.take(clean)), augmentation.apply(x_own, how_poison.take(points))
        yield torch.cat([x, x_own]), torch.cat([y_N[clean], labels[points]])


def labels_of(data: Training, job: Job) -> Tensor:
    """The labels that the clean rows are trained with, int64 [train rows]."""
    return data.y_N if job.judged is None else torch.from_numpy(job.judged.y_N).to(data.y_N.device)


def step_rows(schedule: Schedule, data: Training, job: Job, epoch: int) -> Batches:
    """For each step of the epoch, its clean rows and the victim's own points, both int64: those that its defence kept, where it has one."""
    order = torch.from_numpy(schedule.order(epoch)).to(data.y_N.device)
    point_SVP, _ = schedule.places(epoch, np.array([len(job.rows)]))
    for step in range(schedule.steps):
        lo, hi = schedule.bounds(step)
        clean, points = order[lo:hi], torch.from_numpy(point_SVP[step, 0][point_SVP[step, 0] >= 0].astype(np.int64)).to(data.y_N.device)
        if job.judged is not None:
            clean = clean[torch.from_numpy(job.judged.kept_N).to(clean.device)[clean]]
            points = points[torch.from_numpy(job.judged.kept_M).to(points.device)[points]]
        yield clean, points


def fit(
    model: VictimModel | NetworkModel,
    init: Sequence[Tensor],
    recipe: Recipe,
    batches_of: Callable[[int], Batches],
    max_steps: int | None = None,
    *,
    logits: Logits | None = None,
    trainable: int | None = None,
    kernels: Sequence[int] = (),
) -> Trained:
    """The eager loop itself; `batches_of(epoch)` yields x_BF [rows of the step, features] and y_B, int64 [rows of the step].

    logits: the forward pass where it is not the model's as it is. trainable: how many of the parameters are trained (the others are
    buffers, which the forward pass changes); None: all. kernels: those that AdamW shrinks.
    """
    logits = logits or (lambda params, x_BF, epoch, step: model.logits(params, x_BF))
    params = [p.clone() for p in init]
    trained = [p.requires_grad_() for p in params[:trainable]]
    optimizer: torch.optim.Optimizer = torch.optim.Adam(trained, lr=recipe.lr)
    if recipe.optimizer == "adamw":
        decayed, others = [trained[i] for i in kernels], [p for i, p in enumerate(trained) if i not in kernels]
        groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=recipe.lr)
    rule = Plateau(1, recipe)
    steps = 0
    for epoch in range(recipe.epochs):
        total, rows = 0.0, 0
        for step, (x_BF, y_B) in enumerate(batches_of(epoch)):
            rows_B = max(1, len(y_B))  # a defence may have left a step none: its penalty alone is felt then
            loss = model.losses(logits(params, x_BF, epoch, step), y_B).sum() / rows_B
            if recipe.weight_decay and recipe.optimizer == "adam":
                loss = loss + recipe.weight_decay / (rows_B if recipe.per_rows else 1) * model.penalty(params)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total, rows, steps = total + loss.item() * rows_B, rows + rows_B, steps + 1
            if steps == max_steps:
                break
        mean = total / rows
        if steps == max_steps or rule.stopped(epoch, np.array([mean]))[0]:
            break
    return Trained([p.detach() for p in params], epoch + 1, mean)
