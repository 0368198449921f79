"""Explicit randomness: every generator is derived from (scenario seed, purpose, keys). Nothing here touches global state."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def seed_for(seed: int, purpose: str, *keys: int | str) -> int:
    """A 63-bit seed for one purpose, e.g. `seed_for(0, "batches", trial)`; stable across machines and versions."""
    text = "\x1f".join([str(seed), purpose, *map(str, keys)])
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, purpose: str, *keys: int | str) -> np.random.Generator:
    """A NumPy generator for one purpose; see `seed_for`."""
    import numpy as np

    return np.random.Generator(np.random.PCG64(seed_for(seed, purpose, *keys)))
