"""Many perceptrons as one tensor program, with the backward pass written out.

All victims of a stack see the same clean rows, so the first layer of all of them is ONE matrix product:
x [rows, features + 1] @ W [features + 1, victims x width], the bias riding along as the weight of a constant column. Only the few
poison rows, a victim's own, and the small later layers need products batched over victims. The layout [features, victims, width] is what
makes both cheap: a victim's slice is a strided matrix that a batched product reads in place. From the first layer's output on, shared and
own rows lie in one buffer [rows, victims, width], so that everything after it is done once for both.

Every large result has a buffer that is used again at the next step: memory fresh from the system costs a page fault per 4 KiB, which
measured as more than the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.steps import StepRows


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

    def coded(self, y: Tensor, own: Tensor | None) -> Tensor:
        """Labels int64 of any shape as `step` reads them. own: which of them take part, 0 or 1; None: all."""
        return y

    def _buffer(self, name: str, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Uninitialised memory for the result `name`, the same at every step of the same shape."""
        buffer = self._buffers.get((name, *shape))
        if buffer is None:
            first = self.tensors[0]
            buffer = self._buffers[(name, *shape)] = torch.empty(shape, dtype=dtype or first.dtype, device=first.device)
        return buffer

    def _like(self, name: str, other_VRH: Tensor) -> Tensor:
        """A buffer of the other's shape, laid out as it lies in memory: [rows, victims, width] or [victims, rows, width]."""
        victims, rows, width = other_VRH.shape
        if other_VRH.stride(0) < other_VRH.stride(1):
            return self._buffer(name, rows, victims, width).permute(1, 0, 2)
        return self._buffer(name, victims, rows, width)

    # ---- forward ----------------------------------------------------------------------------------------------------

    def _first(self, x_BF: Tensor, x_VPF: Tensor | None) -> Tensor:
        """First layer of the shared rows, then of each victim's own: [victims, rows, width], lying as [rows, victims, width]."""
        w = self.tensors[0]
        shared, places = len(x_BF), 0 if x_VPF is None else x_VPF.shape[1]
        z_RVH = self._buffer("first", shared + places, *w.shape[1:])
        torch.mm(x_BF, w.flatten(1), out=z_RVH[:shared].flatten(1))
        if x_VPF is not None:
            # by way of a plain result: written straight into the strided one, a batched product falls back to a loop over victims
            own_VPH = torch.bmm(x_VPF, w.permute(1, 0, 2), out=self._buffer("own", self.victims, places, w.shape[2]))
            z_RVH[shared:] = own_VPH.permute(1, 0, 2)
        return z_RVH.permute(1, 0, 2)

    def _later(self, z_VRH: Tensor) -> list[Tensor]:
        """Activations from the first layer's output on: [hidden 1, ..., logits], each [victims, rows, width]. Overwrites its input."""
        activations = [z_VRH]
        for layer, (kernel, bias) in enumerate(zip(self.tensors[1::2], self.tensors[2::2], strict=True)):
            below = activations[-1].relu_()
            out = self._buffer(f"layer {layer}", *below.shape[:2], kernel.shape[2])
            activations.append(torch.bmm(below, kernel, out=out).add_(bias.unsqueeze(1)))
        return activations

    def logits(self, x_BF: Tensor) -> Tensor:
        """Logits [victims, rows, outputs] of rows with their constant column; the buffer they lie in is used again at the next call."""
        return self._later(self._first(x_BF, None))[-1]

    # ---- one step ---------------------------------------------------------------------------------------------------

    def step(self, rows: StepRows, decay: float, per_rows: bool, *, want_loss: bool = True) -> Tensor | None:
        """Fill `grads` with the gradient of each victim's mean loss over the rows it really has, penalty included.

        decay: factor of the penalty |W|^2 / 2 (kernels only), divided by the step's rows where `per_rows`.
        Returns that loss for each victim [victims], nats, before the update; None where it is not wanted.
        """
        shared = len(rows.x_BF)
        activations = self._later(self._first(rows.x_BF, rows.x_VPF))
        y_VR, share_VR = self._targets(rows)
        loss_VR, delta_VRO = self._loss(activations[-1], y_VR, want_loss)
        delta_VRO.mul_(share_VR.unsqueeze(-1))
        delta_VRH = self._backward(activations, delta_VRO)
        delta_RVH = delta_VRH.permute(1, 0, 2)
        if not delta_RVH.is_contiguous():  # logits of a model without hidden layers
            delta_RVH = delta_RVH.contiguous()

        torch.mm(rows.x_BF.t(), delta_RVH[:shared].flatten(1), out=self.grads[0].flatten(1))
        if rows.x_VPF is not None:
            # a product of its own and an addition, for the same reason
            grad_VFH = self.grads[0].permute(1, 0, 2)
            own_VPH = delta_RVH[shared:].permute(1, 0, 2)
            grad_VFH.add_(torch.bmm(rows.x_VPF.transpose(1, 2), own_VPH, out=self._buffer("own grad", *grad_VFH.shape)))

        loss_V = (loss_VR * share_VR).sum(1) if loss_VR is not None else None
        if decay:
            self._penalty(decay / rows.rows_V if per_rows else torch.full_like(rows.rows_V, decay), loss_V)
        return loss_V

    def _targets(self, rows: StepRows) -> tuple[Tensor, Tensor]:
        """Label and share of the mean of every row [victims, rows]: one over the rows a victim really has; zero for others and padding."""
        shared, places = len(rows.x_BF), 0 if rows.x_VPF is None else rows.x_VPF.shape[1]
        share_VR = self._buffer("share", self.victims, shared + places)
        dtype = share_VR.dtype if self.sizes[-1] == 1 else torch.int64
        y_VR = self._buffer("y", self.victims, shared + places, dtype=dtype)
        y_VR[:, :shared] = rows.y_B
        share_V1 = rows.rows_V.reciprocal().unsqueeze(1)
        if rows.kept_VB is None:
            share_VR[:, :shared] = share_V1
        else:
            torch.mul(rows.kept_VB, share_V1, out=share_VR[:, :shared])
        if rows.x_VPF is not None and rows.y_VP is not None and rows.own_VP is not None:
            y_VR[:, shared:] = rows.y_VP
            torch.mul(rows.own_VP, share_V1, out=share_VR[:, shared:])
        return y_VR, share_VR

    def _loss(self, logits_VRO: Tensor, y_VR: Tensor, want_loss: bool) -> tuple[Tensor | None, Tensor]:
        """Cross-entropy of each row [victims, rows] and its gradient with respect to the logits [victims, rows, outputs]."""
        if logits_VRO.shape[-1] == 1:
            z_VR = logits_VRO[..., 0]
            # softplus(z) - z y, written with functions that are vectorised
            loss_VR = z_VR.abs().neg_().exp_().log1p_().add_(z_VR.relu()).addcmul_(z_VR, y_VR, value=-1) if want_loss else None
            return loss_VR, torch.sigmoid(logits_VRO).sub_(y_VR.unsqueeze(-1))
        logp = torch.log_softmax(logits_VRO, -1)
        y = y_VR.unsqueeze(-1)
        loss_VR = -logp.gather(-1, y)[..., 0] if want_loss else None
        delta = logp.exp_()
        return loss_VR, delta.scatter_add_(-1, y, torch.full_like(delta[..., :1], -1.0))

    def _backward(self, activations: list[Tensor], delta: Tensor) -> Tensor:
        """Gradients of the later layers; returns the delta at the first layer's output [victims, rows, width]."""
        for layer in range(len(self.tensors) // 2, 0, -1):
            kernel, below = self.tensors[2 * layer - 1], activations[layer - 1]
            torch.bmm(below.transpose(1, 2), delta, out=self.grads[2 * layer - 1])
            torch.sum(delta, 1, out=self.grads[2 * layer])
            down = self._like(f"down {layer}", below)
            torch.bmm(delta, kernel.transpose(1, 2), out=down)
            delta = torch.ops.aten.threshold_backward.grad_input(down, below, 0, grad_input=down)
        return delta

    def _penalty(self, factor_V: Tensor, loss_V: Tensor | None) -> None:
        """Add the penalty's gradient to `grads`, and its value to `loss_V` [victims] where that is wanted."""
        for i, (kernel, grad) in enumerate(zip(self.tensors, self.grads, strict=True)):
            if i == 0:
                grad[:-1].addcmul_(kernel[:-1], factor_V.view(1, -1, 1))
            elif i % 2:
                grad.addcmul_(kernel, factor_V.view(-1, 1, 1))
            else:
                continue
            if loss_V is not None:
                square_V = (kernel[:-1] * kernel[:-1]).sum(0).sum(1) if i == 0 else (kernel * kernel).sum((1, 2))
                loss_V.addcmul_(square_V, factor_V, value=0.5)
