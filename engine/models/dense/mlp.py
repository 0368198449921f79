"""Multilayer perceptron and, with no hidden layer, logistic regression: one victim, in plain PyTorch.

The slow, obvious form: `training/reference/sequential.py` trains it by autograd. `stack.py` is the same for many at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.models.dense.one_logit import OneLogitStack
from engine.models.dense.stack import DenseStack
from engine.models.softmax import SoftmaxModel
from engine.scenario.sections import MlpSection


@dataclass(frozen=True)
class Mlp(SoftmaxModel):
    """ReLU layers, then one logit for two classes (as scikit-learn's MLPClassifier, where `one_logit`) or one per class.

    Parameters of one victim are a list [W_1, b_1, ..., W_L, b_L] with W_l [fan in, fan out] and b_l [fan out].
    """

    features: int
    hidden: tuple[int, ...]
    classes: int
    one_logit: bool = True  # for two classes; a network's head has an output for each of them as well

    @property
    def outputs(self) -> int:
        return 1 if self.classes == 2 and self.one_logit else self.classes

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.features, *self.hidden, self.outputs)

    def init(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """Glorot uniform, weights and biases alike, as scikit-learn draws them (its factor is 6 for ReLU at every layer).

        A network's head starts as Keras' dense layer does: the same, with biases of zero.
        """
        params = []
        for fan_in, fan_out in zip(self.sizes, self.sizes[1:], strict=False):
            bound = math.sqrt(6.0 / (fan_in + fan_out))
            for shape in ((fan_in, fan_out), (fan_out,)):
                # drawn in float64 so that both precisions start from the same weights
                drawn = (torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1) * bound
                params.append((drawn if self.one_logit or len(shape) == 2 else torch.zeros_like(drawn)).to(dtype))
        return params

    def logits(self, params: Sequence[Tensor], x_BF: Tensor) -> Tensor:
        """Logits [batch, outputs]."""
        return self._forward(params, x_BF)[-1]

    def hidden_of(self, params: Sequence[Tensor], x_BF: Tensor) -> Tensor:
        """The last hidden activation [batch, width]: the representation that ClusterMatch clusters. The input where there is none."""
        return self._forward(params, x_BF)[-2]

    def _forward(self, params: Sequence[Tensor], x_BF: Tensor) -> list[Tensor]:
        activations = [x_BF]
        for layer in range(len(params) // 2):
            z = activations[-1] @ params[2 * layer] + params[2 * layer + 1]
            activations.append(z if layer == len(params) // 2 - 1 else torch.relu(z))
        return activations

    @property
    def kernels(self) -> Sequence[int]:
        return range(0, 2 * len(self.sizes) - 2, 2)

    def losses(self, logits_BO: Tensor, y_B: Tensor) -> Tensor:
        if self.outputs == 1:
            return F.binary_cross_entropy_with_logits(logits_BO[:, 0], y_B.to(logits_BO.dtype), reduction="none")
        return super().losses(logits_BO, y_B)

    def probabilities(self, logits: Tensor) -> Tensor:
        if self.outputs == 1:
            p = torch.sigmoid(logits)
            return torch.cat([1 - p, p], -1)
        return super().probabilities(logits)

    def predict(self, logits: Tensor) -> Tensor:
        if self.outputs == 1:
            return (logits[..., 0] > 0).to(torch.uint8)
        return super().predict(logits)

    def stack(self, params: Sequence[Sequence[Tensor]], device: torch.device, dtype: torch.dtype) -> DenseStack:
        """The same victims as one tensor program."""
        of_one_logit = len(self.sizes) == 3 and self.outputs == 1
        return (OneLogitStack if of_one_logit else DenseStack)(self.sizes, params, device, dtype)


def model(section: MlpSection, features: int, classes: int) -> Mlp:
    """The victim that a scenario describes, for rows of `features` numbers."""
    return Mlp(features, section.hidden, classes)
