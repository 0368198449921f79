"""What dropout leaves in the last layer of an encoder, drawn so that arms share everything but the poison.

Clean rows: from (seed, trial, epoch, step), the same for every victim. Poison: from (seed, trial, epoch) and the number of the point,
the same for every victim; a smaller alpha's points are the first of a larger's. Numbers are drawn on the host, the same for every device;
what is left of them travels as bytes, many steps' at a time on a GPU.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from engine.seeds import generator
from engine.steps import Kept
from engine.training import host


class Rates(Protocol):
    """What masks need to know of a layer."""

    @property
    def width(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def attention_dropout(self) -> float: ...
    @property
    def hidden_dropout(self) -> float: ...
    @property
    def classifier_dropout(self) -> float: ...
    @property
    def has_dropout(self) -> bool: ...


class DropoutDraws:
    """The masks of one trial's victims, on their device; tokens: the most that a row has."""

    def __init__(self, layer: Rates, seed: int, trial: int, tokens: int, device: torch.device, dtype: torch.dtype) -> None:
        self.layer, self.seed, self.trial, self.tokens, self.device, self.dtype = layer, seed, trial, tokens, device, dtype
        rates = [layer.attention_dropout] * (layer.heads * tokens)
        for rate in (layer.hidden_dropout, layer.hidden_dropout, layer.classifier_dropout):
            rates += [rate] * layer.width
        self.rate_K = np.array(rates, np.float32)  # of each of a row's numbers, in the order in which they are drawn

    def clean(self, epoch: int, step: int, rows: int, tokens: int) -> Kept | None:
        """Of a step's clean rows, the first `tokens` tokens of each."""
        return self.kept(host.upload(self.of_step(epoch, step, rows), self.device), tokens) if self.layer.has_dropout else None

    def of_step(self, epoch: int, step: int, rows: int) -> np.ndarray:
        """Of a step's clean rows: bool [rows, numbers of a row], for `kept`."""
        return self._drawn(rows, "dropout of clean rows", epoch, step)

    def poison(self, epoch: int, points: int) -> np.ndarray:
        """Of an epoch's poison points 0 to `points`: bool [points, numbers of a row], for `of_points`."""
        return self._drawn(points if self.layer.has_dropout else 0, "dropout of poison points", epoch)

    def of_points(self, drawn: np.ndarray, numbers: np.ndarray, tokens: int) -> Kept | None:
        """Of the points of these numbers, the first `tokens` tokens of each."""
        return self.kept(host.upload(drawn[numbers], self.device), tokens) if self.layer.has_dropout else None

    def kept(self, drawn_RK: Tensor, tokens: int) -> Kept:
        """What is left, of what was drawn for some rows and lies on the device: a plain function of it."""
        layer, split = self.layer, self.layer.heads * self.tokens
        attention_RHT = self._scaled(drawn_RK[:, :split].unflatten(1, (layer.heads, self.tokens))[:, :, :tokens], layer.attention_dropout)
        hidden_R3W = self._scaled(drawn_RK[:, split:].unflatten(1, (3, layer.width)), layer.hidden_dropout)
        if layer.classifier_dropout != layer.hidden_dropout:
            hidden_R3W[:, 2] *= (1 - layer.hidden_dropout) / (1 - layer.classifier_dropout)
        return Kept(attention_RHT, hidden_R3W)

    def _drawn(self, rows: int, purpose: str, *keys: int) -> np.ndarray:
        numbers = generator(self.seed, purpose, self.trial, *keys).random((rows, len(self.rate_K)), np.float32)
        return numbers >= self.rate_K

    def _scaled(self, kept: Tensor, rate: float) -> Tensor:
        return kept.to(self.dtype, memory_format=torch.contiguous_format).div_(1 - rate)
