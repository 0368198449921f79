"""How many victims train together: as many as memory holds and speed rewards, both measured on the device itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

LEAST_GAIN = 0.05  # a doubling must save this share of a victim's time to be worth a longer stack, which a crash would lose whole
STEPS_TIMED = 30  # enough that making the stack does not count for much
SIZES = (16, 32, 64, 128, 256, 512, 1024, 2048)


def free_bytes(device: torch.device) -> int:
    """Memory that a stack may use: four fifths of what a GPU has free, half of what the machine has, for others run there too."""
    if device.type == "cuda":
        return int(free_of_gpu(device) * 0.8)
    try:
        [available] = [line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:")]
        return int(available.split()[1]) * 1024 // 2
    except (OSError, ValueError):  # not on every system
        return 2**30


def free_of_gpu(device: torch.device) -> int:
    """Bytes that this process may still have of a GPU: what is free, and what PyTorch's allocator holds back without using it."""
    return int(torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def measured_size(
    seconds_of: Callable[[int], float], bytes_per_victim: int, budget_bytes: int, most: int, sizes: tuple[int, ...] = SIZES
) -> int:
    """The stack size to use for `most` victims.

    seconds_of(victims): seconds that a few steps of a stack of that size take; may raise torch.OutOfMemoryError.
    The smallest size that no doubling betters by LEAST_GAIN, then evened out so that the last stack is not a stub.
    """
    fits = max(1, budget_bytes // max(bytes_per_victim, 1))
    best, best_s = 1, float("inf")
    for size in sizes:
        size = min(size, most)
        if size > fits:
            break
        try:
            per_victim_s = seconds_of(size) / size
        except torch.OutOfMemoryError:
            break
        if per_victim_s > best_s * (1 - LEAST_GAIN):
            break
        best, best_s = size, per_victim_s
        if size == most:
            break
    stacks = -(-most // best)
    return -(-most // stacks)


def timed(train: Callable[[], object], device: torch.device) -> float:
    """Seconds of the faster of two calls, after one to warm up: the thread's own on a CPU, so that other processes do not count."""
    clock = time.perf_counter if device.type == "cuda" else time.thread_time
    train()
    times = []
    for _ in range(2):
        start = clock()
        train()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(clock() - start)
    return min(times)
