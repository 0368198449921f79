"""How well the gradient of a poison point's loss agrees with that of the attacker's loss, as a differentiable function of its pixels.

The attacker's loss is the mean cross-entropy of the subpopulation's auxiliary points with their poison labels, at the adversary's weights.
inner: the inner product of the two gradients, (nats per unit of weight) squared; cosine: the same over both norms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from engine.attacks import softmax
from engine.attacks.model import AdversaryModel, Network
from engine.errors import RequestError, UnknownName

LAST, ALL = "last", "all"
TINY = 1e-12  # a norm below it is none
LOSS_ROWS = 32  # pictures at a time where the attacker's gradient is gathered


class Alignment(Protocol):
    """one_target: its batches must be of one subpopulation."""

    one_target: bool

    def values(self, pixels_BCHW: Tensor, labels_B: Tensor, targets: np.ndarray) -> Tensor:
        """[batch], differentiable with respect to the pixels. targets: int [batch], the subpopulation of each point."""
        ...


class LastLayer:
    """Of the last dense layer: hidden features and logits say it all, so one pass forward and one back are the cost of a step."""

    one_target = False

    def __init__(
        self, adversary: AdversaryModel, labels_of: Mapping[int, tuple[np.ndarray, np.ndarray]], dtype: torch.dtype, cosine: bool
    ) -> None:
        """labels_of: subpopulation -> (its aux rows, their poison labels), int64 both."""
        assert adversary.differentiable is not None
        self.hidden, self.cosine = adversary.differentiable, cosine
        kernel_KO, bias_O = (torch.from_numpy(np.asarray(part, np.float64)) for part in adversary.head())
        hidden_AK, gradients = adversary.hidden_aux, []
        for rows, labels in labels_of.values():
            hidden_BK = torch.from_numpy(hidden_AK[rows].astype(np.float64))
            gradients.append(softmax.mean_gradient(hidden_BK, kernel_KO, bias_O, torch.from_numpy(labels)))
        self.place = {s: i for i, s in enumerate(labels_of)}
        device = adversary.params[0].device
        self.gradient_SKO = torch.stack(gradients).to(device, dtype)  # [subpopulations, width + 1, outputs]
        self.kernel_KO, self.bias_O = (part.to(device, dtype) for part in (kernel_KO, bias_O))

    def values(self, pixels_BCHW: Tensor, labels_B: Tensor, targets: np.ndarray) -> Tensor:
        at_B = torch.tensor([self.place[int(s)] for s in targets], device=pixels_BCHW.device)
        hidden_BK = self.hidden(pixels_BCHW)
        residual_BO = softmax.residuals(hidden_BK @ self.kernel_KO + self.bias_O, labels_B)
        hidden_BK, gradient_BKO = softmax.with_one(hidden_BK), self.gradient_SKO[at_B]
        inner_B = (hidden_BK * torch.bmm(gradient_BKO, residual_BO.unsqueeze(2))[..., 0]).sum(1)
        if not self.cosine:
            return inner_B
        norm_B = hidden_BK.norm(dim=1) * residual_BO.norm(dim=1) * gradient_BKO.flatten(1).norm(dim=1)
        return inner_B / norm_B.clamp_min(TINY)


class SomeLayers:
    """Of any trained parameters: the inner product is the derivative of the point's loss along the attacker's gradient (forward mode)."""

    one_target = True

    def __init__(
        self,
        adversary: AdversaryModel,
        network: Network,
        labels_of: Mapping[int, tuple[np.ndarray, np.ndarray]],
        images: np.ndarray,
        chosen: Sequence[int],
    ) -> None:
        """images: uint8 [aux rows, height, width, 3]; chosen: which of the adversary's parameters."""
        self.pixels, self.network, self.labels_of, self.images, self.chosen = adversary.pixels, network, labels_of, images, tuple(chosen)
        self.params = [p.detach() for p in adversary.params]
        self.gradient_of: tuple[int, tuple[Tensor, ...]] | None = None  # the last subpopulation's: of a large network one alone is kept

    def _losses(self, chosen: Sequence[Tensor], pixels_BCHW: Tensor, labels_B: Tensor) -> Tensor:
        params = list(self.params)
        for index, tensor in zip(self.chosen, chosen, strict=True):
            params[index] = tensor
        return softmax.losses(self.network.logits(params, pixels_BCHW), labels_B)

    def _gradient(self, target: int) -> tuple[Tensor, ...]:
        if self.gradient_of is None or self.gradient_of[0] != target:
            rows, labels = self.labels_of[target]
            chosen = [self.params[i].requires_grad_() for i in self.chosen]
            total = [torch.zeros_like(p) for p in chosen]
            for lo in range(0, len(rows), LOSS_ROWS):
                pixels = self.pixels(self.images[rows[lo : lo + LOSS_ROWS]]).detach()
                loss = self._losses(chosen, pixels, torch.from_numpy(labels[lo : lo + LOSS_ROWS]).to(pixels.device)).sum() / len(rows)
                for part, gradient in zip(total, torch.autograd.grad(loss, chosen), strict=True):
                    part += gradient
            for p in chosen:
                p.requires_grad_(False)
            self.gradient_of = target, tuple(total)
        return self.gradient_of[1]

    def values(self, pixels_BCHW: Tensor, labels_B: Tensor, targets: np.ndarray) -> Tensor:
        with torch.enable_grad():  # also where the caller wants none
            along = self._gradient(int(targets[0]))
        at = tuple(self.params[i] for i in self.chosen)
        inner_B: Tensor = torch.func.jvp(lambda *chosen: self._losses(chosen, pixels_BCHW, labels_B), at, along)[1]
        return inner_B


def parameters_of(layer: str, names: Sequence[str]) -> list[int]:
    """Which parameters `attack.layer` means: all, or those whose name is it or starts with it and a dot. UnknownName where none is."""
    chosen = [i for i, name in enumerate(names) if layer == ALL or name == layer or name.startswith(f"{layer}.")]
    if not chosen:
        starts = {name[:end] for name in names for end in (*_dots(name), len(name))}
        raise UnknownName("layer", layer, {LAST, ALL, *starts}, next="(attack.layer)")
    return chosen


def _dots(name: str) -> list[int]:
    return [i for i, character in enumerate(name) if character == "."]


def alignment(
    layer: str,
    cosine: bool,
    adversary: AdversaryModel,
    labels_of: Mapping[int, tuple[np.ndarray, np.ndarray]],
    images: np.ndarray,
    dtype: torch.dtype,
) -> Alignment:
    """The alignment that a scenario asks for. RequestError where the adversary's model cannot be asked so."""
    if layer == LAST:
        return LastLayer(adversary, labels_of, dtype, cosine)
    if cosine:  # it needs the norm of each point's own gradient, one backward pass a point
        raise RequestError(
            "is for the last layer alone", where='attack.objective = "cosine"', next='use objective = "inner", or layer = "last"'
        )
    if adversary.network is None:
        raise RequestError(
            f"is {layer!r}, but of the adversary's model the last layer alone is trained or can be asked for gradients",
            where="attack.layer",
            next='use layer = "last"',
        )
    chosen = parameters_of(layer, adversary.network.parameter_names)
    return SomeLayers(adversary, adversary.network, labels_of, images, chosen)
