"""Columns that settle the label are found and said; those of data that leak nothing are not."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

from engine.datasets.tables.columns import Numbers, Unreadable, Words
from engine.datasets.tables.leakage import Leak, leaks_of
from engine.datasets.tables.reading import read_column
from tests.worlds.tables import loaded, people

ADULT = ["age", "workclass", "fnlwgt", "education", "education-num", "marital", "occupation", "relationship", "race", "sex"]
ADULT += ["gain", "loss", "hours", "country", "y"]


def numbers(name: str, values: object) -> Numbers:
    return Numbers(name, np.asarray(values, np.float64))


def words(name: str, values: object) -> Words:
    found = read_column(name, pa.chunked_array([pa.array(list(map(str, np.asarray(values))))]), "", "category")
    assert isinstance(found, Words)
    return found


def found_in(columns: list[Numbers | Words], y: np.ndarray) -> list[Leak]:
    return leaks_of(columns, y, [f"c{c}" for c in range(y.max() + 1)], np.arange(len(y)))


def outcomes(n: int = 3000, share: float = 0.45) -> tuple[np.random.Generator, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng, (rng.random(n) < share).astype(np.int64)


def test_a_column_that_is_zero_for_one_class_alone_is_said_and_stays(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    table = people().assign(outcome_days=lambda t: np.where(t.y == "yes", rng.integers(1, 400, 200), 0))
    dataset = loaded(tmp_path, table)
    assert "outcome_days" in dataset.feature_names, "a person decides"
    [said] = dataset.deviations
    assert said.startswith("LABEL LEAKAGE? 'outcome_days' alone tells the label with balanced accuracy 1.00 on held-out rows")
    assert "where it is 0, 100.0% are 'no', 100% of that class" in said
    assert "dataset.drop = ['outcome_days'] leaves it out" in said
    assert loaded(tmp_path, table, drop=("outcome_days",)).deviations == ()
    assert loaded(tmp_path, people()).deviations == ()


def test_kinds_of_leaks() -> None:
    rng, y = outcomes()
    n = len(y)
    end = np.where(y == 1, rng.integers(1, 730, n), rng.integers(730, 1200, n))
    recorded = np.where((y == 1) | (rng.random(n) < 0.03), 1, 0)  # of the kind of COMPAS' is_recid
    event = np.where((y == 1) & (rng.random(n) < 0.85), 1, 0)  # and of its event: for some only, but for no other
    when = np.where((y == 1) & (rng.random(n) < 0.6), rng.normal(500, 90, n), np.nan)
    status = np.where(y == 1, rng.choice(["late", "default"], n), rng.choice(["paid", "current"], n))
    noise = [numbers("noise", rng.normal(0, 1, n)), words("team", rng.choice(list("abcdef"), n)), numbers("near", y + rng.normal(0, 1, n))]
    columns = [numbers("end", end), numbers("recorded", recorded), numbers("event", event), numbers("when", when), words("status", status)]
    assert {leak.name for leak in found_in([*columns, *noise], y)} == {"end", "recorded", "event", "when", "status"}
    told = {leak.name: leak for leak in found_in(columns, y)}
    assert min(told["status"].score, told["end"].score) > 0.99
    assert "where it is not missing, 100.0% are 'c1'" in told["when"].why
    assert told["event"].score == pytest.approx(0.925, abs=0.02)


def test_a_small_file_with_few_of_a_class_is_judged_too() -> None:
    """Sixteen positives of 500: an amount that each of them has and nobody else is said, and one of most of them; one of nine is not."""
    rng = np.random.default_rng(2)
    y = np.zeros(500, np.int64)
    y[rng.choice(500, 16, replace=False)] = 1
    recovered = np.where(y == 1, rng.integers(10, 900, 500), 0)
    most = np.where((y == 1) & (np.cumsum(y) <= 10), recovered, 0)
    few = np.where((y == 1) & (np.cumsum(y) <= 9), recovered, 0)
    columns = [numbers("recovered", recovered), numbers("most", most), numbers("few", few), words("team", rng.choice(list("abcdef"), 500))]
    assert {leak.name for leak in found_in(columns, y)} == {"recovered", "most"}
    [told] = found_in([numbers("recovered", recovered)], y)
    assert told.score == 1, "each amount stands in one row: they are judged as a range"
    assert told.why == "where it is not 0, 100.0% are 'c1', 100% of that class"


def test_a_rare_class_is_judged_by_its_own_size() -> None:
    """Of 5 % positives: a zero that says "no" in 99 % of rows is no news; what belongs to positives alone is."""
    rng, y = outcomes(20_000, 0.05)
    n = len(y)
    useful = np.where(rng.random(n) < np.where(y == 1, 0.1, 0.6), 0, rng.integers(1, 50, n))
    recovered = np.where((y == 1) & (rng.random(n) < 0.55), rng.integers(1, 5000, n), 0)
    found = found_in([numbers("useful", useful), numbers("recovered", recovered)], y)
    assert [leak.name for leak in found] == ["recovered"]
    assert "where it is not 0, 100.0% are 'c1', 5" in found[0].why


def test_one_of_several_classes_given_away_and_classes_of_a_row_or_two() -> None:
    rng, _ = outcomes()
    y = rng.integers(0, 4, 2000)
    y[:2] = 4  # a slip; no fold can learn it
    column = words("flag", np.where(y == 2, "x", rng.choice(list("abc"), 2000)))
    [leak] = found_in([column], y)
    assert "where it is 'x', 100.0% are 'c2', 100% of that class" in leak.why
    assert found_in([words("copy", y)], y)[0].score == 1.0
    assert found_in([numbers("noise", rng.normal(0, 1, 2000))], y) == []
    assert found_in([words("name", np.arange(2000))], y) == [], "an identifier settles nothing on rows held out"


@pytest.mark.parametrize("file", ["adult.data", "adult.test"])
def test_no_column_of_adult_is_called_a_leak(file: str, shared_data: Path) -> None:
    names = ADULT
    path, skipped = shared_data / "adult" / file, int(file == "adult.test")
    table = pd.read_csv(path, header=None, names=names, skipinitialspace=True, dtype=str, skiprows=skipped)
    columns = [read_column(name, pa.chunked_array([pa.array(table[name])]), file) for name in names[:-1]]
    y = table["y"].str.startswith(">").to_numpy().astype(np.int64)
    assert len(columns) == 14
    assert found_in([column for column in columns if not isinstance(column, Unreadable)], y) == []
    rare = np.sort(np.concatenate([np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:800]]))
    few = [read_column(name, pa.chunked_array([pa.array(table[name].iloc[rare])]), file) for name in names[:-1]]
    assert found_in([column for column in few if not isinstance(column, Unreadable)], y[rare]) == []


@pytest.mark.parametrize("data", [load_breast_cancer, load_digits, load_wine, load_iris])
def test_no_column_of_data_that_leak_nothing_is_called_a_leak(data) -> None:  # type: ignore[no-untyped-def]
    bunch = data()
    columns = [numbers(f"column {i}", values) for i, values in enumerate(bunch.data.T)]
    assert found_in(list(columns), bunch.target.astype(np.int64)) == []


def test_a_wide_table_is_looked_at_in_a_moment() -> None:
    rng, y = outcomes(400_000)
    columns = [numbers(f"n{i}", rng.normal(0, 1, len(y))) for i in range(20)]
    start = time.process_time()
    assert found_in(list(columns), y) == []
    assert time.process_time() - start < 5
