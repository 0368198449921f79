"""Victims that are networks on pictures or texts. The schedule of `reference/sequential.py`, the way chosen for the device.

one_by_one   a victim after the other; on a CPU side by side, a forked process and a core each (see `parts.py`)
vmapped      many victims in one program (see `stack.py`)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from engine.system.threads import of_torch
from engine.training import host
from engine.training.models import NetworkModel
from engine.training.networks.one import train_one
from engine.training.networks.rows import Lengths
from engine.training.networks.stack import train_vmapped
from engine.training.networks.trial import NetworkTrial
from engine.training.parts import can_fork
from engine.training.recipe import Job, Recipe, Trained, Training
from engine.training.sharing import train_shared_out
from engine.training.trial import Trial

Finish = Callable[[list[Tensor], Callable[[float], None]], list[Tensor]]  # (parameters, told the share done of asking the victim)
Way = Literal["one_by_one", "vmapped"]
MOST_VMAPPED = 4_000_000  # numbers of a victim's parameters; a larger network fills the device alone


def way_for(model: NetworkModel, init: Sequence[Tensor], device: torch.device) -> Way:
    """The way that suits the device: many small victims together on a GPU, where none of their layers looks across a batch."""
    alone = device.type != "cuda" or model.has_dropout or model.trainable < len(init) or sum(p.numel() for p in init) > MOST_VMAPPED
    return "one_by_one" if alone or model.cuts_batches else "vmapped"


def train_networks(
    model: NetworkModel,
    init: Sequence[Tensor],
    data: Training,
    jobs: Sequence[Job],
    recipe: Recipe,
    trial: Trial,
    finish: Finish | None = None,
    *,
    way: Way | None = None,
) -> list[Trained]:
    """Train every job's victim from the trial's weights `init`; results in the order of `jobs`.

    finish: called where a victim was trained, with its parameters; what it returns is kept in their place (predictions, say, so that large
    networks do not travel). way: for tests; None chooses.
    """
    device, dtype = trial.how.device, trial.how.dtype
    init_on_device = [p.to(device, dtype if p.is_floating_point() else p.dtype) for p in init]
    lengths = Lengths(*(host.to_host((x >= 0).sum(1)) for x in (data.x_NF, data.x_AF))) if model.cuts_batches else None
    shared = NetworkTrial(model, init_on_device, data.to(device, dtype), recipe, trial, lengths)
    train_group = WAYS[way or way_for(model, init, device)]

    def train(group: Sequence[int], report: Callable[[float], None]) -> list[Trained]:
        return train_group(shared, [jobs[v] for v in group], report, finish)

    with _exact(device):
        parts = min(trial.workers, len(jobs)) if device.type == "cpu" and can_fork() else 1
        # one victim at a time has all of its cores as threads, which share out sums: not where its company must change no bit
        threads = trial.workers if device.type == "cpu" and parts < 2 and not trial.alone else None
        with of_torch(threads):
            return train_shared_out(train, len(jobs), trial, parts)


def train_one_by_one(shared: NetworkTrial, jobs: Sequence[Job], report: Callable[[float], None], finish: Finish | None) -> list[Trained]:
    """Each job's victim after the other."""
    done: list[Trained] = []
    for job in jobs:
        done.append(train_one(shared, job, lambda share: report(len(done) + share), finish))
        report(len(done))
    return done


WAYS = {"one_by_one": train_one_by_one, "vmapped": train_vmapped}


@contextmanager
def _exact(device: torch.device) -> Iterator[None]:
    """The same bits whenever the same victims are trained: convolutions on a GPU by algorithms that add in a fixed order."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=torch.backends.cudnn.allow_tf32):
        yield
