"""No two subpopulations of a run have one name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine import datasets, subpopulations
from engine.rows import Dataset, Rows
from engine.scenario.sections import AdultSection, ClusterMatchSection, FeatureMatchSection
from engine.subpopulations.describing import levels
from engine.subpopulations.describing.describe import describe, numbered


def world(frame: pd.DataFrame) -> Dataset:
    n = len(frame)
    numbers = frame.select_dtypes("number").to_numpy(np.float32)
    rows = Rows(numbers if numbers.shape[1] else np.zeros((n, 1), np.float32), np.arange(n) % 2, np.arange(n), frame)
    return Dataset("table", ("no", "yes"), tuple(map(str, frame.columns)), rows, rows, rows)


def test_clusters_whose_bounds_round_to_one_number() -> None:
    """Two groups of incomes, 1234.30 to 1234.32 and 1234.40 to 1234.42: both were "income 1.23e+03"."""
    rng = np.random.default_rng(0)
    groups = [np.tile([1234.30, 1234.31, 1234.32], 40), np.tile([1234.40, 1234.41, 1234.42], 40)]
    income = np.concatenate([*groups, rng.uniform(500, 900, 60), rng.uniform(2000, 2500, 60)])
    dataset = world(pd.DataFrame({"income": income}))
    of_aux = np.repeat([0, 1, 2], 120)
    said = describe(dataset, of_aux, 3)
    assert len(set(said)) == 3
    assert "1234.3" in said[0]
    assert "1234.4" in said[1]
    assert "(1)" not in "".join(said)
    assert "e+0" not in "".join(said)


def test_what_cannot_be_told_apart_is_numbered() -> None:
    dataset = world(pd.DataFrame({"a": np.tile([1.5, 2.5], 60)}))
    said = describe(dataset, np.repeat([0, 1], 60), 2)
    assert len(set(said)) == 2


def test_numbering_makes_no_name_that_is_there_already() -> None:
    said = numbered(["a", "a", "a (1)", "b", "a"])
    assert len(set(said)) == 5
    assert said[2:4] == ("a (1)", "b")


def test_tuples_that_read_alike() -> None:
    """Levels with commas in them: ("a, b", "c") and ("a", "b, c") read alike."""
    frame = pd.DataFrame({"one": ["aaa, bbb", "aaa"] * 10, "two": ["ccc", "bbb, ccc"] * 10})
    _, said, _ = subpopulations.assign(FeatureMatchSection(features=("one", "two")), world(frame), None, 0)
    assert len(said) == 2
    assert len(set(said)) == 2


@pytest.mark.parametrize("clusters", [100, 400])
def test_clusters_of_adult(shared_data: Path, clusters: int) -> None:
    dataset = datasets.load(AdultSection(rows=3000), 0, shared_data)
    _, said, _ = subpopulations.assign(ClusterMatchSection(clusters=clusters), dataset, None, 0)
    assert len(set(said)) == len(said) > clusters / 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234.3, "1234"),
        (56_918.25, "56,918"),
        (0.04172, "0.0417"),
        (999.6, "1000"),
        (123.4, "123"),
        (12_285, "12,285"),
        (-1500.5, "-1500"),
        (2.5e16, "2.5e+16"),
    ],
)
def test_numbers_read_as_a_person_writes_them(value: float, text: str) -> None:
    assert levels.number(value) == text
