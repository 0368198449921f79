"""Columns that a model should not be fed: left out where sure, pointed out where not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.datasets.tables.columns import Numbers
from engine.datasets.tables.suspects import sentinels
from engine.rows import Dataset
from tests.worlds.tables import column, loaded, noted, people

FED = ("age", "region=s")


def with_columns(tmp_path: Path, n: int = 600, **columns: object) -> Dataset:
    return loaded(tmp_path, people(n).assign(**columns))


RNG = np.random.default_rng(5)
DIFFERENT = np.sort(RNG.choice(99_999, 600, replace=False))
STEMS, ENDS = ("An", "Ben", "Cla", "Dan", "Ev", "Fin"), ("na", "o", "ra", "iel", "a", "n", "ja", "e", "is", "y")
NAMES = np.array([stem + end for stem in STEMS for end in ENDS])


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("Id", DIFFERENT, "an identifier, different in every row"),
        ("LOAN ID", DIFFERENT, "an identifier, different in every row"),
        ("loan id", np.where(np.arange(600) < 12, 7, DIFFERENT), "an identifier, different in nearly every row"),
        ("customerID", RNG.permutation(DIFFERENT), "an identifier, different in every row"),
        ("ID_Number", DIFFERENT, "an identifier, different in every row"),
        ("Account No", DIFFERENT, "an identifier, different in every row"),
        ("Unnamed: 0", DIFFERENT, "numbers the rows, by its name"),
        ("Unnamed: 0.1", RNG.permutation(DIFFERENT), "numbers the rows, by its name"),
        ("__index_level_0__", DIFFERENT, "numbers the rows, by its name"),
        ("X", DIFFERENT, "numbers the rows, by its name"),
        ("any", np.arange(600) + 17, "numbers the rows"),
        ("patient_id", RNG.integers(1000, 1120, 600), "an identifier: 1"),
        ("user_id", [f"u{k}" for k in RNG.integers(0, 150, 600)], "an identifier: 1"),
        ("first_name", RNG.choice(NAMES, 600), "names of persons or the like: 60 different values"),
        ("Vorname", RNG.choice(NAMES, 600), "names of persons or the like: 60 different values"),
        ("Nachname", RNG.choice(NAMES, 600), "names of persons or the like: 60 different values"),
        ("Prénom", RNG.choice(NAMES, 600), "names of persons or the like: 60 different values"),
        ("apellidos", RNG.choice(NAMES, 600), "names of persons or the like: 60 different values"),
        ("Straße", RNG.choice(NAMES, 600), "names of persons or the like: 60 different values"),
        ("Name", [f"{name} Müller" for name in RNG.choice(NAMES, 600)], "names of persons or the like: 60 different values"),
        ("name", [f"O'Hara, {name} J." for name in RNG.choice(NAMES, 600)], "names of persons or the like: 60 different values"),
        ("E-Mail", [f"{k}@x.org" for k in RNG.integers(0, 90, 600)], "names of persons or the like: 90 different"),
        ("town", [f"t{k}" for k in RNG.integers(0, 220, 600)], "an identifier or free text: 2"),
        ("sample_weight", RNG.uniform(0.5, 3, 600), "a weight of rows"),
        ("Survey Weight", RNG.uniform(0.5, 3, 600), "a weight of rows"),
        ("fnlwgt", RNG.integers(10_000, 900_000, 600), "a weight of rows"),
    ],
)
def test_left_out_and_said(tmp_path: Path, name: str, values: object, why: str) -> None:
    dataset = with_columns(tmp_path, **{name: values})
    assert dataset.feature_names == FED
    assert f"{name!r} ({why}" in noted(dataset)
    assert name not in dataset.train.frame
    if not isinstance(np.asarray(values)[0], str):
        asked = loaded(tmp_path, people(600).assign(**{name: values}), numeric=(name,))
        assert asked.feature_names == (*FED, name), "a person's word counts for more"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("weight", RNG.uniform(40, 120, 600)),  # a body's
        ("income", RNG.permutation(DIFFERENT)),
        ("paid", RNG.integers(0, 5000, 600)),
        ("price index", RNG.uniform(90, 110, 600).round(1)),
        ("store_id", RNG.integers(1, 9, 600)),
        ("grid", RNG.integers(1, 600, 600)),
        ("x", RNG.permutation(DIFFERENT)),
        ("number", RNG.integers(1, 20, 600)),
    ],
)
def test_what_only_looks_like_one_is_fed(tmp_path: Path, name: str, values: object) -> None:
    assert with_columns(tmp_path, **{name: values}).feature_names == (*FED, name)


@pytest.mark.parametrize("values", [NAMES, [f"{name.lower()} {k % 7}" for k, name in enumerate(NAMES)]])
def test_a_column_called_name_whose_values_may_be_products_is_fed(tmp_path: Path, values: list[str]) -> None:
    assert f"name={values[0]}" in with_columns(tmp_path, name=RNG.choice(values, 600)).feature_names


def test_a_column_that_rises_from_row_to_row_is_pointed_out(tmp_path: Path) -> None:
    dataset = with_columns(tmp_path, counter=DIFFERENT * 3)
    assert "counter" in dataset.feature_names
    assert "'counter' rises from row to row: does it number them?" in noted(dataset)
    assert "rises" not in noted(with_columns(tmp_path, counter=RNG.permutation(DIFFERENT)))


def test_a_second_copy_is_left_out_and_another_wording_is_said(tmp_path: Path) -> None:
    table = people(600)
    land = np.array(["DE", "FR", "IT"])[RNG.integers(0, 3, 600)]
    country = pd.Series(land).map({"DE": "Germany", "FR": "France", "IT": "Italy"})
    copied = table.assign(Age=table.age, area=table.region, land=land, country=country)
    dataset = loaded(tmp_path, copied)
    assert "'Age' (the same as 'age' in every row), 'area' (the same as 'region' in every row)" in noted(dataset)
    assert {"Age", "area"}.isdisjoint(dataset.train.frame)
    assert "'country' says the same as 'land' in other words, and both are fed" in noted(dataset)
    assert "country=France" in dataset.feature_names
    asked = loaded(tmp_path, copied, annotations=("area",), numeric=("Age",))
    assert {"Age", "area"} <= set(asked.train.frame)
    with_gaps = loaded(tmp_path, table.assign(a=np.where(table.age < 30, np.nan, table.age), b=np.where(table.age < 30, np.nan, table.age)))
    assert "'b' (the same as 'a' in every row)" in noted(with_gaps)


def test_rows_of_one_person_in_train_and_test_are_counted(tmp_path: Path) -> None:
    patients = np.repeat(np.arange(60), 10)
    dataset = with_columns(tmp_path, Patient_ID=patients)
    train, test = set(patients[dataset.train.ids]), patients[dataset.test.ids]
    both = sum(patient in train for patient in test)
    said = f"'Patient_ID' repeats (60 values in 600 rows): {both} of 120 test rows belong to one that train has rows of too"
    assert said in noted(dataset)
    apart = np.array(["train", "aux", "test"])[patients % 3]
    kept = loaded(tmp_path, people(600).assign(Patient_ID=patients, part=apart), split_column="part")
    assert "repeats" not in noted(kept)
    assert "repeats" not in noted(with_columns(tmp_path, store_id=RNG.integers(1, 9, 600)))
    assert "repeats" in noted(with_columns(tmp_path, subject=[f"s{k % 15}" for k in range(600)]))


def test_numbers_that_stand_for_missing_are_pointed_out_and_may_be_named(tmp_path: Path) -> None:
    table = people(600)
    gone = RNG.random(600) < 0.2
    table.loc[gone, "age"] = -999
    dataset = loaded(tmp_path, table)
    assert f"'age': -999 in {gone.sum()} rows, far from the rest: does it mean missing?" in noted(dataset)
    assert column(dataset, "age").min() == -999
    told = loaded(tmp_path, table, missing_words=("-999",))
    assert told.feature_names == ("age", "age is missing", "region=s")
    assert column(told, "age").isna().sum() == gone.sum()
    assert f"words read as missing: '-999' (age {gone.sum()})" in noted(told)
    spelt = table.assign(age=[f"{v:.2f}" for v in table.age])
    assert column(loaded(tmp_path, spelt, missing_words=("-999",)), "age").isna().sum() == gone.sum()


def test_which_ends_of_a_column_stand_for_missing() -> None:
    rng = np.random.default_rng(0)
    ages, few = rng.integers(18, 80, 1000).astype(float), [-9.0] * 20
    assert sentinels(np.append(ages, few)) == [(-9.0, 20)]
    assert sentinels(np.concatenate([ages, few, [9999.0] * 7])) == [(-9.0, 20), (9999.0, 7)]
    assert sentinels(np.append(ages, [99.0] * 20)) == [], "99 years are within reach of 80"
    assert sentinels(np.append(ages, [-999.0])) == [], "one alone is a slip, not a code"
    assert sentinels(rng.normal(0, 9, 1000).round()) == []
    assert sentinels(np.repeat([-1.0, 1.0], 50)) == []
    assert sentinels(np.full(5, np.nan)) == []
    assert Numbers("a", np.array([1.0])).missing.sum() == 0
