"""Frozen features of a dataset's pictures, computed once an image.

They are kept on disk, one file for each frozen encoder, every image under a hash of its pixels: another split, a smaller subset or
another seed's run finds what is there already, and a computation that was interrupted goes on where it stopped.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from engine.features.kept import FeatureFile, Report, chunks, encode
from engine.features.opened import Opened
from engine.features.pixels import Pictures, images_of, size_of
from engine.milestones import NOTHING_KEPT, Milestones
from engine.models.networks.encoder import Encoder
from engine.rows import Dataset
from engine.scenario.sections import NetworkKeys
from engine.system.filesystem import cache_dir


def frozen(section: NetworkKeys, dataset: Dataset, seed: int, *, device: str = "cpu", report: Report, opened: Opened) -> Dataset:
    """The dataset of pictures with x what a network's last layer reads of each: float32 [rows, width]."""
    encoder = opened.encoder(section, len(dataset.classes), size_of(dataset.train), seed, torch.device(device))
    store = FeatureFile(cache_dir() / "features", encoder.digest, encoder.width)
    splits = [dataset.train, dataset.aux, dataset.test]
    features = store.of([images_of(rows) for rows in splits], encoder, report)
    train, aux, test = (replace(rows, x=x) for rows, x in zip(splits, features, strict=True))
    return replace(dataset, train=train, aux=aux, test=test)


def features_of(encoder: Encoder, pictures: Pictures, report: Report, milestones: Milestones = NOTHING_KEPT) -> np.ndarray:
    """float32 [pictures, width]: the frozen features of pictures that are in no dataset, as pixels 0..1. Not kept in the cache."""
    out = np.empty((len(pictures), encoder.width), np.float32)

    def some(lo: int, hi: int) -> np.ndarray:
        report("features of the moved points", lo / len(pictures))
        return encode(encoder, pictures[lo:hi])

    for lo, hi in chunks(len(pictures), encoder.network.image):
        step = milestones.step(f"features of moved points, from {lo}", lambda lo=lo, hi=hi: {"x": some(lo, hi)})  # type: ignore[misc]
        out[lo:hi] = step["x"]
    return out
