"""The two ways between the host and the device. A trainer sends an epoch's plan before its steps and reads results after them; within a
step neither is called: a GPU that is waited for at each step stands still while the next one is worked out.

Unproved on a GPU: that the copies overlap with the steps before them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def upload(rows: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """The rows on the device; to a GPU from pinned memory, which is not waited for."""
    tensor = rows if isinstance(rows, Tensor) else torch.from_numpy(np.ascontiguousarray(rows))
    if device.type == "cuda" and tensor.numel():
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def places_on(device: torch.device, places_S: np.ndarray) -> np.ndarray:
    """Places for poison of each step of an epoch: as many as it has; but on a GPU the epoch's most, so that steps' shapes repeat."""
    return places_S if device.type == "cpu" else np.full_like(places_S, places_S.max(initial=0))


def to_host(tensor: Tensor) -> np.ndarray:
    """The numbers, once the device has worked them out."""
    array: np.ndarray = tensor.detach().cpu().numpy()
    return array
