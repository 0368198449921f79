"""On a GPU steps are filled up to one shape with rows that take no part: the victims are those of steps as they are. Held on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.models.bert.last_layer import LastLayer
from engine.rows import States
from engine.steps import EncoderRows
from engine.training import host, sizing
from engine.training.encoders import states as encoder_states
from engine.training.encoders.stack import train_encoder_stack
from engine.training.encoders.states import StateRows
from engine.training.recipe import Recipe
from engine.training.trial import Trial
from tests.training import test_encoders as encoders
from tests.training import test_networks as networks
from tests.training import test_training as dense
from tests.worlds import networks as pictures
from tests.worlds import rows as worlds
from tests.worlds.bert import LAYER, PLAIN, params_of
from tests.worlds.networks import Small
from tests.worlds.rows import CPU

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As on a GPU, when `setattr` is undone as on a CPU again."""
    monkeypatch.setattr(host, "fills", lambda device: True)
    return monkeypatch


@pytest.mark.parametrize("defended", [False, True], ids=["plain", "defended"])
@pytest.mark.parametrize("layer", [LAYER, PLAIN], ids=["dropout", "still"])
def test_last_layers_of_encoders(tmp_path: Path, filled: pytest.MonkeyPatch, layer: LastLayer, defended: bool) -> None:
    states, data = encoders.make_world(tmp_path)
    data.y_N.clamp_(max=layer.classes - 1)
    jobs = [job for job in encoders.jobs() if job.labels.max(initial=0) < layer.classes] if layer is PLAIN else encoders.jobs()
    if defended:
        jobs = worlds.judged(jobs, data.y_N.numpy(), layer.classes)
    shapes: set[tuple[tuple[int, ...], ...]] = set()
    step = type(layer.stack([params_of(layer, 5)], CPU, torch.float64)).step

    def noted(stack: object, rows: EncoderRows, **more: bool) -> torch.Tensor | None:
        poison = rows.poison
        own = () if poison is None else (*poison.x_QTW.shape, *poison.victim_Q.shape, poison.places)
        shapes.add((tuple(rows.x_BTW.shape), own))
        return step(stack, rows, **more)  # type: ignore[arg-type]

    rows, init = StateRows(states, CPU, torch.float64), params_of(layer, 5)
    recipe = Recipe(epochs=1, batch=8, lr=3e-3, weight_decay=0.3, optimizer="adamw")
    filled.setattr(type(layer.stack([init], CPU, torch.float64)), "step", noted)
    one_shape = train_encoder_stack(layer, init, data, rows, jobs, recipe, Trial(1, 2))
    assert len(shapes) == 2, "of whole batches and of the last"
    filled.undo()
    for a, b in zip(one_shape, train_encoder_stack(layer, init, data, rows, jobs, recipe, Trial(1, 2)), strict=True):
        encoders.equal(a, b, 1e-11)


@pytest.mark.parametrize("model", dense.MODELS[:1] + dense.MODELS[-1:], ids=str)
def test_dense_stacks(filled: pytest.MonkeyPatch, model: dense.Mlp) -> None:
    recipe = Recipe(epochs=3, batch=12, lr=1e-2, weight_decay=1e-2, per_rows=True)
    jobs = worlds.judged(worlds.jobs(dense.SIZES, model.classes), worlds.training(classes=model.classes).y_N.numpy(), model.classes)
    a = dense.stacked(model, jobs, recipe)
    filled.undo()
    b = dense.stacked(model, jobs, recipe)
    assert worlds.worst_gap(a, b) < 1e-12
    assert [t.train_loss for t in a] == pytest.approx([t.train_loss for t in b], rel=1e-12)


def test_networks_under_vmap(filled: pytest.MonkeyPatch) -> None:
    jobs, recipe = pictures.jobs([0, 3, 19], moved=True), Recipe(epochs=2, batch=12, lr=1e-2, augment=True)
    a = networks.fast(Small(), jobs, recipe, way="vmapped")
    filled.undo()
    assert networks.gap(a, networks.fast(Small(), jobs, recipe, way="vmapped")) < 1e-12


# ---- states that stay on a GPU ------------------------------------------------------------------------------------------


@pytest.fixture
def gpu_of(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The CPU in the place of a GPU, as far as states are settled."""
    monkeypatch.setattr(host, "upload", lambda rows, device: torch.as_tensor(rows).clone())
    return monkeypatch


class Settled(StateRows):
    """Settles its rows wherever it is."""

    def __init__(self, states: States) -> None:
        super().__init__(states, torch.device("cuda"), torch.float64)

    def settle_here(self, numbers: np.ndarray, said: list[str]) -> None:
        real_empty = torch.empty
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "empty", lambda *size, device, **more: real_empty(*size, **more))
            self.settle(numbers, said.append)


def test_states_stay_where_they_fit_and_the_run_is_told_where_they_do_not(tmp_path: Path, gpu_of: pytest.MonkeyPatch) -> None:
    states, _ = encoders.make_world(tmp_path)
    row_bytes = states.shape[1] * states.shape[2] * 4
    free = [100 * row_bytes]
    gpu_of.setattr(encoder_states, "free_of_gpu", lambda device: free[0])
    rows, said = Settled(states), list[str]()
    rows.settle_here(np.array([7, 3, 3]), said)
    assert rows.settled_NTW is not None
    assert rows.settled_NTW.equal(rows.rows_NTW[[3, 7]])
    first = rows.settled_NTW
    rows.settle_here(np.array([7]), said)
    assert rows.settled_NTW is first, "rows that lie there are not sent again"
    rows.settle_here(np.array([5]), said)
    assert rows.settled_NTW.equal(rows.rows_NTW[[3, 5, 7]])
    free[0] = 4 * row_bytes
    rows.settle_here(np.array([1, 2]), said)
    assert rows.settled_NTW.equal(rows.rows_NTW[[1, 2]]), "the others made room"
    for _ in range(2):
        rows.settle_here(np.arange(9), said)
    assert rows.settled_NTW is None
    assert len(said) == 1, "once"
    assert "read from their file" in said[0]
    assert rows.places(np.array([4])).rows_NTW is rows.rows_NTW


def test_what_the_allocator_holds_back_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10, 100))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 70)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 20)
    assert sizing.free_of_gpu(torch.device("cuda")) == 60
    assert sizing.free_bytes(torch.device("cuda")) == 48
