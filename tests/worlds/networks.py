"""Tiny pictures that networks are trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.models.softmax import SoftmaxModel
from engine.training.recipe import Job, Training


@dataclass(frozen=True)
class Small(SoftmaxModel):
    """A convolution, a pool and a dense layer; optionally batch norm between and dropout before the last."""

    classes: int = 3
    side: int = 8
    norm: bool = False
    has_dropout: bool = False

    @property
    def trainable(self) -> int:
        return 6 if self.norm else 4

    def init(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        flat = 5 * (self.side // 2) ** 2
        shapes = [(5, 3, 3, 3), (5,), (flat, self.classes), (self.classes,)]
        params = [torch.randn(s, generator=generator, dtype=torch.float64).mul(0.2).to(dtype) for s in shapes]
        norm = [torch.ones(5, dtype=dtype), torch.zeros(5, dtype=dtype), torch.zeros(5, dtype=dtype), torch.ones(5, dtype=dtype)]
        return [*params, *(norm if self.norm else [])]

    def pixels(self, x: Tensor) -> Tensor:
        return (x if x.is_floating_point() else x.float() / 255).movedim(-1, -3)

    def logits(self, params: Sequence[Tensor], pixels_BCHW: Tensor, *, training: bool = False) -> Tensor:
        z = F.conv2d(pixels_BCHW - 0.5, params[0], params[1], padding=1)
        if self.norm:
            z = F.batch_norm(z, params[6], params[7], params[4], params[5], training=training)
        z = F.avg_pool2d(F.leaky_relu(z, 0.1), 2).flatten(1)
        if self.has_dropout:
            z = F.dropout(z, 0.3, training)
        return z @ params[2] + params[3]

    @property
    def kernels(self) -> tuple[int, ...]:
        return 0, 2

    cuts_batches = False


def pictures(rows: int, side: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes that differ in where they are bright: uint8 [rows, side, side, 3], int64 [rows]."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, rows)
    centres = np.random.default_rng(7).integers(40, 216, (classes, side, side, 3))
    return (centres[y] + rng.integers(-40, 40, (rows, side, side, 3))).astype(np.uint8), y


def training(rows: int = 40, side: int = 8, classes: int = 3, device: torch.device | None = None) -> Training:
    x, y = pictures(rows, side, classes, 0)
    pool, _ = pictures(20, side, classes, 1)
    there = [torch.from_numpy(a).to(device or "cpu") for a in (x, y, pool)]
    return Training(*there)


def jobs(sizes: Sequence[int], side: int = 8, classes: int = 3, *, moved: bool = False) -> list[Job]:
    """One victim for each number of poison points; with `moved`, the points of those that have more than three are moved."""
    rng = np.random.default_rng(5)
    made = []
    for n in sizes:
        rows, labels = rng.integers(0, 20, n), rng.integers(0, classes, n)
        delta = rng.uniform(-0.2, 0.2, (n, side, side, 3)).astype(np.float32)
        made.append(Job(rows, labels, delta if moved and n > 3 else None))
    return made
