"""Features of frozen networks, kept on disk for each encoder, every picture under a hash of its pixels."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch

from engine.features.keyed_rows import HASH_BYTES, KeyedRows
from engine.models import build as models
from engine.system import cache
from engine.system.threads import all_cores

Report = Callable[[str, float], None]  # what is being done, share done; may raise Interrupted
PIXELS_AT_ONCE = 2**18  # of a chunk: 26 pictures of 100 x 100, which measured as fast as any larger number on a CPU
CHUNKS_A_WRITE = 16


class FeatureFile:
    """The features of one encoder, float32 [images, width], each image's under a hash of its pixels.

    Where the folder cannot be written, features are computed and not kept.
    """

    def __init__(self, folder: Path, digest: str, width: int) -> None:
        self.rows, self.width = KeyedRows(folder, digest, 4 * width), width

    def of(self, splits: Sequence[np.ndarray], encoder: models.Encoder, report: Report) -> list[np.ndarray]:
        """float32 [images, width] for each of the arrays of pictures, uint8 [images, height, width, 3]."""
        keys = [[_key(image) for image in images] for images in splits]
        kept = self._kept({key for split in keys for key in split}, report)
        total = len({key for split in keys for key in split} - kept.keys())
        fresh: dict[bytes, np.ndarray] = {}
        for images, split in zip(splits, keys, strict=True):
            first = {key: at for at, key in reversed(list(enumerate(split)))}
            missing = sorted(at for key, at in first.items() if key not in kept and key not in fresh)
            pending: list[tuple[bytes, np.ndarray]] = []
            for number, (lo, hi) in enumerate(chunks(len(missing), images.shape[1:3])):
                report(f"computing frozen features of {total:,} images", len(fresh) / total)
                at = missing[lo:hi]
                features = encode(encoder, images[at])
                computed = [(split[i], row) for i, row in zip(at, features, strict=True)]
                fresh.update(computed)
                pending += computed
                if number % CHUNKS_A_WRITE == CHUNKS_A_WRITE - 1:
                    self._append(pending)
            self._append(pending)
        stored = self._read()
        cache.sweep()
        return [self._gather(split, kept, stored, fresh) for split in keys]

    def _gather(self, split: list[bytes], kept: dict[bytes, int], stored: np.ndarray, fresh: dict[bytes, np.ndarray]) -> np.ndarray:
        out = np.empty((len(split), self.width), np.float32)
        for at, key in enumerate(split):
            out[at] = fresh[key] if key in fresh else stored[kept[key]]
        return out

    def _kept(self, wanted: set[bytes], report: Report) -> dict[bytes, int]:
        """Hash -> row of each of these images whose features are whole on disk."""
        cache.use("features", self.rows.rows_path.name)
        with contextlib.suppress(OSError):
            places = self.rows.places(wanted)
            for line in places.said("features"):
                report(line, 0.0)
            return places.by_hash
        return {}

    def _read(self) -> np.ndarray:
        with contextlib.suppress(OSError):
            if count := self.rows.count():
                return np.memmap(self.rows.rows_path, np.float32, "r", shape=(count, self.width))
        return np.empty((0, self.width), np.float32)

    def _append(self, pending: list[tuple[bytes, np.ndarray]]) -> None:
        """Keep what was computed, and forget it here; a disk that is full or read-only costs only the next run's time."""
        if pending:
            with contextlib.suppress(OSError):
                self.rows.append([key for key, _ in pending], (row.tobytes() for _, row in pending))
        pending.clear()


def _key(image: np.ndarray) -> bytes:
    return blake2b(image.tobytes(), digest_size=HASH_BYTES, person=repr(image.shape).encode()[:16]).digest()


def chunks(count: int, size: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """(first, end) of each chunk of so many pictures of `size` = (height, width) pixels."""
    step = max(8, PIXELS_AT_ONCE // (size[0] * size[1]))
    return ((lo, min(lo + step, count)) for lo in range(0, count, step))


@torch.no_grad()
def encode(encoder: models.Encoder, pictures: np.ndarray) -> np.ndarray:
    """float32 [pictures, width], with all of the machine's cores: one large convolution after the other is worth it."""
    with all_cores():
        features: np.ndarray = encoder.features(encoder.pixels(torch.from_numpy(pictures))).float().cpu().numpy()
    return features
