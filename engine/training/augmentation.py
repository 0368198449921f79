"""Random shifts and flips of pictures: drawn for rows and points by number, so that every arm and stack of a trial sees the same.

As published (Keras' ImageDataGenerator): shifts of up to an eighth of the side, edge pixels repeated, half of the pictures mirrored. Known
deviation: shifts are whole pixels, where Keras interpolates between two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from engine.seeds import generator
from engine.training import host

MOST = 1 / 8  # of the side


@dataclass(frozen=True)
class Draws:
    """How each picture is changed: moved down by dy and right by dx pixels, int64 [rows], then mirrored where flip, bool [rows]."""

    dy: Tensor
    dx: Tensor
    flip: Tensor

    def take(self, index: Tensor) -> Draws:
        """The draws of the rows at `index`, in its shape."""
        return Draws(self.dy[index], self.dx[index], self.flip[index])


def draws(
    seed: int, trial: int, epoch: int, rows: int, image: tuple[int, int], of: Literal["clean rows", "poison points"], device: torch.device
) -> Draws:
    """An epoch's draws for pictures [height, width]. Fewer rows get the first of more rows' draws: a smaller alpha's points keep theirs."""
    u_R3 = generator(seed, f"augmentation of {of}", trial, epoch).random((rows, 3))

    def shift(u_R: np.ndarray, side: int) -> Tensor:
        most = int(side * MOST)
        return host.upload(np.floor(u_R * (2 * most + 1)).astype(np.int64) - most, device)

    return Draws(shift(u_R3[:, 0], image[0]), shift(u_R3[:, 1], image[1]), host.upload(u_R3[:, 2] < 0.5, device))


def apply(pictures_BHWC: Tensor, how: Draws) -> Tensor:
    """The changed pictures [batch, height, width, channels], a new tensor of the same dtype on the same device."""
    batch, height, width = pictures_BHWC.shape[:3]
    device = pictures_BHWC.device
    row_BH = (torch.arange(height, device=device) - how.dy[:, None]).clamp_(0, height - 1)
    column_W = torch.arange(width, device=device)
    column_BW = (torch.where(how.flip[:, None], width - 1 - column_W, column_W) - how.dx[:, None]).clamp_(0, width - 1)
    return pictures_BHWC[torch.arange(batch, device=device)[:, None, None], row_BH[:, :, None], column_BW[:, None, :]]
