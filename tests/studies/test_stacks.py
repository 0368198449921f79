"""Random worlds of `stacks.py`, and that a difference would be noticed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.studies.stacks import MOST_GAP, World, gap

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_stack_is_what_its_victims_would_be_alone_in_random_worlds() -> None:
    gaps = {seed: gap(World.draw(seed).stacked(), World.draw(seed).alone()) for seed in range(24)}
    assert {seed: gap for seed, gap in gaps.items() if not gap <= MOST_GAP} == {}


def test_one_point_of_another_label_is_noticed() -> None:
    world = next(world for seed in range(40) if (world := World.draw(seed)).jobs[0].judged is None and len(world.jobs[0].rows) > 3)
    job = world.jobs[0]
    labels = job.labels.copy()
    labels[0] = (labels[0] + 1) % world.model.classes
    assert gap(world.stacked(), replace(world, jobs=[replace(job, labels=labels), *world.jobs[1:]]).alone()) > 1e-6
