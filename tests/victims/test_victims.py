"""Victims as the pipeline asks for them: what they do must not depend on who shares their stack."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.models import build as models
from engine.scenario.sections import ConvSection
from engine.training.recipe import Job, Trained, Training
from engine.victims import family as victims


@pytest.mark.parametrize(("count", "used"), [(1, 1), (2, 4), (5, 4)])
def test_a_network_alone_in_its_stack_has_one_thread_as_in_company(monkeypatch: pytest.MonkeyPatch, count: int, used: int) -> None:
    """A convolution over two threads adds up in another order: measured, 6 to 11 % of a short Conv's predictions changed by it."""
    section = ConvSection(epochs=1, batch=4)
    network = models.build(section, features=0, classes=2, image=(8, 8))
    asked: list[int] = []

    def fit(*args: object, workers: int, **more: object) -> list[Trained]:
        asked.append(workers)
        return [Trained([torch.zeros(3, dtype=torch.uint8)], 1, 0.0)] * count

    monkeypatch.setattr(victims, "fit", fit)
    pictures = torch.zeros((6, 8, 8, 3), dtype=torch.uint8)
    jobs = [Job(np.empty(0, np.int64), np.empty(0, np.int64))] * count
    how = victims.How(torch.device("cpu"), torch.float32)
    found = victims.outcomes(
        network,
        section,
        Training(pictures, torch.zeros(6, dtype=torch.int64), pictures),
        pictures.numpy(),
        jobs,
        0,
        0,
        how,
        None,
        workers=4,
    )
    assert (asked, len(found)) == ([used], count)
