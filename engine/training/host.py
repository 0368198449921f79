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


def fills(device: torch.device) -> bool:
    """Whether steps are filled up to one shape for a whole training, so that shapes repeat. On a CPU each is as small as it can be."""
    return device.type != "cpu"


def places_on(device: torch.device, places_S: np.ndarray, most: int) -> np.ndarray:
    """Places for poison of each step of an epoch: as many as it has, or the training's most where steps are filled up."""
    return np.full_like(places_S, most) if fills(device) else places_S


def to_host(tensor: Tensor) -> np.ndarray:
    """The numbers, once the device has worked them out."""
    array: np.ndarray = tensor.detach().cpu().numpy()
    return array
