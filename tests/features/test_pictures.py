"""Frozen features: once an image, whatever split or subset asks, over kills, full disks and other processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.features.kept import HASH_BYTES, FeatureFile
from engine.features.pixels import Pictures

WIDTH = 5


class Fake:
    """An encoder that counts what it is asked: the mean and extremes of each picture."""

    digest, width = "fake", WIDTH

    def __init__(self) -> None:
        self.asked = 0

    def pixels(self, x: torch.Tensor) -> torch.Tensor:
        return x.float() / 255

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        self.asked += len(pixels)
        flat = pixels.flatten(1)
        return torch.stack([flat.mean(1), flat.amin(1), flat.amax(1), flat[:, 0], flat[:, -1]], 1)


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


def of(folder: Path, splits: list[np.ndarray], encoder: Fake) -> list[np.ndarray]:
    return FeatureFile(folder, "fake", WIDTH).of(splits, encoder, lambda what, share: None)  # type: ignore[arg-type]


def straight(images: np.ndarray) -> np.ndarray:
    found: np.ndarray = Fake().features(Fake().pixels(torch.from_numpy(images))).numpy()
    return found


def test_an_image_is_computed_once_whatever_split_asks(tmp_path: Path) -> None:
    images, encoder = pictures(40), Fake()
    train, aux = of(tmp_path, [images[:25], images[25:]], encoder)
    np.testing.assert_array_equal(np.concatenate([train, aux]), straight(images))
    assert encoder.asked == 40
    mixed = np.concatenate([images[30:], images[:5], pictures(3, seed=9), images[:1]])
    [again] = of(tmp_path, [mixed], encoder)
    np.testing.assert_array_equal(again, straight(mixed))
    assert encoder.asked == 43


def test_the_same_image_twice_is_computed_once(tmp_path: Path) -> None:
    images, encoder = pictures(6), Fake()
    found = of(tmp_path, [images[[0, 1, 1, 2]], images[[2, 3, 3]]], encoder)
    np.testing.assert_array_equal(np.concatenate(found), straight(images[[0, 1, 1, 2, 2, 3, 3]]))
    assert encoder.asked == 4


@pytest.mark.parametrize("cut", ["rows", "keys", "both"])
def test_what_a_killed_writer_left_is_cut_off(tmp_path: Path, cut: str) -> None:
    images, encoder = pictures(30), Fake()
    of(tmp_path, [images[:20]], encoder)
    if cut in ("rows", "both"):
        with (tmp_path / "fake.rows").open("ab") as file:
            file.write(b"\x01" * (4 * WIDTH + 3))  # rows whose keys were never written
    if cut in ("keys", "both"):
        with (tmp_path / "fake.keys").open("ab") as file:
            file.write(b"\x02" * (HASH_BYTES // 2))
    [found] = of(tmp_path, [images], encoder)
    np.testing.assert_array_equal(found, straight(images))
    assert encoder.asked == 30
    [again] = of(tmp_path, [images], encoder)
    np.testing.assert_array_equal(again, straight(images))
    assert encoder.asked == 30


def test_two_processes_that_write_the_same_do_not_spoil_it(tmp_path: Path) -> None:
    images = pictures(30)
    first, second = FeatureFile(tmp_path, "fake", WIDTH), FeatureFile(tmp_path, "fake", WIDTH)
    keys = [bytes([i]) * HASH_BYTES for i in range(3)]
    rows = np.arange(3 * WIDTH, dtype=np.float32).reshape(3, WIDTH)
    first._append(list(zip(keys, rows, strict=True)))
    second._append(list(zip(keys[:2], rows[:2], strict=True)))
    [found] = of(tmp_path, [images], Fake())
    np.testing.assert_array_equal(found, straight(images))


def test_an_interruption_keeps_what_was_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.features.kept.PIXELS_AT_ONCE", 8 * 64)
    monkeypatch.setattr("engine.features.kept.CHUNKS_A_WRITE", 1)
    images, encoder = pictures(40), Fake()

    def report(what: str, share: float) -> None:
        if encoder.asked >= 24:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FeatureFile(tmp_path, "fake", WIDTH).of([images], encoder, report)  # type: ignore[arg-type]
    assert encoder.asked == 24
    [found] = of(tmp_path, [images], encoder)
    np.testing.assert_array_equal(found, straight(images))
    assert encoder.asked == 40


def test_where_nothing_can_be_kept_it_is_computed_all_the_same(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    [found] = of(blocked / "features", [pictures(10)], Fake())
    np.testing.assert_array_equal(found, straight(pictures(10)))


def test_moved_pictures_are_made_as_they_are_asked_for() -> None:
    pool = pictures(4)
    delta = np.random.default_rng(1).integers(-127, 128, (3, 8, 8, 3)).astype(np.int8)
    moved = Pictures(pool, np.array([2, 0, 2]), delta, 0.01 / 127)
    assert len(moved) == 3
    for at, row in enumerate((2, 0, 2)):
        want = np.clip(pool[row] / np.float32(255) + delta[at] * np.float32(0.01 / 127), 0, 1)
        np.testing.assert_allclose(moved[at : at + 1][0], want, atol=1e-7)
    assert np.abs(moved[0:3] - pool[[2, 0, 2]] / np.float32(255)).max() <= 0.01 + 1e-6
    assert moved[0:3].dtype == np.float32
