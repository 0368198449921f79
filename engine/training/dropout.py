"""The random numbers of dropout: drawn anew for each step from (seed, trial, epoch, step), and the process's own left as they were.

Clean rows come first in a step, so the first mask agrees on them in every arm; later masks begin where a step's rows left off.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from engine.seeds import seed_for


@contextmanager
def dropout_draws(seed: int, trial: int, epoch: int, step: int, device: torch.device) -> Iterator[None]:
    """Within it PyTorch's generators are those of the step."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed_for(seed, "dropout", trial, epoch, step))
        yield
