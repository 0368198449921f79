"""The path of a GPU, run dry: trained end to end as fake tensors on cuda:0, where no step may wait for the device or copy from the host.

What fakes cannot show (pinned copies that overlap, captured steps, bits, speed, bfloat16) is for `tests/gpu`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.models.bert.last_layer import LastLayer
from engine.models.dense.mlp import Mlp
from engine.models.encoders.encoder import AutoEncoder
from engine.models.encoders.files import EncoderSource
from engine.models.encoders.files import of_folder as read_folder
from engine.training import host
from engine.training.dense import train_stacked
from engine.training.encoders.stack import logits_of_rows, train_encoder_stack
from engine.training.encoders.states import StateRows
from engine.training.networks.choose import Way, train_networks
from engine.training.recipe import Job, Recipe, Training
from engine.training.trial import How, Trial
from engine.victims import networks
from tests.models import test_bert_network as bert
from tests.models import test_encoders as others
from tests.training import test_encoders as encoders
from tests.training.test_networks import conv, vgg
from tests.worlds import networks as pictures
from tests.worlds import rows as worlds
from tests.worlds.bert import LAYER, PLAIN, params_of
from tests.worlds.dry import CUDA, META, Watch, dry
from tests.worlds.networks import Small

DENSE = {
    "one logit": Mlp(7, (5,), 2),
    "two hidden layers": Mlp(7, (6, 5), 4),
    "logistic": Mlp(7, (), 2),
    "softmax without hidden layers": Mlp(7, (), 3),
}
F32 = torch.float32


def clear(watch: Watch, steps: int) -> None:
    """Nothing was found in so many steps, and something was looked at."""
    assert not watch.found, "\n".join(f"{count:4d} x {where}: {what}" for (what, where), count in sorted(watch.found.items()))
    assert not watch.between, "\n".join(f"{count:4d} x {where}: {what}" for (what, where), count in sorted(watch.between.items()))
    assert watch.steps == steps
    assert watch.ops > 8 * steps


def one_shape(watch: Watch) -> None:
    """All steps of a stack have one shape, the last of an epoch perhaps another: what graphs are captured of."""
    [shapes] = watch.shapes.values()
    assert len(shapes) <= 2


@pytest.mark.parametrize("defended", [False, True], ids=["plain", "defended"])
@pytest.mark.parametrize("model", DENSE.values(), ids=DENSE)
def test_dense_stacks(model: Mlp, defended: bool) -> None:
    jobs = worlds.jobs([0, 3, 20], model.classes)
    if defended:
        jobs = worlds.judged(jobs, worlds.training(24, classes=model.classes).y_N.numpy(), model.classes)
    init = worlds.init(model, F32)
    recipe = Recipe(epochs=3, batch=12, lr=1e-2, weight_decay=1e-2, per_rows=True, stop="plateau", patience=1)
    with dry() as watch:
        data = worlds.training(24, classes=model.classes, dtype=F32, device=CUDA)
        inits = [[watch.fake(p) for p in init]] * len(jobs)
        trained = train_stacked(lambda params: model.stack(params, CUDA, F32), inits, data, jobs, recipe, Trial(1, 2))
    clear(watch, 6)
    one_shape(watch)
    assert {p.device for t in trained for p in t.params} == {CUDA}
    assert watch.reads == 3 + defended  # each epoch's losses; the labels, to see whether a defence changed some


@pytest.mark.parametrize("room", ["on the device", "in the file"])
@pytest.mark.parametrize("defended", [False, True], ids=["plain", "defended"])
@pytest.mark.parametrize("layer", [LAYER, PLAIN], ids=["dropout", "still"])
def test_last_layers_of_encoders(tmp_path: Path, layer: LastLayer, defended: bool, room: str) -> None:
    states, data = encoders.make_world(tmp_path)
    jobs = encoders.jobs()
    if defended:
        jobs = worlds.judged(jobs, data.y_N.numpy(), layer.classes)
    init, numbers = params_of(layer, 5, F32), torch.cat([data.x_NF, data.x_AF]).numpy()[:, 0]
    recipe = Recipe(epochs=2, batch=16, lr=1e-3, weight_decay=0.1, optimizer="adamw")
    with dry(free=2**40 if room == "on the device" else 1) as watch:
        rows = StateRows(states, CUDA, F32)
        rows.settle(numbers)
        asked: list[Tensor] = []

        def ask(stack: Any, report: Callable[[float], None]) -> list[list[Tensor]]:
            asked.append(logits_of_rows(stack, layer, rows, numbers[:7], report))
            return [[p] for p in layer.predict(asked[0])]

        fakes = Training(*(watch.fake(t) for t in (data.x_NF, data.y_N, data.x_AF)))
        train_encoder_stack(layer, [watch.fake(p) for p in init], fakes, rows, jobs, recipe, Trial(1, 2), ask)
    clear(watch, 4)
    one_shape(watch)
    assert asked[0].device == CUDA


MODELS: dict[str, tuple[Any, int, tuple[Way, ...]]] = {
    "conv": (conv, 8, ("one_by_one", "vmapped")),
    "vgg": (vgg, 32, ("one_by_one", "vmapped")),
    "batch norm": (partial(Small, norm=True), 8, ("one_by_one",)),
}


@pytest.mark.parametrize("defended", [False, True], ids=["plain", "defended"])
@pytest.mark.parametrize(("kind", "way"), [(kind, way) for kind, (_, _, ways) in MODELS.items() for way in ways])
def test_networks_of_pictures(kind: str, way: Way, defended: bool) -> None:
    """On the meta device: PyTorch's engine of backward passes asks a GPU for its streams, fakes or not."""
    make, side, _ = MODELS[kind]
    model = make()
    jobs = pictures.jobs([0, 9], side=side, moved=True)
    if defended:
        jobs = worlds.judged(jobs, pictures.training(12, side).y_N.numpy(), 3)
    init = model.init(torch.Generator().manual_seed(3), F32)
    recipe = Recipe(epochs=1 if kind == "vgg" else 2, batch=6, lr=1e-3, weight_decay=1e-2, augment=True)
    with dry() as watch:
        data = pictures.training(12, side, device=META)
        train_networks(model, [watch.fake(p) for p in init], data, jobs, recipe, Trial(1, 2, How(META)), way=way)
    clear(watch, 2 * recipe.epochs * (2 if way == "one_by_one" else 1))
    if way == "vmapped":
        one_shape(watch)


@pytest.mark.parametrize("defended", [False, True], ids=["plain", "defended"])
@pytest.mark.parametrize("model", [bert.STILL, bert.BERT], ids=["still", "dropout"])
def test_whole_encoders(model: Any, defended: bool) -> None:
    real, jobs = bert.world(), bert.jobs()
    if defended:
        jobs = worlds.judged(jobs, real.y_N.numpy(), 2)
    init = model.init(torch.Generator().manual_seed(2), F32)
    with dry() as watch:
        data = Training(*(watch.fake(t) for t in (real.x_NF, real.y_N, real.x_AF)))
        recipe = replace(bert.RECIPE, epochs=1, batch=12)
        train_networks(model, [watch.fake(p) for p in init], data, jobs, recipe, Trial(1, 2, How(META)), way="one_by_one")
    clear(watch, 2 * 2)


@pytest.mark.parametrize("reads", ["texts", "pictures"])
def test_a_network_is_asked_about_rows_without_waiting_between_them(reads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slice after slice: how many tokens the longest of a slice has is looked up where the tokens lie, on the host."""
    monkeypatch.setattr(networks, "TEXTS_AT_ONCE", 4)
    monkeypatch.setattr(networks, "ROWS_AT_ONCE", 4 * 8 * 8)
    model: Any = bert.BERT if reads == "texts" else conv()
    x = bert.world().x_NF.numpy() if reads == "texts" else np.zeros((12, 8, 8, 3), np.uint8)
    init = model.init(torch.Generator().manual_seed(2), F32)
    with dry() as watch:
        params = [watch.fake(p, CUDA) for p in init]
        watch.opened()
        slices = networks.logits_of(model, params, x, How(CUDA))
    assert len(slices) > 2
    assert watch.uploads == len(slices)
    assert not [found for found in watch.found if "waits" in found[0] or "blocking" in found[0]]


@pytest.mark.parametrize(("kind", "tune"), [("roberta", "all"), ("deberta-v2", "last_layer")])
def test_encoders_of_other_architectures(tmp_path: Path, kind: str, tune: Any) -> None:
    others.saved(kind, tmp_path)
    source = read_folder(tmp_path)
    assert isinstance(source, EncoderSource)
    model = AutoEncoder(source, others.CLASSES, others.LENGTH, tune)
    init, real, jobs = model.init(torch.Generator().manual_seed(2), F32), others.training(), others.jobs()
    with dry() as watch:
        data = Training(*(watch.fake(t) for t in (real.x_NF, real.y_N, real.x_AF)))
        model._frozen = {where: {name: watch.fake(t) for name, t in those.items()} for where, those in model._frozen.items()}
        model._fixed(watch.fake(init[0], META))  # what is not trained goes to the device once a run, in its first step
        recipe = replace(others.RECIPE, epochs=1)
        train_networks(model, [watch.fake(p) for p in init], data, jobs, recipe, Trial(1, 2, How(META)), way="one_by_one")
    clear(watch, 2 * 6)


# ---- that it finds what it is for -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "does"),
    [
        ("waits", lambda x: x.sum().item()),
        ("waits", lambda x: int((x > 0).sum(1).max())),
        ("waits", lambda x: x.nonzero()),
        ("by a mask", lambda x: x[x[:, 0] > 0]),
        ("by a mask", lambda x: x.__setitem__(x > 0, torch.zeros(12, device=CUDA))),
        ("waits", lambda x: x.masked_select(x > 0)),
        ("waits", lambda x: torch.equal(x, x)),
        ("cuda to cpu", lambda x: x.cpu()),
        ("cpu to cuda, blocking", lambda x: torch.from_numpy(np.ones(3)).to(CUDA)),
        ("cpu to cuda, blocking", lambda x: torch.tensor([1.0, 2.0], device=CUDA)),
        ("elsewhere", lambda x: x[torch.arange(2)]),
        ("is read", lambda x: host.to_host(x)),
        ("an upload", lambda x: host.upload(np.ones(3), CUDA)),
        ("on the host", lambda x: torch.arange(4) < 2),
    ],
)
def test_what_is_looked_for_is_found(what: str, does: Callable[[Tensor], object]) -> None:
    with dry() as watch:
        x = torch.zeros(3, 4, device=CUDA)
        watch.opened()
        does(x)
    assert any(what in found for found, _ in watch.found), watch.found


def test_devices_that_are_mixed_up_raise() -> None:
    with dry(), pytest.raises(RuntimeError, match="device"):
        torch.zeros(3, device=CUDA) + torch.zeros(3)


def test_a_step_of_jobs_alone_is_no_step() -> None:
    with dry() as watch:
        train_stacked(
            lambda params: DENSE["logistic"].stack(params, CUDA, F32),
            [[torch.zeros(7, 1), torch.zeros(1)]],
            worlds.training(24, dtype=F32, device=CUDA),
            [Job(np.empty(0, np.int64), np.empty(0, np.int64))],
            Recipe(epochs=1, batch=12, lr=1e-2),
            Trial(1, 2),
        )
    clear(watch, 2)
