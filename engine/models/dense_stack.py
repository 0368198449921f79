"""Many perceptrons as one tensor program, with the backward pass written out.

All victims of a stack see the same clean rows, so the first layer of all of them is ONE matrix product:
x [rows, features + 1] @ W [features + 1, victims x width], the bias riding along as the weight of a constant column. Only the few
poison rows, a victim's own, and the small later layers need products batched over victims. The layout [features, victims, width] is what
makes both cheap: a victim's slice is a strided matrix that a batched product reads in place.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.rows import StepRows


class DenseStack:
    """Parameters and gradients of V victims; shapes as in `tensors`.

    tensors[0]      [features + 1, victims, width], the first layer, its bias as the last row
    tensors[1::2]   [victims, fan in, fan out], the later kernels
    tensors[2::2]   [victims, fan out], their biases
    """

    def __init__(self, sizes: Sequence[int], params: Sequence[Sequence[Tensor]], device: torch.device, dtype: torch.dtype) -> None:
        self.sizes = tuple(sizes)
        first = torch.stack([torch.cat([p[0], p[1][None]]) for p in params], dim=1)
        later = [torch.stack([p[i] for p in params]) for i in range(2, len(params[0]))]
        self.tensors = [t.to(device=device, dtype=dtype).contiguous() for t in [first, *later]]
        self.grads = [torch.zeros_like(t) for t in self.tensors]

    @property
    def victims(self) -> int:
        return self.tensors[0].shape[1]

    def victim_dim(self, index: int) -> int:
        """Which dimension of tensors[index] counts victims."""
        return 1 if index == 0 else 0

    def keep(self, index_V: Tensor) -> None:
        """Go on with these victims alone (the others have stopped)."""
        self.tensors = [t.index_select(self.victim_dim(i), index_V) for i, t in enumerate(self.tensors)]
        self.grads = [torch.zeros_like(t) for t in self.tensors]

    def params_of(self, v: int) -> list[Tensor]:
        """Victim v's parameters as `Mlp` lists them."""
        first = self.tensors[0][:, v]
        return [first[:-1].clone(), first[-1].clone(), *(t[v].clone() for t in self.tensors[1:])]

    # ---- forward ----------------------------------------------------------------------------------------------------

    def _shared(self, x_BF: Tensor) -> Tensor:
        """First layer of rows that all victims see: [victims, rows, width], a strided view of one product."""
        w = self.tensors[0]
        return (x_BF @ w.flatten(1)).view(len(x_BF), *w.shape[1:]).permute(1, 0, 2)

    def _later(self, z_VBH: Tensor) -> list[Tensor]:
        """Activations from the first layer's output on: [hidden 1, ..., logits], each [victims, rows, width]. Overwrites its input."""
        activations = [z_VBH]
        for kernel, bias in zip(self.tensors[1::2], self.tensors[2::2], strict=True):
            activations[-1] = activations[-1].relu_()
            activations.append(torch.bmm(activations[-1], kernel) + bias.unsqueeze(1))
        return activations

    def logits(self, x_BF: Tensor) -> Tensor:
        """Logits [victims, rows, outputs] of rows with their constant column."""
        return self._later(self._shared(x_BF))[-1]

    # ---- one step ---------------------------------------------------------------------------------------------------

    def step(self, rows: StepRows, decay: float, per_rows: bool) -> Tensor:
        """Fill `grads` with the gradient of each victim's mean loss over the rows it really has, penalty included.

        decay: factor of the penalty |W|^2 / 2 (kernels only), divided by the step's rows where `per_rows`.
        Returns that loss for each victim [victims], nats, before the update.
        """
        share_V1 = (1.0 / rows.rows_V).unsqueeze(1)
        activations = self._later(self._shared(rows.x_BF))
        loss_VB, delta_VBO = self._loss(activations[-1], rows.y_B.expand(self.victims, -1))
        loss_V = loss_VB.sum(1) / rows.rows_V
        delta_VBH = self._backward_later(activations, delta_VBO.mul_(share_V1.unsqueeze(-1)), accumulate=False)
        grad = self.grads[0]
        # [rows, victims x width] without a copy where the delta was laid out so; the one large product of the backward pass
        torch.mm(rows.x_BF.t(), delta_VBH.permute(1, 0, 2).reshape(len(rows.x_BF), -1), out=grad.flatten(1))

        if rows.x_VPF is not None and rows.y_VP is not None and rows.own_VP is not None:
            first = self.tensors[0].permute(1, 0, 2)
            activations = self._later(torch.bmm(rows.x_VPF, first))
            loss_VP, delta_VPO = self._loss(activations[-1], rows.y_VP)
            loss_V += (loss_VP * rows.own_VP).sum(1) / rows.rows_V
            delta_VPH = self._backward_later(activations, delta_VPO.mul_((rows.own_VP * share_V1).unsqueeze(-1)), accumulate=True)
            # a product of its own and an addition: added into a strided gradient, a batched product falls back to a loop over victims
            grad.permute(1, 0, 2).add_(torch.bmm(rows.x_VPF.transpose(1, 2), delta_VPH))

        if decay:
            factor_V = decay * share_V1[:, 0] if per_rows else torch.full_like(rows.rows_V, decay)
            loss_V += self._penalty(factor_V)
        return loss_V

    def _loss(self, logits_VBO: Tensor, y_VB: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy of each row [victims, rows] and its gradient with respect to the logits [victims, rows, outputs]."""
        if logits_VBO.shape[-1] == 1:
            z_VB = logits_VBO[..., 0]
            y = y_VB.to(z_VB.dtype)
            return F.softplus(z_VB) - z_VB * y, (torch.sigmoid(z_VB) - y).unsqueeze(-1)
        logp = torch.log_softmax(logits_VBO, -1)
        y = y_VB.unsqueeze(-1)
        delta = logp.exp()
        return -logp.gather(-1, y)[..., 0], delta.scatter_add_(-1, y, torch.full_like(delta[..., :1], -1.0))

    def _backward_later(self, activations: list[Tensor], delta: Tensor, *, accumulate: bool) -> Tensor:
        """Gradients of the later layers; returns the delta at the first layer's output [victims, rows, width].

        The delta of the shared rows is written in the first layer's own layout, [rows, victims, width] in memory.
        """
        for layer in range(len(self.tensors) // 2, 0, -1):
            kernel, grad, grad_bias = self.tensors[2 * layer - 1], self.grads[2 * layer - 1], self.grads[2 * layer]
            below = activations[layer - 1]
            if accumulate:
                grad.baddbmm_(below.transpose(1, 2), delta)
                grad_bias.add_(delta.sum(1))
            else:
                torch.bmm(below.transpose(1, 2), delta, out=grad)
                torch.sum(delta, 1, out=grad_bias)
            down = torch.empty_strided(below.shape, below.stride(), dtype=below.dtype, device=below.device)
            torch.bmm(delta, kernel.transpose(1, 2), out=down)
            delta = torch.ops.aten.threshold_backward.default(down, below, 0)
        return delta

    def _penalty(self, factor_V: Tensor) -> Tensor:
        """Add the penalty's gradient to `grads`; returns its value [victims]."""
        kernel, grad = self.tensors[0][:-1], self.grads[0][:-1]
        grad.addcmul_(kernel, factor_V.view(1, -1, 1))
        value_V = kernel.square().sum((0, 2))
        for kernel, grad in zip(self.tensors[1::2], self.grads[1::2], strict=True):
            grad.addcmul_(kernel, factor_V.view(-1, 1, 1))
            value_V = value_V + kernel.square().sum((1, 2))
        return value_V * factor_V / 2
