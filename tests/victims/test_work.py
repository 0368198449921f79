"""The work that `subpop bench` divides by the time, against counts of what trainers really do: products by PyTorch's counter, bytes of each
operation's operands by a list of what it touched.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from engine.models.bert.last_layer import LastLayer
from engine.training.adam import DecayedAdam
from engine.training.encoders.rows import StackRows
from engine.training.encoders.states import StateRows
from engine.training.recipe import Job, Recipe, Training
from engine.training.schedule import Schedule
from engine.training.trial import How, Trial
from engine.victims.by_gradient import ByGradient
from engine.victims.choose import victims_of
from engine.victims.encoders import TextHead, TextHeads
from tests.models import test_bert_network as bert
from tests.training import test_encoders as encoders
from tests.worlds import networks as pictures
from tests.worlds import rows as worlds
from tests.worlds import sections
from tests.worlds.bert import LAYER, PLAIN, params_of
from tests.worlds.rows import CPU

pytestmark = pytest.mark.usefixtures("one_thread")
NONE = Job(np.empty(0, np.int64), np.empty(0, np.int64))
HOW = How(CPU, torch.float32)


def family(dataset: Any, **keys: Any) -> ByGradient[Any, Any]:
    found = victims_of(sections.model(epochs=1, batch=10, **keys), dataset)
    assert isinstance(found, ByGradient)
    return found


def counted(victims: ByGradient[Any, Any], data: Training, jobs: list[Job]) -> int:
    """Multiplications and additions of an epoch, as PyTorch counts them."""
    assert victims.model  # a network tries itself out when it is made
    with FlopCounterMode(display=False) as counter:
        victims.fit(data, jobs, Trial(0, 0, HOW))
    return int(counter.get_total_flops())


class Seen:
    """As much of a dataset as families ask for."""

    def __init__(self, x: np.ndarray, classes: int) -> None:
        self.train = self.aux = self.test = type("Rows", (), {"x": x, "images": None})()
        self.classes, self.states = tuple(map(str, range(classes))), None


def test_dense_layers() -> None:
    """Of layers without a product of their own for one logit, and no places that are padding."""
    data = worlds.training(40, classes=3, dtype=torch.float32)
    victims = family(Seen(np.zeros((1, 7)), 3), kind="mlp", hidden=[6, 5])
    jobs = [NONE] * 3
    constant_column = 3 * 40 * 2 * (2 * 6)
    assert counted(victims, data, jobs) == victims.work(data, jobs) + constant_column


@pytest.mark.parametrize("kind", ["conv", "vgg"])
def test_networks_of_pictures(kind: str) -> None:
    side = 32 if kind == "vgg" else 8
    data, jobs = pictures.training(10, side), pictures.jobs([3], side=side)
    victims = family(Seen(np.zeros((1, side, side, 3)), 3), kind=kind, weights="random", weight_decay=0.0)
    assert counted(victims, data, jobs) == victims.work(data, jobs)
    if kind == "conv":  # in closed form: three times forward, but for the first layer, whose pictures have no gradient
        sides, channels = [8, 8, 8, 4, 4, 2, 2, 1], [3, 32, 32, 64, 64, 128, 128, 256, 3]
        layers = [2 * 9 * a * b * s * s for a, b, s in zip(channels[:-1], channels[1:], sides, strict=True)]
        assert victims.work(data, jobs) == 13 * (3 * (sum(layers) + 2 * 3 * 3) - layers[0])


def test_whole_encoders_without_padding() -> None:
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, 30, (18, bert.LENGTH)))
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        params = [p.requires_grad_() for p in bert.STILL.init(torch.Generator().manual_seed(0))]
        bert.STILL.logits(params, tokens, training=True).sum().backward()
    assert counter.get_total_flops() == 3 * bert.STILL.operations(18)
    lengths = np.array([3, 10, 7])
    assert bert.STILL.operations_of(lengths) == sum(bert.STILL.operations_of(lengths[i : i + 1]) for i in range(3))
    assert bert.STILL.operations_of(lengths) < bert.STILL.operations(3)


class Touched(TorchDispatchMode):
    """How many numbers of some tensors were read and written."""

    def __init__(self, tensors: list[Tensor]) -> None:
        super().__init__()
        self.of, self.numbers = {t.untyped_storage().data_ptr() for t in tensors}, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not func.is_view and not func._schema.name.startswith("aten::new_"):  # which look at the shape alone
            out = {at.name for at in func._schema.arguments if at.is_out}
            read = tree_leaves((args, {name: value for name, value in (kwargs or {}).items() if name not in out}))
            written = tree_leaves({name: value for name, value in (kwargs or {}).items() if name in out})
            if "fused_adam" in func._schema.name:  # gradients are marked as written, for those that are scaled
                written = tree_leaves((args[0], args[2], args[3]))
            self.numbers += sum(t.numel() for t in (*read, *written) if isinstance(t, Tensor) and t.untyped_storage().data_ptr() in self.of)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("layer", [LAYER, PLAIN], ids=["dropout", "still"])
def test_last_layers_move_their_weights_gradients_and_moments(tmp_path: Path, layer: LastLayer) -> None:
    states, data = encoders.make_world(tmp_path)
    rows, recipe = StateRows(states, CPU, torch.float32), Recipe(epochs=1, batch=16, lr=1e-3, weight_decay=0.1, optimizer="adamw")
    data.y_N.clamp_(max=layer.classes - 1)
    jobs = [NONE] * 3
    stack = layer.stack([params_of(layer, 5, torch.float32)] * 3, CPU, torch.float32)
    optimizer = DecayedAdam(stack.tensors, recipe, layer.kernels)
    plan = StackRows(layer, data, rows, jobs, Schedule(len(data.y_N), 16, 1, 2), 1).epoch(0)
    plan.prepare(0)
    of_step = plan.step(0)
    with torch.no_grad(), Touched([*stack.tensors, *stack.grads, *optimizer.means, *optimizer.squares]) as touched:
        stack.step(of_step, want_loss=False)
        optimizer.step(stack.tensors, stack.grads)
    assert touched.numbers == 3 * layer.passes


def test_bytes_of_last_layers_are_those_and_the_states_twice(tmp_path: Path) -> None:
    states, data = encoders.make_world(tmp_path)
    victims = object.__new__(TextHeads)
    victims.section = sections.model(kind="bert", tune="last_layer", epochs=1, batch=8)
    victims.seed = 0
    victims.__dict__["model"] = TextHead(LAYER, None, states)  # type: ignore[arg-type]
    jobs, lengths = encoders.jobs(), states.lengths
    pool = data.x_AF[:, 0].numpy()
    tokens = lengths[data.x_NF[:, 0].numpy()].sum() + sum(lengths[pool[job.rows]].sum() for job in jobs)
    steps = Schedule(len(data.y_N), 8, 0, 0).steps
    assert victims.work(data, jobs) == 4 * (len(jobs) * steps * LAYER.passes + 2 * tokens * LAYER.width)
