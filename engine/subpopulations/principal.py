"""Principal components of more rows and columns than a float64 copy of them would fit beside.

Block power iteration on the covariance (Halko, Martinsson, Tropp 2011, algorithm 4.4, here as X'X q so that each pass reads the rows once):
a pass over [rows, columns] costs two thin matrix products, whatever the rows' own type, and nothing as large as them is ever made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from engine.subpopulations.blocks import RowBlocks

PASSES = 6  # over the rows; the subspace's error falls with (s_beyond / s_kept) ** (2 * PASSES)
BEYOND = 20  # directions carried beside those asked for
BLOCK_CELLS = 2**24  # 64 MB of float32 at a time


@dataclass(frozen=True)
class Components:
    """mean float32 [columns]; axes float32 [columns, components], orthonormal, the most variance first."""

    mean: np.ndarray
    axes: np.ndarray

    def project(self, rows: np.ndarray | RowBlocks) -> np.ndarray:
        """float64 [rows, components] of rows [rows, columns], uint8 or floating."""
        parts = [(block - self.mean) @ self.axes for block in blocks(rows)]
        return np.concatenate(parts).astype(np.float64) if parts else np.empty((0, self.axes.shape[1]))


def blocks(rows: np.ndarray | RowBlocks) -> Iterator[np.ndarray]:
    """float32 [some rows, columns], one part after the other; pixels (uint8) come as 0 to 1."""
    step = max(1, BLOCK_CELLS // max(1, rows.shape[1]))
    if isinstance(rows, RowBlocks):
        yield from rows.blocks(step)
        return
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        yield part * np.float32(1 / 255) if part.dtype == np.uint8 else part.astype(np.float32, copy=False)


def fit(rows: np.ndarray | RowBlocks, components: int, draw: np.random.Generator) -> Components:
    """The first principal components of rows [rows, columns], components <= min of both. The same draw, the same bits (one thread)."""
    count, columns = rows.shape
    total = np.zeros(columns)
    for block in blocks(rows):
        total += block.sum(axis=0, dtype=np.float64)
    mean = (total / count).astype(np.float32)
    width = min(components + BEYOND, count, columns)
    q, _ = np.linalg.qr(draw.standard_normal((columns, width), dtype=np.float32))
    for _ in range(PASSES):
        image = np.zeros((columns, width))
        for block in blocks(rows):
            centred = block - mean
            image += centred.T @ (centred @ q)
        q = np.linalg.qr(image)[0].astype(np.float32)
    small = np.zeros((width, width))  # q' X'X q: its eigenvectors turn the subspace into components
    for block in blocks(rows):
        within = ((block - mean) @ q).astype(np.float64)
        small += within.T @ within
    _, turn = np.linalg.eigh(small)
    axes = q.astype(np.float64) @ turn[:, ::-1][:, :components]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(components)])  # a component's sign is free: its largest loading is positive
    return Components(mean, axes.astype(np.float32))
