"""A file's columns, read once: a form asks for them again after every change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.datasets.tables.columns import Numbers, Unreadable, Words
from engine.datasets.tables.file import RawTable, read
from engine.datasets.tables.leakage import scores_of
from engine.datasets.tables.reading import Spelling, read_column, spelling_of
from engine.datasets.texts.lines import is_lines, read_lines
from engine.drafting.looks import ColumnLook, Leak

if TYPE_CHECKING:
    import numpy as np


@dataclass
class Judged:
    """What the leaks of a catalogue are worked out of: the columns that are fed, int64 [rows] classes, and the rows that are used."""

    columns: Sequence[Numbers | Words]
    y: np.ndarray
    classes: Sequence[str]
    usable: np.ndarray


@dataclass
class Opener:
    """Remembers the last file that was opened, and its columns as they were read."""

    stamp: tuple[object, ...] = ()
    raw: RawTable | None = None
    columns: dict[tuple[object, ...], Numbers | Words | Unreadable] = field(default_factory=dict)
    spellings: dict[tuple[str, ...], Spelling] = field(default_factory=dict)
    looks: dict[tuple[object, ...], ColumnLook] = field(default_factory=dict)
    judged: Judged | None = None

    def open(self, path: Path, encoding: str | None = None) -> RawTable:
        """As the loader reads it. MissingData, BadData."""
        status = path.stat() if path.exists() else None
        stamp = (str(path.absolute()), encoding, *((status.st_mtime_ns, status.st_size, status.st_ino) if status else ()))
        if self.raw is None or stamp != self.stamp:
            self.raw, self.judged = None, None
            for known in (self.columns, self.spellings, self.looks):
                known.clear()
            self.raw = read_lines(path, encoding) if is_lines(path, encoding) else read(path, encoding)
            self.stamp = stamp
        return self.raw

    def read(self, name: str, array: Any, where: str, forced: str | None, spelling: Spelling) -> Numbers | Words | Unreadable:
        """As `read_column`, once for each way of reading."""
        key = (name, forced, spelling)
        if key not in self.columns:
            self.columns[key] = read_column(name, array, where, forced, spelling)
        return self.columns[key]

    def spelling(self, missing: tuple[str, ...] = ()) -> Spelling:
        """The opened file's, see `spelling_of`."""
        assert self.raw is not None
        if missing not in self.spellings:
            self.spellings[missing] = spelling_of(self.raw.arrays, missing)
        return self.spellings[missing]

    def leaks(self) -> Iterator[tuple[str, Leak]]:
        """How well each column that the last catalogue feeds alone tells its label, one after the other, as the loader works it out."""
        if self.judged is not None:
            seen = self.judged
            for leak in scores_of(seen.columns, seen.y, seen.classes, seen.usable):
                yield leak.name, Leak(leak.score, leak.called, leak.why)
