"""Many perceptrons of one hidden layer and one logit, the published MLP, with as few and as short passes over memory as they can do with.

Labels are signs: s = 1 for class 0, -1 for class 1, and 0 for a place that takes no part. With u = s z of the logit z, a row's loss is
softplus(u) and its gradient by z is s sigmoid(u): no row needs a label, a mask and a weight of its own. A place that takes no part has
u = 0, no gradient, and a loss of ln 2, which is taken off the sum.

With m = that gradient where the hidden unit is on, else 0, the first layer's gradient is (x^T m) times the output kernel, and the output
kernel's is sum_b m (x W) = the sum over features of W * (x^T m). So m is all that is written of size [rows, victims, width] on the way
back, and the mean over a victim's rows is taken of the small results.

Views and buffers are made once for each shape of a step: at these sizes a call that only makes a view costs as much as one that computes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from engine.models.dense.stack import DenseStack
from engine.steps import StepRows

LN_2 = math.log(2)
SATURATED = 40.0  # softplus(u) is u from here on, to the last bit of float64


class OneLogitStack(DenseStack):
    """tensors: the first layer [features + 1, victims, width], the output kernel [victims, width, 1] and its bias [victims, 1]."""

    def __init__(self, sizes: Sequence[int], params: Sequence[Sequence[Tensor]], device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(sizes, params, device, dtype)
        self._spaces: dict[tuple[int, int], _Space] = {}
        self._memory: dict[str, Tensor] = {}
        self._views = _Views(self)

    def keep(self, index_V: Tensor) -> None:
        super().keep(index_V)
        self._spaces.clear()
        self._memory.clear()
        self._views = _Views(self)

    def coded(self, y: Tensor, own: Tensor | None) -> Tensor:
        sign = (1 - 2 * y).to(self.tensors[0].dtype)
        return sign if own is None else sign * own

    def step(self, rows: StepRows, decay: float, per_rows: bool, *, want_loss: bool = True) -> Tensor | None:
        """As `DenseStack.step`; labels are those of `coded`."""
        x_BF, x_VPF, at = rows.x_BF, rows.x_VPF, self._views
        here = self._space(len(x_BF), 0 if x_VPF is None else x_VPF.shape[1])
        torch.mm(x_BF, at.first_FK, out=here.hidden_BK)
        if x_VPF is not None:
            # by way of a plain result: written straight into the strided one, a batched product falls back to a loop over victims
            torch.bmm(x_VPF, at.first_VFH, out=here.own_VPH)
            here.hidden_PVH.copy_(here.own_PVH)
        here.hidden_RVH.relu_()
        torch.bmm(here.hidden_VRH, at.kernel_VH1, out=here.u_VR1).add_(at.bias_V11)
        self._by_sign(here, rows)
        loss_V = None
        if want_loss:
            torch.ops.aten.softplus.out(here.u_VR, 1, SATURATED, out=here.loss_VR)
            loss_V = here.loss_VR.sum(1).sub_(rows.absent_V, alpha=LN_2)
        here.u_VR.sigmoid_()
        self._by_sign(here, rows)

        torch.sum(here.u_VR1, 1, out=at.bias_grad_V1)
        # copied out first: the kernel is vectorised for operands that lie alike, and many times slower for one that is broadcast
        here.on_VRH.copy_(here.u_VR1)
        torch.ops.aten.threshold_backward.grad_input(here.on_RVH, here.hidden_RVH, 0, grad_input=here.on_RVH)
        torch.mm(x_BF.t(), here.on_BK, out=at.first_grad_FK)
        if x_VPF is not None:
            at.first_grad_VFH.add_(torch.bmm(x_VPF.transpose(1, 2), here.on_VPH, out=at.own_grad_VFH))

        share_V1 = rows.rows_V.reciprocal().unsqueeze(1)
        torch.mul(at.first_FK, at.first_grad_FK, out=at.product_FK)
        torch.sum(at.product_FK, 0, out=at.kernel_grad_K)
        at.kernel_grad_VH.mul_(share_V1)
        at.bias_grad_V1.mul_(share_V1)
        at.first_grad_FVH.mul_(at.kernel_VH * share_V1)
        if loss_V is not None:
            loss_V.mul_(share_V1[:, 0])
        if decay:
            self._decay(share_V1 * decay if per_rows else torch.full_like(share_V1, decay), loss_V)
        return loss_V

    @staticmethod
    def _by_sign(here: _Space, rows: StepRows) -> None:
        here.u_VB.mul_(rows.y_B)
        if rows.y_VP is not None:
            here.u_VP.mul_(rows.y_VP)

    def _decay(self, factor_V1: Tensor, loss_V: Tensor | None) -> None:
        """Add the penalty's gradient to `grads`, and its value to `loss_V` where that is wanted."""
        at = self._views
        factor_K = factor_V1.expand(-1, self.sizes[1]).reshape(-1)
        at.first_grad_FK[:-1].addcmul_(at.first_FK[:-1], factor_K)
        at.kernel_grad_VH.addcmul_(at.kernel_VH, factor_V1)
        if loss_V is not None:
            square_FK = torch.mul(at.first_FK[:-1], at.first_FK[:-1], out=at.product_FK[:-1])
            square_VH = square_FK.sum(0).view_as(at.kernel_VH).addcmul_(at.kernel_VH, at.kernel_VH)
            loss_V.addcmul_(square_VH.sum(1), factor_V1[:, 0], value=0.5)

    def _space(self, shared: int, places: int) -> _Space:
        space = self._spaces.get((shared, places))
        if space is None:
            space = self._spaces[shared, places] = _Space(self, shared, places)
        return space

    def memory(self, name: str, *shape: int) -> Tensor:
        """The first so many numbers of the memory of that name, which steps of all shapes share: what was just used is in the cache."""
        size, first = math.prod(shape), self.tensors[0]
        if name not in self._memory or self._memory[name].numel() < size:
            self._memory[name] = torch.empty(size, dtype=first.dtype, device=first.device)
        return self._memory[name][:size].view(shape)


class _Views:
    """Parameters and gradients as the products of a step read and write them. K = victims x width."""

    def __init__(self, stack: OneLogitStack) -> None:
        (first_FVH, self.kernel_VH1, bias_V1), (first_grad, kernel_grad, self.bias_grad_V1) = stack.tensors, stack.grads
        self.first_FK, self.first_VFH = first_FVH.flatten(1), first_FVH.permute(1, 0, 2)
        self.first_grad_FVH, self.first_grad_FK, self.first_grad_VFH = first_grad, first_grad.flatten(1), first_grad.permute(1, 0, 2)
        self.kernel_VH, self.kernel_grad_VH, self.kernel_grad_K = self.kernel_VH1[..., 0], kernel_grad[..., 0], kernel_grad.flatten()
        self.bias_V11 = bias_V1.unsqueeze(1)
        self.product_FK = torch.empty_like(self.first_FK)
        self.own_grad_VFH = torch.empty_like(self.first_VFH, memory_format=torch.contiguous_format)


class _Space:
    """The results of a step of so many shared rows and places for poison: R rows in all."""

    def __init__(self, stack: OneLogitStack, shared: int, places: int) -> None:
        victims, width, rows = stack.victims, stack.sizes[1], shared + places
        self.hidden_RVH = stack.memory("hidden", rows, victims, width)
        self.hidden_VRH, self.hidden_BK = self.hidden_RVH.permute(1, 0, 2), self.hidden_RVH[:shared].flatten(1)
        self.hidden_PVH = self.hidden_RVH[shared:]
        self.own_VPH = stack.memory("own", victims, places, width)
        self.own_PVH = self.own_VPH.permute(1, 0, 2)
        self.u_VR = stack.memory("u", victims, rows)
        self.u_VR1, self.u_VB, self.u_VP = self.u_VR.unsqueeze(2), self.u_VR[:, :shared], self.u_VR[:, shared:]
        self.loss_VR = stack.memory("loss", victims, rows)
        self.on_RVH = stack.memory("on", rows, victims, width)
        self.on_VRH, self.on_BK = self.on_RVH.permute(1, 0, 2), self.on_RVH[:shared].flatten(1)
        self.on_VPH = self.on_RVH[shared:].permute(1, 0, 2)
