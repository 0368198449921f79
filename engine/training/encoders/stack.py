"""Last layers of a text encoder trained on the hidden states below them, many victims of one trial together.

The schedule of `reference/`; `reference/encoder.py` is the slow, obvious form. Rows of `Training` are numbers of
rows of the states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from engine.errors import RequestError
from engine.steps import EncoderRows
from engine.training import graphs, host
from engine.training.adam import DecayedAdam
from engine.training.dense import LEAST_PER_PART
from engine.training.encoders.dropout import Rates
from engine.training.encoders.rows import StackRows
from engine.training.encoders.states import StateRows
from engine.training.recipe import Job, Recipe, Trained, Training
from engine.training.schedule import Schedule
from engine.training.sharing import train_shared_out
from engine.training.trial import Trial

QUERIES_AT_ONCE = 2**24  # numbers that the absorbed queries of the rows asked about at a time take: 64 MiB


class EncoderStack(Protocol):
    """What this trainer needs of a stack of victims."""

    tensors: list[Tensor]
    grads: list[Tensor]

    @property
    def victims(self) -> int: ...
    def params_of(self, v: int) -> list[Tensor]: ...
    def logits(self, x_BTW: Tensor, real_BT: Tensor) -> Tensor: ...
    def step(self, rows: EncoderRows, *, want_loss: bool) -> Tensor | None: ...


class EncoderLayer(Rates, Protocol):
    """What this trainer needs of the layer."""

    @property
    def kernels(self) -> tuple[int, ...]: ...
    def stack(self, params: Sequence[Sequence[Tensor]], device: torch.device, dtype: torch.dtype) -> EncoderStack: ...


Finish = Callable[[EncoderStack, Callable[[float], None]], Sequence[Sequence[Tensor]]]  # (the stack, told the share done of asking it)


@dataclass(frozen=True)
class _Shared:
    """What all parts of a stack share."""

    layer: EncoderLayer
    init: Sequence[Tensor]
    data: Training
    states: StateRows
    recipe: Recipe
    trial: Trial


def train_encoder_stack(
    layer: EncoderLayer,
    init: Sequence[Tensor],
    data: Training,
    states: StateRows,
    jobs: Sequence[Job],
    recipe: Recipe,
    trial: Trial,
    finish: Finish | None = None,
) -> list[Trained]:
    """Train every job's victim from the trial's weights `init`; results in the order of `jobs`.

    data: x_NF and x_AF are int64 [rows, 1], each row's number in `states`, which say on what device and in what precision to train.
    finish: called where victims were trained, with their stack; what it returns for each is kept in place of its parameters
    (predictions, say). RequestError for a recipe with another end than a number of epochs.
    """
    if recipe.stop != "epochs":
        raise RequestError("the last layer of a text encoder is trained for a number of epochs", where="model.stop", next='use "epochs"')
    if recipe.per_rows:
        raise RequestError("weight decay divided by rows is scikit-learn's alone", where="model.weight_decay_per", next='use "step"')
    shared = _Shared(layer, init, data, states, recipe, trial)
    parts = 1 if states.device.type == "cuda" else min(trial.workers, len(jobs) // LEAST_PER_PART)
    return train_shared_out(lambda group, report: _train_group(shared, [jobs[v] for v in group], report, finish), len(jobs), trial, parts)


@torch.no_grad()
def _train_group(shared: _Shared, jobs: Sequence[Job], report: Callable[[float], None], finish: Finish | None) -> list[Trained]:
    recipe, data, states, trial = shared.recipe, shared.data, shared.states, shared.trial
    stack = shared.layer.stack([shared.init] * len(jobs), states.device, states.dtype)
    optimizer = DecayedAdam(stack.tensors, recipe, shared.layer.kernels)
    schedule = Schedule(len(data.y_N), recipe.batch, trial.seed, trial.number)
    rows_of = StackRows(shared.layer, data, states, jobs, schedule, recipe.epochs)
    asked = trial.asked if finish else 0.0
    loss_V, rows_V = (torch.zeros(len(jobs), dtype=states.dtype, device=states.device) for _ in range(2))

    def one_step(rows: EncoderRows, want_loss: bool) -> None:
        step_loss_V = stack.step(rows, want_loss=want_loss)
        if step_loss_V is not None:
            loss_V.addcmul_(step_loss_V + _penalty(stack, shared.layer, recipe), rows.rows_V)
            rows_V.add_(rows.rows_V)
        optimizer.step(stack.tensors, stack.grads)  # noqa: F821 -- let go of after the last step

    take_step = graphs.Steps(one_step, states.device, trial.how.capture)
    mean_V, steps, epoch = np.zeros(len(jobs)), 0, 0
    while epoch < recipe.epochs and steps != trial.max_steps:
        want_loss = epoch + 1 == recipe.epochs or trial.max_steps is not None  # the last epoch's is reported
        loss_V.zero_()
        rows_V.zero_()
        plan = rows_of.epoch(epoch)
        for step in range(schedule.steps):
            plan.prepare(step)
            take_step(plan.step(step), want_loss)
            steps += 1
            if steps == trial.max_steps:
                break
            # every one: a step of a wide stack takes a second
            report(len(jobs) * (1 - asked) * (epoch + (step + 1) / schedule.steps) / recipe.epochs)
        if want_loss:
            mean_V = host.to_host((loss_V / rows_V).double())
        epoch += 1
    take_step.forget()
    del one_step, take_step, optimizer  # its memory is as much as the victims' own, and finish may want some
    if finish:
        left = finish(stack, lambda share: report(len(jobs) * (1 - asked + asked * share)))
    else:
        left = [stack.params_of(v) for v in range(len(jobs))]
    report(len(jobs))
    return [Trained(list(tensors), epoch, float(mean_V[v])) for v, tensors in enumerate(left)]


def _penalty(stack: EncoderStack, layer: EncoderLayer, recipe: Recipe) -> Tensor | float:
    """What the loss has beside cross-entropy, for each victim [victims]."""
    if not recipe.weight_decay or recipe.optimizer == "adamw":
        return 0.0
    return torch.stack([stack.tensors[at].square().sum((1, 2)) for at in layer.kernels]).sum(0) * (recipe.weight_decay / 2)


# ---- asking ---------------------------------------------------------------------------------------------------------


@torch.no_grad()
def logits_of_rows(
    stack: EncoderStack, layer: EncoderLayer, states: StateRows, numbers: np.ndarray, report: Callable[[float], None] = lambda done: None
) -> Tensor:
    """Logits [victims, rows, classes] of the rows of these numbers, int64 [rows]; report is told the share done.

    Rows of like length go together, so that little padding is read.
    """
    at_once = max(1, QUERIES_AT_ONCE // (stack.victims * layer.heads * layer.width))
    by_length = np.argsort(states.lengths_N[numbers], kind="stable")
    parts = []
    for lo in range(0, len(numbers), at_once):
        report(lo / len(numbers))
        parts.append(stack.logits(*states.take(numbers[by_length[lo : lo + at_once]])))
    sorted_logits = torch.cat(parts, 1)
    out = torch.empty_like(sorted_logits)
    out[:, host.upload(by_length, sorted_logits.device)] = sorted_logits
    return out


def bytes_a_victim(layer: EncoderLayer, init: Sequence[Tensor], batch: int, dtype: torch.dtype) -> int:
    """About what memory a victim of a stack takes: weights, gradients and moments, and the queries and sums of a step's rows."""
    return dtype.itemsize * (4 * sum(p.numel() for p in init) + 8 * (batch + 2) * layer.heads * layer.width)
