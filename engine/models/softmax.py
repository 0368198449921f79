"""One logit a class: loss, penalty, probabilities and predictions of every model whose outputs are such."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


class SoftmaxModel(ABC):
    """A model of one logit a class, whose victims are lists of tensors."""

    @property
    @abstractmethod
    def kernels(self) -> Sequence[int]:
        """Where the tensors lie that weight decay is on: kernels and tables; no biases, no scales of a normalisation."""

    def losses(self, logits_BO: Tensor, y_B: Tensor) -> Tensor:
        """Cross-entropy of each row [batch], nats."""
        return F.cross_entropy(logits_BO, y_B, reduction="none")

    def penalty(self, params: Sequence[Tensor]) -> Tensor:
        """Half the squared norm of the kernels: its gradient is the kernels themselves."""
        return sum((params[at].square().sum() for at in self.kernels), start=params[0].new_zeros(())) / 2

    def probabilities(self, logits: Tensor) -> Tensor:
        """Class probabilities [..., classes] from logits [..., outputs]."""
        return torch.softmax(logits, -1)

    def predict(self, logits: Tensor) -> Tensor:
        """Predicted classes, uint8 [...], from logits [..., outputs]; ties go to the lowest class."""
        return logits.argmax(-1).to(torch.uint8)
