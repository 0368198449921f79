"""Every way of training networks is held to `sequential.py`."""

from __future__ import annotations

import os

import pytest
import torch

from engine.errors import Interrupted
from engine.training.networks import WAYS, train_networks
from engine.training.parts import can_fork
from engine.training.recipe import Job, Recipe, Trained
from engine.training.sequential import NetworkModel, train_network_sequential
from tests import networks_world as world
from tests.networks_world import Small

CPU = torch.device("cpu")
SIZES = [0, 3, 7, 19]  # poison points: none, fewer than steps, more than steps
F64 = torch.float64


def init_of(model, dtype=F64) -> list[torch.Tensor]:
    return model.init(torch.Generator().manual_seed(3), dtype)


def train(model, jobs: list[Job], recipe: Recipe, *, dtype=F64, device=CPU, **more) -> list[Trained]:
    data = world.training(side=more.pop("side", 8), device=device)
    return train_networks(model, init_of(model, dtype), data, jobs, recipe, seed=1, trial=2, device=device, dtype=dtype, **more)


def one_by_one(model: NetworkModel, jobs: list[Job], recipe: Recipe, *, dtype=F64, device=CPU, side=8, max_steps=None) -> list[Trained]:
    init = [p.to(device) for p in init_of(model, dtype)]
    data = world.training(side=side, device=device)
    return [train_network_sequential(model, init, data, job, recipe, seed=1, trial=2, max_steps=max_steps) for job in jobs]


def gap(a: list[Trained], b: list[Trained]) -> float:
    """The largest difference of any parameter or buffer."""
    return max(float((p.cpu() - q.cpu()).abs().max()) for s, t in zip(a, b, strict=True) for p, q in zip(s.params, t.params, strict=True))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("per_rows", [False, True])
def test_a_small_network_equals_sequential_in_float64(way, augment: bool, moved: bool, per_rows: bool):
    recipe = Recipe(epochs=4, batch=12, lr=1e-2, weight_decay=1e-2, per_rows=per_rows, augment=augment)  # 4 steps an epoch, the last of 4
    jobs = world.jobs(SIZES, moved=moved)
    a, b = train(Small(), jobs, recipe, way=way), one_by_one(Small(), jobs, recipe)
    assert gap(a, b) < 1e-11
    assert [t.train_loss for t in a] == pytest.approx([t.train_loss for t in b], rel=1e-11)
