"""What dropout leaves in the last layer of an encoder, drawn so that arms share everything but the poison.

Clean rows: from (seed, trial, epoch, step), the same for every victim. Poison: from (seed, trial, epoch) and the number of the point,
the same for every victim; a smaller alpha's points are the first of a larger's. On a GPU they are drawn by a generator that lies there
and is seeded once an epoch: other numbers than a CPU's, and nothing travels.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from engine.seeds import generator, seed_for
from engine.steps import Kept
from engine.training import host

CLEAN, POISON = "dropout of clean rows", "dropout of poison points"
POINTS_AT_ONCE = 64  # drawn by one call on a GPU, whose numbers depend on how many it is asked for


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
        self._of_device = None if device.type == "cpu" else _Drawn(self, host.upload(self.rate_K, device))

    def clean(self, epoch: int, step: int, rows: int, tokens: int) -> Kept | None:
        """Of a step's clean rows, the first `tokens` tokens of each."""
        return self.kept(self.of_step(epoch, step, rows), tokens) if self.layer.has_dropout else None

    def of_step(self, epoch: int, step: int, rows: int) -> Tensor:
        """Of a step's clean rows: bool [rows, numbers of a row], for `kept`. On a GPU steps are asked for in their order."""
        return self._of_device.of_step(epoch, step, rows) if self._of_device else self._drawn(rows, CLEAN, epoch, step)

    def poison(self, epoch: int, points: int) -> Tensor:
        """Of an epoch's poison points 0 to `points`: bool [points, numbers of a row], for `of_points`."""
        points = points if self.layer.has_dropout else 0
        return self._of_device.of_points(epoch, points) if self._of_device else self._drawn(points, POISON, epoch)

    def of_points(self, drawn_MK: Tensor, numbers: np.ndarray, tokens: int) -> Kept | None:
        """Of the points of these numbers, the first `tokens` tokens of each."""
        return self.kept(drawn_MK.index_select(0, host.upload(numbers, self.device)), tokens) if self.layer.has_dropout else None

    def kept(self, drawn_RK: Tensor, tokens: int) -> Kept:
        """What is left, of what was drawn for some rows and lies on the device: a plain function of it."""
        layer, split = self.layer, self.layer.heads * self.tokens
        attention_RHT = self._scaled(drawn_RK[:, :split].unflatten(1, (layer.heads, self.tokens))[:, :, :tokens], layer.attention_dropout)
        hidden_R3W = self._scaled(drawn_RK[:, split:].unflatten(1, (3, layer.width)), layer.hidden_dropout)
        if layer.classifier_dropout != layer.hidden_dropout:
            hidden_R3W[:, 2] *= (1 - layer.hidden_dropout) / (1 - layer.classifier_dropout)
        return Kept(attention_RHT, hidden_R3W)

    def _drawn(self, rows: int, purpose: str, *keys: int) -> Tensor:
        numbers = generator(self.seed, purpose, self.trial, *keys).random((rows, len(self.rate_K)), np.float32)
        return torch.from_numpy(numbers >= self.rate_K)

    def _scaled(self, kept: Tensor, rate: float) -> Tensor:
        return kept.to(self.dtype, memory_format=torch.contiguous_format).div_(1 - rate)


class _Drawn:
    """Masks drawn on a GPU. Unproved on one."""

    def __init__(self, of: DropoutDraws, rate_K: Tensor) -> None:
        self.of, self.rate_K = of, rate_K
        self.at = (-1, 0)  # which step comes next, of which epoch
        self.generator: torch.Generator | None = None

    def of_step(self, epoch: int, step: int, rows: int) -> Tensor:
        if step == 0:
            self.generator, self.at = seeded(self.of.device, seed_for(self.of.seed, CLEAN, self.of.trial, epoch)), (epoch, 0)
        assert self.at == (epoch, step), "steps are drawn in their order"
        self.at = (epoch, step + 1)
        return self._kept(rows, self.generator)

    def of_points(self, epoch: int, points: int) -> Tensor:
        fresh = seeded(self.of.device, seed_for(self.of.seed, POISON, self.of.trial, epoch))
        return torch.cat([self._kept(POINTS_AT_ONCE, fresh) for _ in range(-(-points // POINTS_AT_ONCE))] or [self._kept(0, fresh)])[
            :points
        ]

    def _kept(self, rows: int, fresh: torch.Generator | None) -> Tensor:
        return torch.rand((rows, len(self.rate_K)), generator=fresh, device=self.of.device) >= self.rate_K


def seeded(device: torch.device, seed: int) -> torch.Generator | None:
    """A generator on the device."""
    return torch.Generator(device).manual_seed(seed)
