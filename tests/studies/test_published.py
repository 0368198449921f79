"""The tensor program of the published protocol is the slow union trainer, victim by victim."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.models import build as models
from engine.models.dense.mlp import Mlp
from engine.scenario.sections import ConvSection
from engine.training.recipe import Recipe, Trained
from engine.training.reference.sequential import train_network_sequential
from engine.training.schedule import Schedule
from engine.training.trial import Trial
from tests.studies.published import own_init, own_order, train_published, train_published_pictures
from tests.studies.union import train_union, union_order
from tests.worlds import networks as networks_world
from tests.worlds import rows as worlds

SIZES = [0, 2, 3, 14, 60]  # poison points beside 130 rows in batches of 12: last batches of 10, all 12, 1, 12 and 10; 11 to 16 steps
MODELS = [Mlp(7, (10,), 2), Mlp(7, (), 2), Mlp(7, (6, 5), 2), Mlp(7, (10,), 4), Mlp(7, (), 4), Mlp(7, (6, 5), 4)]


def both(model: Mlp, recipe: Recipe, **more) -> tuple[list[Trained], list[Trained]]:
    """The same victims by the program and by the slow trainer, each with its own weights and its own order."""
    data, jobs = worlds.training(classes=model.classes), worlds.jobs(SIZES, model.classes)
    inits = [own_init(model, 1, 2, v, torch.float64) for v in range(len(jobs))]
    a = train_published(model, inits, data, jobs, recipe, lambda v, epoch, rows: union_order(1, v, epoch, rows), **more)
    return a, [train_union(model, init, data, job, recipe, seed=1, trial=v) for v, (init, job) in enumerate(zip(inits, jobs, strict=True))]


@pytest.mark.parametrize("model", MODELS, ids=str)
@pytest.mark.parametrize("per_rows", [True, False])
def test_equals_the_union_trainer_in_float64(model: Mlp, per_rows: bool):
    a, b = both(model, Recipe(epochs=4, batch=12, lr=1e-2, weight_decay=1e-2, per_rows=per_rows))
    assert worlds.worst_gap(a, b) < 1e-10
    assert [t.train_loss for t in a] == pytest.approx([t.train_loss for t in b], rel=1e-11)
    assert worlds.worst_gap(a[:1], a[1:2]) > 0.1, "victims that start alike show nothing about each having its own"


def test_each_victim_stops_where_it_would_alone():
    a, b = both(MODELS[0], Recipe(epochs=60, batch=12, lr=3e-2, stop="plateau", tol=4e-3, patience=2))
    assert [t.epochs for t in a] == [t.epochs for t in b]
    assert len({t.epochs for t in a}) > 1, "all stopped together: the world does not test what it should"
    assert worlds.worst_gap(a, b) < 1e-9


def test_how_many_train_together_changes_nothing():
    recipe = Recipe(epochs=3, batch=12, lr=1e-2, weight_decay=1e-2, per_rows=True)
    assert worlds.worst_gap(both(MODELS[0], recipe)[0], both(MODELS[0], recipe, memory=1)[0]) < 1e-12


def test_orders_and_weights_are_each_victims_own():
    first = own_order(0, 0, 0, 0, 50)
    assert sorted(first) == list(range(50))
    assert all(not np.array_equal(first, own_order(*other, 50)) for other in [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)])
    weights = [own_init(MODELS[0], *key)[0] for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]]
    assert all(not torch.equal(weights[0], other) for other in weights[1:])


def test_a_picture_victim_without_poison_is_the_products_own():
    model = models.network_of(ConvSection(), 3, (8, 8))
    data, [job] = networks_world.training(), networks_world.jobs([0])
    recipe, init = Recipe(epochs=3, batch=12, lr=1e-3), own_init(model, 0, 0, 0, torch.float64)
    schedule = Schedule(40, 12, 1, 2)
    a = train_published_pictures(model, init, data, job, recipe, lambda v, epoch, rows: schedule.order(epoch), seed=1, trial=2, victim=0)
    assert worlds.worst_gap([a], [train_network_sequential(model, init, data, job, recipe, Trial(1, 2))]) < 1e-12


def test_a_picture_victim_sees_its_poison():
    model = models.network_of(ConvSection(), 3, (8, 8))
    data, (none, job) = networks_world.training(), networks_world.jobs([0, 19])
    recipe, init = Recipe(epochs=3, batch=12, lr=1e-3, augment=True), own_init(model, 0, 0, 0)
    seen: list[int] = []

    def order(victim: int, epoch: int, rows: int) -> np.ndarray:
        seen.append(rows)
        return own_order(0, 0, victim, epoch, rows)

    a, b = (train_published_pictures(model, init, data, j, recipe, order, seed=0, trial=0, victim=0) for j in (none, job))
    assert seen == [40] * 3 + [59] * 3
    assert worlds.worst_gap([a], [b]) > 1e-3
