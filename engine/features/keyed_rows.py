"""Rows on disk, each under a hash, only ever appended to: what is expensive to compute is computed once, over interruptions too."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

HASH_BYTES = 16


class KeyedRows:
    """`<name>.rows`, row_bytes each, and `<name>.keys`, in the same order a record each: a hash, and what else its owner needs to know.

    Rows are written before their keys, so that a key is never without its row. One process writes at a time, where the system has locks.
    """

    def __init__(self, folder: Path, name: str, row_bytes: int, record_bytes: int = HASH_BYTES) -> None:
        self.folder, self.row_bytes, self.record_bytes = folder, row_bytes, record_bytes
        self.rows_path, self.keys_path, self.lock_path = (folder / f"{name}.{end}" for end in ("rows", "keys", "lock"))

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

    def places(self) -> dict[bytes, int]:
        """Hash -> number of its row."""
        records, step = self.records(), self.record_bytes
        # a row that two processes wrote has two places: always the first, so that a resumed run reads what it read before
        return {records[i * step : i * step + HASH_BYTES]: i for i in reversed(range(len(records) // step))}

    def append(self, records: Sequence[bytes], rows: Iterable[memoryview | bytes]) -> int:
        """Write a row for each record, and say the number of the first. A row may be shorter than row_bytes: the rest takes no place where
        the file system can leave it out, and reads as zeros."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            first = self.count()
            with _opened(self.rows_path) as file:
                file.truncate(first * self.row_bytes)  # what a killed writer left
                for at, row in enumerate(rows, first):
                    file.seek(at * self.row_bytes)
                    file.write(row)
                file.truncate((first + len(records)) * self.row_bytes)
                file.flush()
                os.fsync(file.fileno())
            with _opened(self.keys_path) as file:
                file.truncate(first * self.record_bytes)
                file.seek(first * self.record_bytes)
                file.write(b"".join(records))
                file.flush()
                os.fsync(file.fileno())
        return first

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self.lock_path.open("a") as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _opened(path: Path) -> BinaryIO:
    return path.open("r+b" if path.exists() else "w+b")
