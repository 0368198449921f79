"""What victims see of points whose pixels the adversary moved, whatever they read: pictures, frozen features, rows of numbers."""

from __future__ import annotations

import numpy as np
import pytest

from engine.arrays import DiscoveryArrays
from engine.pipeline import order as pipeline
from engine.pipeline import train
from engine.rows import VictimSpec
from engine.scenario.parse import parse
from engine.scenario.sections import Scenario
from engine.victims.choose import see, victims_of
from tests.worlds.attacks import ConvAdversary, pictures, prepare

TEXT = """
title = "moved points"
[dataset]
kind = "cifar10"
[model]
kind = "{kind}"
[subpopulations]
kind = "cluster_match"
clusters = 4
[attack]
kind = "gradient"
bound = 0.05
steps = 3
alphas = [0.5, 1]
[adversary.model]
kind = "conv"
"""


def discovered(scenario: Scenario) -> pipeline.Discovery:
    dataset, membership, subpopulations = pictures()
    seen = see(scenario.model, dataset, 0, report=lambda what, share: None)
    adversary = ConvAdversary(dataset.aux.images)
    prepared = prepare(scenario.attack, subpopulations, dataset, membership, adversary, seed=scenario.seed, trials=range(2))
    proba = np.full((len(dataset.aux), 3), 1 / 3, np.float32)
    return pipeline.Discovery(seen, membership, subpopulations, DiscoveryArrays(proba, prepared=prepared))


@pytest.mark.parametrize("kind", ["mlp", "logistic", "conv"])
def test_victims_that_read_otherwise_than_the_adversary_see_moved_points_too(kind: str) -> None:
    scenario = parse(TEXT.format(kind=kind))
    found = discovered(scenario)
    poison = pipeline.poison_of(scenario, found, VictimSpec(1, 1, "poisoned", 0, 1.0))
    victims = victims_of(scenario.model, found.dataset, scenario.seed)
    training, job = train.training(scenario, found, victims), train.job_for(scenario, found, victims, poison)
    moved = pipeline.moved_pictures(scenario, found.dataset, found.arrays.moved)[poison.moved]
    plain = found.dataset.aux.images[poison.rows] / np.float32(255)
    assert 0.001 < np.abs(moved - plain).max() <= 0.05 + 1e-6
    if kind == "conv":
        assert np.allclose(np.clip(plain + job.delta, 0, 1), moved)
    else:
        assert job.delta is None  # rows of numbers have no pixels to move
        assert np.allclose(training.x_AF[job.rows].numpy(), moved.reshape(len(poison), -1) - 0.5)
    assert (job.labels == poison.labels).all()


def test_the_control_is_left_as_it_is() -> None:
    scenario = parse(TEXT.format(kind="mlp"))
    found = discovered(scenario)
    poison = pipeline.poison_of(scenario, found, VictimSpec(1, 1, "label_flip", 0, 1.0))
    victims = victims_of(scenario.model, found.dataset, scenario.seed)
    job = train.job_for(scenario, found, victims, poison)
    assert poison.moved is None
    assert (job.rows == poison.rows).all()
