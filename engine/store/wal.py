"""Whether a store's write-ahead log holds commits that SQLite no longer takes for whole: it drops them without a word.

Each frame of the log has a checksum that goes on from the frame before; where one does not fit, SQLite takes the log to end there. That is
right for a transaction that was being written when its process died, and loses commits where a bit of an older frame flipped.
File formats: https://sqlite.org/fileformat2.html#walformat and https://sqlite.org/walformat.html#the_wal_index_file_format
"""

from __future__ import annotations

import shutil
import struct
import sys
import time
from pathlib import Path

HEADER, FRAME = 32, 24  # bytes
MAGIC = 0x377F0682  # with its last bit set, checksums are of big-endian words


def lost_commits(store: Path) -> bool:
    """Whether there are. For who holds the write lock, so that nobody is in the middle of a commit."""
    try:
        with store.with_name(f"{store.name}-wal").open("rb") as log, store.with_name(f"{store.name}-shm").open("rb") as index:
            taken = index.read(48)
            head = log.read(HEADER)
            if len(head) < HEADER or len(taken) < 48:
                return False
            frames = struct.unpack_from("=I", taken, 16)[0]  # that SQLite takes for whole
            rest = log.seek(0, 2) - HEADER
            words, big = struct.unpack(">8I", head), head[3] & 1
            page = words[2] if words[2] != 1 else 1 << 16
            if words[0] & ~1 != MAGIC or _summed(head[:24], (0, 0), bool(big)) != words[6:]:
                return frames == 0 and rest > FRAME  # a header that does not fit: SQLite takes none of it
            salts, before = words[4:6], words[6:] if frames == 0 else struct.unpack_from("=2I", taken, 24)
            log.seek(HEADER + frames * (FRAME + page))
            whole, later = True, log.read(1 << 26)
            for at in range(0, len(later) - FRAME - page + 1, FRAME + page):
                number, commit, salt1, salt2, *sums = struct.unpack_from(">6I", later, at)
                if whole := whole and (salt1, salt2) == salts:
                    before = _summed(later[at : at + 8] + later[at + FRAME : at + FRAME + page], before, bool(big))
                    whole = before == tuple(sums)
                if whole and commit:
                    return False  # its process died just before it was told that this is committed
                if (
                    not whole and number and commit and (salt1 == salts[0] or salt2 == salts[1])
                ):  # of before the log began anew both are others
                    return True
    except OSError:
        pass
    return False


def set_aside(store: Path) -> Path | None:
    """A copy of the log, beside the store; None where none could be made."""
    copy = store.with_name(f"{store.name}-wal.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    try:
        shutil.copyfile(store.with_name(f"{store.name}-wal"), copy)
    except OSError:
        return None
    return copy


def _summed(data: bytes, before: tuple[int, ...], big: bool) -> tuple[int, int]:
    """SQLite's checksum of whole pairs of words, going on from the one before."""
    s0, s1 = before
    words = memoryview(data).cast("I")
    if big != (sys.byteorder == "big"):
        words = memoryview(struct.pack(f"<{len(words)}I" if sys.byteorder == "big" else f">{len(words)}I", *words)).cast("I")
    for at in range(0, len(words), 2):
        s0 = (s0 + words[at] + s1) & 0xFFFFFFFF
        s1 = (s1 + words[at + 1] + s0) & 0xFFFFFFFF
    return s0, s1
