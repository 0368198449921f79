"""BERT for classifying texts, in plain PyTorch: one victim is a list of tensors, named as transformers names them.

Written out instead of taken from transformers, whose import alone takes seconds and which draws dropout wherever it happens to; held
equal to it by `tests/models/test_bert.py`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.errors import RequestError
from engine.models.bert.files import BertShape, BertSource, digest_of, encoder_names, encoder_shapes, pooler_names
from engine.models.bert.last_layer import CLASSIFIER, LastLayer
from engine.models.softmax import SoftmaxModel

TABLES = 5  # tensors of the embeddings: three tables, layer norm's scale and bias
PER_LAYER = 16
TRIM = 32  # a batch's padding is cut to a multiple of so many tokens, so that arms whose longest texts differ a little draw alike
LAYERS = ("hidden", "tokens")  # before the last encoder layer: the mean of a text's tokens; all of them, flattened
LAST_LAYER_DEVIATION = (
    "the frozen layers' outputs are computed once, without their dropout (as published they are run anew at each step, dropout on)"
)


class Bert(SoftmaxModel):
    """A whole encoder with pooler and classifier. A network as `network.py` has it, whose pixels are tokens.

    length: tokens of a row; classes: of the classifier, which is always drawn anew.
    """

    def __init__(self, source: BertSource, classes: int, length: int) -> None:
        shape = source.shape
        if length > shape.positions:
            raise RequestError(
                f"this model reads {shape.positions} tokens, not {length}",
                where="model.length",
                next=f"set it to {shape.positions} or less",
            )
        self.source, self.shape, self.classes, self.length = source, shape, classes, length
        self.width, self.layers = shape.width, LAYERS
        head = ((self.width, self.width), (self.width,), (classes, self.width), (classes,))
        self.names = (*encoder_names(shape), *pooler_names(), f"{CLASSIFIER}.weight", f"{CLASSIFIER}.bias")
        self.shapes = (*encoder_shapes(shape), *head)
        self.parameter_names, self.trainable = self.names, len(self.names)

    # ---- weights ----------------------------------------------------------------------------------------------------

    def init(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """A trial's initial weights: the checkpoint's, and what it lacks drawn from the generator as transformers draws BERT's."""
        checkpoint = self.source.tensors or {}
        return [
            checkpoint[name].to(dtype, copy=True)
            if name in checkpoint and not name.startswith(CLASSIFIER)
            else drawn(name, size, self.shape, generator, dtype)
            for name, size in zip(self.names, self.shapes, strict=True)
        ]

    @property
    def kernels(self) -> tuple[int, ...]:
        """Where the tensors lie that weight decay is on."""
        return tuple(at for at, size in enumerate(self.shapes) if len(size) == 2)

    # ---- forward ----------------------------------------------------------------------------------------------------

    def pixels(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Tokens [B, length], -1 for padding -> int64 [B, the longest of them, rounded up]. dtype is pictures' and means nothing here."""
        return self.cut(x, int((x >= 0).sum(1).max()) if len(x) else 1)

    def cut(self, x: Tensor, longest: int) -> Tensor:
        """`pixels` where it is known how many tokens the longest has: to look it up a GPU is waited for."""
        return x[:, : min(x.shape[1], -(-max(longest, 1) // TRIM) * TRIM)].long()

    def logits(self, params: Sequence[Tensor], tokens_BT: Tensor, *, training: bool = False) -> Tensor:
        """Logits [B, classes]. training: dropout is on, its masks drawn from the seed PyTorch's generator was given."""
        with sites(tokens_BT.device) if training and self.has_dropout else contextlib.nullcontext() as drop:
            hidden_BW = self._pooled(params, self._encoded(params, tokens_BT, self.shape.layers, drop))
            return F.linear(_dropped(hidden_BW, self.shape.classifier_dropout, drop), params[-2], params[-1])

    def hidden_of(self, params: Sequence[Tensor], tokens_BT: Tensor) -> Tensor:
        """What the classifier reads [B, width]."""
        return self._pooled(params, self._encoded(params, tokens_BT, self.shape.layers))

    def states_of(self, params: Sequence[Tensor], tokens_BT: Tensor) -> Tensor:
        """Hidden states before the last encoder layer [B, tokens, width]; those of padding mean nothing."""
        return self._encoded(params, tokens_BT, self.shape.layers - 1)

    def layer_of(self, params: Sequence[Tensor], tokens_BT: Tensor, layer: str) -> Tensor:
        """One of `layers` [B, numbers]. RequestError where there is none of that name."""
        if layer not in LAYERS:
            raise RequestError(f"bert has no layer {layer!r}", where="subpopulations.layer", next=f"use {', '.join(LAYERS)}")
        return represented(self.states_of(params, tokens_BT), tokens_BT >= 0, layer, self.length)

    def head_of(self, params: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The classifier: kernel [width, classes] and bias [classes]."""
        return params[-2].t(), params[-1]

    @staticmethod
    def _pooled(params: Sequence[Tensor], x_BTW: Tensor) -> Tensor:
        return torch.tanh(F.linear(x_BTW[:, 0], params[-4], params[-3]))

    def _encoded(self, params: Sequence[Tensor], tokens_BT: Tensor, layers: int, drop: Sites | None = None) -> Tensor:
        real_BT, count = tokens_BT >= 0, tokens_BT.shape[1]
        x_BTW = params[0][tokens_BT.clamp(min=0)] + params[1][:count] + params[2][0]
        x_BTW = _dropped(self._norm(x_BTW, params[3], params[4]), self.shape.hidden_dropout, drop)
        for layer in range(layers):
            at = TABLES + layer * PER_LAYER
            x_BTW = self._layer(params[at : at + PER_LAYER], x_BTW, real_BT[:, None, None], drop)
        return x_BTW

    def _layer(self, p: Sequence[Tensor], x_BTW: Tensor, real_B11T: Tensor, drop: Sites | None) -> Tensor:
        shape = self.shape
        q, k, v = (F.linear(x_BTW, p[i], p[i + 1]).unflatten(-1, (shape.heads, -1)).transpose(1, 2) for i in (0, 2, 4))
        if drop is not None:
            drop.next()
        rate = shape.attention_dropout if drop is not None else 0.0
        context_BTW = F.scaled_dot_product_attention(q, k, v, real_B11T, dropout_p=rate).transpose(1, 2).flatten(2)
        first = _dropped(F.linear(context_BTW, p[6], p[7]), shape.hidden_dropout, drop)
        x_BTW = self._norm(first + x_BTW, p[8], p[9])
        inner = F.gelu(F.linear(x_BTW, p[10], p[11]), approximate=shape.gelu)
        return self._norm(_dropped(F.linear(inner, p[12], p[13]), shape.hidden_dropout, drop) + x_BTW, p[14], p[15])

    def _norm(self, x_BTW: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        return F.layer_norm(x_BTW, (self.width,), scale, bias, self.shape.eps)

    # ---- what it is -------------------------------------------------------------------------------------------------

    @property
    def has_dropout(self) -> bool:
        return max(self.shape.attention_dropout, self.shape.hidden_dropout, self.shape.classifier_dropout) > 0

    has_batch_norm = False
    cuts_batches = True

    def notes(self) -> tuple[str, ...]:
        """What dropout means for victims that are compared within a trial."""
        if not self.has_dropout:
            return ()
        return (
            "dropout: masks are drawn from the trial's seed anew for each layer, the same for every arm of a trial as far as the rows of "
            f"a step agree (and its longest text, to {TRIM} tokens)",
        )

    def operations(self, rows: int = 1) -> int:
        """Multiplications and additions of one forward pass over so many texts of full length."""
        return rows * self.operations_of(np.array([self.length]))

    def operations_of(self, tokens_R: np.ndarray) -> int:
        """The same over texts of so many tokens, int [texts], each without padding."""
        dense = sum(math.prod(size) for size in self.shapes[TABLES : TABLES + PER_LAYER] if len(size) == 2)
        tokens_R = tokens_R.astype(np.int64)
        encoded = 2 * self.shape.layers * (dense * int(tokens_R.sum()) + 2 * self.width * int((tokens_R**2).sum()))
        return encoded + 2 * len(tokens_R) * self.width * (self.width + self.classes)


class BertEncoder:
    """The frozen part of a BERT of which the last layer alone is tuned: tokens to the states that this layer reads.

    digest: hexadecimal; two encoders of one digest make the same states of the same tokens.
    """

    def __init__(self, source: BertSource, length: int, seed: int = 0) -> None:
        """seed: what random weights are drawn from, once for all trials."""
        frozen = replace(source.shape, layers=source.shape.layers - 1)
        self._bert = Bert(BertSource(frozen, source.tensors, source.where), 2, length)
        params = self._bert.init(torch.Generator().manual_seed(seed))
        self.params = params[: TABLES + PER_LAYER * frozen.layers]
        self.width, self.length = frozen.width, length
        self._shape = source.shape

    @cached_property
    def digest(self) -> str:
        return digest_of(dict(zip(self._bert.names, self.params, strict=False)), self._shape)

    def to(self, device: torch.device) -> BertEncoder:
        """Here and on another device alike: the weights are moved."""
        self.digest  # noqa: B018 -- of the weights as they were read
        self.params = [p.to(device) for p in self.params]
        return self

    @torch.no_grad()
    def states(self, tokens_BL: Tensor) -> Tensor:
        """Tokens [B, length] -> states [B, the longest of them, width], float32."""
        tokens_BT = self._bert.pixels(tokens_BL.to(self.params[0].device))
        return self._bert._encoded(self.params, tokens_BT, self._bert.shape.layers)


def last_layer_of(source: BertSource, classes: int) -> LastLayer:
    """What is trained with tune = "last_layer"."""
    return source.shape.last_layer(classes)


def last_layer_init(source: BertSource, layer: LastLayer, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """A trial's initial weights of the last layer: the checkpoint's, with a fresh classifier (and pooler, where it has none)."""
    params = layer.init(generator, dtype)
    if source.tensors is None:
        return params
    named = {name: f"encoder.layer.{source.shape.layers - 1}.{name}" for name in layer.names}
    named |= {name: name for name in pooler_names()}
    return [
        source.tensors[named[name]].to(dtype, copy=True) if not name.startswith(CLASSIFIER) and named[name] in source.tensors else p
        for name, p in zip(layer.names, params, strict=True)
    ]


def represented(states_BTW: Tensor, real_BT: Tensor, layer: str, length: int) -> Tensor:
    """Of states: the mean over real tokens [B, width] ("hidden"), or all of them, padding zero [B, length x width] ("tokens")."""
    x_BTW = states_BTW * real_BT[..., None]
    if layer == "hidden":
        return x_BTW.sum(1) / real_BT.sum(1, keepdim=True).clamp(min=1)
    return F.pad(x_BTW, (0, 0, 0, length - x_BTW.shape[1])).flatten(1)


def drawn(name: str, size: tuple[int, ...], shape: BertShape, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """A tensor as transformers draws BERT's: kernels and tables normal, padding's word zero, biases zero, scales one."""
    if len(size) == 1:
        return torch.full(size, float(name.endswith("LayerNorm.weight")), dtype=dtype)
    table = torch.randn(size, generator=generator) * shape.std
    if "word_embeddings" in name:
        table[0] = 0
    return table.to(dtype)


# ---- dropout --------------------------------------------------------------------------------------------------------


class Sites:
    """The places of a forward pass at which numbers are dropped: each begins a stream of its own, so that the clean rows of a step,
    which come first, lose the same numbers whatever rows follow them."""

    def __init__(self, device: torch.device) -> None:
        self.seed, self.site = torch.initial_seed(), 0
        self.generator = torch.default_generator  # of the device alone: torch.manual_seed looks for every other kind, a millisecond long
        if device.type == "cuda":
            self.generator = torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]

    def next(self) -> None:
        self.site += 1
        self.generator.manual_seed((self.seed + 0x9E3779B97F4A7C15 * self.site) % 2**63)


@contextlib.contextmanager
def sites(device: torch.device) -> Iterator[Sites]:
    """The process's own generators are left as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield Sites(device)


def _dropped(x: Tensor, rate: float, drop: Sites | None) -> Tensor:
    if drop is None or not rate:
        return x
    drop.next()
    return F.dropout(x, rate)
