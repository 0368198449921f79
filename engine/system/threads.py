"""PyTorch's threads for work that is done alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from engine.system.processes import cores


@contextmanager
def all_cores(device: torch.device | None = None) -> Iterator[None]:
    """PyTorch's threads on every core meanwhile: victims are trained with one each, these batches are alone.

    device: where the batches run, if not on the CPU alone: a GPU needs no more threads.
    """
    threads = torch.get_num_threads()
    if device is None or device.type == "cpu":
        torch.set_num_threads(cores())
    try:
        yield
    finally:
        torch.set_num_threads(threads)
