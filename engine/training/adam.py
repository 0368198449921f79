"""Adam for a stack: one fused call over all victims' parameters; a victim that stops takes its moments with it.

Calls the kernel under `torch.optim.Adam(fused=True)`: the optimiser class imports the compiler stack at first use, seconds that a
short run would feel, and cannot drop victims. `tests/training/test_training.py` holds it equal to the class.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor

from engine.training.recipe import Recipe

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # Kingma and Ba, 2015; the defaults of PyTorch, Keras and scikit-learn


class StackAdam:
    """First and second moments for a list of tensors; every victim has taken the same number of steps."""

    def __init__(self, tensors: Sequence[Tensor], lr: float) -> None:
        self.lr = lr
        self.means = [torch.zeros_like(t) for t in tensors]
        self.squares = [torch.zeros_like(t) for t in tensors]
        self.count = torch.zeros((), dtype=torch.float32, device=tensors[0].device)

    def step(self, tensors: Sequence[Tensor], grads: Sequence[Tensor]) -> None:
        """Update `tensors` in place."""
        self.count += 1
        torch._fused_adam_(
            list(tensors),
            list(grads),
            self.means,
            self.squares,
            [],
            [self.count] * len(tensors),
            lr=self.lr,
            beta1=BETA_1,
            beta2=BETA_2,
            weight_decay=0.0,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def keep(self, index_V: Tensor, victim_dim: Callable[[int], int]) -> None:
        """Go on with these victims alone; call beside the stack's own `keep`."""
        for moments in (self.means, self.squares):
            moments[:] = [m.index_select(victim_dim(i), index_V) for i, m in enumerate(moments)]


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
