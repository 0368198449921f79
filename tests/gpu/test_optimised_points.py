"""Optimised poison points on a CUDA GPU are those of the CPU, to rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.attacks import gradient, influence
from tests.attacks.test_influence import ATTACK, world
from tests.worlds.attacks import ConvAdversary, pictures, prepare, section

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU on this machine")


class OnCuda(ConvAdversary):
    """The same weights, on the GPU."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.params = [p.cuda() for p in self.params]

    def pixels(self, images: np.ndarray) -> torch.Tensor:
        return super().pixels(images).cuda()

    @property
    def hidden_aux(self) -> np.ndarray:
        return self.hidden(self.params, self.pixels(self.images)).cpu().numpy()

    def head(self) -> tuple[np.ndarray, np.ndarray]:
        return self.params[4].cpu().numpy(), self.params[5].cpu().numpy()


@pytest.mark.parametrize(("layer", "objective"), [("last", "inner"), ("last", "cosine"), ("all", "inner")])
def test_points_are_moved_as_on_the_cpu(layer: str, objective: str) -> None:
    data, membership, found = pictures()
    assert data.aux.images is not None
    attack = section(layer=layer, objective=objective)
    there, here = (prepare(attack, found, data, membership, kind(data.aux.images), seed=0, trials=2) for kind in (OnCuda, ConvAdversary))
    assert np.array_equal(there["moved.rows"], here["moved.rows"])
    assert np.allclose(there["moved.after"], here["moved.after"], rtol=1e-6)
    assert (abs(there["moved.delta"].astype(int) - here["moved.delta"]) <= 1).all()


def test_the_size_of_a_batch_is_measured() -> None:
    data, _, _ = pictures()
    assert data.aux.images is not None
    adversary = OnCuda(data.aux.images)
    target = gradient.alignment("last", False, adversary, {0: (np.arange(10), np.ones(10, np.int64))}, data.aux.images, torch.float64)
    points = gradient.Points(np.arange(10), np.zeros(10, np.int32), np.ones(10, np.int64))
    assert gradient._rows_at_once(points, data.aux.images, adversary, target) == gradient.MOST_ROWS["cuda"]


def test_influence_is_as_on_the_cpu() -> None:
    data, _, _, adversary = world()
    here = influence.fitted(adversary, data.aux.y, ATTACK.damping)
    adversary.params = [p.cuda() for p in adversary.params]
    adversary.head = lambda: (adversary.params[0].cpu().numpy(), adversary.params[1].cpu().numpy())  # type: ignore[method-assign]
    there = influence.fitted(adversary, data.aux.y, ATTACK.damping)
    candidates = [(np.arange(25), 1 - data.aux.y[:25])]
    one, other = influence.scores_of(here, candidates)[0][0], influence.scores_of(there, candidates)[0][0]
    assert np.allclose(one, other, rtol=1e-8)
