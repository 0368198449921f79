"""Rows of features wider than memory: made a part of the rows at a time, anew each time they are read, and never held as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from engine.errors import RequestError
from engine.rows import Rows

AT_ONCE = 256  # rows, where the whole is asked for


@dataclass(frozen=True)
class InBlocks:
    """What a model makes of rows. represent: some rows -> float32 [rows, columns]; report: (what is being done, share done of one reading).

    Called with rows it makes all of them at once, [rows, columns], as any other representation; `of` makes them as they are read.
    """

    represent: Callable[[Rows], np.ndarray]
    report: Callable[[str, float], None]

    def __call__(self, rows: Rows) -> np.ndarray:
        first = self.represent(rows.take(np.arange(min(1, len(rows)))))
        whole = np.empty((len(rows), first.shape[1]), np.float32)
        at = 0
        for block in self._blocks(rows, AT_ONCE):
            whole[at : at + len(block)] = block
            at += len(block)
        return whole

    def of(self, rows: Rows, columns: int) -> RowBlocks:
        """The rows as they are read, columns wide."""
        return RowBlocks((len(rows), columns), lambda step: self._blocks(rows, step))

    def _blocks(self, rows: Rows, step: int) -> Iterator[np.ndarray]:
        for start in range(0, len(rows), step):
            self.report("representing the texts", start / len(rows))
            yield self.represent(rows.take(np.arange(start, min(start + step, len(rows)))))


@dataclass(frozen=True)
class RowBlocks:
    """float32 [rows, columns] of this shape, by so many rows at a time. RequestError, as they are read, where a number is not finite."""

    shape: tuple[int, int]
    made: Callable[[int], Iterator[np.ndarray]]

    def __len__(self) -> int:
        return self.shape[0]

    def blocks(self, step: int) -> Iterator[np.ndarray]:
        for block in self.made(step):
            if bad := int((~np.isfinite(block)).any(axis=1).sum()):
                raise not_finite(bad, "at least ")
            yield block


def not_finite(rows: int, about: str = "") -> RequestError:
    """The error about rows that no cluster can be formed of."""
    return RequestError(
        f"{about}{rows:,} rows have features that are not finite numbers",
        where="subpopulations",
        next="clean the data, or lower model.lr if the hidden layer diverged",
    )
