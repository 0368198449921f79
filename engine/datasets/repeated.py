"""Rows that stand in two splits: such test rows test memory, not the model. Counted for every kind of data."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from engine.account.data import Repeated
from engine.rows import Dataset, Rows

if TYPE_CHECKING:
    import numpy as np

AT_ONCE = 1 << 16  # rows hashed together


def repeated_of(dataset: Dataset) -> Repeated | None:
    """How many rows are the same in two splits, as a model reads them: every feature, every pixel, or the text; the labels aside.

    None where there is nothing to compare.
    """
    import numpy as np

    if dataset.train.texts is not None:
        what = "text word for word"
    elif dataset.train.images is not None:
        what = "picture pixel for pixel"
    elif dataset.train.x.shape[1]:
        what = "row in every feature"
    else:
        return None
    train, aux, test = (_prints(rows) for rows in (dataset.train, dataset.aux, dataset.test))
    same = np.isin(test, train)
    labelled = np.isin(_with_labels(test, dataset.test.y), _with_labels(train, dataset.train.y))
    return Repeated(
        what,
        test_in_train=int(same.sum()),
        relabelled=int((same & ~labelled).sum()),
        aux_in_train=int(np.isin(aux, train).sum()),
        test_in_aux=int(np.isin(test, aux).sum()),
    )


def _prints(rows: Rows) -> np.ndarray:
    """A 64-bit hash of each row, uint64 [rows]."""
    import numpy as np

    if rows.texts is not None:
        digests = (blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in rows.texts)
        return np.fromiter((int.from_bytes(digest, "little") for digest in digests), np.uint64, len(rows.texts))
    if rows.images is not None:
        digests = (blake2b(picture.tobytes(), digest_size=8).digest() for picture in rows.images)
        return np.fromiter((int.from_bytes(digest, "little") for digest in digests), np.uint64, len(rows.images))
    bits = np.ascontiguousarray(rows.x + np.float32(0)).view(np.uint32)  # + 0: no minus zero
    odd = np.random.default_rng(0).integers(1, 2**63, rows.x.shape[1], dtype=np.uint64) | np.uint64(1)
    hashes = np.empty(len(bits), np.uint64)
    for lo in range(0, len(bits), AT_ONCE):
        part = bits[lo : lo + AT_ONCE].astype(np.uint64)
        part ^= part >> np.uint64(7)
        hashes[lo : lo + AT_ONCE] = (part * odd).sum(axis=1, dtype=np.uint64)
    return hashes


def _with_labels(prints: np.ndarray, y: np.ndarray) -> np.ndarray:
    import numpy as np

    return prints ^ ((y.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))
