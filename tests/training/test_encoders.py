"""Stacks of last layers against one victim at a time through transformers' own layer, on the same states and schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.errors import Interrupted, RequestError
from engine.models.bert.last_layer import LastLayer
from engine.rows import States
from engine.steps import Kept
from engine.training.encoders import dropout
from engine.training.encoders.stack import EncoderStack, logits_of_rows, train_encoder_stack
from engine.training.encoders.states import StateRows
from engine.training.recipe import Job, Recipe, Trained, Training
from engine.training.reference.encoder import train_encoder_sequential
from engine.training.trial import Trial
from tests.worlds.bert import LAYER, Transformers, params_of

pytestmark = pytest.mark.usefixtures("one_thread")

ROWS, TOKENS, WORKERS = 30, 8, 2
RECIPE = Recipe(epochs=3, batch=4, lr=3e-3)


@pytest.fixture
def world(tmp_path: Path) -> tuple[States, Training]:
    """States of 30 train and 20 aux rows, in no order, float32 on disk."""
    return make_world(tmp_path)


def make_world(folder: Path, dtype: str = "float32") -> tuple[States, Training]:
    draw = np.random.default_rng(0)
    count = ROWS + 20
    x = torch.from_numpy(draw.normal(size=(count, TOKENS, LAYER.width))).to(getattr(torch, dtype))
    path = folder / f"states.{dtype}"
    path.write_bytes(x.contiguous().view(torch.uint8).numpy().tobytes())
    states = States(path, (count, TOKENS, LAYER.width), dtype, draw.integers(2, TOKENS + 1, count).astype(np.int32))
    numbers = torch.from_numpy(draw.permutation(count))[:, None]
    y = torch.from_numpy(draw.integers(0, LAYER.classes, ROWS))
    return states, Training(numbers[:ROWS], y, numbers[ROWS:])


def jobs(points: tuple[int, ...] = (0, 5, 11, 1)) -> list[Job]:
    draw = np.random.default_rng(1)
    return [Job(draw.integers(0, 20, n), draw.integers(0, LAYER.classes, n)) for n in points]


class ThroughTransformers:
    """A layer whose logits are those of transformers' modules, with the parameters that are trained."""

    def __init__(self, layer: LastLayer) -> None:
        self.own, self.layer = Transformers(layer, params_of(layer, 0)), layer

    def __getattr__(self, name: str) -> object:
        return getattr(self.layer, name)

    def logits(self, params: list[Tensor], x_BTW: Tensor, real_BT: Tensor, kept: Kept | None = None) -> Tensor:
        named = dict(zip(self.own.names, params, strict=True))
        logits: Tensor = torch.func.functional_call(self.own, named, (x_BTW, real_BT, kept))
        return logits


RECIPES = {
    "adam": RECIPE,
    "penalty": replace(RECIPE, weight_decay=0.3),
    "adamw": replace(RECIPE, weight_decay=0.3, optimizer="adamw"),
}


def equal(a: Trained, b: Trained, atol: float) -> None:
    assert a.epochs == b.epochs
    assert abs(a.train_loss - b.train_loss) < 10 * atol
    for mine, its in zip(a.params, b.params, strict=True):
        torch.testing.assert_close(mine, its, atol=atol, rtol=0)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_stack_is_its_victims_one_by_one_in_float64(world: tuple[States, Training], recipe: Recipe) -> None:
    rows = StateRows(world[0], torch.device("cpu"), torch.float64)
    init = params_of(LAYER, 5)
    stacked = train_encoder_stack(LAYER, init, world[1], rows, jobs(), recipe, Trial(1, 2))
    for job, mine in zip(jobs(), stacked, strict=True):  # 24 steps
        equal(mine, train_encoder_sequential(LAYER, init, world[1], rows, job, recipe, Trial(1, 2)), 1e-9)


def test_a_stack_is_transformers_own_layer_trained_one_by_one(world: tuple[States, Training]) -> None:
    rows = StateRows(world[0], torch.device("cpu"), torch.float64)
    init, recipe = params_of(LAYER, 5), RECIPES["adamw"]
    stacked = train_encoder_stack(LAYER, init, world[1], rows, jobs(), recipe, Trial(1, 2, max_steps=20))
    for job, mine in zip(jobs(), stacked, strict=True):
        own = train_encoder_sequential(ThroughTransformers(LAYER), init, world[1], rows, job, recipe, Trial(1, 2, max_steps=20))
        equal(mine, own, 1e-9)


def test_one_step_in_float32(world: tuple[States, Training]) -> None:
    rows = StateRows(world[0], torch.device("cpu"), torch.float32)
    init = params_of(LAYER, 5, torch.float32)
    stacked = train_encoder_stack(LAYER, init, world[1], rows, jobs((11, 11)), RECIPE, Trial(1, 2, max_steps=1))
    own = train_encoder_sequential(LAYER, init, world[1], rows, jobs((11, 11))[1], RECIPE, Trial(1, 2, max_steps=1))
    key_bias = LAYER.names.index("attention.self.key.bias")  # no gradient but rounding's, which Adam makes a step of
    for at, (mine, its) in enumerate(zip(stacked[1].params, own.params, strict=True)):
        # a gradient of nearly nothing gives a step between -lr and lr
        share = float(((mine - its).abs() > 1e-5).float().mean())
        assert at == key_bias or share < 0.01


def test_arms_share_all_but_the_poison(world: tuple[States, Training]) -> None:
    """A smaller alpha's victim is the same whoever shares its stack; points are the first of the larger alpha's, masks included."""
    rows = StateRows(world[0], torch.device("cpu"), torch.float64)
    init = params_of(LAYER, 5)
    large = jobs((11,))[0]
    small = Job(large.rows[:4], large.labels[:4])
    together = train_encoder_stack(LAYER, init, world[1], rows, [small, large], RECIPE, Trial(1, 2))
    alone = train_encoder_stack(LAYER, init, world[1], rows, [small], RECIPE, Trial(1, 2))
    equal(together[0], alone[0], 1e-10)


def test_parts_side_by_side_are_the_same_victims(world: tuple[States, Training]) -> None:
    rows = StateRows(world[0], torch.device("cpu"), torch.float64)
    init, numbers = params_of(LAYER, 5), world[1].x_AF[:, 0].numpy()

    def ask(stack: EncoderStack, report: Callable[[float], None]) -> list[list[Tensor]]:
        report(0.5)
        return [[predicted] for predicted in LAYER.predict(logits_of_rows(stack, LAYER, rows, numbers))]

    seen: dict[int, list[float]] = {1: [], WORKERS: []}
    whole, parts = (
        train_encoder_stack(
            LAYER,
            init,
            world[1],
            rows,
            jobs(),
            RECIPE,
            Trial(1, 2, workers=workers, on_step=lambda done, of, workers=workers: seen[workers].append(done), asked=0.5),  # type: ignore[misc]
            finish=ask,
        )
        for workers in (1, WORKERS)
    )
    for a, b in zip(whole, parts, strict=True):
        assert a.params[0].dtype == torch.uint8
        assert a.params[0].equal(b.params[0])
    steps = RECIPE.epochs * -(-ROWS // RECIPE.batch)
    # each step is told, of half the work; asking is the other half: after the last step nobody thinks that all is done
    assert seen[1] == pytest.approx([*(4 * 0.5 * (step + 1) / steps for step in range(steps)), 3.0, 4.0])
    assert seen[WORKERS] == sorted(seen[WORKERS])
    assert seen[WORKERS][-1] == 4


def test_rows_are_answered_in_their_order(world: tuple[States, Training]) -> None:
    rows = StateRows(world[0], torch.device("cpu"), torch.float64)
    params = params_of(LAYER, 5)
    stack = LAYER.stack([params, params_of(LAYER, 6)], torch.device("cpu"), torch.float64)
    numbers = np.array([7, 3, 3, 20, 11])
    found = logits_of_rows(stack, LAYER, rows, numbers)
    for at, number in enumerate(numbers):
        torch.testing.assert_close(found[0, at], LAYER.logits(params, *rows.take(np.array([number])))[0])


def test_states_in_bfloat16(tmp_path: Path) -> None:
    exact, _ = make_world(tmp_path)
    coarse, _ = make_world(tmp_path, "bfloat16")
    x, real = StateRows(exact, torch.device("cpu"), torch.float32).take(np.array([3, 9]))
    y, also = StateRows(coarse, torch.device("cpu"), torch.float32).take(np.array([3, 9]))
    assert y.dtype == torch.float32
    assert real.equal(also)
    torch.testing.assert_close(x, y, atol=0.02, rtol=0.01)


def test_a_stop_is_obeyed(world: tuple[States, Training]) -> None:
    def control(done: float, of: float) -> None:
        raise Interrupted("stopped")

    rows = StateRows(world[0], torch.device("cpu"), torch.float64)
    with pytest.raises(Interrupted):
        train_encoder_stack(LAYER, params_of(LAYER, 5), world[1], rows, jobs(), RECIPE, Trial(1, 2, on_step=control))


@pytest.mark.parametrize(
    ("key", "recipe"), [("stop", replace(RECIPE, stop="plateau")), ("weight_decay_per", replace(RECIPE, per_rows=True))]
)
def test_recipes_of_others_are_refused(world: tuple[States, Training], key: str, recipe: Recipe) -> None:
    rows = StateRows(world[0], torch.device("cpu"), torch.float64)
    with pytest.raises(RequestError, match=key):
        train_encoder_stack(LAYER, params_of(LAYER, 5), world[1], rows, jobs(), recipe, Trial(1, 2))


def test_masks_that_a_device_draws_are_those_of_the_trial_whoever_asks() -> None:
    """The CPU in the place of a GPU: clean rows' masks follow from the step, and fewer points have the first of more points'."""

    def drawn(trial: int = 2) -> dropout.DropoutDraws:
        draws = dropout.DropoutDraws(LAYER, 1, trial, TOKENS, torch.device("cpu"), torch.float32)
        draws._of_device = dropout._Drawn(draws, torch.from_numpy(draws.rate_K))
        return draws

    one, other = drawn(), drawn()
    few, many = one.poison(3, 70), other.poison(3, 200)
    assert few.equal(many[:70])
    assert not many[:64].equal(many[64:128])
    steps = [one.of_step(1, step, 16) for step in range(4)]
    other.poison(1, 9)
    assert all(other.of_step(1, step, 16).equal(mask) for step, mask in enumerate(steps))
    assert not steps[0].equal(steps[1])
    assert not drawn(5).of_step(1, 0, 16).equal(steps[0])
    masks = torch.cat([one.of_step(2, step, 512) for step in range(8)]).float()
    split = LAYER.heads * TOKENS
    for some, rate in ((masks[:, :split], LAYER.attention_dropout), (masks[:, split:], LAYER.hidden_dropout)):
        assert float(some.mean()) == pytest.approx(1 - rate, abs=5 * (rate * (1 - rate) / some.numel()) ** 0.5)
    with pytest.raises(AssertionError, match="order"):
        one.of_step(2, 3, 16)
