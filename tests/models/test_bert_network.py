"""BERT trained whole: the trainer of networks on tokens, against the plain loop, and arms that share all but the poison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.models.bert.bert import Bert
from engine.models.bert.files import BertShape, BertSource
from engine.training.networks.choose import train_networks
from engine.training.recipe import Job, Recipe, Training
from engine.training.reference.sequential import train_network_sequential
from engine.training.trial import How, Trial

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = BertShape(width=8, layers=2, heads=2, inner=12, vocabulary=30, positions=40, std=0.3)
LENGTH = 10
BERT = Bert(BertSource(SHAPE, None, "random"), 2, LENGTH)
STILL = Bert(BertSource(replace(SHAPE, attention_dropout=0.0, hidden_dropout=0.0, classifier_dropout=0.0), None, ""), 2, LENGTH)
RECIPE = Recipe(epochs=2, batch=4, lr=1e-3, weight_decay=0.1, optimizer="adamw")
CPU = torch.device("cpu")


def world() -> Training:
    draw = np.random.default_rng(0)
    lengths = draw.integers(2, LENGTH + 1, 34)
    tokens = np.where(np.arange(LENGTH) < lengths[:, None], draw.integers(0, 30, (34, LENGTH)), -1).astype(np.int32)
    return Training(torch.from_numpy(tokens[:22]), torch.from_numpy(draw.integers(0, 2, 22)), torch.from_numpy(tokens[22:]))


def jobs() -> list[Job]:
    draw = np.random.default_rng(1)
    return [Job(draw.integers(0, 12, n), draw.integers(0, 2, n)) for n in (0, 7)]


@pytest.mark.parametrize("model", [BERT, STILL], ids=["dropout", "still"])
@pytest.mark.parametrize("recipe", [RECIPE, replace(RECIPE, optimizer="adam")], ids=["adamw", "adam"])
def test_the_trainer_is_the_plain_loop(model: Bert, recipe: Recipe) -> None:
    init = model.init(torch.Generator().manual_seed(2), torch.float64)
    trial = Trial(1, 0, How(CPU, torch.float64))
    found = train_networks(model, init, world(), jobs(), recipe, trial)
    for job, mine in zip(jobs(), found, strict=True):
        own = train_network_sequential(model, init, world(), job, recipe, trial)
        assert mine.train_loss == pytest.approx(own.train_loss, abs=1e-9)
        for a, b in zip(mine.params, own.params, strict=True):
            torch.testing.assert_close(a, b, atol=1e-9, rtol=0)


def test_predictions_come_back_from_parts() -> None:
    init = BERT.init(torch.Generator().manual_seed(2))
    tokens = world().x_AF

    def ask(params: list[torch.Tensor], report: Callable[[float], None]) -> list[torch.Tensor]:
        return [BERT.predict(BERT.logits(params, BERT.pixels(tokens)))]

    one, two = (
        train_networks(BERT, init, world(), jobs(), RECIPE, Trial(1, 0, How(device=CPU), workers=workers), finish=ask) for workers in (1, 2)
    )
    for a, b in zip(one, two, strict=True):
        assert a.params[0].equal(b.params[0])
