"""Pictures as rows of numbers, and pictures whose pixels were moved. No network is needed for either."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from engine.rows import Dataset, Rows


def read_as(dataset: Dataset, x_of: Callable[[Rows], np.ndarray]) -> Dataset:
    """The dataset with x made of its pictures; left as it is where there are none."""
    if dataset.train.images is None:
        return dataset
    train, aux, test = (replace(rows, x=x_of(rows)) for rows in (dataset.train, dataset.aux, dataset.test))
    return replace(dataset, train=train, aux=aux, test=test)


def images_of(rows: Rows) -> np.ndarray:
    """The pictures themselves, uint8 [rows, height, width, 3]."""
    assert rows.images is not None
    return rows.images


def size_of(rows: Rows) -> tuple[int, int]:
    """Height and width of the pictures, pixels."""
    height, width = images_of(rows).shape[1:3]
    return int(height), int(width)


def flat_pixels(rows: Rows) -> np.ndarray:
    """float32 [rows, height x width x 3], the pixels of pictures in -0.5..0.5."""
    return np.subtract(images_of(rows).reshape(len(rows), -1) / np.float32(255), np.float32(0.5), dtype=np.float32)


def flat_moved(pictures: Pictures) -> np.ndarray:
    """float32 [pictures, height x width x 3]: the same of pictures that are in no dataset."""
    return pictures[:].reshape(len(pictures), -1) - np.float32(0.5)


class Pictures:
    """Copies of a pool's pictures with their pixels moved, made as they are asked for: float32 [points, height, width, 3], 0..1."""

    def __init__(self, pool: np.ndarray, rows: np.ndarray, delta: np.ndarray, unit: float) -> None:
        """pool uint8 [rows, height, width, 3]; rows int64 [points] into it; delta int8 [points, ...], in units of `unit`."""
        self.pool, self.rows, self.delta, self.unit = pool, rows, delta, unit

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        moved = self.pool[self.rows[index]] / np.float32(255) + self.delta[index] * np.float32(self.unit)
        return np.clip(moved, 0.0, 1.0, dtype=np.float32)
