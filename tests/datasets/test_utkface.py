"""Faces by their names, and one's own folders of pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine import datasets
from engine.datasets import utkface
from engine.datasets.pictures.decoding import LeftOut
from engine.errors import BadData, MissingData
from engine.scenario.sections import UtkfaceSection
from tests.worlds.pictures import assert_pictures, face, packed, splits, unpacked

FACES = dict(face(seed, 15 + seed % 80, seed % 2, seed % 5) for seed in range(100))
UTKFACE = UtkfaceSection(image_size=32)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SUBPOP_CACHE", str(tmp_path / "cache"))


def test_faces_packed_and_unpacked(tmp_path: Path) -> None:
    packed({f"UTKFace/{name}": data for name, data in FACES.items()}, tmp_path / "a" / "utkface" / "UTKFace.tar.gz")
    unpacked(FACES, tmp_path / "b" / "utkface" / "UTKFace")
    one, other = (datasets.load(UTKFACE, 0, tmp_path / place) for place in "ab")
    assert_pictures(one, 32)
    assert one.classes == ("male", "female")
    assert [len(rows) for rows in splits(one)] == [35, 35, 30]
    for rows, same in zip(splits(one), splits(other), strict=True):
        assert (rows.ids == same.ids).all()
        assert (rows.x == same.x).all()
        frame = rows.frame
        for place in range(len(rows)):
            age, gender, race, _ = frame["file"][place].split("_")
            assert frame["age"][place] == int(age)
            assert rows.y[place] == int(gender)
            assert frame["gender"][place] == one.classes[int(gender)]
            assert frame["race"][place] == ("White", "Black", "Asian", "Indian", "Other")[int(race)]
    assert list(one.train.frame.columns)[:3] == ["age", "race", "gender"]
    assert one.train.frame["age"].dtype == np.int64
    assert one.deviations == (
        "100 of about 20,054 faces are here, split in proportion",
        "images brought to 32×32 (the paper's are 100×100)",
    )
    again = datasets.load(UTKFACE, 1, tmp_path / "a")
    assert (again.train.ids != one.train.ids).any()
    assert datasets.load(UtkfaceSection(), 0, tmp_path / "a").train.x.shape[1:] == (100, 100, 3)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("39_1_20170116174525125.jpg.chip.jpg", utkface.NO_RACE),
        ("14_1_0_20170116174525125.jpg.chip.jpg", utkface.TOO_YOUNG),
        ("20_3_1_20170109150557335.jpg.chip.jpg", utkface.NO_NAME),
        ("20_1_7_20170109150557335.jpg.chip.jpg", utkface.NO_NAME),
        ("999_1_1_20170109150557335.jpg", utkface.NO_NAME),
        ("readme.txt", utkface.NO_NAME),
        ("._20_1_1_20170109150557335.jpg", utkface.NO_NAME),
    ],
)
def test_names_that_are_left_out(name: str, why: str) -> None:
    with pytest.raises(LeftOut, match=why):
        utkface.face(f"UTKFace/{name}")


@pytest.mark.parametrize(
    "name", ["55_0_0_20170116232725357jpg.chip.jpg", "24_0_1_20170116220224657 .jpg.chip.jpg", "15_1_4_20170116220224657.jpg"]
)
def test_odd_names_of_the_real_archive_are_faces(name: str) -> None:
    assert utkface.face(f"some/where/{name}") == name


def test_where_there_are_enough_the_counts_are_the_papers() -> None:
    y = np.arange(20_054) % 2
    parts, deviations = utkface._split(y, 0)
    assert [len(part) for part in parts] == [7000, 7000, 6054]
    assert len(np.unique(np.concatenate(parts))) == 20_054
    assert [int(y[part].sum()) for part in parts] == [3500, 3500, 3027]
    assert deviations == ()


def test_missing_faces(tmp_path: Path) -> None:
    assert not datasets.state("utkface", tmp_path).present
    for ask in (lambda: datasets.load(UTKFACE, 0, tmp_path), lambda: datasets.fetch("utkface", tmp_path)):
        with pytest.raises(MissingData) as caught:
            ask()
        for part in ("https://susanqq.github.io/UTKFace/", f"put it at {tmp_path / 'utkface' / 'UTKFace.tar.gz'}", "$SUBPOP_DATA"):
            assert part in str(caught.value)
    unpacked({"readme.txt": b""}, tmp_path / "utkface" / "UTKFace")
    assert datasets.state("utkface", tmp_path).present
    assert datasets.fetch("utkface", tmp_path) == (tmp_path / "utkface" / "UTKFace",)
    with pytest.raises(BadData, match="has 0 faces that can be used"):
        datasets.load(UTKFACE, 0, tmp_path)
