"""Subpopulations of pictures: clusters of pixels and of what a network makes of them, their descriptions, annotations of faces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from engine import subpopulations
from engine.errors import RequestError
from engine.rows import Dataset, Rows
from engine.scenario.sections import ClusterMatchSection, FeatureMatchSection, SubpopulationsSection
from engine.subpopulations import cluster_match, principal

CLASSES = ("cat", "dog", "ship")


def pictures(n: int = 60, seed: int = 0, side: int = 8) -> Dataset:
    """Three colours of pictures; the red ones are mostly cats, the green dogs, the blue ships; brightness and age say something, too."""
    draw = np.random.default_rng(seed)

    def rows(first: int) -> Rows:
        colour = np.arange(n) % 3
        x = draw.integers(0, 60, (n, side, side, 3), dtype=np.uint8)
        x[np.arange(n), :, :, colour] += 150
        y = np.where(draw.random(n) < 0.8, colour, (colour + 1) % 3).astype(np.int64)
        frame = pd.DataFrame(
            {
                "file": [f"{CLASSES[c]}/{first + i:05d}.png" for i, c in enumerate(y)],
                "brightness": np.round(x.mean(axis=(1, 2, 3)) / 255, 3),
                "age": 15 + 25 * colour + draw.integers(0, 12, n),
                "race": np.array(["White", "Black", "Asian"])[draw.integers(0, 3, n)],
            }
        )
        return Rows(x, y, np.arange(first, first + n), frame, x)

    return Dataset("toy pictures", CLASSES, (), rows(0), rows(n), rows(2 * n))


def clusters(k: int, pca: int | None = None, layer: str = "input") -> SubpopulationsSection:
    return ClusterMatchSection(clusters=k, pca=pca, layer=layer)


@pytest.mark.parametrize("pca", [None, 5])
def test_pixels_are_clustered_alike_whether_they_are_few_or_many(pca: int | None, monkeypatch: pytest.MonkeyPatch):
    data = pictures()
    few, words, near = subpopulations.assign(clusters(3, pca), data, None, 0)
    monkeypatch.setattr(cluster_match, "FLOAT64_CELLS", 0)  # as if they were many: read as they lie, principal components by blocks
    monkeypatch.setattr(principal, "BLOCK_CELLS", 7 * 192)
    many, again, far = subpopulations.assign(clusters(3, pca), data, None, 0)
    for split in ("train", "aux", "test"):
        colour = np.arange(60) % 3
        for found in (getattr(few, split), getattr(many, split)):
            assert len({(c, f) for c, f in zip(colour, found, strict=True)}) == 3
    assert sorted(words) == sorted(again)
    assert near is not None
    assert far is not None
    assert near.dtype == far.dtype == np.float32
    np.testing.assert_allclose(near, far, rtol=2e-3 if pca is None else 0.05)  # noise has no order of components


def test_the_layer_is_what_represent_makes_of_the_rows_one_split_at_a_time():
    data = pictures()
    asked: list[int] = []

    def pool(rows: Rows) -> np.ndarray:
        asked.append(len(rows))
        return rows.images[:, ::4, ::4].astype(np.float32)  # type: ignore[index]  # [rows, 2, 2, 3], as a pooling layer's

    membership, _, distance_A = subpopulations.assign(clusters(3, layer="pool2"), data, pool, 0)
    assert np.bincount(membership.aux).tolist() == [20, 20, 20]
    assert asked == [1, 60, 60, 60]  # one row first, for its width
    assert distance_A is not None
    flat = data.aux.x[:, ::4, ::4].reshape(60, -1).astype(np.float64)
    centre = np.stack([flat[membership.aux == c].mean(axis=0) for c in range(3)])
    np.testing.assert_allclose(distance_A, np.linalg.norm(flat - centre[membership.aux], axis=1), rtol=1e-5)


def test_principal_components_by_blocks_are_the_principal_components(monkeypatch: pytest.MonkeyPatch):
    draw = np.random.default_rng(3)
    x = (draw.standard_normal((300, 12)) * 0.6 ** np.arange(12) @ draw.standard_normal((12, 90)) + 5).astype(np.float32)
    monkeypatch.setattr(principal, "BLOCK_CELLS", 17 * 90)
    found = principal.fit(x, 6, np.random.default_rng(0))
    centred = x - x.mean(axis=0, dtype=np.float64)
    _, _, exact = np.linalg.svd(centred, full_matrices=False)
    overlap = np.abs((found.axes * exact[:6].T).sum(axis=0))
    np.testing.assert_allclose(overlap, 1, atol=1e-4)
    np.testing.assert_allclose(np.abs(found.project(x)), np.abs(centred @ exact[:6].T), atol=2e-2)
    again = principal.fit(x, 6, np.random.default_rng(0))
    assert np.array_equal(found.axes, again.axes)
    assert np.abs(principal.fit(x, 6, np.random.default_rng(9)).axes - found.axes).max() < 1e-3  # another draw, the same components
    assert principal.fit(x[:4], 4, np.random.default_rng(0)).axes.shape == (90, 4)


def test_what_would_not_fit_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch):
    data = pictures()
    monkeypatch.setattr(cluster_match, "_free_bytes", lambda: 60 * 192 * 4)
    with pytest.raises(RequestError, match=r"60 rows of 192 columns .* set subpopulations.pca \(40, say\)"):
        subpopulations.assign(clusters(3), data, None, 0)
    subpopulations.assign(clusters(3, 5), data, None, 0)  # read where they lie

    def wide(rows: Rows) -> np.ndarray:
        assert len(rows) == 1
        return np.zeros((1, 200), np.float32)

    with pytest.raises(RequestError, match=r"60 rows of 200 columns .* later layer"):
        subpopulations.assign(clusters(3, 5, "pool1"), data, wide, 0)


# ---- descriptions ---------------------------------------------------------------------------------------------------


def test_of_pictures_the_classes_are_said_first_and_files_never():
    data = pictures(120)
    membership, words, _ = subpopulations.assign(clusters(3), data, None, 0)
    for index, text in enumerate(words):
        mine = data.aux.y[membership.aux == index]
        first = CLASSES[int(np.bincount(mine).argmax())]
        share = (mine == CLASSES.index(first)).mean()
        assert text.startswith(f"mostly {first} ({100 * share:.0f} %)"), text
        assert ".png" not in text
        assert "age" in text


def test_a_cluster_of_one_class_or_of_several_reads_well():
    data = pictures()
    of_aux = np.zeros(60, np.int32)
    y = np.array([0] * 58 + [1] * 2, np.int64)
    bare = pd.DataFrame({"file": [f"{i}.png" for i in range(60)]})

    def said(y: np.ndarray) -> str:
        return subpopulations.cluster_match.describe(replace(data, aux=replace(data.aux, y=y, frame=bare)), of_aux, 1)[0]

    assert said(y) == "cat"
    assert said(np.array([0] * 40 + [1] * 20)) == "mostly cat (67 %), dog"
    assert said(np.arange(60) % 3) == "cat (33 %), dog, ship"


def test_a_column_that_repeats_the_class_is_not_said_again():
    data = pictures()
    frame = pd.DataFrame(
        {
            "kind of": np.array(CLASSES)[data.aux.y],
            "gender": np.array(["male", "female", "other one"])[data.aux.y],
            "age": data.aux.frame["age"],
        }
    )
    data = replace(data, aux=replace(data.aux, frame=frame))
    _, words, _ = subpopulations.assign(clusters(3), data, None, 0)
    assert all("male" not in text and "other one" not in text and "kind of" not in text for text in words)
    assert {text.split()[1] for text in words} == set(CLASSES)  # bare, though a column has the same levels


# ---- FeatureMatch ---------------------------------------------------------------------------------------------------


def test_faces_are_matched_by_race_and_age():
    data = pictures(90)
    section = FeatureMatchSection(features=("race", "age"), bins={"age": (30, 45, 60)})
    membership, words, distance_A = subpopulations.assign(section, data, None, 0)
    assert distance_A is None
    assert "Asian, age 45–59" in words
    assert "White, age 60+" in words
    for row, index in zip(data.aux.frame.itertuples(), membership.aux, strict=True):
        assert words[index].startswith(f"{row.race}, ")
        assert words[index].endswith("under 30" if row.age < 30 else "30–44" if row.age < 45 else "45–59" if row.age < 60 else "60+")
