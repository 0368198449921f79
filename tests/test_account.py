"""The account of the data: counted by hand, whole however many columns, the same after a trip through JSON, said in the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from engine import datasets
from engine.account import words
from engine.account.data import ColumnAccount, of_json
from engine.export.about_data import about_data
from engine.store import Store
from tests.worlds import store as worlds
from tests.worlds.older import without_digests
from tests.worlds.tables import loaded
from tui.presenters import about


def table(rows: int = 200, more: int = 40) -> pd.DataFrame:
    """A label that 5 % bear, a number with gaps, words, an id, a copy, many further columns, one with an escape in its name."""
    rng = np.random.default_rng(0)
    i = np.arange(rows)
    age, job = np.where(i % 7 == 3, np.nan, rng.integers(18, 70, rows)), np.array(["a", "b", "c"])[i % 3]
    frame = pd.DataFrame({"id": i + 1000, "age": age, "job": job, "y": np.where(i % 20 == 0, "bad", "good")})
    frame["again"] = frame["job"]
    frame["e\x1b[2Jvil"] = rng.normal(0, 1, rows)
    return frame.assign(**{f"x{k}": rng.normal(0, 1, rows) for k in range(more)})


def test_what_a_table_comes_to(tmp_path: Path) -> None:
    data = loaded(tmp_path, table(), drop=["x0"])
    account = datasets.account_of(data)
    assert account.classes == ("bad", "good")
    for split, rows in zip(account.splits, (data.train, data.aux, data.test), strict=True):
        assert split.classes == (int((rows.y == 0).sum()), int((rows.y == 1).sum()))
        assert sum(split.classes) == split.rows == len(rows)
    assert (account.source_rows, account.features) == (200, data.train.x.shape[1])
    by_name = {column.name: column for column in account.columns}
    assert len(by_name) == 46
    assert by_name["y"] == ColumnAccount("y", "label", levels=2)
    assert by_name["age"] == ColumnAccount("age", "number", features=2, missing=29)
    assert by_name["job"] == ColumnAccount("job", "one_hot", features=3, levels=3)
    assert (by_name["id"].use, by_name["id"].why) == ("left_out", "numbers the rows")
    assert by_name["again"].why == "the same as 'job' in every row"
    assert by_name["x0"].why == "in dataset.drop"
    assert sum(column.features for column in account.columns) == account.features
    assert "e [2Jvil" in by_name, "what a terminal would obey is no part of an account"


def test_every_column_is_named_and_nothing_is_cut(tmp_path: Path) -> None:
    account = datasets.account_of(loaded(tmp_path, table(more=300)))
    told = "\n".join(map(str, words.lines(account)))
    assert all(f"'{name}'" in told for name in [f"x{k}" for k in range(300)])
    assert " more" not in told
    assert "fed as numbers (302)" in told
    assert "'good' 76 (95.0 %), 'bad' 4 (5.0 %)" in told
    assert "base rate: 'good', the most frequent class of train, is 95.0 % of test" in told
    page = "\n".join(about_data(account))
    assert "| x299 | fed as numbers |  |" in page
    assert "x299: fed as numbers" in about.reading(account)


def test_a_leak_comes_first_and_is_loud(tmp_path: Path) -> None:
    account = datasets.account_of(loaded(tmp_path, table().assign(outcome=lambda t: np.where(t.y == "bad", 1, 0))))
    first = words.lines(account)[0]
    assert (first.tone, first.text[:14]) == ("warning", "LABEL LEAKAGE?")
    assert next(column.leak for column in account.columns if column.name == "outcome") == 1.0
    assert words.counted_notes(account).startswith("1 warning ")
    assert about.reading(account).startswith("! LABEL LEAKAGE? 'outcome'")


def test_it_comes_back_from_json_and_from_the_store(tmp_path: Path) -> None:
    account = datasets.account_of(loaded(tmp_path, table()))
    assert of_json(json.loads(json.dumps({**account.as_json(), "of a newer version": 1}))) == account
    with Store.open(tmp_path / "runs.db") as store:
        run_id = worlds.new_run(store)
        assert store.account(run_id) is None
        worlds.discovered(store, run_id)
        assert store.account(run_id) is None, "an older version's discovery has none"
        db = store._db
        without_digests(db)
        db.execute("UPDATE discoveries SET account = ? WHERE run_id = ?", (json.dumps(account.as_json()), run_id))
        assert store.account(run_id) == account
    assert "Not stored with this run" in "\n".join(about_data(None))
    assert "Not stored with this run" in about.reading(None)
