"""Features of frozen networks, kept on disk: one file an encoder, every picture under a hash of its pixels."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from engine.models import build as models
from engine.system.threads import all_cores

Report = Callable[[str, float], None]  # what is being done, share done; may raise Interrupted
HASH_BYTES = 16
PIXELS_AT_ONCE = 2**18  # of a chunk: 26 pictures of 100 x 100, which measured as fast as any larger number on a CPU
CHUNKS_A_WRITE = 16


class FeatureFile:
    """The features of one encoder: `<digest>.rows`, float32 [images, width], and `<digest>.keys`, one hash an image, in the same order.

    Rows are written before their keys, so that a key is never without its row; both are only ever appended to, by one process at a time.
    Where the folder cannot be written, features are computed and not kept.
    """

    def __init__(self, folder: Path, digest: str, width: int) -> None:
        self.rows_path, self.keys_path, self.lock_path = (folder / f"{digest}.{end}" for end in ("rows", "keys", "lock"))
        self.width = width

    def of(self, splits: Sequence[np.ndarray], encoder: models.Encoder, report: Report) -> list[np.ndarray]:
        """float32 [images, width] for each of the arrays of pictures, uint8 [images, height, width, 3]."""
        keys = [[_key(image) for image in images] for images in splits]
        kept = self._kept()
        total = len({key for split in keys for key in split} - kept.keys())
        fresh: dict[bytes, np.ndarray] = {}
        for images, split in zip(splits, keys, strict=True):
            first = {key: at for at, key in reversed(list(enumerate(split)))}
            missing = sorted(at for key, at in first.items() if key not in kept and key not in fresh)
            pending: list[tuple[list[bytes], np.ndarray]] = []
            for number, (lo, hi) in enumerate(chunks(len(missing), images.shape[1:3])):
                report(f"computing frozen features of {total:,} images", len(fresh) / total)
                at = missing[lo:hi]
                features = encode(encoder, images[at])
                fresh.update((split[i], row) for i, row in zip(at, features, strict=True))
                pending.append(([split[i] for i in at], features))
                if number % CHUNKS_A_WRITE == CHUNKS_A_WRITE - 1:
                    self._append(pending)
            self._append(pending)
        stored = self._read()
        return [self._gather(split, kept, stored, fresh) for split in keys]

    def _gather(self, split: list[bytes], kept: dict[bytes, int], stored: np.ndarray, fresh: dict[bytes, np.ndarray]) -> np.ndarray:
        out = np.empty((len(split), self.width), np.float32)
        for at, key in enumerate(split):
            out[at] = fresh[key] if key in fresh else stored[kept[key]]
        return out

    def _kept(self) -> dict[bytes, int]:
        """Hash -> row of every image whose features are whole on disk."""
        try:
            keys = self.keys_path.read_bytes()
            rows = self.rows_path.stat().st_size // (4 * self.width)
        except OSError:
            return {}
        whole = min(len(keys) // HASH_BYTES, rows)
        # an image that two processes wrote has two places: always the first, so that a resumed run reads what it read before
        return {keys[i * HASH_BYTES : (i + 1) * HASH_BYTES]: i for i in reversed(range(whole))}

    def _read(self) -> np.ndarray:
        try:
            rows = self.rows_path.stat().st_size // (4 * self.width)
            return np.memmap(self.rows_path, np.float32, "r", shape=(rows, self.width)) if rows else np.empty((0, self.width), np.float32)
        except OSError:
            return np.empty((0, self.width), np.float32)

    def _append(self, pending: list[tuple[list[bytes], np.ndarray]]) -> None:
        """Keep what was computed, and forget it here; a disk that is full or read-only costs only the next run's time."""
        keys = b"".join(key for some, _ in pending for key in some)
        rows = [features for _, features in pending]
        pending.clear()
        if not keys:
            return
        with contextlib.suppress(OSError):
            self.rows_path.parent.mkdir(parents=True, exist_ok=True)
            with locked(self.lock_path):
                whole = min(_size_of(self.keys_path) // HASH_BYTES, _size_of(self.rows_path) // (4 * self.width))
                self._write(self.rows_path, whole * 4 * self.width, np.concatenate(rows).tobytes())
                self._write(self.keys_path, whole * HASH_BYTES, keys)

    @staticmethod
    def _write(path: Path, at: int, data: bytes) -> None:
        """Put data at a place, cutting off what a killed writer left behind it."""
        with path.open("r+b" if path.exists() else "wb") as file:
            file.truncate(at)
            file.seek(at)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One writer at a time, where the system has such locks."""
    with path.open("a") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


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
