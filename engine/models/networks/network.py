"""Networks that read pictures: one victim is a list of tensors, run through a skeleton that holds no weights of its own.

The skeleton lies on the meta device and is only ever called functionally: many victims share it, can be stacked under `torch.func.vmap`
(where there is no batch norm), or be trained in forked processes. It is not for several threads at once.
"""

from __future__ import annotations

import contextlib
import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode
from torchvision.ops import StochasticDepth

from engine.errors import RequestError
from engine.models.softmax import SoftmaxModel

Scaling = tuple[tuple[float, float, float], tuple[float, float, float]]
CENTRED: Scaling = ((0.5, 0.5, 0.5), (1.0, 1.0, 1.0))  # pixels in -0.5..0.5
IMAGENET: Scaling = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # as torchvision's weights were trained
BODY, HEAD = "features", "head"


@dataclass(frozen=True)
class Blueprint:
    """What tells one kind of network from another.

    name        for messages: "VGG16"
    make        the body, everything below the last dense layer: [B, 3, H, W] -> [B, width]; draws its weights from PyTorch's own generator
    scaling     mean and standard deviation of each channel, which pixels are normalised with
    penalised   which kernels weight decay is on
    checkpoint  what the body's tensors start from, by name, given the body on the meta device; None where weights are random
    of_classes  whether the body, too, depends on how many classes there are
    """

    name: str
    make: Callable[[], nn.Module]
    scaling: Scaling
    penalised: Literal["head", "all"]
    checkpoint: Callable[[nn.Module], Mapping[str, Tensor]] | None = None
    of_classes: bool = False


class Network(SoftmaxModel):
    """A body, and on it a dense layer of one output a class.

    A victim's tensors are in the order of `names`: params[:trainable] are trained (`parameter_names`; the last two are the dense layer's
    weight [classes, width] and bias), params[trainable:] are buffers, such as batch norm's running statistics.
    layers: what `layer_of` can be asked for: "hidden", what the last dense layer reads, and the pooling layers, in their order.
    """

    def __init__(self, blueprint: Blueprint, classes: int, image: tuple[int, int]) -> None:
        self.blueprint, self.classes, self.image = blueprint, classes, (int(image[0]), int(image[1]))
        body, self.width = _skeleton(blueprint, self.image)
        whole = nn.Sequential(OrderedDict({BODY: body, HEAD: nn.Linear(self.width, classes, device="meta")})).eval()
        self.parameter_names = tuple(name for name, _ in whole.named_parameters())
        self.trainable = len(self.parameter_names)
        penalised = range(self.trainable - 2, self.trainable) if blueprint.penalised == "head" else range(self.trainable)
        dims = [p.dim() for p in whole.parameters()]
        self._kernels = tuple(at for at in penalised if dims[at] > 1)
        self.names = (*self.parameter_names, *(name for name, buffer in whole.named_buffers() if buffer.is_floating_point()))
        self._body, self._whole = _submodule(body, self), _submodule(whole, self)
        self._training = _submodule(copy.deepcopy(whole).train(), self)
        self._pools = {name: _submodule(module, self) for name, module in _pools_of(body).items()}
        self.layers = ("hidden", *self._pools)
        tables = self._drawn(0) if self._whole.fixed else {}  # whole numbers, the same for every victim, as a windowed transformer has
        self._fixed = {torch.device("cpu"): {name: table for name, table in tables.items() if not table.is_floating_point()}}

    # ---- weights ----------------------------------------------------------------------------------------------------

    def init(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """A trial's initial weights, in the order of `names`.

        The last layer is always drawn anew, whatever the weights: kernel Glorot uniform, bias zero, as Keras' dense layer.
        """
        seed = int(torch.randint(2**63 - 1, (), generator=generator))
        tensors = dict(self._checkpoint or self._drawn(seed))
        kernel = nn.init.xavier_uniform_(torch.empty(self.classes, self.width), generator=generator)
        tensors |= {f"{HEAD}.weight": kernel, f"{HEAD}.bias": torch.zeros(self.classes)}
        return [tensors[name].to(dtype, copy=True) for name in self.names]

    def _drawn(self, seed: int) -> Mapping[str, Tensor]:
        with _drawing_from(seed):
            body = _without_counters(self.blueprint.make())
        return {f"{BODY}.{name}": tensor.detach() for name, tensor in (*body.named_parameters(), *body.named_buffers())}

    @cached_property
    def _checkpoint(self) -> Mapping[str, Tensor] | None:
        if self.blueprint.checkpoint is None:
            return None
        return {f"{BODY}.{name}": tensor for name, tensor in self.blueprint.checkpoint(self._body.module).items()}

    # ---- forward ----------------------------------------------------------------------------------------------------

    def pixels(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Pictures [B, H, W, 3], uint8 or floats in 0..1 -> pixels in 0..1 [B, 3, H, W], which lie channels last in memory."""
        x_BCHW = x.permute(0, 3, 1, 2)
        if x.dtype == torch.uint8:
            return x_BCHW.to(dtype or torch.float32) / 255
        return x_BCHW.to(dtype or x.dtype)

    def logits(self, params: Sequence[Tensor], pixels_BCHW: Tensor, *, training: bool = False) -> Tensor:
        """Logits [B, classes]. training: batch norm uses the batch and updates the buffers among params in place, dropout is on."""
        return self._run(self._training if training else self._whole, params, pixels_BCHW)

    def hidden_of(self, params: Sequence[Tensor], pixels_BCHW: Tensor) -> Tensor:
        """What the last dense layer reads [B, width]."""
        return self._run(self._body, params, pixels_BCHW)

    def layer_of(self, params: Sequence[Tensor], pixels_BCHW: Tensor, layer: str) -> Tensor:
        """The output of one of `layers`, flattened [B, width]. RequestError where there is none of that name."""
        if layer == "hidden":
            return self.hidden_of(params, pixels_BCHW)
        if layer not in self._pools:
            known = ", ".join(self.layers)
            raise RequestError(f"{self.blueprint.name} has no layer {layer!r}", where="subpopulations.layer", next=f"use {known}")
        return self._run(self._pools[layer], params, pixels_BCHW).flatten(1)

    def head_of(self, params: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The last dense layer: kernel [width, classes] and bias [classes]."""
        return params[self.trainable - 2].t(), params[self.trainable - 1]

    def _run(self, submodule: _Submodule, params: Sequence[Tensor], pixels_BCHW: Tensor) -> Tensor:
        mean, std = _channels(self.blueprint.scaling, pixels_BCHW.device, pixels_BCHW.dtype)
        tensors = {name: params[at] for name, at in submodule.places}
        if submodule.fixed:
            fixed = self._fixed_on(pixels_BCHW.device)
            tensors |= {name: fixed[full] for name, full in submodule.fixed}
        output: Tensor = functional_call(submodule.module, tensors, ((pixels_BCHW - mean) / std,))
        return output

    def _fixed_on(self, device: torch.device) -> Mapping[str, Tensor]:
        if device not in self._fixed:
            self._fixed[device] = {name: table.to(device) for name, table in self._fixed[torch.device("cpu")].items()}
        return self._fixed[device]

    # ---- what it is -------------------------------------------------------------------------------------------------

    cuts_batches = False

    @property
    def kernels(self) -> tuple[int, ...]:
        return self._kernels

    @cached_property
    def has_dropout(self) -> bool:
        """Training draws random masks: dropout of units or of whole residual branches."""
        return any(
            (isinstance(m, nn.modules.dropout._DropoutNd | StochasticDepth) and m.p > 0)
            or (isinstance(m, nn.MultiheadAttention) and m.dropout > 0)
            for m in self._whole.module.modules()
        )

    @cached_property
    def has_batch_norm(self) -> bool:
        return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in self._whole.module.modules())

    def notes(self) -> tuple[str, ...]:
        """What batch norm and dropout mean for victims that are compared within a trial."""
        notes = []
        if self.has_batch_norm:
            notes.append(
                "batch norm: a victim's statistics are those of its own batches, poison rows included, so poison reaches the other rows "
                "of its batch in this way too; running averages start alike in every arm of a trial and are each victim's own"
            )
        if self.has_dropout:
            notes.append(
                "dropout: masks are drawn from the trial's seed, the same for every arm of a trial as far as the rows of a step agree"
            )
        return tuple(notes)

    def operations(self, rows: int = 1) -> int:
        """Multiplications and additions of one forward pass over so many pictures."""
        counter = FlopCounterMode(display=False)
        with counter, torch.device("meta"), torch.no_grad():
            self._whole.module(torch.empty(1, 3, *self.image))
        return rows * int(counter.get_total_flops())

    @property
    def training_operations(self) -> int:
        """The same of a forward and a backward pass over one picture, which itself has no gradient."""
        counter = FlopCounterMode(display=False)
        with counter, torch.device("meta"), torch.enable_grad():
            logits = self._whole.module(torch.empty(1, 3, *self.image))
            torch.autograd.grad(logits.sum(), [p for p in self._whole.module.parameters() if p.requires_grad], allow_unused=True)
        return int(counter.get_total_flops())


# ---- the skeleton ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Submodule:
    """A module of the skeleton, and where its tensors are: (its own name for one, index in a victim's list) or (.., name in the whole)."""

    module: nn.Module
    places: tuple[tuple[str, int], ...]
    fixed: tuple[tuple[str, str], ...]


def _submodule(module: nn.Module, network: Network) -> _Submodule:
    where = {name: at for at, name in enumerate(network.names)}
    prefix = "" if hasattr(module, HEAD) and hasattr(module, BODY) else f"{BODY}."
    names = [name for name, _ in (*module.named_parameters(), *module.named_buffers())]
    return _Submodule(
        module,
        tuple((name, where[prefix + name]) for name in names if prefix + name in where),
        tuple((name, prefix + name) for name in names if prefix + name not in where),
    )


def _pools_of(body: nn.Module) -> dict[str, nn.Module]:
    """pool1, pool2, ... -> the body up to it, where the body is a sequence; else none."""
    children = list(body.named_children()) if isinstance(body, nn.Sequential) else []
    ends = [at + 1 for at, (_, child) in enumerate(children) if isinstance(child, nn.MaxPool2d | nn.AvgPool2d)]
    return {f"pool{n}": nn.Sequential(OrderedDict(children[:end])).eval() for n, end in enumerate(ends, 1)}


def _skeleton(blueprint: Blueprint, image: tuple[int, int]) -> tuple[nn.Module, int]:
    """The body on the meta device, and how many numbers it makes of a picture; RequestError where it cannot read pictures of that size."""
    try:
        with _drawing_from(0):
            try:
                with torch.device("meta"):
                    body = blueprint.make()
            except NotImplementedError:  # it works with numbers while it is built
                body = blueprint.make().to("meta")
        body = _without_counters(body).eval()
        with torch.no_grad():
            output = body(torch.empty(2, 3, *image, device="meta"))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise RequestError(
            f"{blueprint.name} cannot read pictures of {image[0]} x {image[1]} pixels ({' '.join(str(error).split())[:120]})",
            where="dataset.image_size",
            next="set another dataset.image_size, most often a larger one, or use another model",
        ) from error
    assert output.dim() == 2, f"{blueprint.name}: the last dense layer reads {tuple(output.shape)}"
    return body, int(output.shape[1])


def _without_counters(module: nn.Module) -> nn.Module:
    """Batch norm's count of batches is whole numbers that change, and decides nothing where momentum is set: left out."""
    for m in module.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.momentum is not None:
            m.num_batches_tracked = None
    return module


@contextlib.contextmanager
def _drawing_from(seed: int) -> Iterator[None]:
    """PyTorch's own CPU generator, which modules draw their weights from, set for as long as this lasts and then put back."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@lru_cache(maxsize=32)
def _channels(scaling: Scaling, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [3, 1, 1]."""
    # filled in there: a copy from the host would be waited for
    mean, std = (torch.cat([torch.full((1, 1, 1), n, dtype=dtype, device=device) for n in numbers]) for numbers in scaling)
    return mean, std
