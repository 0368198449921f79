"""Tiny picture files and archives in every layout, for the tests of datasets."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.datasets import cifar10
from engine.datasets.files.fetching import Source
from engine.datasets.pictures import batches as cifar10_batches
from engine.datasets.pictures.batches import CLASSES
from engine.rows import Dataset, Rows


def pixels(seed: int, size: int | tuple[int, int] = 32) -> np.ndarray:
    """uint8 [height, width, 3], noise around a colour of its own."""
    height, width = (size, size) if isinstance(size, int) else size
    rng = np.random.default_rng(seed)
    return np.clip(rng.integers(40, 215, 3) + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)


def coded(array: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    """As a picture file; PNG keeps every pixel."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind, **options)
    return file.getvalue()


def face(seed: int, age: int, gender: int, race: int) -> tuple[str, bytes]:
    return f"{age}_{gender}_{race}_2017011622{seed:07d}.jpg.chip.jpg", coded(pixels(seed, 40), "JPEG")


def cifar_tree(train: int = 6, test: int = 2) -> dict[str, bytes]:
    """path -> bytes, so many pictures a class; pixels told by the picture's number."""
    return {
        f"{split}/{name}/{number:04d}.png": coded(pixels(1000 * (split == "test") + 100 * place + number))
        for split, count in (("train", train), ("test", test))
        for place, name in enumerate(CLASSES)
        for number in range(count)
    }


def official_batch(seed: int, rows: int, protocol: int = 2, text: bool = False) -> bytes:
    """A batch as the official archive holds them: every key and name bytes (or text), pixels a uint8 array [rows, 3072]."""
    rng = np.random.default_rng(seed)
    said: Mapping[Any, Any] = {
        "batch_label": f"batch {seed}",
        "labels": [int(label) for label in np.arange(rows) % 10],
        "data": rng.integers(0, 256, (rows, 3072)).astype(np.uint8),
        "filenames": [f"thing_s_{seed:02d}{row:04d}.png" for row in range(rows)],
    }
    if not text:
        said = {key.encode(): [f.encode() for f in value] if key == "filenames" else value for key, value in said.items()}
    return pickle.dumps(said, protocol)


def official_files(rows: int = 20) -> dict[str, bytes]:
    names = [*cifar10_batches.MD5]
    files = {f"{cifar10_batches.FOLDER}/{name}": official_batch(place, rows) for place, name in enumerate(names)}
    return {f"{cifar10_batches.FOLDER}/readme.html": b"<html>", f"{cifar10_batches.FOLDER}/batches.meta": b"\x80\x02N.", **files}


def packed(files: Mapping[str, bytes], path: Path, mode: str = "w:gz") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def unpacked(files: Mapping[str, bytes], folder: Path) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def official_source(monkeypatch: pytest.MonkeyPatch, archive: bytes) -> Source:
    """The program takes this archive for the official one."""
    official = cifar10.ARCHIVE
    source = Source(official.folder, official.name, hashlib.md5(archive).hexdigest(), len(archive), official.base, official.page)
    monkeypatch.setattr(cifar10, "ARCHIVE", source)
    monkeypatch.setattr(cifar10, "SOURCES", (source,))
    return source


def splits(dataset: Dataset) -> tuple[Rows, Rows, Rows]:
    return dataset.train, dataset.aux, dataset.test


def assert_pictures(dataset: Dataset, size: int) -> None:
    """Every promise of a dataset of pictures."""
    ids = np.concatenate([rows.ids for rows in splits(dataset)])
    assert len(np.unique(ids)) == len(ids)
    assert dataset.feature_names == ()
    for rows in splits(dataset):
        assert rows.x is rows.images
        assert type(rows.x) is np.ndarray  # in memory, not mapped
        assert rows.x.dtype == np.uint8
        assert rows.x.shape == (len(rows), size, size, 3)
        assert rows.y.dtype == rows.ids.dtype == np.int64
        assert list(rows.frame.index) == list(range(len(rows)))
        assert set(np.unique(rows.y)) <= set(range(len(dataset.classes)))
    files = np.concatenate([rows.frame["file"] for rows in splits(dataset)])
    assert len(set(files)) == len(files)
