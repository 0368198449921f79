"""What a device can do at most, measured on it: its own rates of a matrix product, a convolution and a copy. Needs torch."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from engine.system.processes import cores
from engine.system.threads import of_torch

SIDE = {"cpu": 2048, "cuda": 8192}  # of the square matrices; on a GPU long enough that a kernel's start does not count
PICTURES = {"cpu": 8, "cuda": 128}
CHANNELS, PIXELS = 256, 28
COPIED = {"cpu": 2**28, "cuda": 2**30}  # bytes, more than caches hold
REPEATS = 8


def matrix_rate(device: torch.device, dtype: torch.dtype = torch.float32, n: int | None = None) -> float:
    """Of a square matrix product, operations a second: the best of a few."""
    n = n or SIDE[device.type]
    with of_torch(cores()):
        a, b = torch.randn(n, n, device=device, dtype=dtype), torch.randn(n, n, device=device, dtype=dtype)
        out = torch.empty_like(a)
        return 2.0 * n**3 / _best_s(lambda: torch.mm(a, b, out=out), device)


@torch.no_grad()
def convolution_rate(device: torch.device, dtype: torch.dtype = torch.float32, pictures: int | None = None) -> float:
    """Of a 3x3 convolution of 256 channels, 28 x 28 pixels, channels last, operations a second: the best of a few."""
    pictures = pictures or PICTURES[device.type]
    with of_torch(cores()):
        x = torch.randn(pictures, CHANNELS, PIXELS, PIXELS, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
        w = torch.randn(CHANNELS, CHANNELS, 3, 3, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
        operations = 2.0 * 9 * CHANNELS**2 * PIXELS**2 * pictures
        return operations / _best_s(lambda: torch.nn.functional.conv2d(x, w, padding=1), device)


def copy_rate(device: torch.device, size: int | None = None) -> float:
    """Of a copy within the device's memory, bytes read and written a second: the best of a few."""
    size = size or COPIED[device.type]
    with of_torch(cores()):
        source = torch.ones(size // 4, device=device)
        target = torch.empty_like(source)
        return 2.0 * size / _best_s(lambda: target.copy_(source), device)


def _best_s(work: Callable[[], object], device: torch.device) -> float:
    def once() -> float:
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    return min(once() for _ in range(REPEATS))
