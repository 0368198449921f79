"""The study of triage: its scenarios load, and its figures are what a known truth makes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.studies.triage import SYSTEMS, figures, scenario_of


@pytest.mark.parametrize("name", [name for name, system in SYSTEMS.items() if not (system.features or system.minilm)])
def test_its_scenarios_load(name: str, tmp_path: Path) -> None:
    assert scenario_of(SYSTEMS[name], tmp_path).evaluation.trials >= 6


def test_its_figures_of_a_known_truth(tmp_path: Path) -> None:
    """Damages that repeat but for little noise: a ranking by them is perfect, the reverse one its opposite, and so are recalls."""
    random = np.random.default_rng(0)
    truth = np.linspace(0, 0.9, 40)
    head = {"confidence": truth, "size": np.arange(40), "test_rows": np.full(40, 30), "seconds": 1.0, "alphas": [2.0]}
    np.savez(tmp_path / "digits.npz", aux=truth[None], test=-truth[None], **head)
    for trial in range(4):
        noise = random.normal(0, 0.001, (1, 40))
        np.savez(tmp_path / f"digits-{trial}.npz", damage=truth[None] + noise, clean=0.9, seconds=10.0, victims=41)
    (row,) = figures("digits", tmp_path)
    assert (row["n"], row["trials"], row["k"]) == (40, 4, 10)
    assert row["aux"] == pytest.approx(1, abs=1e-2)
    assert row["test"] == pytest.approx(-1, abs=1e-2)
    assert row["-confidence"] == pytest.approx(-1, abs=1e-2)
    assert row["ceiling"] == pytest.approx(1, abs=1e-2)
    assert (row["aux recall 20"], row["aux recall 30"], row["test recall 50"]) == (0.8, 1.0, 0.0)
    assert row["aux MAE"] == pytest.approx(0, abs=1e-3)
    assert row["MAE const"] == pytest.approx(np.abs(truth - np.median(truth)).mean(), abs=1e-3)
    assert row["share of a 3-trial sweep"] == pytest.approx(1 / 30)
