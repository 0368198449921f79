"""The last encoder layer of a BERT, its pooler and a classifier, as far as they decide the class: one victim, in plain PyTorch.

Only the row of the first token, [CLS], reaches the classifier, so the layer has one query: q = W_Q c + b_Q for each head, of the first
state c. Keys and values need not be made of every token x_t:

    scores_t   = q . (W_K x_t + b_K) / sqrt(d)   =  (W_K' q) . x_t / sqrt(d) + a number that is the same for all t, which softmax cancels
    context    = sum_t p_t (W_V x_t + b_V)       =  W_V (sum_t p_t x_t) + b_V sum_t p_t

where p is the softmax after dropout (without it, its sum is one). `LastLayerStack` is that for many victims; what is here is the layer
as it is usually written, every key and value projected: slow, obvious, the reference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.models.bert.stack import LastLayerStack
from engine.models.softmax import SoftmaxModel
from engine.steps import Kept

LAYER = (
    "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "attention.output.LayerNorm",
    "intermediate.dense", "output.dense", "output.LayerNorm",
)  # fmt: skip
POOLER, CLASSIFIER = "pooler.dense", "classifier"
GELU = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}  # hidden_act -> how PyTorch names the form of GELU


@dataclass(frozen=True)
class LastLayer(SoftmaxModel):
    """Sizes and rates of the trained part. A victim is a list of tensors in the order of `names`, as transformers has them: a dense
    layer's weight is [outputs, inputs].

    eps is layer norm's; gelu "none" (exact) or "tanh"; dropout rates: of attention weights, of the two dense layers, of the classifier.
    std: of the normal distribution that random weights are drawn from.
    """

    width: int
    heads: int
    inner: int
    classes: int
    pooler: bool = True
    eps: float = 1e-12
    gelu: str = "none"
    attention_dropout: float = 0.1
    hidden_dropout: float = 0.1
    classifier_dropout: float = 0.1
    std: float = 0.02

    # ---- parameters -------------------------------------------------------------------------------------------------

    @property
    def modules(self) -> tuple[str, ...]:
        return (*LAYER, *((POOLER,) if self.pooler else ()), CLASSIFIER)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{module}.{end}" for module in self.modules for end in ("weight", "bias"))

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        sizes = {"intermediate.dense": (self.inner, self.width), "output.dense": (self.width, self.inner)}
        sizes[CLASSIFIER] = (self.classes, self.width)
        shapes: list[tuple[int, ...]] = []
        for module in self.modules:
            if module.endswith("LayerNorm"):
                shapes += [(self.width,), (self.width,)]
            else:
                out, fan_in = sizes.get(module, (self.width, self.width))
                shapes += [(out, fan_in), (out,)]
        return tuple(shapes)

    @property
    def kernels(self) -> tuple[int, ...]:
        """Where in a victim's list the tensors lie that weight decay is on: no biases, no scales of a normalisation."""
        return tuple(at for at, shape in enumerate(self.shapes) if len(shape) == 2)

    def init(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """Random weights as transformers draws BERT's: normal kernels, biases zero, layer norm's scales one."""
        params = []
        for name, shape in zip(self.names, self.shapes, strict=True):
            if len(shape) == 2:
                # drawn in float64 so that both precisions start from the same weights
                params.append((torch.randn(shape, generator=generator, dtype=torch.float64) * self.std).to(dtype))
            else:
                params.append(torch.full(shape, float(name.endswith("LayerNorm.weight")), dtype=dtype))
        return params

    @property
    def has_dropout(self) -> bool:
        return max(self.attention_dropout, self.hidden_dropout, self.classifier_dropout) > 0

    def operations(self, tokens: int) -> int:
        """Multiplications and additions of one forward pass of a row, projections absorbed."""
        dense = sum(math.prod(shape) for shape in self.shapes if len(shape) == 2)
        return 2 * (dense + 2 * self.heads * tokens * self.width)

    @property
    def passes(self) -> int:
        """How many numbers of a victim a step of training must read or write: all weights forward and their gradients back, kernels and
        scales once more on the way back (the query's not: what it reads has no gradient), the values' bias too where dropout makes it
        count; Adam reads weights, gradients and both moments, and writes all but gradients. A key's bias is met by Adam alone: softmax
        cancels it.
        """
        sizes = [math.prod(shape) for shape in self.shapes]
        back = sum(size for name, size in zip(self.names, sizes, strict=True) if name.endswith("weight")) - sizes[0]
        return (1 + 1 + 7) * sum(sizes) + back - 2 * sizes[3] + self.has_dropout * sizes[5]

    def stack(self, params: Sequence[Sequence[Tensor]], device: torch.device, dtype: torch.dtype) -> LastLayerStack:
        """Victims as one tensor program."""
        return LastLayerStack(self, params, device, dtype)

    # ---- one victim -------------------------------------------------------------------------------------------------

    def hidden_of(self, params: Sequence[Tensor], x_BTW: Tensor, real_BT: Tensor, kept: Kept | None = None) -> Tensor:
        """What the classifier reads [B, width], before its dropout: the pooler's output, or [CLS]'s where there is no pooler."""
        q, k, v = (F.linear(x_BTW, params[i], params[i + 1]).unflatten(-1, (self.heads, -1)).transpose(1, 2) for i in (0, 2, 4))
        scores_BHT = (q[:, :, :1] @ k.transpose(2, 3))[:, :, 0] / math.sqrt(self.width // self.heads)
        p_BHT = torch.softmax(scores_BHT.masked_fill(~real_BT[:, None], -torch.inf), -1)
        if kept is not None:
            p_BHT = p_BHT * kept.attention
        context_BW = (p_BHT[:, :, None] @ v)[:, :, 0].flatten(1)
        first_BW = F.linear(context_BW, params[6], params[7])
        if kept is not None:
            first_BW = first_BW * kept.hidden[:, 0]
        attended_BW = F.layer_norm(first_BW + x_BTW[:, 0], (self.width,), params[8], params[9], self.eps)
        inner_BI = F.gelu(F.linear(attended_BW, params[10], params[11]), approximate=self.gelu)
        second_BW = F.linear(inner_BI, params[12], params[13])
        if kept is not None:
            second_BW = second_BW * kept.hidden[:, 1]
        out_BW = F.layer_norm(second_BW + attended_BW, (self.width,), params[14], params[15], self.eps)
        return torch.tanh(F.linear(out_BW, params[16], params[17])) if self.pooler else out_BW

    def logits(self, params: Sequence[Tensor], x_BTW: Tensor, real_BT: Tensor, kept: Kept | None = None) -> Tensor:
        """Logits [B, classes] of hidden states; kept: what dropout leaves, None to leave all."""
        hidden_BW = self.hidden_of(params, x_BTW, real_BT, kept)
        return F.linear(hidden_BW if kept is None else hidden_BW * kept.hidden[:, 2], params[-2], params[-1])

    def head_of(self, params: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The classifier: kernel [width, classes] and bias [classes]."""
        return params[-2].t(), params[-1]
