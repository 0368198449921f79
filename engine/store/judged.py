"""What became of a victim's rows, as bytes: how many rows, a bit a row for those kept, then two bytes a row for the labels given."""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING

from engine.errors import StoreError
from engine.rows import Judged

if TYPE_CHECKING:
    import numpy as np

COUNT = 8  # bytes of the number of rows


def pack(judged: Judged) -> bytes:
    """zlib-compressed, little-endian; nothing is pickled."""
    import numpy as np

    parts = (np.array([len(judged.kept_R)], "<i8"), np.packbits(judged.kept_R, bitorder="little"), judged.given_R.astype("<i2"))
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
    if stream.decompress(stream.unconsumed_tail, 1) or not stream.eof:
        raise ValueError("it is longer than it says")
    kept_R: np.ndarray = np.unpackbits(np.frombuffer(raw[:bits], np.uint8), count=count, bitorder="little").astype(bool)
    return Judged(kept_R, np.frombuffer(raw[bits:], "<i2").astype(np.int16))


def _exactly(stream: zlib._Decompress, data: bytes, size: int) -> bytes:
    """So many bytes and no more: what a damaged value claims to hold cannot fill the memory."""
    raw = stream.decompress(data, size) if size else b""
    if len(raw) != size:
        raise ValueError(f"{len(raw)} bytes where {size} are needed")
    return raw
