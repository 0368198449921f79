"""Many networks of one trial as one program, by `torch.func.vmap`: shared clean batches are read once. On a CPU convolutions become grouped
ones, elsewhere batched products (see `convolutions.py`).

For networks whose layers do not look across a batch: batch norm and dropout ask for a victim's poison in its clean rows' company.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from engine.training import graphs, host
from engine.training.adam import StackAdam
from engine.training.networks.convolutions import unfolded
from engine.training.networks.rows import NetworkStep, StackPictures
from engine.training.networks.trial import NetworkTrial
from engine.training.recipe import Job, Plateau, Trained


def train_vmapped(
    shared: NetworkTrial,
    jobs: Sequence[Job],
    report: Callable[[float], None],
    finish: Callable[[list[Tensor], Callable[[float], None]], list[Tensor]] | None = None,
) -> list[Trained]:
    """Train the jobs' victims together; results in their order. report is called after every step with the victims done."""
    recipe, schedule = shared.recipe, shared.schedule
    tensors = [torch.stack([p.detach()] * len(jobs)) for p in shared.init]  # [victims, ...] each
    optimizer, rule = StackAdam(tensors, recipe.lr), Plateau(len(jobs), recipe)
    pictures = StackPictures(shared.data, jobs, schedule, recipe.augment, shared.dtype, epochs=recipe.epochs)
    still = np.arange(len(jobs))  # which job each place of the stack trains
    trained: dict[int, Trained] = {}
    asked = shared.trial.asked if finish else 0.0
    loss_V, rows_V = (torch.zeros(len(still), dtype=torch.float64, device=shared.device) for _ in range(2))

    def one_step(rows: NetworkStep) -> None:
        grads, step_loss_V = _gradients(shared, tensors, rows)
        loss_V.add_(step_loss_V.double() * rows.rows_V)
        rows_V.add_(rows.rows_V)
        optimizer.step(tensors, grads)

    take_step = graphs.Steps(one_step, shared.device, shared.trial.how.capture)
    steps, epoch = 0, 0
    while len(still):
        plan = pictures.epoch(epoch)
        loss_V.zero_()
        rows_V.zero_()
        for step in range(schedule.steps):
            take_step(plan.step(step))
            steps += 1
            if steps == shared.trial.max_steps:
                break
            report(len(trained) + len(still) * (1 - asked) * (epoch + (step + 1) / schedule.steps) / recipe.epochs)
        mean_V = host.to_host(loss_V / rows_V) if shared.loss_wanted(epoch) else np.zeros(len(still))
        stop_V = np.ones(len(still), bool) if steps == shared.trial.max_steps else rule.stopped(epoch, mean_V)
        epoch += 1
        for v in np.flatnonzero(stop_V):
            left = [t[int(v)].clone() for t in tensors]
            if finish:

                def on_asked(share: float, done: int = len(trained), of_one: float = (1 - asked) * epoch / recipe.epochs) -> None:
                    report(done + (len(jobs) - done) * of_one + (1 - of_one) * share)

                left = finish(left, on_asked)
            trained[int(still[v])] = Trained(left, epoch, float(mean_V[v]))
        if stop_V.any():
            keep = np.flatnonzero(~stop_V)
            index = host.upload(keep, shared.device)
            tensors = [t.index_select(0, index) for t in tensors]
            optimizer.keep(index, lambda i: 0)
            rule.keep(keep)
            pictures.keep(keep)
            still = still[keep]
            loss_V, rows_V = (torch.zeros(len(still), dtype=torch.float64, device=shared.device) for _ in range(2))
            take_step.forget()
        report(len(trained) + len(still) * (1 - asked) * epoch / recipe.epochs)
    return [trained[i] for i in range(len(jobs))]


def _gradients(shared: NetworkTrial, tensors: Sequence[Tensor], rows: NetworkStep) -> tuple[list[Tensor], Tensor]:
    """Each victim's gradient of its mean loss over the rows it really has, penalty included [victims, ...], and that loss [victims]."""
    model, recipe = shared.model, shared.recipe
    pixels_BCHW = model.pixels(rows.x_BHWC)

    def loss_of(
        params: list[Tensor], y_B: Tensor, kept_B: Tensor | None, poison: tuple[Tensor, Tensor, Tensor] | None, count: Tensor
    ) -> Tensor:
        with shared.precision():
            logits_BO = model.logits(params, pixels_BCHW, training=True)
        loss_B = model.losses(logits_BO.to(shared.dtype), y_B)
        loss = loss_B.sum() if kept_B is None else (loss_B * kept_B).sum()
        if poison is not None:
            x_PHWC, y_P, real_P = poison
            with shared.precision():
                logits_PO = model.logits(params, model.pixels(x_PHWC), training=True)
            loss = loss + (model.losses(logits_PO.to(shared.dtype), y_P) * real_P).sum()
        loss = loss / count
        if recipe.weight_decay:
            loss = loss + (recipe.weight_decay / count if recipe.per_rows else recipe.weight_decay) * model.penalty(params)
        return loss

    poison: tuple[Tensor, Tensor, Tensor] | None = None
    if rows.x_VPHWC is not None and rows.y_VP is not None and rows.own_VP is not None:
        poison = (rows.x_VPHWC, rows.y_VP, rows.own_VP)
    dims = (0, 0 if rows.y_B.dim() == 2 else None, 0 if rows.kept_VB is not None else None, 0 if poison else None, 0)
    of_all = torch.func.vmap(torch.func.grad_and_value(loss_of), in_dims=dims)
    with unfolded(shared.device):
        grads, loss_V = of_all(list(tensors), rows.y_B, rows.kept_VB, poison, rows.rows_V)
    # a batching rule may leave the victims in another place in memory; the optimiser goes through both as they lie
    return [g.contiguous() for g in grads], loss_V.detach()
