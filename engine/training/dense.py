"""Many victims of one trial trained together. The same schedule as `reference/sequential.py`, no per-victim Python in the loop.

A victim that meets the stopping rule leaves its stack at the end of that epoch, so the stack narrows as it goes. Out of memory halves the
stack and goes on: the halves train one after the other on the same schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from engine.steps import StepRows
from engine.training import graphs, host
from engine.training.adam import StackAdam
from engine.training.judged import CleanRows, kept_points
from engine.training.recipe import Job, Plateau, Recipe, Trained, Training
from engine.training.schedule import Schedule
from engine.training.sharing import train_shared_out
from engine.training.trial import Trial


class Stack(Protocol):
    """What this trainer needs of a stack of victims."""

    tensors: list[Tensor]
    grads: list[Tensor]

    @property
    def victims(self) -> int: ...
    def victim_dim(self, index: int) -> int: ...
    def keep(self, index_V: Tensor) -> None: ...
    def coded(self, y: Tensor, own: Tensor | None) -> Tensor: ...
    def params_of(self, v: int) -> list[Tensor]: ...
    def step(self, rows: StepRows, decay: float, per_rows: bool, *, want_loss: bool) -> Tensor | None: ...


Coded = Callable[[Tensor, Tensor | None], Tensor]  # `Stack.coded`
MakeStack = Callable[[Sequence[Sequence[Tensor]]], Stack]

STEPS_BETWEEN_REPORTS = 8
LEAST_PER_PART = 2  # victims; fewer are not worth a process


@dataclass(frozen=True)
class _Shared:
    """What all parts of a stack share."""

    make_stack: MakeStack
    data: Training
    recipe: Recipe
    trial: Trial


def train_stacked(
    make_stack: MakeStack,
    inits: Sequence[Sequence[Tensor]],
    data: Training,
    jobs: Sequence[Job],
    recipe: Recipe,
    trial: Trial,
) -> list[Trained]:
    """Train every job's victim; results in the order of `jobs`.

    make_stack builds the stack from the victims' initial parameters, on its device; `data` lies on that device already.
    Raises RunFailed when a single victim does not fit.
    """
    shared = _Shared(make_stack, _with_constant_column(data), recipe, trial)

    def train_group(group: Sequence[int], report: Callable[[float], None]) -> list[Trained]:
        return _train_group(shared, [inits[v] for v in group], [jobs[v] for v in group], report)

    parts = 1 if data.x_NF.is_cuda else min(trial.workers, len(jobs) // LEAST_PER_PART)
    return train_shared_out(train_group, len(jobs), trial, parts)


def _with_constant_column(data: Training) -> Training:
    """Features with a last column of ones, which carries the first layer's bias."""

    def widen(x: Tensor) -> Tensor:
        return torch.cat([x, torch.ones_like(x[:, :1])], 1)

    return Training(widen(data.x_NF), data.y_N, widen(data.x_AF))


@torch.no_grad()
def _train_group(shared: _Shared, inits: Sequence[Sequence[Tensor]], jobs: Sequence[Job], report: Callable[[float], None]) -> list[Trained]:
    data, recipe, trial = shared.data, shared.recipe, shared.trial
    device, dtype = data.x_NF.device, data.x_NF.dtype
    stack = shared.make_stack(inits)
    optimizer = StackAdam(stack.tensors, recipe.lr)
    schedule = Schedule(len(data.y_N), recipe.batch, trial.seed, trial.number)
    rule = Plateau(stack.victims, recipe)
    clean, poison = CleanRows(jobs, data.y_N), _PoisonRows(jobs, device, schedule, recipe.epochs)
    still = np.arange(len(jobs))  # which job each place of the stack trains
    trained: dict[int, Trained] = {}
    x_NF = torch.empty_like(data.x_NF)
    loss_V = torch.zeros(len(still), dtype=dtype, device=device)

    def one_step(rows: StepRows, want_loss: bool) -> None:
        step_loss_V = stack.step(rows, recipe.weight_decay, recipe.per_rows, want_loss=want_loss)
        if step_loss_V is not None:
            loss_V.addcmul_(step_loss_V, rows.rows_V)
        optimizer.step(stack.tensors, stack.grads)

    take_step = graphs.Steps(one_step, device, trial.how.capture)
    steps, epoch = 0, 0
    while len(still):
        order_N = schedule.order(epoch)
        order = host.upload(order_N, device)
        torch.index_select(data.x_NF, 0, order, out=x_NF)
        y_N, kept_VN = clean.epoch(order, dtype)
        plan = poison.epoch(schedule, epoch, dtype, clean.counts(schedule.all_bounds, order_N), stack.coded)
        y_N = stack.coded(y_N, kept_VN)
        # only the plateau rule asks for every epoch's loss; the last epoch's is reported
        want_loss = recipe.stop == "plateau" or epoch + 1 == recipe.epochs or trial.max_steps is not None
        loss_V.zero_()
        for step in range(schedule.steps):
            lo, hi = schedule.bounds(step)
            rows = plan.rows(step, x_NF[lo:hi], y_N[..., lo:hi], data.x_AF, None if kept_VN is None else kept_VN[:, lo:hi])
            take_step(rows, want_loss)
            steps += 1
            if steps == trial.max_steps:
                break
            if step % STEPS_BETWEEN_REPORTS == STEPS_BETWEEN_REPORTS - 1:
                report(len(trained) + len(still) * (epoch + step / schedule.steps) / recipe.epochs)
        mean_V = host.to_host((loss_V / plan.rows_SV[: step + 1].sum(0)).double()) if want_loss else np.zeros(len(still))
        stop_V = np.ones(len(still), bool) if steps == trial.max_steps else rule.stopped(epoch, mean_V)
        epoch += 1
        for v in np.flatnonzero(stop_V):
            trained[int(still[v])] = Trained(stack.params_of(int(v)), epoch, float(mean_V[v]))
        if stop_V.any():
            keep = np.flatnonzero(~stop_V)
            index = host.upload(keep, device)
            stack.keep(index)
            optimizer.keep(index, stack.victim_dim)
            rule.keep(keep)
            clean.keep(keep)
            poison.keep(keep)
            still = still[keep]
            loss_V = torch.zeros(len(still), dtype=dtype, device=device)
            take_step.forget()
        report(len(trained) + len(still) * epoch / recipe.epochs)
    return [trained[i] for i in range(len(jobs))]


class _PoisonRows:
    """The poison of a stack's victims on the device: which pool row and label each point has, padded to the longest."""

    def __init__(self, jobs: Sequence[Job], device: torch.device, schedule: Schedule, epochs: int) -> None:
        self.points_V = np.array([len(job.rows) for job in jobs], np.int64)
        most = int(self.points_V.max(initial=0))
        self.row_VM = np.zeros((len(jobs), most), np.int64)
        self.label_VM = np.zeros((len(jobs), most), np.int64)
        for v, job in enumerate(jobs):
            self.row_VM[v, : len(job.rows)], self.label_VM[v, : len(job.rows)] = job.rows, job.labels
        self.kept_VM = kept_points(jobs)
        self.device = device
        self.most_places = schedule.most_places(most, epochs) if host.fills(device) else 0

    def keep(self, index_V: np.ndarray) -> None:
        self.points_V, self.row_VM, self.label_VM = self.points_V[index_V], self.row_VM[index_V], self.label_VM[index_V]
        self.kept_VM = None if self.kept_VM is None else self.kept_VM[index_V]

    def epoch(self, schedule: Schedule, epoch: int, dtype: torch.dtype, clean_SV: np.ndarray, coded: Coded) -> _EpochPoison:
        """What the epoch's steps need, worked out and sent to the device at once. clean_SV: how many clean rows there are."""
        point_SVP, count_SV = schedule.places(epoch, self.points_V, self.most_places)
        victims, most = len(self.points_V), point_SVP.shape[2]
        places_S = host.places_on(self.device, count_SV.max(1, initial=0), most)
        # the places that a step has, step after step: each step's lie together, [victims, places]
        step_Q, victim_Q, place_Q = np.nonzero(np.broadcast_to(np.arange(most) < places_S[:, None, None], point_SVP.shape))
        point_Q = point_SVP[step_Q, victim_Q, place_Q]
        at_Q, own_Q = np.maximum(point_Q, 0), point_Q >= 0
        if self.kept_VM is not None and len(point_Q):
            own_Q &= self.kept_VM[victim_Q, at_Q]
            count_SV = np.bincount(step_Q[own_Q] * victims + victim_Q[own_Q], minlength=schedule.steps * victims).reshape(-1, victims)
        row_Q, label_Q = (of[victim_Q, at_Q] if len(point_Q) else np.empty(0, np.int64) for of in (self.row_VM, self.label_VM))
        rows_SV, all_S = clean_SV + count_SV, np.array([hi - lo for lo, hi in schedule.all_bounds]) + places_S

        def send(a: np.ndarray) -> Tensor:
            return host.upload(a, self.device)

        own = send(own_Q).to(dtype)
        return _EpochPoison(
            victims=victims,
            places_S=places_S.tolist(),
            row_Q=send(row_Q),
            y_Q=coded(send(label_Q), own),
            own_Q=own,
            rows_SV=send(np.maximum(rows_SV, 1)).to(dtype),
            absent_SV=send(all_S[:, None] - rows_SV).to(dtype),
        )


class _EpochPoison:
    """One epoch's poison. Q: the places of all its steps, a step's [victims, places] after another's."""

    def __init__(
        self, victims: int, places_S: list[int], row_Q: Tensor, y_Q: Tensor, own_Q: Tensor, rows_SV: Tensor, absent_SV: Tensor
    ) -> None:
        self.shape_S = [(victims, places) for places in places_S]
        sizes = [victims * places for places in places_S]
        self.row_SQ, self.y_SQ, self.own_SQ = row_Q.split(sizes), y_Q.split(sizes), own_Q.split(sizes)
        self.rows_SV, self.rows_S, self.absent_S = rows_SV, rows_SV.unbind(), absent_SV.unbind()

    def rows(self, step: int, x_BF: Tensor, y_B: Tensor, pool_AF: Tensor, kept_VB: Tensor | None) -> StepRows:
        shape, rows_V, absent_V = self.shape_S[step], self.rows_S[step], self.absent_S[step]
        if not shape[1]:
            return StepRows(x_BF, y_B, None, None, None, rows_V, absent_V, kept_VB)
        x_VPF = pool_AF.index_select(0, self.row_SQ[step]).view(*shape, -1)
        return StepRows(x_BF, y_B, x_VPF, self.y_SQ[step].view(shape), self.own_SQ[step].view(shape), rows_V, absent_V, kept_VB)
