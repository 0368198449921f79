"""Victims that are networks on pictures or texts. The schedule of `reference/sequential.py`, the way chosen for the device.

one_by_one   a victim after the other; on a CPU side by side, a forked process and a core each (see `parts.py`)
vmapped      many victims in one program (see `network_stack.py`)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from engine.training.dense import Control
from engine.training.halving import in_halves
from engine.training.models import NetworkModel
from engine.training.networks.one import train_one
from engine.training.networks.stack import train_vmapped
from engine.training.networks.trial import NetworkTrial
from engine.training.parts import can_fork, train_in_parts
from engine.training.recipe import Job, Recipe, Trained, Training

Way = Literal["one_by_one", "vmapped"]
MOST_VMAPPED = 4_000_000  # numbers of a victim's parameters; a larger network fills the device alone


def way_for(model: NetworkModel, init: Sequence[Tensor], device: torch.device) -> Way:
    """The way that suits the device: many small victims together on a GPU, where none of their layers looks across a batch."""
    alone = device.type != "cuda" or model.has_dropout or model.trainable < len(init) or sum(p.numel() for p in init) > MOST_VMAPPED
    alone = alone or hasattr(model, "length")  # texts are cut to a batch's longest, which no program of many victims can ask for
    return "one_by_one" if alone else "vmapped"


def train_networks(
    model: NetworkModel,
    init: Sequence[Tensor],
    data: Training,
    jobs: Sequence[Job],
    recipe: Recipe,
    *,
    seed: int,
    trial: int,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    autocast: bool = False,
    workers: int = 1,
    control: Control | None = None,
    max_steps: int | None = None,
    on_halved: Callable[[int], None] | None = None,
    finish: Callable[[list[Tensor]], list[Tensor]] | None = None,
    way: Way | None = None,
) -> list[Trained]:
    """Train every job's victim from the trial's weights `init`; results in the order of `jobs`.

    dtype: of the parameters; autocast: products in bfloat16. workers: on a CPU, how many cores to use. control is called after every step
    or few. on_halved is told the new size whenever memory ran out. finish: called where a victim was trained, with its parameters; what it
    returns is kept in their place (predictions, say, so that large networks do not travel). way: for tests; None chooses.
    """
    where = [p.to(device, dtype if p.is_floating_point() else p.dtype) for p in init]
    shared = NetworkTrial(model, where, data.to(device, dtype), recipe, seed, trial, autocast, max_steps)
    train_group = WAYS[way or way_for(model, init, device)]
    tell = on_halved or (lambda size: None)

    def train(part: Sequence[int], report: Callable[[float], None], on_halved: Callable[[int], None]) -> list[Trained]:
        return in_halves(lambda group, report: train_group(shared, [jobs[v] for v in group], report, finish), part, report, on_halved)

    def report(done: float) -> None:
        if control:
            control(done, len(jobs))

    with _exact(device):
        parts = min(workers, len(jobs)) if device.type == "cpu" and can_fork() else 1
        if parts < 2:
            with _threads(workers if device.type == "cpu" else None):
                return train(range(len(jobs)), report, tell)
        dealt = [range(first, len(jobs), parts) for first in range(parts)]  # each part gets large and small poison alike
        done = train_in_parts(train, dealt, report, tell)
        return [done[v] for v in range(len(jobs))]


def train_one_by_one(
    shared: NetworkTrial, jobs: Sequence[Job], report: Callable[[float], None], finish: Callable[[list[Tensor]], list[Tensor]] | None
) -> list[Trained]:
    """Each job's victim after the other."""
    done: list[Trained] = []
    for job in jobs:
        done.append(train_one(shared, job, lambda share: report(len(done) + share), finish))
        report(len(done))
    return done


WAYS = {"one_by_one": train_one_by_one, "vmapped": train_vmapped}


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """PyTorch's own threads, for the while."""
    before = torch.get_num_threads()
    if count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _exact(device: torch.device) -> Iterator[None]:
    """The same bits whenever the same victims are trained: convolutions on a GPU by algorithms that add in a fixed order."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=torch.backends.cudnn.allow_tf32):
        yield
