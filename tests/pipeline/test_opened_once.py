"""A run opens each file of weights and each tokenizer once, from its data to its last stack; and a stack's job is plain data."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.features import tokenizer
from engine.models import weights
from engine.models.bert import files as bert_files
from engine.models.encoders import files as encoder_files
from engine.models.networks import conv
from engine.models.networks.network import Network
from engine.pipeline.discovery import Discovery, StackJob
from engine.pipeline.order import RunPipeline
from engine.rows import VictimResult
from engine.scenario.parse import load, parse
from engine.scenario.sections import Scenario
from tests.models.test_encoders import pieces, reviews, saved, scenario_of
from tests.worlds import pictures as picture_files

PICTURES = """
title = "pictures, from a file of weights"
[dataset]
kind = "image_folder"
path = "{folder}"
image_size = 8
split = [0.4, 0.3, 0.3]
[model]
kind = "conv"
epochs = 1
batch = 16
[subpopulations]
kind = "cluster_match"
clusters = 3
pca = 4
layer = "pool1"
[attack]
kind = "{attack}"
alphas = [1]
[evaluation]
trials = 2
confidence_folds = 2
[compute]
victims_per_stack = 2
threads = 1
"""


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Counter[str]]:
    """File name -> how often it was read; "network": how often one was built."""
    monkeypatch.setenv("SUBPOP_CACHE", str(tmp_path / "cache"))
    for cached in (bert_files._tensors, encoder_files._tensors, weights._checksum):
        cached.cache_clear()
    count: Counter[str] = Counter()
    real_read, real_fast, real_init = weights.read, tokenizer._fast, Network.__init__

    def read(path: Path) -> dict[str, torch.Tensor]:
        count[path.name] += 1
        return real_read(path)

    def fast(path: Path) -> object:
        count[path.name] += 1
        return real_fast(path)

    def init(self: Network, *args: object) -> None:
        count["network"] += 1
        real_init(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(weights, "read", read)
    monkeypatch.setattr(tokenizer, "_fast", fast)
    monkeypatch.setattr(Network, "__init__", init)
    yield count
    for cached in (bert_files._tensors, encoder_files._tensors):
        cached.cache_clear()


def pictures(folder: Path) -> Path:
    """Ninety pictures of two classes."""
    for number in range(90):
        file = folder / ("cat", "dog")[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture_files.coded(picture_files.pixels(number, 8)))
    return folder


def weights_of(path: Path) -> Path:
    """A file of weights of the small convolutional network."""
    torch.save({f"features.{name}": tensor for name, tensor in conv.body(2).state_dict().items()}, path)
    return path


def carried_out(scenario: Scenario, data: Path) -> tuple[Discovery, list[VictimResult]]:
    """The whole of a run, as a worker drives it."""
    pipeline = RunPipeline()
    discovery = pipeline.discover(scenario, data, device="cpu", log=lambda line: None, progress=lambda what, share: None, on_step=None)
    pipeline.deviations(scenario, discovery.dataset)
    stacks = pipeline.plan(scenario, discovery, "cpu", log=lambda line: None)
    assert len(stacks) > 1
    jobs = [StackJob(scenario, discovery, stack, "cpu") for stack in stacks]
    return discovery, [result for job in jobs for result in pipeline.train_stack(job, None, lambda line: None)]


@pytest.mark.parametrize(("tune", "attack"), [("all", "label_flip"), ("last_layer", "label_flip"), ("last_layer", "gradient")])
def test_a_file_of_weights_is_read_once_a_run(opened: Counter[str], tmp_path: Path, tune: str, attack: str) -> None:
    file = weights_of(tmp_path / "w.pt")
    text = PICTURES.format(attack=attack, folder=pictures(tmp_path / "pictures"))
    scenario = parse(text, overrides=[f'model.weights="{file}"', f'model.tune="{tune}"'])
    discovery, results = carried_out(scenario, tmp_path)
    assert len(results) > 4
    assert (discovery.arrays.moved is not None) == (attack == "gradient")
    assert opened == {"w.pt": 1, "network": 1}


def test_an_adversary_that_is_trained_otherwise_shares_what_is_opened(opened: Counter[str], tmp_path: Path) -> None:
    file = weights_of(tmp_path / "w.pt")
    other = f'adversary.model={{kind="conv", weights="{file}", epochs=2, batch=16}}'
    text = PICTURES.format(attack="label_flip", folder=pictures(tmp_path / "pictures"))
    carried_out(parse(text, overrides=[f'model.weights="{file}"', 'model.tune="last_layer"', other]), tmp_path)
    assert opened == {"w.pt": 1, "network": 1}


@pytest.mark.parametrize(("kind", "tune"), [("bert", "all"), ("bert", "last_layer"), ("distilbert", "all"), ("distilbert", "last_layer")])
def test_an_encoder_and_its_tokenizer_are_read_once_a_run(opened: Counter[str], tmp_path: Path, kind: str, tune: str) -> None:
    saved(kind, tmp_path / "model")
    pieces(tmp_path / "model")
    overrides = [f"model.tune={tune}", "compute.victims_per_stack=2", "compute.threads=1", "evaluation.confidence_folds=2"]
    carried_out(scenario_of(reviews(tmp_path / "reviews.csv", 60), tmp_path / "model", *overrides), tmp_path)
    assert opened == {"model.safetensors": 1, "tokenizer.json": 1}


def test_a_job_that_was_pickled_is_the_same_job() -> None:
    """Another process makes the same victims of it, bit for bit."""
    scenario, pipeline = load("quickstart", smoke=True), RunPipeline()
    discovery = pipeline.discover(scenario, Path(), device="cpu", log=lambda line: None, progress=lambda what, share: None, on_step=None)
    stack = pipeline.plan(scenario, discovery, "cpu", log=lambda line: None)[0]
    job = StackJob(scenario, discovery, stack, "cpu")
    sent = pickle.loads(pickle.dumps(job))
    assert (sent.scenario, sent.stack, sent.device) == (scenario, stack, "cpu")
    here, there = (RunPipeline().train_stack(each, None, lambda line: None) for each in (job, sent))
    assert [(a.spec, a.poison_points, a.train_loss) for a in here] == [(b.spec, b.poison_points, b.train_loss) for b in there]
    assert all(np.array_equal(a.predictions, b.predictions) for a, b in zip(here, there, strict=True))
