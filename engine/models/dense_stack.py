"""Many perceptrons as one tensor program, with the backward pass written out.

All victims of a stack see the same clean rows, so the first layer of all of them is ONE matrix product:
x [rows, features + 1] @ W [features + 1, victims x width], the bias riding along as the weight of a constant column. Only the few
poison rows, a victim's own, and the small later layers need products batched over victims. The layout [features, victims, width] is what
makes both cheap: a victim's slice is a strided matrix that a batched product reads in place.

Every large result has a buffer that is used again at the next step: memory fresh from the system costs a page fault per 4 KiB, which
measured as more than the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

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
        self._buffers: dict[tuple[object, ...], Tensor] = {}

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
        self._buffers.clear()

    def params_of(self, v: int) -> list[Tensor]:
        """Victim v's parameters as `Mlp` lists them."""
        first = self.tensors[0][:, v]
        return [first[:-1].clone(), first[-1].clone(), *(t[v].clone() for t in self.tensors[1:])]

    def _buffer(self, name: str, *shape: int) -> Tensor:
        """Uninitialised memory for the result `name`, the same at every step of the same shape."""
        found = self._buffers.get((name, *shape))
        if found is None:
            first = self.tensors[0]
            found = self._buffers[(name, *shape)] = torch.empty(shape, dtype=first.dtype, device=first.device)
        return found

    def _like(self, name: str, other_VBH: Tensor) -> Tensor:
        """A buffer of the other's shape, laid out as it lies in memory: [rows, victims, width] or [victims, rows, width]."""
        victims, rows, width = other_VBH.shape
        if other_VBH.stride(0) < other_VBH.stride(1):
            return self._buffer(name, rows, victims, width).permute(1, 0, 2)
        return self._buffer(name, victims, rows, width)

    # ---- forward ----------------------------------------------------------------------------------------------------

    def _shared(self, x_BF: Tensor) -> Tensor:
        """First layer of rows that all victims see: [victims, rows, width], a strided view of one product."""
        w, rows = self.tensors[0], len(x_BF)
        z = torch.mm(x_BF, w.flatten(1), out=self._buffer("first", rows, w[0].numel()))
        return z.view(rows, *w.shape[1:]).permute(1, 0, 2)

    def _own(self, x_VPF: Tensor) -> Tensor:
        """First layer of each victim's own rows: [victims, places, width]."""
        w = self.tensors[0]
        return torch.bmm(x_VPF, w.permute(1, 0, 2), out=self._buffer("own", *x_VPF.shape[:2], w.shape[2]))

    def _later(self, z_VBH: Tensor, name: str) -> list[Tensor]:
        """Activations from the first layer's output on: [hidden 1, ..., logits], each [victims, rows, width]. Overwrites its input."""
        activations = [z_VBH]
        for layer, (kernel, bias) in enumerate(zip(self.tensors[1::2], self.tensors[2::2], strict=True)):
            below = activations[-1] = activations[-1].relu_()
            out = self._buffer(f"{name}{layer}", *below.shape[:2], kernel.shape[2])
            activations.append(torch.bmm(below, kernel, out=out).add_(bias.unsqueeze(1)))
        return activations

    def logits(self, x_BF: Tensor) -> Tensor:
        """Logits [victims, rows, outputs] of rows with their constant column; the buffer they lie in is used again at the next call."""
        return self._later(self._shared(x_BF), "shared")[-1]

    # ---- one step ---------------------------------------------------------------------------------------------------

    def step(self, rows: StepRows, decay: float, per_rows: bool) -> Tensor:
        """Fill `grads` with the gradient of each victim's mean loss over the rows it really has, penalty included.

        decay: factor of the penalty |W|^2 / 2 (kernels only), divided by the step's rows where `per_rows`.
        Returns that loss for each victim [victims], nats, before the update.
        """
        share_V = 1.0 / rows.rows_V
        backward = self._backward_one_logit if len(self.sizes) == 3 and self.sizes[-1] == 1 else self._backward
        first = self.grads[0].flatten(1)

        activations = self._later(self._shared(rows.x_BF), "shared")
        loss_VB, delta_VBO = self._loss(activations[-1], rows.y_B.expand(self.victims, -1))
        loss_V = loss_VB.sum(1)
        delta_VBH = backward(activations, delta_VBO.mul_(share_V.view(-1, 1, 1)), accumulate=False)
        # [rows, victims x width] as it lies in memory: the one large product of the backward pass
        torch.mm(rows.x_BF.t(), delta_VBH.permute(1, 0, 2).reshape(len(rows.x_BF), -1), out=first)

        if rows.x_VPF is not None and rows.y_VP is not None and rows.own_VP is not None:
            activations = self._later(self._own(rows.x_VPF), "own")
            loss_VP, delta_VPO = self._loss(activations[-1], rows.y_VP)
            loss_V += (loss_VP * rows.own_VP).sum(1)
            delta_VPH = backward(activations, delta_VPO.mul_((rows.own_VP * share_V.unsqueeze(1)).unsqueeze(-1)), accumulate=True)
            # a product of its own and an addition: added into a strided gradient, a batched product falls back to a loop over victims
            grad_VFH = self.grads[0].permute(1, 0, 2)
            grad_VFH.add_(torch.bmm(rows.x_VPF.transpose(1, 2), delta_VPH, out=self._buffer("own grad", *grad_VFH.shape)))

        if backward == self._backward_one_logit:
            self._finish_one_logit()
        loss_V *= share_V
        if decay:
            loss_V += self._penalty(decay * share_V if per_rows else torch.full_like(share_V, decay))
        return loss_V

    def _loss(self, logits_VBO: Tensor, y_VB: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy of each row [victims, rows] and its gradient with respect to the logits [victims, rows, outputs]."""
        if logits_VBO.shape[-1] == 1:
            z_VB = logits_VBO[..., 0]
            y = y_VB.to(z_VB.dtype)
            # softplus(z) - z y, written with functions that are vectorised
            loss_VB = z_VB.abs().neg_().exp_().log1p_().add_(z_VB.relu()).addcmul_(z_VB, y, value=-1)
            return loss_VB, torch.sigmoid(logits_VBO).sub_(y.unsqueeze(-1))
        logp = torch.log_softmax(logits_VBO, -1)
        y = y_VB.unsqueeze(-1)
        delta = logp.exp()
        return -logp.gather(-1, y)[..., 0], delta.scatter_add_(-1, y, torch.full_like(delta[..., :1], -1.0))

    def _backward(self, activations: list[Tensor], delta: Tensor, *, accumulate: bool) -> Tensor:
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
            down = self._like(f"down{layer}", below)
            torch.bmm(delta, kernel.transpose(1, 2), out=down)
            delta = torch.ops.aten.threshold_backward.grad_input(down, below, 0, grad_input=down)
        return delta

    def _backward_one_logit(self, activations: list[Tensor], delta_VB1: Tensor, *, accumulate: bool) -> Tensor:
        """`_backward` for one hidden layer and one logit, where two of its three passes over [rows, victims, width] can be saved.

        With m = the delta where the hidden unit is on, else 0, the first layer's gradient is (x^T m) times the output kernel, and the
        output kernel's is sum_b m (x W) = the sum over features of W * (x^T m). So `step` gathers x^T m, and `_finish_one_logit` makes
        both of it.
        """
        (hidden, _), bias = activations, self.grads[2]
        if accumulate:
            bias.add_(delta_VB1.sum(1))
        else:
            torch.sum(delta_VB1, 1, out=bias)
        masked = self._like("masked", hidden)
        return torch.ops.aten.threshold_backward.grad_input(delta_VB1.expand(hidden.shape), hidden, 0, grad_input=masked)

    def _finish_one_logit(self) -> None:
        first, kernel_V1H = self.grads[0], self.tensors[1].transpose(1, 2)
        torch.sum(self.tensors[0] * first, 0, keepdim=True, out=self.grads[1].permute(2, 0, 1))
        first.mul_(kernel_V1H.permute(1, 0, 2))

    def _penalty(self, factor_V: Tensor) -> Tensor:
        """Add the penalty's gradient to `grads`; returns its value [victims]."""
        value_V = torch.zeros_like(factor_V)
        for i, (kernel, grad) in enumerate(zip(self.tensors, self.grads, strict=True)):
            if i == 0:
                kernel, grad = kernel[:-1].flatten(1), grad[:-1].flatten(1)
                width = kernel.shape[1] // self.victims
                grad.addcmul_(kernel, factor_V.repeat_interleave(width))
                value_V += (kernel * kernel).sum(0).view(-1, width).sum(1)
            elif i % 2:
                grad.addcmul_(kernel, factor_V.view(-1, 1, 1))
                value_V += kernel.square().sum((1, 2))
        return value_V.mul_(factor_V).div_(2)
