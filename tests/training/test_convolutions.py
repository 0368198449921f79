"""Convolutions of many victims as batched products, against the grouped form and one victim at a time, gradients included."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from engine.training.networks import stack
from engine.training.networks.convolutions import Unfolded
from engine.training.recipe import Recipe
from tests.training.test_networks import conv, fast, gap, slow
from tests.worlds import networks as pictures

pytestmark = pytest.mark.usefixtures("one_thread")
VICTIMS, F64 = 3, torch.float64


@pytest.mark.parametrize("shared", [False, True], ids=["own pictures", "the same pictures"])
@pytest.mark.parametrize(
    ("kernel", "how"),
    [
        ((3, 3), {"padding": 1}),
        ((1, 1), {}),
        ((3, 3), {"stride": 2}),
        ((5, 2), {"stride": (2, 3), "padding": (2, 1), "dilation": (1, 2)}),
        ((3, 3), {"padding": [1], "dilation": 2}),
        ((11, 7), {"padding": (0, 3)}),
    ],
    ids=str,
)
def test_many_victims_at_once(kernel: tuple[int, int], how: dict[str, Any], shared: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(VICTIMS, 4, 5, *kernel, generator=draw, dtype=F64)
    bias = torch.randn(VICTIMS, 4, generator=draw, dtype=F64)
    x = torch.randn(*(() if shared else (VICTIMS,)), 6, 5, 11, 13, generator=draw, dtype=F64)

    def loss(weight: Tensor, bias: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        out = torch.conv2d(x, weight, bias, **how)
        return (out.sin() * torch.arange(out.numel(), dtype=F64).view(out.shape)).mean(), out

    def of_all(mode: Any) -> tuple[Any, Any]:
        with mode:
            each = torch.func.grad(loss, argnums=(0, 1, 2), has_aux=True)
            return torch.func.vmap(each, in_dims=(0, 0, None if shared else 0))(weight, bias, x)

    found, grouped = of_all(Unfolded()), of_all(nullcontext())
    for v in range(VICTIMS):
        given = [t.clone().requires_grad_() for t in (weight[v], bias[v], x if shared else x[v])]
        one, out = loss(*given)
        own = (*torch.autograd.grad(one, given), out)
        for mine, theirs, alone in zip((*found[0], found[1]), (*grouped[0], grouped[1]), own, strict=True):
            torch.testing.assert_close(mine[v], alone, atol=1e-10, rtol=1e-10)
            torch.testing.assert_close(mine[v], theirs[v], atol=1e-10, rtol=1e-10)


class Called(TorchDispatchMode):
    """Names of the operations called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func._schema.name.partition("::")[2])
        return func(*args, **(kwargs or {}))


def test_a_layer_of_all_victims_is_one_product() -> None:
    x, weight = torch.randn(VICTIMS, 6, 5, 8, 8), torch.randn(VICTIMS, 4, 5, 3, 3)
    with Unfolded(), Called() as called:
        torch.func.vmap(lambda x, weight: torch.conv2d(x, weight, padding=1))(x, weight)
    assert called.names.count("bmm") == 1
    assert "convolution" not in called.names
    with Unfolded(), Called() as called:
        torch.func.vmap(lambda weight: torch.conv2d(x[0], weight, padding=1))(weight)
    assert called.names.count("mm") + called.names.count("bmm") == 1
    assert "convolution" not in called.names


def test_what_it_cannot_do_is_left_to_pytorch() -> None:
    x, weight = torch.randn(2, 4, 6, 6), torch.randn(4, 1, 3, 3)
    with Unfolded():
        grouped, named = torch.conv2d(x, weight, groups=4), torch.conv2d(x, torch.ones(2, 4, 3, 3), padding="same")
    assert grouped.equal(torch.conv2d(x, weight, groups=4))
    assert named.equal(torch.conv2d(x, torch.ones(2, 4, 3, 3), padding="same"))


def test_whole_trainings_are_those_of_one_victim_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, jobs = Recipe(epochs=3, batch=12, lr=1e-3, weight_decay=1e-3, augment=True), pictures.jobs([0, 3, 19], moved=True)
    grouped = fast(conv(), jobs, recipe, way="vmapped")
    seen: list[object] = []

    def unfolded(device: torch.device) -> Unfolded:
        seen.append(device)
        return Unfolded()

    monkeypatch.setattr(stack, "unfolded", unfolded)
    found = fast(conv(), jobs, recipe, way="vmapped")
    assert seen
    assert gap(found, grouped) < 1e-10
    assert gap(found, slow(conv(), jobs, recipe)) < 1e-9
