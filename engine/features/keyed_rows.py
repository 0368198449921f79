"""Rows on disk, each under a hash, only ever appended to: what is expensive to compute is computed once, over interruptions too."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from engine.system import cache
from engine.system.processes import cores

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

HASH_BYTES = 16
AT_ONCE = 256  # rows that a thread holds against their digests
OF_RECORD = 4  # bytes of a digest that are of the record alone
NONE = bytes(cache.DIGEST_BYTES)  # of a row that an older version wrote


@dataclass(frozen=True)
class Places:
    """Hash -> number of its row.

    damaged: rows that are there and not as they were written, of those asked for and of those whose hash is damaged, which may be of these.
    unverified: rows of those asked for that are from before digests were kept.
    """

    by_hash: dict[bytes, int]
    damaged: int = 0
    unverified: int = 0

    def said(self, what: str) -> list[str]:
        """What must be known of them, in words. what: whose rows they are, as "features"."""
        lines = []
        if self.damaged:
            lines.append(
                f"{self.damaged:,} of the kept {what} are damaged, or were never finished, on the disk: what is missing is computed again"
            )
        if self.unverified:
            lines.append(f"{self.unverified:,} of the kept {what} are from before digests were kept: unverified, and used as they are")
        return lines


class KeyedRows:
    """`<name>.rows`, row_bytes each, and in the same order `<name>.keys`, a record each: a hash, and what else its owner needs to know; and
    `<name>.sums`, the digest of each record and row.

    Rows and digests are written before their keys, so that a key is never without its row. One process writes at a time, where the system
    has locks. Rows of an older version have no digest and are not computed again: of a text encoder they take hours.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        row_bytes: int,
        record_bytes: int = HASH_BYTES,
        *,
        used_bytes: Callable[[bytes], int] | None = None,
    ) -> None:
        """used_bytes: how many bytes of its row a record says that are written; all of them where None."""
        self.folder, self.row_bytes, self.record_bytes = folder, row_bytes, record_bytes
        self.rows_path, self.keys_path, self.sums_path, self.lock_path = (
            folder / f"{name}.{end}" for end in ("rows", "keys", "sums", "lock")
        )
        self.used_bytes = used_bytes or (lambda record: row_bytes)

    def count(self) -> int:
        """How many rows are whole on disk; 0 where there is no file."""
        sizes = [0, 0]
        for i, (path, unit) in enumerate(((self.keys_path, self.record_bytes), (self.rows_path, self.row_bytes))):
            with contextlib.suppress(FileNotFoundError):
                sizes[i] = path.stat().st_size // unit
        return min(sizes)

    def records(self) -> bytes:
        """The records of the rows that are whole, one after the other."""
        count = self.count()
        return self.keys_path.read_bytes()[: count * self.record_bytes] if count else b""

    def places(self, wanted: Iterable[bytes]) -> Places:
        """Where the rows under these hashes are; each is read and held against its digest."""
        records, step, sums = self.records(), self.record_bytes, b""
        with contextlib.suppress(FileNotFoundError):
            sums = self.sums_path.read_bytes()
        every: dict[bytes, list[int]] = {hash_: [] for hash_ in wanted}
        cut = self._cut(len(records) // step)
        for at in range(len(records) // step):
            record, kept = records[at * step : (at + 1) * step], sums[at * len(NONE) : (at + 1) * len(NONE)]
            if kept and kept != NONE and kept[:OF_RECORD] != cache.digest(record)[:OF_RECORD]:
                cut += 1
            elif record[:HASH_BYTES] in every:
                every[record[:HASH_BYTES]].append(at)
        firsts = sorted(places[0] for places in every.values() if places)
        places = self._judged(every, firsts, records, sums) if firsts else Places({})
        missing = len(every) - len(places.by_hash) - places.damaged
        return replace(places, damaged=places.damaged + min(cut, missing))

    def _cut(self, count: int) -> int:
        """How many rows are not whole at the end of the files: cut off, or a process was killed while it wrote them."""
        most = 0
        for path, unit in ((self.keys_path, self.record_bytes), (self.rows_path, self.row_bytes), (self.sums_path, len(NONE))):
            with contextlib.suppress(FileNotFoundError):
                most = max(most, -(-path.stat().st_size // unit))
        return most - count

    def _judged(self, every: dict[bytes, list[int]], firsts: list[int], records: bytes, sums: bytes) -> Places:
        step = self.record_bytes
        with self.rows_path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as rows:

            def sound(at: int) -> bool | None:
                """None where the row has no digest."""
                kept = sums[at * len(NONE) : (at + 1) * len(NONE)]
                if not kept or kept == NONE:
                    return None
                record = records[at * step : (at + 1) * step]
                size, start = self.used_bytes(record), at * self.row_bytes
                return size <= self.row_bytes and kept[OF_RECORD:] == cache.digest(record, rows[start : start + size])[OF_RECORD:]

            chunks = [firsts[lo : lo + AT_ONCE] for lo in range(0, len(firsts), AT_ONCE)]
            with ThreadPoolExecutor(cores()) as threads:  # digests are worked out without the interpreter's lock
                judged = dict(
                    zip(firsts, (each for chunk in threads.map(lambda c: [sound(a) for a in c], chunks) for each in chunk), strict=True)
                )
            by_hash, damaged = {}, 0
            for hash_, places in every.items():
                # a row that two processes wrote has two places: always the first that is sound, so that a resumed run reads what it read
                good = next((at for at in places if (judged[at] if at in judged else sound(at)) is not False), None)
                if good is not None:
                    by_hash[hash_] = good
                damaged += bool(places) and good is None
        return Places(by_hash, damaged, sum(judged.get(at, True) is None for at in by_hash.values()))

    def append(self, records: Sequence[bytes], rows: Iterable[memoryview | bytes]) -> int:
        """Write a row for each record, and say the number of the first. A row may be shorter than row_bytes: the rest takes no place where
        the file system can leave it out, and reads as zeros."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            first, sums = self.count(), []
            with _opened(self.rows_path) as file:
                file.truncate(first * self.row_bytes)  # what a killed writer left
                for at, (record, row) in enumerate(zip(records, rows, strict=True), first):
                    file.seek(at * self.row_bytes)
                    file.write(row)
                    sums.append(_sum(record, row))
                file.truncate((first + len(records)) * self.row_bytes)
                file.flush()
                os.fsync(file.fileno())
            for path, parts in ((self.sums_path, sums), (self.keys_path, records)):
                with _opened(path) as file:
                    unit = len(parts[0]) if parts else 1
                    file.truncate(first * unit)  # longer than it was where an older version wrote rows: their digests are zeros
                    file.seek(first * unit)
                    file.write(b"".join(parts))
                    file.flush()
                    os.fsync(file.fileno())
        return first

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self.lock_path.open("a") as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _sum(record: bytes, row: memoryview | bytes) -> bytes:
    """The digest of a record alone, so that a damaged hash is noticed without its row, and of both together."""
    return cache.digest(record)[:OF_RECORD] + cache.digest(record, row)[OF_RECORD:]


def _opened(path: Path) -> BinaryIO:
    return path.open("r+b" if path.exists() else "w+b")
