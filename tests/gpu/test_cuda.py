"""What must hold on a CUDA GPU. One command wherever there is one: `uv run pytest tests/gpu`."""

from __future__ import annotations

import pytest
import torch

from engine.models.dense.mlp import Mlp
from engine.training.dense import train_stacked
from engine.training.recipe import Recipe
from engine.training.trial import How, Trial
from tests.training.test_training import MODELS, SIZES, one_by_one, stacked
from tests.worlds import rows as worlds

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU on this machine")
CUDA = torch.device("cuda")


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_stacked_equals_sequential_in_float64_over_tens_of_steps(model: Mlp):
    recipe = Recipe(epochs=4, batch=12, lr=1e-2, weight_decay=1e-2, per_rows=True)
    jobs = worlds.jobs(SIZES, model.classes)
    assert worlds.worst_gap(stacked(model, jobs, recipe, device=CUDA), one_by_one(model, jobs, recipe, device=CUDA)) < 1e-10


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_cuda_equals_cpu_in_float64(model: Mlp):
    recipe = Recipe(epochs=3, batch=12, lr=1e-2)
    jobs = worlds.jobs(SIZES, model.classes)
    on_cuda, on_cpu = stacked(model, jobs, recipe, device=CUDA), stacked(model, jobs, recipe)
    assert (
        max(float((p.cpu() - q).abs().max()) for s, t in zip(on_cuda, on_cpu, strict=True) for p, q in zip(s.params, t.params, strict=True))
        < 1e-10
    )


def test_the_same_stack_gives_the_same_bits_twice():
    model, recipe = MODELS[0], Recipe(epochs=5, batch=12, lr=1e-2, stop="plateau", tol=1e-3, patience=2)
    jobs = worlds.jobs(SIZES)
    a, b = (stacked(model, jobs, recipe, dtype=torch.float32, device=CUDA) for _ in range(2))
    assert worlds.worst_gap(a, b) == 0.0


def test_real_out_of_memory_halves_the_stack_and_goes_on():
    """Leaves the device room for a few wide victims only; the rest must still be trained."""
    model, dtype = Mlp(7, (200_000,), 2), torch.float32
    jobs = worlds.jobs([3] * 64)
    one_victim = 4 * 4 * 9 * 200_000 + 4 * 12 * 200_000
    free = torch.cuda.mem_get_info()[0]
    ballast = torch.empty(max(0, free - 24 * one_victim), dtype=torch.uint8, device=CUDA)
    halved: list[int] = []
    data = worlds.training(dtype=dtype, device=CUDA)
    inits = [worlds.init(model, dtype)] * len(jobs)
    recipe = Recipe(epochs=1, batch=12, lr=1e-3)
    got = train_stacked(lambda p: model.stack(p, CUDA, dtype), inits, data, jobs, recipe, Trial(1, 0, max_steps=2, on_halved=halved.append))
    del ballast
    assert halved
    assert len(got) == 64


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_captured_steps_give_the_bits_of_plain_ones(model: Mlp):
    recipe = Recipe(epochs=12, batch=12, lr=1e-1, weight_decay=1e-2, per_rows=True, stop="plateau", tol=2e-2, patience=1)
    jobs, data = worlds.jobs(SIZES, model.classes), worlds.training(classes=model.classes, dtype=torch.float32, device=CUDA)
    inits = [worlds.init(model, torch.float32)] * len(jobs)
    plain, captured = (
        train_stacked(lambda p: model.stack(p, CUDA, torch.float32), inits, data, jobs, recipe, Trial(1, 2, How(CUDA, capture=capture)))
        for capture in (False, True)
    )
    assert worlds.worst_gap(plain, captured) == 0.0
