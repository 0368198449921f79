"""The last dense layer in closed form: of one row, the gradient of its loss with respect to kernel and bias is an outer product.

A layer reads features h and gives logits z = h W + b; with one output for two classes p = sigmoid(z), else p = softmax(z). The gradient of
the row's cross-entropy with respect to [W; b] is outer([h, 1], p - onehot(label)), so inner products of such gradients need no gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def with_one(hidden_BK: Tensor) -> Tensor:
    """[batch, width + 1], the last column all ones: the bias's feature."""
    return torch.cat([hidden_BK, torch.ones_like(hidden_BK[:, :1])], 1)


def probabilities(logits_BO: Tensor) -> Tensor:
    """[batch, outputs]; of one output the second class's."""
    return torch.sigmoid(logits_BO) if logits_BO.shape[1] == 1 else torch.softmax(logits_BO, 1)


def onehot(labels_B: Tensor, outputs: int, dtype: torch.dtype) -> Tensor:
    """[batch, outputs]; of one output the label itself."""
    return labels_B.to(dtype)[:, None] if outputs == 1 else F.one_hot(labels_B, outputs).to(dtype)


def residuals(logits_BO: Tensor, labels_B: Tensor) -> Tensor:
    """Gradient of each row's cross-entropy with respect to its logits [batch, outputs], nats a unit of logit."""
    return probabilities(logits_BO) - onehot(labels_B, logits_BO.shape[1], logits_BO.dtype)


def losses(logits_BO: Tensor, labels_B: Tensor) -> Tensor:
    """Cross-entropy of each row [batch], nats."""
    if logits_BO.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits_BO[:, 0], labels_B.to(logits_BO.dtype), reduction="none")
    return F.cross_entropy(logits_BO, labels_B, reduction="none")


def mean_gradient(hidden_BK: Tensor, kernel_KO: Tensor, bias_O: Tensor, labels_B: Tensor) -> Tensor:
    """Gradient of the rows' mean cross-entropy with respect to kernel and bias, the bias as the last row: [width + 1, outputs]."""
    return with_one(hidden_BK).T @ residuals(hidden_BK @ kernel_KO + bias_O, labels_B) / len(labels_B)
