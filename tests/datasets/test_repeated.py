"""Rows and pictures that stand in train and in test are counted, for every kind of data."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine import datasets
from engine.account.data import Repeated
from engine.datasets.repeated import repeated_of
from engine.rows import Dataset, Rows
from tests.worlds import sections
from tests.worlds.pictures import coded, pixels, unpacked
from tests.worlds.tables import loaded, noted, people


def counted_by_hand(dataset: Dataset) -> tuple[int, int]:
    """Test rows whose features are a train row's; those of them of which no such train row has their label."""
    train: dict[bytes, set[int]] = {}
    for x, y in zip(dataset.train.x, dataset.train.y, strict=True):
        train.setdefault(x.tobytes(), set()).add(int(y))
    homes = [(train.get(x.tobytes()), int(y)) for x, y in zip(dataset.test.x, dataset.test.y, strict=True)]
    return sum(home is not None for home, _ in homes), sum(home is not None and y not in home for home, y in homes)


def test_rows_of_a_table(tmp_path: Path) -> None:
    dataset = loaded(tmp_path, pd.concat([people(40)] * 5))
    same, other = counted_by_hand(dataset)
    assert same >= 35
    more = f", {other} of them with another label there" if other else ""
    assert f"the same row in every feature in train: {same} test rows of 40{more}" in noted(dataset)
    rng = np.random.default_rng(0)
    assert "the same row" not in noted(loaded(tmp_path, people(300).assign(z=rng.normal(0, 1, 300))))


def test_rows_of_a_split_column_and_with_another_label(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = people(300).assign(z=rng.normal(0, 1, 300), part=np.array(["train", "aux", "test"])[np.arange(300) % 3])
    again = table[table.part == "train"].head(17).assign(part="test")
    turned = again.head(5).assign(y=lambda t: np.where(t.y == "no", "yes", "no"))
    dataset = loaded(tmp_path, pd.concat([table, again.tail(12), turned]), split_column="part")
    assert counted_by_hand(dataset) == (17, 5)
    assert "the same row in every feature in train: 17 test rows of 117, 5 of them with another label there" in noted(dataset)


def test_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBPOP_CACHE", str(tmp_path / "cache"))
    files = {f"{split}/{name}/{k}.png": coded(pixels(1000 * p + k + (500 if split == "test" and k > 2 else 0), 16))
             for split in ("train", "test") for p, name in enumerate(("ant", "bee")) for k in range(20)}  # fmt: skip
    path = unpacked(files, tmp_path / "insects")
    dataset = datasets.load(sections.dataset(kind="image_folder", path=path, image_size=16), 0, tmp_path)
    train = {picture.tobytes() for picture in dataset.train.x}
    same = sum(picture.tobytes() in train for picture in dataset.test.x)
    assert 1 <= same <= 6  # the others of the six are in aux
    plural = "" if same == 1 else "s"
    assert f"the same picture pixel for pixel in train: {same} test picture{plural} of 40" in noted(dataset)


def test_a_zero_and_its_negative_are_one_and_no_feature_tells_nothing() -> None:
    def of(values: list[list[float]]) -> Rows:
        x = np.array(values, np.float32).reshape(len(values), -1)
        return Rows(x, np.zeros(len(x), np.int64), np.arange(len(x)), pd.DataFrame(index=range(len(x))))

    rows = of([[0.0, 1.0], [2.0, 1.0]]), of([[5.0, 5.0]]), of([[-0.0, 1.0], [1.0, 2.0], [1.0, 0.0]])
    assert repeated_of(Dataset("table", ("a", "b"), ("p", "q"), *rows)) == Repeated("row in every feature", 1, 0, 0, 0)
    assert repeated_of(Dataset("table", ("a", "b"), (), *(of([[]]) for _ in range(3)))) is None


def test_many_rows_take_a_moment() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (300_000, 60)).astype(np.float32)
    x[200_000:200_050] = x[:50]
    parts = [Rows(part, np.zeros(len(part), np.int64), np.arange(len(part)), pd.DataFrame(index=range(len(part))))
             for part in (x[:200_000], x[:1], x[200_000:])]  # fmt: skip
    start = time.process_time()
    assert repeated_of(Dataset("table", ("a", "b"), tuple(map(str, range(60))), *parts)) == Repeated("row in every feature", 50, 0, 1, 1)
    assert time.process_time() - start < 5
