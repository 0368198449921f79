"""PyTorch's threads for work that is done alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from engine.system.processes import cores

_told: int | None = None  # what counts as all cores meanwhile


@contextmanager
def of_torch(count: int | None) -> Iterator[None]:
    """So many of PyTorch's threads meanwhile; None leaves them as they are."""
    if not count:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def counted(count: int | None) -> Iterator[None]:
    """So many threads count as `all_cores` meanwhile: a plan's, for bits depend on it, not the machine's. None: the machine's."""
    global _told
    before, _told = _told, count
    try:
        yield
    finally:
        _told = before


@contextmanager
def all_cores(device: torch.device | None = None) -> Iterator[None]:
    """PyTorch's threads on every core meanwhile: victims are trained with one each, these batches are alone.

    device: where the batches run, if not on the CPU alone: a GPU needs no more threads.
    """
    with of_torch((_told or cores()) if device is None or device.type == "cpu" else None):
        yield
