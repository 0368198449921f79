"""Models on rows of their own, trained together: an ensemble over disjoint parts of train, each model a function of its part alone.

Each model keeps to the schedule that it would have alone: `Schedule(rows of the part, batch, seed of the part, 0)`. Models whose epochs
have as many steps and whose steps are about as long train as one tensor program, where none knows of another (`models/dense/apart.py`);
who shares it is decided by each part's own size. `reference/sequential.py` on a part's rows alone is the slow, obvious form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from engine.training.adam import StackAdam
from engine.training.partition import Part
from engine.training.recipe import Plateau, Recipe, Trained
from engine.training.schedule import Schedule
from engine.training.trial import How

EPOCHS_BETWEEN_REPORTS = 8


class Apart(Protocol):
    """What this trainer needs of models that stand apart."""

    params_MD: Tensor
    grads_MD: Tensor

    def keep(self, index_M: Tensor) -> None: ...
    def params_of(self, model: int) -> list[Tensor]: ...
    def widened(self, x_BF: Tensor) -> Tensor: ...
    def step(self, x_MPI: Tensor, y_MP: Tensor, share_MP: Tensor, decay_M: Tensor | None) -> Tensor: ...


MakeApart = Callable[[Sequence[Sequence[Tensor]]], Apart]


@dataclass(frozen=True)
class _Model:
    """One model's part and when its steps see which of its rows."""

    part: Part
    schedule: Schedule
    init: Sequence[Tensor]

    @property
    def widest(self) -> int:
        """Rows of its longest step."""
        return max(hi - lo for lo, hi in map(self.schedule.bounds, range(self.schedule.steps)))


@dataclass(frozen=True)
class _Shared:
    """What all models of an ensemble share; x and y of train on the device."""

    make: MakeApart
    x_NF: Tensor
    y_N: Tensor
    recipe: Recipe
    company: int


@torch.no_grad()
def train_apart(
    make: MakeApart,
    inits: Sequence[Sequence[Tensor]],
    x_NF: Tensor,
    y_N: Tensor,
    parts: Sequence[Part],
    recipe: Recipe,
    how: How,
    company: int,
    report: Callable[[float], None] = lambda done: None,
) -> list[Trained]:
    """A model for each part, none of which is empty; results in the order of `parts`. report is told models done, counting parts of them.

    company: models of one tensor program come in multiples of so many; those that lack are copies, and nobody's.
    """
    x_NF, y_N = x_NF.to(how.device, how.dtype), y_N.to(how.device)
    schedules = [Schedule(len(part.rows), recipe.batch, part.seed, 0) for part in parts]
    models = [_Model(*each) for each in zip(parts, schedules, inits, strict=True)]
    groups: dict[tuple[int, int], list[int]] = {}
    for at, model in enumerate(models):
        groups.setdefault((model.schedule.steps, padded(model.widest)), []).append(at)
    shared = _Shared(make, x_NF, y_N, recipe, company)
    done: dict[int, Trained] = {}
    for (steps, places), group in groups.items():
        before = len(done)
        fits = _train_group(shared, [models[at] for at in group], steps, places, lambda n, before=before: report(before + n))  # type: ignore[misc]
        done.update(zip(group, fits, strict=True))
    return [done[at] for at in range(len(models))]


def padded(rows: int) -> int:
    """Places for so many rows: 16, 32, 48, 64, 96, 128, 192, 256 and so on, so that a third of them at most is padding past the first."""
    for doubled in count(4):
        for size in (2**doubled, 3 * 2 ** (doubled - 1)):
            if size >= rows and size % 16 == 0:
                return size
    raise AssertionError


def _train_group(shared: _Shared, models: Sequence[_Model], steps: int, places: int, report: Callable[[float], None]) -> list[Trained]:
    recipe, company, device = shared.recipe, shared.company, shared.x_NF.device
    still = _in_company(np.arange(len(models)), company)  # which model stands at each place
    apart = shared.make([models[at].init for at in still])
    x_NI = apart.widened(shared.x_NF)
    optimizer = StackAdam([apart.params_MD], recipe.lr)
    rule = Plateau(len(still), recipe)
    done: dict[int, Trained] = {}
    epoch = 0
    rows: list[_Step] = []
    while len(still):
        if steps > 1 or not rows:
            rows = [_step([models[at] for at in still], places, epoch, step, x_NI, shared.y_N, recipe) for step in range(steps)]
        loss_M = torch.zeros(len(still), device=device, dtype=x_NI.dtype)
        for step in rows:
            loss_M.addcmul_(apart.step(step.x_MPI, step.y_MP, step.share_MP, step.decay_M), step.rows_M)
            optimizer.step([apart.params_MD], [apart.grads_MD])
        rows_M = torch.stack([step.rows_M for step in rows]).sum(0)
        mean_M = (loss_M / rows_M).double().cpu().numpy()
        stop_M = rule.stopped(epoch, mean_M)
        epoch += 1
        for place in np.flatnonzero(stop_M):
            done.setdefault(int(still[place]), Trained(apart.params_of(int(place)), epoch, float(mean_M[place])))
        if stop_M.any():
            going_on = np.flatnonzero(~stop_M)
            _, first = np.unique(still[going_on], return_index=True)  # a copy stops with the model that it is of
            keep = _in_company(going_on[np.sort(first)], company)
            index = torch.from_numpy(keep).to(device)
            apart.keep(index)
            optimizer.keep(index, lambda tensor: 0)
            rule.keep(keep)
            still, rows = still[keep], []
        if stop_M.any() or epoch % EPOCHS_BETWEEN_REPORTS == 0:
            at_work = len(models) - len(done)
            report(len(done) + at_work * epoch / recipe.epochs)
    return [done[at] for at in range(len(models))]


def _in_company(index: np.ndarray, company: int) -> np.ndarray:
    """The same, with copies of the last behind, up to a multiple."""
    return np.concatenate([index, np.repeat(index[-1:], -len(index) % company)])


@dataclass(frozen=True)
class _Step:
    """The rows of one step: x [models, places, inputs], y int64 and each row's share of its model's mean [models, places]."""

    x_MPI: Tensor
    y_MP: Tensor
    share_MP: Tensor
    rows_M: Tensor
    decay_M: Tensor | None


def _step(models: Sequence[_Model], places: int, epoch: int, step: int, x_NI: Tensor, y_N: Tensor, recipe: Recipe) -> _Step:
    device, dtype = x_NI.device, x_NI.dtype
    row_MP = np.zeros((len(models), places), np.int64)
    own_MP = np.zeros((len(models), places), bool)
    for at, model in enumerate(models):
        lo, hi = model.schedule.bounds(step)
        rows = model.part.rows[model.schedule.order(epoch)[lo:hi]]
        row_MP[at] = rows[0]  # padding: a row of its own, at weight 0
        row_MP[at, : len(rows)], own_MP[at, : len(rows)] = rows, True
    own, index = torch.from_numpy(own_MP).to(device, dtype), torch.from_numpy(row_MP).to(device)
    rows_M = own.sum(1)
    decay_M = None
    if recipe.weight_decay:
        decay_M = recipe.weight_decay / rows_M if recipe.per_rows else torch.full_like(rows_M, recipe.weight_decay)
    return _Step(x_NI[index], y_N[index], own / rows_M.unsqueeze(1), rows_M, decay_M)
