"""The hidden states that victims' last layers read: rows of a file too large for memory, by number, as they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.rows import States
from engine.training import host
from engine.training.sizing import free_of_gpu

ON_DEVICE = 0.5  # of a GPU's free memory, at most, for states that lie there for good
ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Places:
    """Where some rows lie and how long they are, sent ahead of the steps that read them."""

    at_N: Tensor  # int64, where `rows_NTW` is
    length_N: Tensor  # int64, tokens of each, on the device
    rows_NTW: Tensor


class StateRows:
    """Rows of `states`, on a device, in a precision. A row's padding is left out as far as all rows of a call have it."""

    def __init__(self, states: States, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self.lengths_N = np.asarray(states.lengths, np.int64)
        self.tokens = states.shape[1]
        self.rows_NTW = mapped(states)
        self.settled_NTW: Tensor | None = None  # some of them on the GPU
        self.place_N = np.full(len(self.lengths_N), -1, np.int64)  # where each of these lies
        self._said = False

    def settle(self, numbers: np.ndarray, say: Callable[[str], None] | None = None) -> None:
        """Bring these rows to a GPU, to stay, where they take at most half of what is free; say is told once where they do not.

        Rows that are there stay beside them as far as all fit.
        """
        if self.device.type != "cuda" or (self.place_N[numbers] >= 0).all():
            return
        before, numbers = np.flatnonzero(self.place_N >= 0), np.unique(numbers)
        self.settled_NTW, self.place_N[:] = None, -1
        room = ON_DEVICE * free_of_gpu(self.device)
        row_bytes = self.rows_NTW[0].numel() * self.rows_NTW.element_size()
        if len(together := np.union1d(before, numbers)) * row_bytes <= room:
            numbers = together
        if (size := len(numbers) * row_bytes) > room:
            if say and not self._said:
                say(
                    f"hidden states of {size / 2**30:.1f} GiB are more than half of what {self.device} has free, "
                    f"{room / ON_DEVICE / 2**30:.1f} GiB: each step's are read from their file, which is slower"
                )
            self._said = self._said or say is not None
            return
        settled_NTW = torch.empty((len(numbers), *self.rows_NTW.shape[1:]), dtype=self.rows_NTW.dtype, device=self.device)
        for lo in range(0, len(numbers), ROWS_AT_ONCE):
            some = numbers[lo : lo + ROWS_AT_ONCE]
            settled_NTW[lo : lo + len(some)] = host.upload(self.rows_NTW[torch.from_numpy(some)], self.device)
        self.settled_NTW = settled_NTW
        self.place_N[numbers] = np.arange(len(numbers))

    def places(self, numbers: np.ndarray) -> Places:
        """Of the rows of these numbers, int64 [rows]."""
        at_N, rows_NTW = self.place_N[numbers], self.settled_NTW
        if rows_NTW is None or (at_N < 0).any():
            at_N, rows_NTW = numbers, self.rows_NTW
        return Places(host.upload(at_N, rows_NTW.device), host.upload(self.lengths_N[numbers], self.device), rows_NTW)

    def sent(self, places: Places, at: slice, tokens: int) -> Tensor | None:
        """The first `tokens` states of the rows `at`, on their way to the device; None where it has them."""
        if places.at_N.device == self.device:
            return None
        return host.upload(places.rows_NTW[:, :tokens].index_select(0, places.at_N[at]), self.device)

    def read(self, places: Places, at: slice, tokens: int, sent_BTW: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The first `tokens` states of the rows `at` [rows, tokens, width], and which are of real tokens, bool [rows, tokens].

        A plain function of what lies on the device. sent_BTW: what `sent` gave for them.
        """
        x_BTW = places.rows_NTW[:, :tokens].index_select(0, places.at_N[at]) if sent_BTW is None else sent_BTW
        real_BT = torch.arange(tokens, device=self.device) < places.length_N[at, None]
        return x_BTW.to(self.dtype), real_BT

    def longest(self, numbers: np.ndarray) -> int:
        """Tokens of the longest of the rows of these numbers, one at least."""
        return int(self.lengths_N[numbers].max(initial=1))

    def take(self, numbers: np.ndarray) -> tuple[Tensor, Tensor]:
        """States [rows, tokens, width] of the rows of these numbers, int64 [rows], and which are of real tokens, bool [rows, tokens]."""
        places, tokens = self.places(numbers), self.longest(numbers)
        every = slice(None)
        return self.read(places, every, tokens, self.sent(places, every, tokens))


def mapped(states: States) -> Tensor:
    """The file as a tensor [rows, tokens, width], read as it is used. Never written to."""
    dtype: torch.dtype = getattr(torch, states.dtype)
    if not states.shape[0]:
        return torch.empty(states.shape, dtype=dtype)
    numbers = np.memmap(states.path, np.uint8, "c", shape=(int(np.prod(states.shape)) * dtype.itemsize,))  # "c": torch asks for writable
    return torch.from_numpy(numbers).view(dtype).view(states.shape)
