"""Shifts and flips, against a picture moved by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.training.augmentation import Draws, apply, draws

CPU = torch.device("cpu")


def by_hand(picture: np.ndarray, dy: int, dx: int, flip: bool) -> np.ndarray:
    """Pad with the edge, cut the moved window out, mirror."""
    height, width = picture.shape[:2]
    pad = max(height, width)
    padded = np.pad(picture, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    moved = padded[pad - dy : pad - dy + height, pad - dx : pad - dx + width]
    return moved[:, ::-1] if flip else moved


@pytest.mark.parametrize("shape", [(9, 9), (8, 13)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64])
def test_pictures_are_moved_with_their_edges_repeated_then_mirrored(shape: tuple[int, int], dtype):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (40, *shape, 3))
    dy, dx, flip = rng.integers(-4, 5, 40), rng.integers(-4, 5, 40), rng.random(40) < 0.5
    before = torch.from_numpy(x).to(dtype)
    out = apply(before, Draws(torch.from_numpy(dy), torch.from_numpy(dx), torch.from_numpy(flip)))
    assert out.dtype == dtype
    assert torch.equal(before, torch.from_numpy(x).to(dtype))
    for i in range(40):
        np.testing.assert_array_equal(out[i].numpy(), by_hand(x[i], dy[i], dx[i], flip[i]))


def test_draws_are_even_over_an_eighth_of_each_side():
    how = draws(0, 1, 2, 20_000, (32, 16), "clean rows", CPU)
    for shift, most in ((how.dy, 4), (how.dx, 2)):
        values, counts = shift.unique(return_counts=True)
        assert values.tolist() == list(range(-most, most + 1))
        assert float(counts.min()) > 0.9 * 20_000 / (2 * most + 1)
    assert abs(float(how.flip.double().mean()) - 0.5) < 0.02


def test_fewer_points_get_the_first_of_more_points_draws():
    many, few = (draws(0, 1, 2, n, (32, 32), "poison points", CPU) for n in (200, 50))
    assert torch.equal(many.dy[:50], few.dy)
    assert torch.equal(many.dx[:50], few.dx)
    assert torch.equal(many.flip[:50], few.flip)


def test_seeds_trials_epochs_and_kinds_of_rows_are_drawn_apart():
    keys = [(0, 0, 0, "clean rows"), (1, 0, 0, "clean rows"), (0, 1, 0, "clean rows"), (0, 0, 1, "clean rows"), (0, 0, 0, "poison points")]
    drawn = {tuple(draws(*key[:3], 50, (32, 32), key[3], CPU).dy.tolist()) for key in keys}
    assert len(drawn) == len(keys)


def test_a_picture_smaller_than_eight_pixels_is_only_mirrored():
    how = draws(0, 0, 0, 100, (7, 7), "clean rows", CPU)
    assert not how.dy.any()
    assert not how.dx.any()
    assert how.flip.any()
