"""Victims as the pipeline asks for them: which family has them, and that what they do does not depend on who shares their stack."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from engine.errors import RequestError
from engine.rows import Dataset, Rows
from engine.training.recipe import Job, Trained
from engine.training.trial import How, Trial
from engine.victims.choose import family_of, see, victims_of
from engine.victims.encoders import PictureHeads
from engine.victims.family import training_of
from engine.victims.networks import Networks
from tests.worlds import sections

CPU = How(torch.device("cpu"), torch.float32)


def pictures(rows: int = 6, side: int = 8) -> Dataset:
    draw = np.random.default_rng(0)

    def split(first: int) -> Rows:
        images = draw.integers(0, 256, (rows, side, side, 3), np.uint8)
        return Rows(images, np.arange(rows) % 2, np.arange(first, first + rows), pd.DataFrame({"n": range(rows)}), images)

    return Dataset("t", ("a", "b"), (), split(0), split(rows), split(2 * rows))


@pytest.mark.parametrize(("count", "used"), [(1, 1), (2, 4), (5, 4)])
def test_a_network_alone_in_its_stack_has_one_thread_as_in_company(monkeypatch: pytest.MonkeyPatch, count: int, used: int) -> None:
    """A convolution over two threads adds up in another order: measured, 6 to 11 % of a short Conv's predictions changed by it."""
    asked: list[int] = []

    def fit(self: Networks, data: object, jobs: object, trial: Trial, finish: object) -> list[Trained]:
        asked.append(trial.workers)
        return [Trained([torch.zeros(3, dtype=torch.uint8)], 1, 0.0)] * count

    monkeypatch.setattr(Networks, "fit", fit)
    data = pictures()
    jobs = [Job(np.empty(0, np.int64), np.empty(0, np.int64))] * count
    victims = victims_of(sections.model(kind="conv", epochs=1, batch=4), data)
    found = victims.outcomes(training_of(data), data.test.x, jobs, Trial(0, 0, CPU, workers=4))
    assert (asked, len(found)) == ([used], count)


@pytest.mark.parametrize(
    ("keys", "family", "bench", "moves"),
    [
        ({"kind": "mlp"}, "Dense", "stacks", False),
        ({"kind": "logistic"}, "Dense", "stacks", False),
        ({"kind": "conv"}, "PictureNetworks", "steps", True),
        ({"kind": "vgg", "tune": "last_layer"}, "PictureHeads", "stacks", False),
        ({"kind": "torchvision", "architecture": "resnet18"}, "PictureNetworks", "steps", True),
        ({"kind": "bert"}, "TextNetworks", "steps", True),
        ({"kind": "bert", "tune": "last_layer"}, "TextHeads", "steps", False),
    ],
)
def test_each_model_is_of_one_family(keys: dict[str, str], family: str, bench: str | None, moves: bool) -> None:
    found = family_of(sections.model(**keys))
    assert (found.__name__, found.BENCH, found.MOVES_PIXELS) == (family, bench, moves)


def test_what_every_number_of_last_layers_must_be_read_with() -> None:
    section = sections.model(kind="bert", tune="last_layer")
    assert "dropout" in family_of(section).deviations(section)[0]
    assert family_of(sections.model(kind="mlp")).deviations(sections.model(kind="mlp")) == ()


def test_a_frozen_encoder_is_made_once_and_its_layers_are_asked_for_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("SUBPOP_CACHE", str(tmp_path))
    section = sections.model(kind="conv", tune="last_layer", epochs=1, batch=4)
    raw = pictures(side=16)
    data = see(section, raw, 3, report=lambda what, share: None)
    victims = victims_of(section, data, 3)
    assert isinstance(victims, PictureHeads)
    assert victims.encoder(CPU.device) is victims.encoder(CPU.device)
    [fitted] = victims.fit(training_of(data), [Job(np.empty(0, np.int64), np.empty(0, np.int64))], Trial(3, 0, CPU))
    quiet = lambda what, share: None  # noqa: E731
    features = victims.representation(fitted, "hidden", CPU, quiet)(data.aux)
    assert np.array_equal(features, data.aux.x)  # what the last layer reads is what was stored
    whole = victims.encoder(CPU.device).features(victims.pixels(raw.aux.x, CPU)).detach().numpy()
    assert np.allclose(whole, features, atol=1e-5)
    assert victims.representation(fitted, "pool1", CPU, quiet)(data.aux).shape[0] == len(data.aux)
    with pytest.raises(RequestError, match="conv has no layer 'pool9'"):
        victims.representation(fitted, "pool9", CPU, quiet)
    assert victims.moved_rows(raw.aux.x[:2] / np.float32(255), device="cpu", report=quiet) == pytest.approx(features[:2], abs=1e-5)


def test_a_worker_over_tables_loads_no_library_of_pictures_or_texts() -> None:
    """torchvision alone was 40 % of what a worker imported."""
    heavy = ("torchvision", "torch._dynamo", "transformers", "sklearn")
    code = (
        "import sys, engine.pipeline.order, engine.pipeline.bench\n"
        "from tests.worlds import sections\nfrom engine.victims.choose import family_of\nfamily_of(sections.model(kind='mlp'))\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
