"""The last layers of many victims as one tensor program, with the backward pass written out. See `bert_last_layer.py` for the formulae.

The victims read the same hidden states, so for each clean row the scores of all victims and heads are ONE matrix product
[victims x heads, width] @ [width, tokens], and so are the weighted sums of states; no token is projected. A victim's own poison rows,
one or two a step, go the same way a row at a time. After the attention a row is one vector, and clean and poison rows lie in one
buffer [victims, rows, width] whose dense layers are products batched over victims.

Gradients have buffers that are used again at the next step: memory fresh from the system costs a page fault per 4 KiB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from engine.steps import EncoderRows, Kept

QUERY, KEY, VALUE, CONTEXT, NORM_1, INNER, OUTER, NORM_2, POOL = range(0, 18, 2)  # places of weights; a bias follows each


@dataclass
class _Attended:
    """What one group of rows (clean, or poison) leaves of the attention for the backward pass. G rows of the group, N queries each."""

    x_GTW: Tensor
    a_GNW: Tensor  # absorbed queries
    p_GNT: Tensor  # softmax
    kept_GNT: Tensor | None  # p after dropout where there is any
    scale_GT: Tensor | None  # [G, heads, tokens], what dropout leaves of p


@dataclass
class _Pass:
    """What the backward pass needs of the forward one. R rows a victim: the clean ones, then its poison's places."""

    clean: _Attended
    poison: _Attended | None
    first_VRW: Tensor  # [CLS] states
    q_VHRD: Tensor
    z_VHRW: Tensor  # weighted sums of states
    sum_VHR: Tensor | None  # sums of the weights, where dropout makes them other than one
    context_VRW: Tensor
    norm_1: _Norm
    inner_VRI: Tensor
    act_VRI: Tensor
    norm_2: _Norm
    pooled_VRW: Tensor | None
    last_VRW: Tensor  # what the classifier reads


@dataclass
class _Norm:
    x_VRW: Tensor
    mean: Tensor
    rstd: Tensor
    hat_VRW: Tensor
    y_VRW: Tensor


class Layer(Protocol):
    """What a stack needs to know of a `last_layer.LastLayer`."""

    @property
    def width(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def pooler(self) -> bool: ...
    @property
    def eps(self) -> float: ...
    @property
    def gelu(self) -> str: ...
    @property
    def names(self) -> tuple[str, ...]: ...


class LastLayerStack:
    """Parameters and gradients of V victims; tensors[i] is [victims, *shape] of the i-th of `LastLayer.names`."""

    def __init__(self, layer: Layer, params: Sequence[Sequence[Tensor]], device: torch.device, dtype: torch.dtype) -> None:
        self.layer = layer
        self.tensors = [torch.stack([p[i].to(device=device, dtype=dtype) for p in params]) for i in range(len(layer.names))]
        self.grads = [torch.zeros_like(t) for t in self.tensors]

    @property
    def victims(self) -> int:
        return self.tensors[0].shape[0]

    def victim_dim(self, index: int) -> int:
        """Which dimension of tensors[index] counts victims."""
        return 0

    def keep(self, index_V: Tensor) -> None:
        """Go on with these victims alone (the others have stopped)."""
        self.tensors = [t.index_select(0, index_V) for t in self.tensors]
        self.grads = [torch.zeros_like(t) for t in self.tensors]

    def params_of(self, v: int) -> list[Tensor]:
        """Victim v's parameters in the order of `LastLayer.names`."""
        return [t[v].clone() for t in self.tensors]

    # ---- forward ----------------------------------------------------------------------------------------------------

    def logits(self, x_BTW: Tensor, real_BT: Tensor) -> Tensor:
        """Logits [victims, rows, classes], without dropout."""
        none = x_BTW.new_empty(0)
        return self._forward(EncoderRows(x_BTW, real_BT, none, none))[1]

    def _forward(self, rows: EncoderRows) -> tuple[_Pass, Tensor]:
        layer, victims, shared = self.layer, self.victims, len(rows.x_BTW)
        heads, width = layer.heads, layer.width
        first_VRW = self._firsts(rows)
        # queries, taken through the keys' weights
        q_VHRD = _by_head(self._dense(QUERY, first_VRW).mul_((width // heads) ** -0.5), heads)
        a_VHRW = q_VHRD @ self.tensors[KEY].view(victims, heads, -1, width)
        a_BNW = a_VHRW[:, :, :shared].permute(2, 0, 1, 3).reshape(shared, victims * heads, width)
        clean, z_BNW = self._attend(rows.x_BTW, rows.real_BT, a_BNW, rows.kept)
        sum_BN = None if clean.kept_GNT is None else clean.kept_GNT.sum(-1)
        attended, z_VHRW, sum_VHR = None, z_BNW.view(shared, victims, heads, width).permute(1, 2, 0, 3), None
        if sum_BN is not None:
            sum_VHR = sum_BN.view(shared, victims, heads).permute(1, 2, 0)
        if (poison := rows.poison) is not None:
            victim_Q, row_Q = poison.victim_Q, poison.place_Q + shared
            attended, z_QHW = self._attend(poison.x_QTW, poison.real_QT, a_VHRW[victim_Q, :, row_Q], poison.kept)
            z_VHRW = torch.cat([z_VHRW, z_VHRW.new_zeros(victims, heads, poison.places, width)], 2)
            z_VHRW[victim_Q, :, row_Q] = z_QHW
            if sum_VHR is not None and attended.kept_GNT is not None:
                sum_VHR = torch.cat([sum_VHR, sum_VHR.new_zeros(victims, heads, poison.places)], 2)
                sum_VHR[victim_Q, :, row_Q] = attended.kept_GNT.sum(-1)
        # values, of the weighted sums of states
        z_VHRW = z_VHRW.contiguous()
        bias_VH1D = self.tensors[VALUE + 1].view(victims, heads, 1, -1)
        context_VHRD = z_VHRW @ self.tensors[VALUE].view(victims, heads, -1, width).transpose(2, 3)
        context_VHRD += bias_VH1D if sum_VHR is None else bias_VH1D * sum_VHR[..., None]
        context_VRW = context_VHRD.transpose(1, 2).flatten(2)
        # from here on a row is one vector
        norm_1 = self._norm(NORM_1, self._drop(self._dense(CONTEXT, context_VRW), rows, 0).add_(first_VRW))
        inner_VRI = self._dense(INNER, norm_1.y_VRW)
        act_VRI = torch.nn.functional.gelu(inner_VRI, approximate=layer.gelu)
        norm_2 = self._norm(NORM_2, self._drop(self._dense(OUTER, act_VRI), rows, 1).add_(norm_1.y_VRW))
        pooled_VRW = self._dense(POOL, norm_2.y_VRW).tanh_() if layer.pooler else None
        hidden_VRW = norm_2.y_VRW if pooled_VRW is None else pooled_VRW
        last_VRW = hidden_VRW if rows.kept is None else self._drop(hidden_VRW.clone(), rows, 2)
        logits_VRO = self._dense(len(self.tensors) - 2, last_VRW)
        done = _Pass(
            clean, attended, first_VRW, q_VHRD, z_VHRW, sum_VHR, context_VRW, norm_1, inner_VRI, act_VRI, norm_2, pooled_VRW, last_VRW
        )  # fmt: skip
        return done, logits_VRO

    def _firsts(self, rows: EncoderRows) -> Tensor:
        """[CLS] states: the clean rows', then those of each victim's places, padding zero: [victims, rows, width]."""
        clean_VBW = rows.x_BTW[:, 0].expand(self.victims, -1, -1)
        if (poison := rows.poison) is None:
            return clean_VBW
        out_VRW = torch.cat([clean_VBW, clean_VBW.new_zeros(self.victims, poison.places, clean_VBW.shape[2])], 1)
        out_VRW[poison.victim_Q, poison.place_Q + clean_VBW.shape[1]] = poison.x_QTW[:, 0]
        return out_VRW

    @staticmethod
    def _attend(x_GTW: Tensor, real_GT: Tensor, a_GNW: Tensor, kept: Kept | None) -> tuple[_Attended, Tensor]:
        """Weighted sums of states [rows of the group, queries, width]."""
        p_GNT = torch.bmm(a_GNW, x_GTW.transpose(1, 2))
        p_GNT.masked_fill_(~real_GT[:, None], -torch.inf)
        p_GNT = torch.softmax(p_GNT, -1)
        kept_GNT = None
        if kept is not None:  # the victims of a clean row share its mask
            kept_GNT = (p_GNT.unflatten(1, (-1, kept.attention.shape[1])) * kept.attention[:, None]).flatten(1, 2)
        scale_GT = None if kept is None else kept.attention
        return _Attended(x_GTW, a_GNW, p_GNT, kept_GNT, scale_GT), torch.bmm(p_GNT if kept_GNT is None else kept_GNT, x_GTW)

    def _dense(self, at: int, x_VRI: Tensor) -> Tensor:
        return torch.bmm(x_VRI, self.tensors[at].transpose(1, 2)).add_(self.tensors[at + 1].unsqueeze(1))

    def _drop(self, z_VRW: Tensor, rows: EncoderRows, which: int) -> Tensor:
        """Dropout after the dense layer `which`, in place."""
        if rows.kept is None:
            return z_VRW
        shared = len(rows.x_BTW)
        z_VRW[:, :shared] *= rows.kept.hidden[:, which]
        if rows.poison is not None and rows.poison.kept is not None:
            at = (rows.poison.victim_Q, rows.poison.place_Q + shared)
            z_VRW[at] = z_VRW[at] * rows.poison.kept.hidden[:, which]
        return z_VRW

    def _norm(self, at: int, x_VRW: Tensor) -> _Norm:
        hat, mean, rstd = torch.native_layer_norm(x_VRW, [self.layer.width], None, None, self.layer.eps)
        y = torch.addcmul(self.tensors[at + 1].unsqueeze(1), hat, self.tensors[at].unsqueeze(1))
        return _Norm(x_VRW, mean, rstd, hat, y)

    # ---- one step ---------------------------------------------------------------------------------------------------

    def step(self, rows: EncoderRows, *, want_loss: bool = True) -> Tensor | None:
        """Fill `grads` with the gradient of each victim's mean loss over the rows it really has.

        Returns that loss for each victim [victims], nats, before the update; None where it is not wanted.
        """
        done, logits_VRO = self._forward(rows)
        y_VR, share_VR = self._targets(rows)
        log_p_VRO = torch.log_softmax(logits_VRO, -1)
        loss_V = None
        if want_loss:
            loss_V = -(log_p_VRO.gather(2, y_VR[..., None])[..., 0] * share_VR).sum(1)
        d_VRO = log_p_VRO.exp_().scatter_add_(2, y_VR[..., None], y_VR.new_full((), -1).to(log_p_VRO).expand(*y_VR.shape, 1))
        self._backward(done, d_VRO.mul_(share_VR[..., None]), rows)
        return loss_V

    def _targets(self, rows: EncoderRows) -> tuple[Tensor, Tensor]:
        """Class and share in the mean of every row, both [victims, rows]; padding, and what a defence removed, has no share."""
        poison, shared = rows.poison, rows.y_B.shape[-1]
        size = (self.victims, shared + (poison.places if poison else 0))
        y_VR, share_VR = rows.y_B.new_zeros(size), self.tensors[0].new_zeros(size)
        y_VR[:, :shared], share_VR[:, :shared] = rows.y_B, 1.0 if rows.kept_VB is None else rows.kept_VB
        if poison is not None:
            at = (poison.victim_Q, poison.place_Q + shared)
            y_VR[at], share_VR[at] = poison.y_Q, 1.0 if poison.own_Q is None else poison.own_Q
        return y_VR, share_VR / rows.rows_V[:, None]

    def _backward(self, done: _Pass, d_VRO: Tensor, rows: EncoderRows) -> None:
        layer, victims, shared = self.layer, self.victims, len(rows.x_BTW)
        heads, width = layer.heads, layer.width
        d_VRW = self._drop(self._dense_back(len(self.tensors) - 2, done.last_VRW, d_VRO), rows, 2)
        if done.pooled_VRW is not None:
            d_VRW = self._dense_back(POOL, done.norm_2.y_VRW, torch.ops.aten.tanh_backward(d_VRW, done.pooled_VRW))
        d_2_VRW = self._norm_back(NORM_2, done.norm_2, d_VRW)
        d_VRI = self._dense_back(OUTER, done.act_VRI, self._drop(d_2_VRW.clone(), rows, 1))
        d_VRI = torch.ops.aten.gelu_backward(d_VRI, done.inner_VRI, approximate=layer.gelu)
        d_1_VRW = self._norm_back(NORM_1, done.norm_1, self._dense_back(INNER, done.norm_1.y_VRW, d_VRI).add_(d_2_VRW))
        d_context_VRW = self._dense_back(CONTEXT, done.context_VRW, self._drop(d_1_VRW, rows, 0))
        # the values' weights and the weighted sums
        d_VHRD = _by_head(d_context_VRW, heads)
        torch.bmm(d_VHRD.transpose(2, 3).flatten(0, 1), done.z_VHRW.flatten(0, 1), out=self.grads[VALUE].view(victims * heads, -1, width))
        d_bias_VHRD = d_VHRD if done.sum_VHR is None else d_VHRD * done.sum_VHR[..., None]
        torch.sum(d_bias_VHRD, 2, out=self.grads[VALUE + 1].view(victims, heads, -1))
        d_sum_VHR = None
        if done.sum_VHR is not None:
            d_sum_VHR = (d_VHRD @ self.tensors[VALUE + 1].view(victims, heads, -1, 1))[..., 0]
        dz_VHRW = d_VHRD @ self.tensors[VALUE].view(victims, heads, -1, width)
        # the attention, of clean rows and of poison rows
        dz_BNW = dz_VHRW[:, :, :shared].permute(2, 0, 1, 3).reshape(shared, victims * heads, width)
        d_sum_BN = None if d_sum_VHR is None else d_sum_VHR[:, :, :shared].permute(2, 0, 1).reshape(shared, victims * heads)
        da_BNW = _attend_back(done.clean, dz_BNW, d_sum_BN)
        da_VHRW = da_BNW.view(shared, victims, heads, width).permute(1, 2, 0, 3)
        if done.poison is not None and (poison := rows.poison) is not None:
            at = (poison.victim_Q, slice(None), poison.place_Q + shared)
            da_VHRW = torch.cat([da_VHRW, da_VHRW.new_zeros(victims, heads, poison.places, width)], 2)
            da_VHRW[at] = _attend_back(done.poison, dz_VHRW[at], None if d_sum_VHR is None else d_sum_VHR[at])
        # the keys' weights (their biases have no gradient: softmax cancels them) and the queries
        da_NRW = da_VHRW.contiguous().flatten(0, 1)
        torch.bmm(done.q_VHRD.flatten(0, 1).transpose(1, 2), da_NRW, out=self.grads[KEY].view(victims * heads, -1, width))
        dq_NRD = torch.bmm(da_NRW, self.tensors[KEY].view(victims * heads, -1, width).transpose(1, 2))
        dq_VRW = dq_NRD.view(victims, heads, *dq_NRD.shape[1:]).transpose(1, 2).flatten(2).mul_((width // heads) ** -0.5)
        self._weights_back(QUERY, done.first_VRW, dq_VRW)

    def _dense_back(self, at: int, x_VRI: Tensor, d_VRO: Tensor) -> Tensor:
        """Gradients of a dense layer's weights into their buffers; that of its input returned."""
        self._weights_back(at, x_VRI, d_VRO)
        return torch.bmm(d_VRO, self.tensors[at])

    def _weights_back(self, at: int, x_VRI: Tensor, d_VRO: Tensor) -> None:
        torch.bmm(d_VRO.transpose(1, 2), x_VRI, out=self.grads[at])
        torch.sum(d_VRO, 1, out=self.grads[at + 1])

    def _norm_back(self, at: int, norm: _Norm, d_VRW: Tensor) -> Tensor:
        torch.sum(d_VRW * norm.hat_VRW, 1, out=self.grads[at])
        torch.sum(d_VRW, 1, out=self.grads[at + 1])
        d_hat_VRW = d_VRW * self.tensors[at].unsqueeze(1)
        width = [self.layer.width]
        out: Tensor = torch.ops.aten.native_layer_norm_backward(
            d_hat_VRW, norm.x_VRW, width, norm.mean, norm.rstd, None, None, [True, False, False]
        )[0]
        return out


def _by_head(x_VRW: Tensor, heads: int) -> Tensor:
    """[victims, heads, rows, width of a head], in memory as well."""
    return x_VRW.unflatten(2, (heads, -1)).transpose(1, 2).contiguous()


def _attend_back(group: _Attended, dz_GNW: Tensor, d_sum_GN: Tensor | None) -> Tensor:
    """The gradient of the absorbed queries [rows of the group, queries, width]."""
    d_GNT = torch.bmm(dz_GNW, group.x_GTW.transpose(1, 2))
    if group.scale_GT is not None and d_sum_GN is not None:
        d_GNT += d_sum_GN[..., None]
        d_GNT.view(len(d_GNT), -1, *group.scale_GT.shape[1:]).mul_(group.scale_GT[:, None])
    d_GNT = torch._softmax_backward_data(d_GNT, group.p_GNT, -1, d_GNT.dtype)
    return torch.bmm(d_GNT, group.x_GTW)
