"""Adam with weight decay on some tensors alone: coupled, a penalty of the loss, or decoupled (AdamW). Fused calls, as in `adam.py`."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from engine.training.adam import BETA_1, BETA_2, EPSILON, StackAdam
from engine.training.recipe import Recipe


class DecayedAdam(StackAdam):
    """kernels: which of the tensors weight decay is on; biases and the scales of a normalisation are left alone, as transformers does."""

    def __init__(self, tensors: Sequence[Tensor], recipe: Recipe, kernels: Collection[int]) -> None:
        super().__init__(tensors, recipe.lr)
        self.decoupled = recipe.optimizer == "adamw"
        decayed = [i in kernels and recipe.weight_decay > 0 for i in range(len(tensors))]
        groups = ((recipe.weight_decay, [i for i, on in enumerate(decayed) if on]), (0.0, [i for i, on in enumerate(decayed) if not on]))
        self.groups = [(decay, at) for decay, at in groups if at]

    def step(self, tensors: Sequence[Tensor], grads: Sequence[Tensor]) -> None:
        """Update `tensors` in place."""
        self.count += 1
        update = torch._fused_adamw_ if self.decoupled else torch._fused_adam_
        for decay, at in self.groups:
            update(
                [tensors[i] for i in at],
                [grads[i] for i in at],
                [self.means[i] for i in at],
                [self.squares[i] for i in at],
                [],
                [self.count] * len(at),
                lr=self.lr,
                beta1=BETA_1,
                beta2=BETA_2,
                weight_decay=decay,
                eps=EPSILON,
                amsgrad=False,
                maximize=False,
            )
