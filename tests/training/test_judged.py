"""Victims with a defence: a row that was removed is as good as absent, a label that was given is trained with, whichever trainer it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from engine.models.dense.mlp import Mlp
from engine.pipeline import order as pipeline
from engine.scenario.parse import parse
from engine.training.encoders.stack import train_encoder_stack
from engine.training.encoders.states import StateRows
from engine.training.networks.choose import WAYS, Way
from engine.training.recipe import Job, Judged, Recipe
from engine.training.reference.encoder import train_encoder_sequential
from engine.training.trial import Trial
from engine.victims.choose import victims_of
from engine.victims.estimators import random_state
from engine.victims.family import training_of
from tests.training import test_encoders as encoders
from tests.training import test_networks as networks
from tests.training import test_training as dense
from tests.worlds import networks as pictures
from tests.worlds import rows as worlds
from tests.worlds.bert import LAYER, params_of
from tests.worlds.networks import Small
from tests.worlds.rows import CPU

pytestmark = pytest.mark.usefixtures("one_thread")
SIZES = [0, 3, 11, 26, 60]
FOREST = """
title = "forests"
[dataset]
kind = "digits"
[model]
kind = "random_forest"
n_estimators = 9
[subpopulations]
kind = "cluster_match"
clusters = 5
[evaluation]
confidence_folds = 1
"""


def quiet(*_: object) -> None:
    pass


@pytest.mark.parametrize("model", dense.MODELS, ids=str)
@pytest.mark.parametrize("per_rows", [True, False])
def test_dense_stacks_equal_the_reference_which_leaves_rows_out(model: Mlp, per_rows: bool) -> None:
    recipe = Recipe(epochs=4, batch=12, lr=1e-2, weight_decay=1e-2, per_rows=per_rows)
    jobs = worlds.judged(worlds.jobs(SIZES, model.classes), worlds.training(classes=model.classes).y_N.numpy(), model.classes)
    a, b = dense.stacked(model, jobs, recipe), dense.one_by_one(model, jobs, recipe)
    assert worlds.worst_gap(a, b) < 1e-11
    assert [t.train_loss for t in a] == pytest.approx([t.train_loss for t in b], rel=1e-12)
    assert worlds.worst_gap(a[2:3], dense.stacked(model, worlds.jobs(SIZES, model.classes), recipe)[2:3]) > 1e-3


def test_a_stack_that_narrows_keeps_each_victims_rows() -> None:
    model, recipe = dense.MODELS[0], Recipe(epochs=60, batch=12, lr=3e-2, stop="plateau", tol=4e-3, patience=2)
    jobs = worlds.judged(worlds.jobs(SIZES), worlds.training().y_N.numpy())
    a, b = dense.stacked(model, jobs, recipe), dense.one_by_one(model, jobs, recipe)
    assert len({t.epochs for t in a}) > 1
    assert [t.epochs for t in a] == [t.epochs for t in b]
    assert worlds.worst_gap(a, b) < 1e-9


@pytest.mark.parametrize("way", WAYS)
def test_networks_equal_the_reference(way: Way) -> None:
    recipe = Recipe(epochs=4, batch=12, lr=1e-2, weight_decay=1e-2, augment=True)
    jobs = worlds.judged(pictures.jobs(networks.SIZES, moved=True), pictures.training().y_N.numpy(), 3)
    a, b = networks.fast(Small(), jobs, recipe, way=way), networks.slow(Small(), jobs, recipe)
    assert networks.gap(a, b) < 1e-11
    assert networks.losses(a) == pytest.approx(networks.losses(b), rel=1e-11)


@pytest.mark.parametrize("recipe", encoders.RECIPES.values(), ids=encoders.RECIPES)
def test_last_layers_of_encoders_equal_the_reference(tmp_path: Path, recipe: Recipe) -> None:
    states, data = encoders.make_world(tmp_path)
    rows, init = StateRows(states, CPU, torch.float64), params_of(LAYER, 5)
    jobs = worlds.judged(encoders.jobs(), data.y_N.numpy(), LAYER.classes)
    stacked = train_encoder_stack(LAYER, init, data, rows, jobs, recipe, Trial(1, 2))
    for job, mine in zip(jobs, stacked, strict=True):
        encoders.equal(mine, train_encoder_sequential(LAYER, init, data, rows, job, recipe, Trial(1, 2)), 1e-9)


def test_an_estimator_is_fitted_on_the_rows_that_are_left() -> None:
    scenario = parse(FOREST)
    discovery = pipeline.discover(scenario, Path("."), log=quiet, progress=quiet)
    data = discovery.dataset
    rng = np.random.default_rng(0)
    kept, own, points = rng.random(len(data.train)) > 0.3, np.array([True, False, True]), np.array([1, 5, 5])
    labels = np.where(rng.random(len(data.train)) < 0.1, 3, data.train.y)
    job = Job(points, np.array([0, 1, 1]), judged=Judged(kept, own, labels))
    [victim] = victims_of(scenario.model, data, 0).outcomes(training_of(data), data.test.x, [job], Trial(0, 1))
    x = np.concatenate([data.train.x[kept], data.aux.x[[1, 5]]])
    plain = RandomForestClassifier(9, random_state=random_state(0, 1)).fit(x, np.concatenate([labels[kept], [0, 1]]))
    assert np.array_equal(victim.predictions, plain.predict(data.test.x))
