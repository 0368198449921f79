"""The real CIFAR-10 and UTKFace, wherever they are here: their counts are the paper's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine import datasets
from engine.rows import Dataset
from tests.worlds import sections
from tests.worlds.pictures import assert_pictures, splits


def load(kind: str, root: Path, **keys: object) -> Dataset:
    if not datasets.state(kind, root).present:
        pytest.skip(f"no {kind} in {root}")
    return datasets.load(sections.dataset(**{"kind": kind, **keys}), 0, root)


def test_cifar10(shared_data: Path) -> None:
    dataset = load("cifar10", shared_data)
    assert_pictures(dataset, 32)
    assert [len(rows) for rows in splits(dataset)] == [25_000, 25_000, 10_000]
    assert [np.bincount(rows.y).tolist() for rows in splits(dataset)] == [[2500] * 10, [2500] * 10, [1000] * 10]
    assert all("of 50,000" not in deviation for deviation in dataset.deviations)
    assert not any("left out" in note for note in dataset.notes)
    sliver = load("cifar10", shared_data, rows=200)
    assert [len(rows) for rows in splits(sliver)] == [200, 200, 200]
    assert set(sliver.train.ids) < set(dataset.train.ids)
    row = int(np.flatnonzero(dataset.train.ids == sliver.train.ids[7])[0])
    assert (sliver.train.x[7] == dataset.train.x[row]).all()
    assert (sliver.train.frame.iloc[7] == dataset.train.frame.iloc[row]).all()
    blue = {name: float(np.mean(dataset.train.frame["warmth"][dataset.train.y == dataset.classes.index(name)] == "cool"))
            for name in ("ship", "deer")}  # fmt: skip
    assert blue["ship"] > 2 * blue["deer"]  # the sea is blue, the forest is not


def test_utkface(shared_data: Path) -> None:
    dataset = load("utkface", shared_data)
    assert_pictures(dataset, 100)
    assert [len(rows) for rows in splits(dataset)] == [7_000, 7_000, 6_054]
    assert dataset.deviations == ()
    assert any(note.startswith("left out, no race in the name: 3 files (") for note in dataset.notes)
    young = next(note for note in dataset.notes if "younger than 15" in note)
    assert 20_054 + 3 + int(young.split(": ")[1].split(" ")[0].replace(",", "")) == 23_707
    ages = np.concatenate([rows.frame["age"] for rows in splits(dataset)])
    assert (ages.min(), ages.max()) == (15, 116)
    shares = [float(rows.y.mean()) for rows in splits(dataset)]
    assert max(shares) - min(shares) < 0.001
    assert set(dataset.test.frame["race"]) == {"White", "Black", "Asian", "Indian", "Other"}
    old = (dataset.test.frame["age"] > 60) & (dataset.test.frame["race"] == "Other")
    assert 1 <= int(old.sum()) < 60  # the paper's smallest group
