"""Whether a store's write-ahead log holds commits that SQLite no longer takes for whole: it drops them without a word.

Each frame of the log has a checksum that goes on from the frame before; where one does not fit, SQLite takes the log to end there. That is
right for a transaction that was being written when its process died, and loses commits where a bit of an older frame flipped.
File format: https://sqlite.org/fileformat2.html#walformat
"""

from __future__ import annotations

import os
import shutil
import struct
import sys
import time
from pathlib import Path

HEADER, FRAME = 32, 24  # bytes
MOST = 1 << 26  # bytes that are looked at
MAGIC = 0x377F0682  # with its last bit set, checksums are of big-endian words


def is_left(store: Path) -> bool:
    """Whether there is a log that nobody has open, so that SQLite will read it from its beginning. Call it before connecting.

    Never opens the log's index (`-shm`): to close it again would drop the locks that other connections of this process have on it.
    """
    try:
        if store.with_name(f"{store.name}-wal").stat().st_size <= HEADER:
            return False
        index = store.with_name(f"{store.name}-shm").stat()
        locks = Path("/proc/locks").read_text()
    except OSError:  # no log; no index; no Linux: then the log is looked at each time
        return store.with_name(f"{store.name}-wal").exists()
    return f":{index.st_ino} " not in locks  # each connection has a lock on it; devices are numbered otherwise there on some file systems


def lost_commits(store: Path, frames: int) -> bool:
    """Whether there are. frames: those of the log that SQLite takes for whole. For who holds the write lock, so that nobody commits."""
    try:
        with store.with_name(f"{store.name}-wal").open("rb") as log:
            head = log.read(HEADER)
            if len(head) < HEADER or frames < 0:
                return False
            words, big = struct.unpack(">8I", head), bool(head[3] & 1)
            page = words[2]
            if words[0] & ~1 != MAGIC or _summed(head[:24], (0, 0), big) != words[6:]:
                return frames == 0 and log.seek(0, 2) > HEADER + FRAME  # a header that does not fit: SQLite takes none of it
            salts, before = words[4:6], words[6:]
            if frames:
                log.seek(HEADER + (frames - 1) * (FRAME + page) + FRAME - 8)
                before = struct.unpack(">2I", log.read(8))
                log.seek(page, os.SEEK_CUR)
            whole, later = True, log.read(MOST)
    except (OSError, struct.error):
        return False
    for at in range(0, len(later) - FRAME - page + 1, FRAME + page):
        number, commit, salt1, salt2, *sums = struct.unpack_from(">6I", later, at)
        if whole := whole and (salt1, salt2) == salts:
            before = _summed(later[at : at + 8] + later[at + FRAME : at + FRAME + page], before, big)
            whole = before == tuple(sums)
        if whole and commit:
            return False  # its process died just before it was told that this is committed
        if not whole and number and commit and (salt1 == salts[0] or salt2 == salts[1]):  # of an older log both are others
            return True
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
