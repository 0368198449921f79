"""Train in k parts that an inserted row changes one of: which part a row is in is a hash of the row alone (Levine and Feizi 2021).

Neither a row's number nor its place nor any other row decides its part; and within a part rows come in the order of their hashes, so that
what is trained on a part is a function of its rows alone. The label is left out of the hash: a row that is given another label changes
one part too, not two.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from engine.rows import Rows
from engine.seeds import seed_for

PERSON = b"subpop part"  # so that no other hash of the same bytes is this one


@dataclass(frozen=True)
class Part:
    """rows: int64, which of train are in it, in its own order. seed: of all that its model draws."""

    number: int
    rows: np.ndarray
    seed: int


def partition(train: Rows, k: int, seed: int) -> list[Part]:
    """The k parts of train. Rows that are alike are in one part."""
    digests = [row_digest(content) for content in contents(train)]
    part_R = np.array([int.from_bytes(digest[:8], "big") % k for digest in digests], np.int64)
    # rows alike in all but the label come by it; those alike in all are the same, in whatever order
    order = sorted(range(len(train)), key=lambda row: (digests[row], int(train.y[row])))
    rows: list[list[int]] = [[] for _ in range(k)]
    for row in order:
        rows[part_R[row]].append(row)
    return [Part(number, np.array(some, np.int64), seed_for(seed, "part", number)) for number, some in enumerate(rows)]


def contents(train: Rows) -> list[bytes]:
    """What each row is, as bytes: its text, its pixels, or its numbers in float32, little-endian, in this order of preference."""
    if train.texts is not None:
        return [str(text).encode("utf-8", "surrogatepass") for text in train.texts]
    if train.images is not None:
        return [image.tobytes() for image in train.images]
    return [row.tobytes() for row in (train.x + 0.0).astype("<f4")]  # + 0: -0 and 0 are the same number


def row_digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=16, person=PERSON).digest()
