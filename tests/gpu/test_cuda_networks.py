"""Networks on a CUDA GPU. One command wherever there is one: `uv run pytest tests/gpu`."""

from __future__ import annotations

import pytest
import torch

from engine.training.networks.choose import WAYS, train_networks
from engine.training.recipe import Recipe
from engine.training.trial import How, Trial
from tests.training.test_networks import F32, SIZES, conv, fast, gap, init_of, losses, resnet, slow, vgg
from tests.worlds import networks as world
from tests.worlds.networks import Small

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU on this machine")
CUDA = torch.device("cuda")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("augment", [False, True])
def test_every_way_equals_sequential_in_float64_over_tens_of_steps(way, augment: bool):
    recipe = Recipe(epochs=5, batch=12, lr=1e-3, weight_decay=1e-3, per_rows=True, augment=augment)
    for model in (Small(), conv()):
        jobs = world.jobs(SIZES, moved=True)
        a, b = fast(model, jobs, recipe, device=CUDA, way=way), slow(model, jobs, recipe, device=CUDA)
        assert gap(a, b) < 1e-9
        assert losses(a) == pytest.approx(losses(b), rel=1e-9)


@pytest.mark.parametrize("make", [vgg, resnet])
def test_large_networks_equal_sequential_in_float64_over_a_few_steps(make):
    recipe = Recipe(epochs=2, batch=8, lr=1e-4, augment=True)
    jobs, size = world.jobs([0, 5], side=32, moved=True), {"side": 32, "rows": 17}
    a, b = fast(make(), jobs, recipe, device=CUDA, **size), slow(make(), jobs, recipe, device=CUDA, **size)
    assert gap(a, b) < 1e-7


def test_cuda_equals_cpu_in_float64():
    recipe = Recipe(epochs=3, batch=12, lr=1e-3, augment=True)
    jobs = world.jobs(SIZES, moved=True)
    assert gap(fast(conv(), jobs, recipe, device=CUDA), fast(conv(), jobs, recipe)) < 1e-9


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_the_same_plan_gives_the_same_bits_twice(way, autocast: bool):
    recipe, jobs = Recipe(epochs=3, batch=12, lr=1e-3, augment=True), world.jobs(SIZES, moved=True)
    a, b = (fast(conv(), jobs, recipe, dtype=F32, device=CUDA, way=way, autocast=autocast) for _ in range(2))
    assert gap(a, b) == 0.0


def test_large_networks_give_the_same_bits_twice():
    recipe, jobs, size = Recipe(epochs=1, batch=8, lr=1e-4), world.jobs([5], side=32), {"side": 32, "rows": 17}
    for make in (vgg, resnet):
        a, b = (fast(make(), jobs, recipe, dtype=F32, device=CUDA, autocast=True, **size) for _ in range(2))
        assert gap(a, b) == 0.0


def test_bfloat16_is_equal_in_distribution():
    """Mean accuracy over sixteen victims, in bfloat16 and in float32."""
    model, recipe, jobs = conv(), Recipe(epochs=30, batch=12, lr=1e-3), world.jobs([0, 4, 8, 12] * 4)
    x, y = world.pictures(500, 8, 3, 9)
    x_test, y_test = model.pixels(torch.from_numpy(x)).to(CUDA), torch.from_numpy(y).to(CUDA)

    def accuracy(way: str, autocast: bool) -> float:
        trained = fast(model, jobs, recipe, dtype=F32, device=CUDA, way=way, autocast=autocast)
        right = [model.predict(model.logits(t.params, x_test)) == y_test for t in trained]
        return float(torch.stack(right).double().mean())

    plain = accuracy("one_by_one", False)
    for way in WAYS:
        assert accuracy(way, True) == pytest.approx(plain, abs=0.03)


def test_real_out_of_memory_halves_the_stack_and_goes_on():
    """Leaves the device room for a few victims only; the rest must still be trained."""
    model, recipe, jobs = conv(32), Recipe(epochs=1, batch=256, lr=1e-3), world.jobs([3] * 32, side=32)
    data = world.training(512, side=32, device=CUDA)

    def train(jobs, **more):
        init = init_of(model, F32)
        return train_networks(model, init, data, jobs, recipe, Trial(1, 2, How(device=CUDA), max_steps=1, **more), way="vmapped")

    torch.cuda.reset_peak_memory_stats()
    train(jobs[:4])
    four = torch.cuda.max_memory_allocated()
    torch.cuda.empty_cache()
    ballast = torch.empty(max(0, torch.cuda.mem_get_info()[0] - 2 * four), dtype=torch.uint8, device=CUDA)
    halved: list[int] = []
    got = train(jobs, on_halved=halved.append)
    del ballast
    assert halved
    assert len(got) == 32


@pytest.mark.parametrize("way", WAYS)
def test_captured_steps_give_the_bits_of_plain_ones(way):
    recipe, jobs, model = Recipe(epochs=6, batch=12, lr=1e-3, augment=True), world.jobs(SIZES, moved=True), conv()
    init, data = init_of(model, F32), world.training(40, device=CUDA)
    plain, captured = (
        train_networks(model, init, data, jobs, recipe, Trial(1, 2, How(CUDA, F32, capture=capture)), way=way) for capture in (False, True)
    )
    assert gap(plain, captured) == 0.0
