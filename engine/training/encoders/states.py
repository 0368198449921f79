"""The hidden states that victims' last layers read: rows of a file too large for memory, by number, as they are asked for."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engine.rows import States

ON_DEVICE = 0.5  # of a GPU's free memory, at most, for states that lie there for good


class StateRows:
    """Rows of `states`, on a device, in a precision. A row's padding is left out as far as all rows of a call have it."""

    def __init__(self, states: States, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self.lengths_N = np.asarray(states.lengths, np.int64)
        self.tokens = states.shape[1]
        self.rows_NTW = mapped(states)
        self.place_N: np.ndarray | None = None  # where a row lies in rows_NTW, when not at its own number

    def settle(self, numbers: np.ndarray) -> None:
        """Bring these rows to a GPU at once where they take at most half of what is free; others cannot be asked for afterwards."""
        numbers = np.unique(numbers)
        size = len(numbers) * self.rows_NTW[0].numel() * self.rows_NTW.element_size() if len(numbers) else 0
        if self.device.type != "cuda" or not size or size > ON_DEVICE * torch.cuda.mem_get_info(self.device)[0]:
            return
        self.place_N = np.full(len(self.lengths_N), -1, np.int64)
        self.place_N[numbers] = np.arange(len(numbers))
        on_device = torch.empty((len(numbers), *self.rows_NTW.shape[1:]), dtype=self.rows_NTW.dtype, device=self.device)
        for lo in range(0, len(numbers), 256):
            on_device[lo : lo + 256] = self.rows_NTW[torch.from_numpy(numbers[lo : lo + 256])].to(self.device)
        self.rows_NTW = on_device

    def take(self, numbers: np.ndarray) -> tuple[Tensor, Tensor]:
        """States [rows, tokens, width] of the rows of these numbers, int64 [rows], and which are of real tokens, bool [rows, tokens]."""
        lengths_B = self.lengths_N[numbers]
        tokens = int(lengths_B.max(initial=1))
        at_B = torch.from_numpy(numbers if self.place_N is None else self.place_N[numbers]).to(self.rows_NTW.device)
        x_BTW = self.rows_NTW[:, :tokens].index_select(0, at_B).to(self.device, self.dtype)
        real_BT = torch.from_numpy(np.arange(tokens) < lengths_B[:, None]).to(self.device)
        return x_BTW, real_BT


def mapped(states: States) -> Tensor:
    """The file as a tensor [rows, tokens, width], read as it is used. Never written to."""
    dtype: torch.dtype = getattr(torch, states.dtype)
    if not states.shape[0]:
        return torch.empty(states.shape, dtype=dtype)
    numbers = np.memmap(states.path, np.uint8, "c", shape=(int(np.prod(states.shape)) * dtype.itemsize,))  # "c": torch asks for writable
    return torch.from_numpy(numbers).view(dtype).view(states.shape)
