"""What a model reads of a dataset's pictures: the pictures, their pixels as numbers, or frozen features, computed once an image.

Features are kept on disk, one file for each frozen encoder, every image under a hash of its pixels: another split, a smaller subset or
another seed's run finds what is there already, and a computation that was interrupted goes on where it stopped.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from engine.features.kept import FeatureFile, Report, chunks, encode
from engine.models import build as models
from engine.rows import Dataset, Rows
from engine.scenario.sections import DenseKeys, ModelSection, NetworkKeys
from engine.system.filesystem import cache_dir


def seen_by(section: ModelSection, dataset: Dataset, seed: int, *, device: str = "cpu", report: Report) -> Dataset:
    """The dataset as this model reads it: x is made of the images where there are any, and is left as it is where there are none."""
    if dataset.train.images is None:
        return dataset
    if isinstance(section, NetworkKeys) and section.tune == "last_layer":
        encoder = models.encoder(section, classes=len(dataset.classes), image=_size(dataset.train), seed=seed).to(torch.device(device))
        store = FeatureFile(cache_dir() / "features", encoder.digest, encoder.width)
        splits = [dataset.train, dataset.aux, dataset.test]
        features = store.of([_images(rows) for rows in splits], encoder, report)
        seen = [replace(rows, x=x) for rows, x in zip(splits, features, strict=True)]
    elif isinstance(section, DenseKeys):
        seen = [replace(rows, x=flat_pixels(rows)) for rows in (dataset.train, dataset.aux, dataset.test)]
    else:
        seen = [replace(rows, x=_images(rows)) for rows in (dataset.train, dataset.aux, dataset.test)]
    return replace(dataset, train=seen[0], aux=seen[1], test=seen[2])


def flat_pixels(rows: Rows) -> np.ndarray:
    """float32 [rows, height x width x 3], the pixels of pictures in -0.5..0.5."""
    return np.subtract(_images(rows).reshape(len(rows), -1) / np.float32(255), np.float32(0.5), dtype=np.float32)


def flat_moved(pictures: Pictures) -> np.ndarray:
    """float32 [pictures, height x width x 3]: the same of pictures that are in no dataset."""
    return pictures[:].reshape(len(pictures), -1) - np.float32(0.5)


def features_of(section: NetworkKeys, dataset: Dataset, seed: int, pictures: Pictures, *, device: str, report: Report) -> np.ndarray:
    """float32 [pictures, width]: the frozen features of pictures that are in no dataset, as pixels 0..1. Not kept on disk."""
    encoder = models.encoder(section, classes=len(dataset.classes), image=_size(dataset.train), seed=seed).to(torch.device(device))
    out = np.empty((len(pictures), encoder.width), np.float32)
    for lo, hi in chunks(len(pictures), _size(dataset.train)):
        report("features of the moved points", lo / len(pictures))
        out[lo:hi] = encode(encoder, pictures[lo:hi])
    return out


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


def _size(rows: Rows) -> tuple[int, int]:
    height, width = _images(rows).shape[1:3]
    return int(height), int(width)


def _images(rows: Rows) -> np.ndarray:
    assert rows.images is not None
    return rows.images
