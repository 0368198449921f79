"""Captured steps give the bits of plain ones, whole trainings long. The graph is a stand-in that records operations (`worlds/tape.py`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.models.dense.mlp import Mlp
from engine.training import graphs, host
from engine.training.dense import train_stacked
from engine.training.encoders.stack import train_encoder_stack
from engine.training.encoders.states import StateRows
from engine.training.networks import stack as network_stack
from engine.training.networks.choose import train_networks
from engine.training.networks.convolutions import Unfolded
from engine.training.recipe import Recipe, Trained
from engine.training.trial import How, Trial
from tests.training import test_encoders as encoders
from tests.training.test_networks import conv
from tests.worlds import networks as pictures
from tests.worlds import rows as worlds
from tests.worlds import tape
from tests.worlds.bert import LAYER, PLAIN, params_of
from tests.worlds.networks import Small
from tests.worlds.rows import CPU
from tests.worlds.tape import OnTape

pytestmark = pytest.mark.usefixtures("one_thread", "on_tape")
F32 = torch.float32
Train = Callable[[Trial], list[Trained]]


@pytest.fixture
def on_tape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "fills", lambda device: True)
    monkeypatch.setattr(network_stack, "unfolded", lambda device: Unfolded())
    monkeypatch.setitem(graphs.CAPTURES, "cpu", OnTape)
    monkeypatch.setattr(tape, "ALL", [])


def captured_equals_plain(train: Train, dtype: torch.dtype = F32) -> tuple[list[Trained], int]:
    """The victims, and how many graphs served their steps."""
    plain, captured = (train(Trial(1, 2, How(CPU, dtype, capture=capture))) for capture in (False, True))
    for a, b in zip(plain, captured, strict=True):
        assert (a.epochs, a.train_loss) == (b.epochs, b.train_loss)
        assert all(p.equal(q) for p, q in zip(a.params, b.params, strict=True))
    return captured, sum(len(each.made) for each in tape.ALL)


MODELS = {"one logit": Mlp(7, (5,), 2), "two hidden layers": Mlp(7, (6, 5), 4), "logistic": Mlp(7, (), 2)}


@pytest.mark.parametrize("defended", [False, True], ids=["plain", "defended"])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_dense_stacks(model: Mlp, defended: bool) -> None:
    jobs = worlds.jobs([0, 3, 20, 40], model.classes)
    data = worlds.training(62, classes=model.classes, dtype=F32)
    if defended:
        jobs = worlds.judged(jobs, data.y_N.numpy(), model.classes)
    # batches of 12 and a rest of 2 that joins one of them: 14
    recipe = Recipe(epochs=12, batch=12, lr=1e-1, weight_decay=1e-2, per_rows=True, stop="plateau", tol=2e-2, patience=1)
    inits = [worlds.init(model, F32)] * len(jobs)
    trained, made = captured_equals_plain(
        lambda trial: train_stacked(lambda params: model.stack(params, CPU, F32), inits, data, jobs, recipe, trial)
    )
    assert len({t.epochs for t in trained}) > 1, "the stack narrowed"
    assert 2 <= made <= 2 * len({t.epochs for t in trained}), "one of whole batches and one of the last, for each width of the stack"


def test_one_graph_a_shape_for_a_whole_training() -> None:
    """Epochs differ in how many places their steps have: they are filled up to the training's most."""
    model, jobs, data = MODELS["one logit"], worlds.jobs([0, 3, 40]), worlds.training(54, dtype=F32)
    recipe = Recipe(epochs=8, batch=12, lr=1e-2)
    inits = [worlds.init(model, F32)] * len(jobs)
    _, made = captured_equals_plain(
        lambda trial: train_stacked(lambda params: model.stack(params, CPU, F32), inits, data, jobs, recipe, trial)
    )
    assert made == 3, "whole batches; the last; whole batches of the last epoch, whose loss is wanted"


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
@pytest.mark.parametrize("defended", [False, True], ids=["plain", "defended"])
@pytest.mark.parametrize("layer", [LAYER, PLAIN], ids=["dropout", "still"])
def test_last_layers_of_encoders(tmp_path: Path, layer: encoders.LastLayer, defended: bool, optimizer: str) -> None:
    states, data = encoders.make_world(tmp_path)
    data.y_N.clamp_(max=layer.classes - 1)
    jobs = [job for job in encoders.jobs() if job.labels.max(initial=0) < layer.classes]
    if defended:
        jobs = worlds.judged(jobs, data.y_N.numpy(), layer.classes)
    recipe = Recipe(epochs=9, batch=8, lr=1e-3, weight_decay=0.1, optimizer=optimizer)  # type: ignore[arg-type]
    init, rows = params_of(layer, 5, F32), StateRows(states, CPU, F32)
    _, made = captured_equals_plain(lambda trial: train_encoder_stack(layer, init, data, rows, jobs, recipe, trial))
    assert 2 <= made <= 4, "whole batches and the last, and both of the last epoch"


@pytest.mark.parametrize("defended", [False, True], ids=["plain", "defended"])
@pytest.mark.parametrize("make", [Small, conv])
def test_networks_under_vmap(make: Callable[[], Small], defended: bool) -> None:
    model, jobs = make(), pictures.jobs([0, 3, 19], moved=True)
    data = pictures.training(30)
    if defended:
        jobs = worlds.judged(jobs, data.y_N.numpy(), 3)
    recipe = Recipe(epochs=6, batch=12, lr=1e-2, weight_decay=1e-3, augment=True, stop="plateau", tol=5e-2, patience=1)
    init = model.init(torch.Generator().manual_seed(3), F32)
    _, made = captured_equals_plain(lambda trial: train_networks(model, init, data, jobs, recipe, trial, way="vmapped"))
    assert made >= 1


@pytest.mark.parametrize("defended", [False, True], ids=["plain", "defended"])
@pytest.mark.parametrize("make", [conv, partial(Small, norm=True)], ids=["conv", "batch norm"])
def test_networks_one_by_one(make: Callable[[], Small], defended: bool) -> None:
    """Steps are as long as a victim's own rows: each length has its graph."""
    model, jobs, data = make(), pictures.jobs([0, 3, 19], moved=True), pictures.training(30)
    if defended:
        jobs = worlds.judged(jobs, data.y_N.numpy(), 3)
    recipe = Recipe(epochs=6, batch=12, lr=1e-2, weight_decay=1e-3, augment=True)
    init = model.init(torch.Generator().manual_seed(3), F32)
    _, made = captured_equals_plain(lambda trial: train_networks(model, init, data, jobs, recipe, trial, way="one_by_one"))
    assert made >= len(jobs)


# ---- that the stand-in finds what it is for -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Rows:
    x: Tensor


@pytest.mark.parametrize("wrong", ["nothing", "bypasses the buffers", "a number of the host", "a replaced tensor"])
def test_what_is_looked_for_is_found(wrong: str) -> None:
    state = {"sum": torch.zeros(3), "aside": torch.ones(3), "number": 0.0}

    def step(rows: Rows) -> None:
        if wrong == "bypasses the buffers":
            state["sum"].add_(state["aside"])
        state["sum"].add_(rows.x * 2, alpha=1 + state["number"])

    def all_steps(capture: bool) -> Tensor:
        state.update(sum=torch.zeros(3), number=0.0)
        steps = graphs.Steps(step, CPU, capture)
        for at in range(graphs.WARM + 3):
            state["aside"] = torch.full((3,), float(at))
            if wrong == "a number of the host":
                state["number"] = float(at)
            if wrong == "a replaced tensor" and at == graphs.WARM + 1:
                state["sum"] = state["sum"].clone()
            steps(Rows(torch.full((3,), float(at))))
        return state["sum"]

    assert all_steps(False).equal(all_steps(True)) == (wrong == "nothing")


@pytest.mark.parametrize("does", [lambda x: x.sum().item(), lambda x: x.nonzero(), lambda x: torch.nn.functional.dropout(x, 0.5)])
def test_what_cannot_be_captured_is_refused(does: Callable[[Tensor], object]) -> None:
    with pytest.raises(AssertionError, match=r"captured|alike"):
        OnTape(CPU).capture(lambda: does(torch.ones(3)))


def test_capturing_leaves_no_trace() -> None:
    x = torch.zeros(3)
    made = OnTape(CPU).capture(lambda: x[:2].add_(1).mul_(2))
    assert x.tolist() == [0, 0, 0]
    made.replay()
    assert x.tolist() == [2, 2, 0]


def test_only_a_gpu_captures_and_only_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda")
    monkeypatch.delenv(graphs.SWITCH, raising=False)
    assert not graphs.wanted(cuda)
    monkeypatch.setenv(graphs.SWITCH, "1")
    assert graphs.wanted(cuda)
    assert not graphs.wanted(CPU)


def test_many_shapes_do_not_fill_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MOST_GRAPHS", 2)
    total, plain = torch.zeros(()), torch.zeros(())

    def add(rows: Rows) -> None:
        total.add_(rows.x.sum())

    steps = graphs.Steps(add, CPU, True)
    for size in range(1, 6):
        for at in range(graphs.WARM + 2):
            steps(Rows(torch.full((size,), float(at))))
            plain += at * size
    assert total.equal(plain)
    assert len(tape.ALL[-1].made) == 2
