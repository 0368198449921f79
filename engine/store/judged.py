"""What became of a victim's rows, as bytes: how many rows, a bit a row for those kept, two bytes a row for the labels given.

Then, where the defence has an order, how many points and how many of the target's own rows, and four bytes each for their places in it.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING

from engine.errors import StoreError
from engine.rows import Judged, Suspected

if TYPE_CHECKING:
    import numpy as np

COUNT = 8  # bytes of the number of rows


def pack(judged: Judged) -> bytes:
    """zlib-compressed, little-endian; nothing is pickled."""
    import numpy as np

    parts = [np.array([len(judged.kept_R)], "<i8"), np.packbits(judged.kept_R, bitorder="little"), judged.given_R.astype("<i2")]
    if judged.suspected is not None:
        places = (judged.suspected.points_P, judged.suspected.own_O)
        parts += [np.array([len(place) for place in places], "<i8"), *(place.astype("<f4") for place in places)]
    return zlib.compress(b"".join(part.tobytes() for part in parts), 6)


def unpack(data: bytes, *, where: str, rows: int | None = None) -> Judged:
    """What `pack` stored. StoreError where it is not that, or not of so many rows where that is known."""
    try:
        return _unpacked(data, rows)
    except (ValueError, zlib.error) as error:
        what = f"what became of a victim's rows is damaged ({error})"
        raise StoreError(what, where=where, next="restore the store from a copy, or start the run anew") from error


def _unpacked(data: bytes, rows: int | None) -> Judged:
    import numpy as np

    stream = zlib.decompressobj()
    (count,) = np.frombuffer(_exactly(stream, data, COUNT), "<i8").tolist()
    if count < 0 or rows not in (None, count):
        raise ValueError(f"{count} rows where there are {rows}")
    bits = math.ceil(count / 8)
    raw = _exactly(stream, stream.unconsumed_tail, bits + 2 * count)
    kept_R: np.ndarray = np.unpackbits(np.frombuffer(raw[:bits], np.uint8), count=count, bitorder="little").astype(bool)
    given_R = np.frombuffer(raw[bits:], "<i2").astype(np.int16)
    first = stream.decompress(stream.unconsumed_tail, 1)
    if not first:
        _end(stream)
        return Judged(kept_R, given_R)
    points, own = np.frombuffer(first + _exactly(stream, stream.unconsumed_tail, 2 * COUNT - 1), "<i8").tolist()
    if min(points, own) < 0 or points + own > count:
        raise ValueError(f"places of {points} and {own} rows of {count}")
    place = np.frombuffer(_exactly(stream, stream.unconsumed_tail, 4 * (points + own)), "<f4").astype(np.float32)
    _end(stream)
    if not ((place >= 0) & (place <= count - 1)).all():
        raise ValueError(f"a place that is none of {count} rows")
    return Judged(kept_R, given_R, Suspected(place[:points], place[points:]))


def _end(stream: zlib._Decompress) -> None:
    if stream.decompress(stream.unconsumed_tail, 1) or not stream.eof:
        raise ValueError("it is longer than it says")


def _exactly(stream: zlib._Decompress, data: bytes, size: int) -> bytes:
    """So many bytes and no more: what a damaged value claims to hold cannot fill the memory."""
    raw = stream.decompress(data, size) if size else b""
    if len(raw) != size:
        raise ValueError(f"{len(raw)} bytes where {size} are needed")
    return raw
