"""Rows that stand in train and in test: such test rows test memory, not the model. Counted for every kind of data."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from engine.datasets.wording import counted
from engine.rows import Dataset, Rows

if TYPE_CHECKING:
    import numpy as np

AT_ONCE = 1 << 16  # rows hashed together


def repeated_notes(dataset: Dataset) -> tuple[str, ...]:
    """How many test rows are the same in train, as a model reads them: every feature, or every pixel; the labels aside.

    Of texts their own module tells.
    """
    import numpy as np

    if dataset.train.texts is not None or not (dataset.train.x.shape[1] or dataset.train.images is not None):
        return ()
    train, test = _prints(dataset.train), _prints(dataset.test)
    same = np.isin(test, train)
    if not same.any():
        return ()
    labelled = np.isin(_with_labels(test, dataset.test.y), _with_labels(train, dataset.train.y))
    what, row = ("row in every feature", "test row") if dataset.train.images is None else ("picture pixel for pixel", "test picture")
    other = int((same & ~labelled).sum())
    more = f", {other:,} of them with another label there" if other else ""
    return (f"the same {what} in train: {counted(int(same.sum()), row)} of {len(test):,}{more}",)


def _prints(rows: Rows) -> np.ndarray:
    """A 64-bit hash of each row, uint64 [rows]."""
    import numpy as np

    if rows.images is not None:
        digests = (blake2b(picture.tobytes(), digest_size=8).digest() for picture in rows.images)
        return np.fromiter((int.from_bytes(digest, "little") for digest in digests), np.uint64, len(rows.images))
    bits = np.ascontiguousarray(rows.x + np.float32(0)).view(np.uint32)  # + 0: no minus zero
    odd = np.random.default_rng(0).integers(1, 2**63, rows.x.shape[1], dtype=np.uint64) | np.uint64(1)
    found = np.empty(len(bits), np.uint64)
    for lo in range(0, len(bits), AT_ONCE):
        part = bits[lo : lo + AT_ONCE].astype(np.uint64)
        part ^= part >> np.uint64(7)
        found[lo : lo + AT_ONCE] = (part * odd).sum(axis=1, dtype=np.uint64)
    return found


def _with_labels(prints: np.ndarray, y: np.ndarray) -> np.ndarray:
    import numpy as np

    return prints ^ ((y.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))
