"""The last layer with projections absorbed, many victims at once, against transformers' own layer: outputs and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.models.bert.last_layer import LastLayer
from engine.steps import EncoderPoison, EncoderRows, Kept
from tests.worlds.bert import LAYER, PLAIN, Transformers, kept, params_of, states

POINTS_V = (2, 0, 1)  # poison rows of each victim in the step


def close(a: Tensor, b: Tensor, atol: float) -> None:
    torch.testing.assert_close(a, b, atol=atol, rtol=10 * atol)


def step_rows(layer: LastLayer, dropout: bool, dtype: torch.dtype) -> EncoderRows:
    x, real = states(5, 9, layer.width, 1, dtype)
    x_own, real_own = states(3, 7, layer.width, 2, dtype)
    draw = torch.Generator().manual_seed(3)
    poison = EncoderPoison(
        x_own, real_own, torch.randint(layer.classes, (3,), generator=draw), torch.tensor([0, 0, 2]), torch.tensor([0, 1, 0]), 2,
        kept(layer, 3, 7, 5, dtype) if dropout else None,
    )  # fmt: skip
    y, rows_V = torch.randint(layer.classes, (5,), generator=draw), torch.tensor([5 + n for n in POINTS_V], dtype=dtype)
    return EncoderRows(x, real, y, rows_V, poison, kept(layer, 5, 9, 4, dtype) if dropout else None)


def theirs(layer: LastLayer, params: list[Tensor], rows: EncoderRows, v: int) -> tuple[Tensor, list[Tensor]]:
    """Loss and gradients of victim v through transformers' layer."""
    own = Transformers(layer, params)
    poison = rows.poison
    assert poison is not None
    mine = poison.victim_Q == v
    loss = torch.nn.functional.cross_entropy(own.logits(rows.x_BTW, rows.real_BT, rows.kept), rows.y_B, reduction="sum")
    if mine.any():
        masks = None if poison.kept is None else Kept(poison.kept.attention[mine], poison.kept.hidden[mine])
        logits = own.logits(poison.x_QTW[mine], poison.real_QT[mine], masks)
        loss = loss + torch.nn.functional.cross_entropy(logits, poison.y_Q[mine], reduction="sum")
    loss = loss / (len(rows.y_B) + int(mine.sum()))
    return loss.detach(), list(torch.autograd.grad(loss, own.params))


@pytest.mark.parametrize(("layer", "dropout"), [(LAYER, False), (LAYER, True), (PLAIN, False)], ids=["still", "dropout", "no pooler"])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-10), (torch.float32, 2e-5)], ids=["float64", "float32"])
def test_a_step_is_that_of_transformers_own_layer(layer: LastLayer, dropout: bool, dtype: torch.dtype, atol: float) -> None:
    victims = [params_of(layer, 10 + v, dtype) for v in range(len(POINTS_V))]
    rows = step_rows(layer, dropout, dtype)
    stack = layer.stack(victims, torch.device("cpu"), dtype)
    loss_V = stack.step(rows)
    assert loss_V is not None
    for v, params in enumerate(victims):
        loss, grads = theirs(layer, params, rows, v)
        close(loss_V[v], loss, atol)
        for name, mine, its in zip(layer.names, stack.grads, grads, strict=True):
            close(mine[v], its, atol)
            assert float(its.abs().max()) > 1e-3 or name.endswith("key.bias"), name


@pytest.mark.parametrize("layer", [LAYER, PLAIN], ids=["pooler", "no pooler"])
def test_outputs_are_those_of_transformers_own_layer(layer: LastLayer) -> None:
    victims = [params_of(layer, v) for v in range(3)]
    x, real = states(6, 11, layer.width, 1)
    masks = kept(layer, 6, 11, 2)
    logits_VBO = layer.stack(victims, torch.device("cpu"), torch.float64).logits(x, real)
    for v, params in enumerate(victims):
        own = Transformers(layer, params)
        with torch.no_grad():
            close(logits_VBO[v], own.logits(x, real), 1e-10)
            close(layer.logits(params, x, real), own.logits(x, real), 1e-10)
            close(layer.logits(params, x, real, masks), own.logits(x, real, masks), 1e-10)


def test_padding_is_nothing() -> None:
    params = params_of(LAYER, 0)
    x, real = states(4, 9, LAYER.width, 1)
    far = torch.cat([torch.where(real[..., None], x, 1e3), torch.full((4, 3, LAYER.width), -1e3, dtype=x.dtype)], 1)
    stack = LAYER.stack([params], torch.device("cpu"), torch.float64)
    close(stack.logits(far, torch.cat([real, torch.zeros(4, 3, dtype=torch.bool)], 1)), stack.logits(x, real), 1e-12)


def test_a_stack_that_narrows_goes_on_with_the_same_victims() -> None:
    victims = [params_of(LAYER, v) for v in range(3)]
    stack = LAYER.stack(victims, torch.device("cpu"), torch.float64)
    x, real = states(4, 6, LAYER.width, 1)
    before = stack.logits(x, real)
    stack.keep(torch.tensor([2, 0]))
    close(stack.logits(x, real), before[[2, 0]], 1e-12)
    for mine, given in zip(stack.params_of(0), victims[2], strict=True):
        close(mine, given, 0)


def test_random_weights_are_drawn_alike_in_both_precisions() -> None:
    fine, coarse = (LAYER.init(torch.Generator().manual_seed(1), dtype) for dtype in (torch.float64, torch.float32))
    assert [tuple(p.shape) for p in fine] == list(LAYER.shapes)
    for a, b in zip(fine, coarse, strict=True):
        close(a.float(), b, 0)
    named = dict(zip(LAYER.names, fine, strict=True))
    assert bool((named["output.LayerNorm.weight"] == 1).all())
    assert not named["classifier.bias"].any()
    assert 0.3 < float(named["output.dense.weight"].std()) < 0.5
