"""The catalogue says what the loader does: held against loaded datasets, on real tables and on messy ones."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine import datasets
from engine.drafting.catalog import under
from engine.drafting.draft import draft
from engine.drafting.looks import Catalog, as_json, catalog_of
from engine.drafting.opening import Opener
from engine.errors import BadData
from engine.rows import Dataset
from engine.scenario.parse import parse
from tests.worlds import loans, own_files


def agrees(seen: Catalog, leaks: set[str], loaded: Dataset) -> None:
    """The catalogue's uses, classes and leaks are the loaded dataset's."""
    fed = {each.name for each in seen.columns if each.use == "feature"}
    annotations = {each.name for each in seen.columns if each.use == "annotation"}
    found = {each.name for each in seen.columns if any(_of(each.name, name) for name in loaded.feature_names)}
    assert fed == found - annotations
    if loaded.kind == "table":
        assert fed | annotations == set(map(str, loaded.train.frame.columns))
    rows = sum(len(part) for part in (loaded.train, loaded.aux, loaded.test))
    y = np.concatenate([part.y for part in (loaded.train, loaded.aux, loaded.test)])
    assert [name for name, _ in seen.classes] == list(loaded.classes)
    if rows == sum(n for _, n in seen.classes):
        assert [n for _, n in seen.classes] == np.bincount(y, minlength=len(loaded.classes)).tolist()
    called = {match[1] for text in loaded.deviations if (match := re.match(r"LABEL LEAKAGE\? '(.+?)' alone", text))}
    assert leaks == called
    left_out = {each.name: each.why for each in loaded.facts.columns if each.use == "left_out"}
    assert left_out.keys() == {each.name for each in seen.columns if each.use == "left out"}
    for each in seen.columns:
        if each.use == "left out" and loaded.kind == "table":
            assert each.why.split(";")[0] in left_out[each.name], (each.name, each.why)


def _of(column: str, feature: str) -> bool:
    return feature in (column, f"{column} is missing") or feature.startswith(f"{column}=")


def loaded_as(toml: str, folder: Path) -> tuple[Dataset, Catalog, set[str]]:
    """A scenario's dataset, its catalogue, and what the catalogue calls leaks."""
    scenario = parse(toml, folder=folder)
    opener = Opener()
    seen = under(str(scenario.dataset.path), toml, folder, opener)
    assert not seen.wrong
    return datasets.load(scenario.dataset, scenario.seed, folder), seen, {name for name, leak in opener.leaks() if leak.called}


FILES = {
    "adult": lambda folder, data: own_files.adult(folder / "adult.csv", data),
    "breast_cancer": lambda folder, data: own_files.breast_cancer(folder / "cancer.csv"),
    "wdbc": lambda folder, data: own_files.breast_cancer(folder / "wdbc.csv", "diagnosis"),
    "loans": lambda folder, data: loans.write(folder / "loans.csv", 1500),
    "compas": lambda folder, data: own_files.compas(folder / "compas.csv"),
    "titanic": lambda folder, data: own_files.titanic(folder / "titanic.csv"),
    "credit": lambda folder, data: own_files.credit_default(folder / "credit.csv"),
    "spam": lambda folder, data: own_files.spam(folder / "spam.csv"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_draft_is_used_as_its_catalogue_says(name: str, tmp_path: Path, shared_data: Path) -> None:
    path = FILES[name](tmp_path, shared_data)
    made = draft(path, leaks=True)
    assert made.catalog is not None
    loaded, seen, leaks = loaded_as(made.toml, tmp_path)
    agrees(seen, leaks, loaded)
    assert leaks == {each.name for each in made.catalog.columns if each.leak is not None and each.leak.called}
    assert [(each.name, each.use, each.why) for each in seen.columns] == [(each.name, each.use, each.why) for each in made.catalog.columns]
    if name in ("adult", "breast_cancer", "wdbc"):
        assert not leaks


def test_the_messy_cases(tmp_path: Path, shared_data: Path) -> None:
    make = shared_data.parent / "cases" / "make.py"
    if not make.is_file():
        pytest.skip("no cases beside the data")
    subprocess.run([sys.executable, str(make), str(tmp_path)], check=True, capture_output=True)
    seen_any = 0
    for folder in sorted(each for each in tmp_path.iterdir() if (each / "scenario.toml").is_file()):
        toml = (folder / "scenario.toml").read_text()
        scenario = parse(toml, folder=folder)
        if scenario.dataset.kind == "image_folder":
            continue
        opener = Opener()
        try:
            loaded = datasets.load(scenario.dataset, scenario.seed, folder)
        except BadData as refused:
            try:
                said = under(str(scenario.dataset.path), toml, folder, opener).wrong
            except BadData as error:
                said = (error.what,)
            assert any(refused.what in each for each in said), (folder.name, said)  # noqa: PT017
            continue
        seen = under(str(scenario.dataset.path), toml, folder, opener)
        agrees(seen, {name for name, leak in opener.leaks() if leak.called}, loaded)
        seen_any += 1
    assert seen_any > 10


@pytest.mark.parametrize(
    "keys",
    [
        'drop = ["age", "purpose"]',
        'numeric = ["issue_d", "LOAN ID"]\ncategorical = ["term"]',
        'annotations = ["district", "issue_d", "zip_code"]',
        'annotations = ["district"]\ncategorical = ["district", "zip_code"]',
        'missing = "drop"\nmax_categories = 5',
        'missing_words = ["RENT", "18"]',
    ],
)
def test_the_uses_under_other_keys(keys: str, tmp_path: Path) -> None:
    loans.write(tmp_path / "loans.csv", 900)
    rest = '[model]\nkind = "mlp"\n[subpopulations]\nkind = "cluster_match"\nclusters = 4\n'
    toml = f'title = "t"\n[dataset]\nkind = "table"\npath = "loans.csv"\nlabel = "loan_status"\n{keys}\n{rest}'
    loaded, seen, leaks = loaded_as(toml, tmp_path)
    agrees(seen, leaks, loaded)


def test_what_each_column_of_the_loans_is_read_as(tmp_path: Path) -> None:
    seen = draft(loans.write(tmp_path / "loans.csv", 1500)).catalog
    assert seen is not None
    assert {each.name: each.read_as for each in seen.columns} == {
        "Unnamed: 0": "identifier", "LOAN ID": "identifier", "first_name": "identifier", "last_name": "identifier", "loan_amnt": "money",
        "term": "months", "int_rate": "per cent", "home_ownership": "category", "annual_inc": "money", "issue_d": "date",
        "purpose": "category", "desc": "free text", "zip_code": "code", "district": "category", "age": "number", "dti": "number",
        "revol_util": "per cent", "open_acc": "number", "policy_code": "constant", "recoveries": "number", "loan_status": "category",
    }  # fmt: skip
    frame = loans.loans(1500)
    for each in seen.columns:
        raw = frame[each.name].astype(str).str.strip()
        gone = raw.str.lower().isin(["", "none", "null", "n/a", "nan"]) | ((raw == "-") & (each.name == "dti"))
        assert each.missing == int(gone.sum()), each.name
        assert each.different == raw[~gone].str.replace(",", "").nunique() or each.read_as in ("number", "per cent", "money"), each.name
        assert not each.missing or each.name in ("annual_inc", "home_ownership", "dti", "desc", "revol_util")
        assert each.example == " ".join(raw[~gone].iloc[0].split())[:39] + "…" or each.example == " ".join(raw[~gone].iloc[0].split())
    assert {each.name for each in seen.columns if each.use == "left out"} == loans.LEFT_OUT | {"zip_code"}
    assert seen.column("age").cuts and all(cut % 5 == 0 for cut in seen.column("age").cuts)  # type: ignore[union-attr]  # noqa: PT018


def test_other_columns(tmp_path: Path) -> None:
    """Parquet's types, truths, codes, gaps, a list."""
    n = 120
    table = pa.table(
        {
            "flag": pa.array([True, False] * (n // 2)), "yes": ["yes", "no"] * (n // 2), "code": [f"A{i % 7}1" for i in range(n)],
            "zip": [f"{i % 60:05d}" for i in range(n)], "hole": pa.nulls(n), "lists": pa.array([[1]] * n),
            "when": pa.array([pd.Timestamp("2020-01-01")] * (n - 1) + [pd.Timestamp("2021-01-01")]),
            "took": pa.array([i % 50 for i in range(n)], pa.duration("s")), "x": np.random.default_rng(0).normal(size=n), "one": ["a"] * n,
            "y": ["None", "NA", "a"] * (n // 3),
        }
    )  # fmt: skip
    pq.write_table(table, tmp_path / "t.parquet")
    seen = under("t.parquet", '[dataset]\nlabel = "y"\n', tmp_path, Opener())
    assert {each.name: each.read_as for each in seen.columns} == {
        "flag": "yes/no", "yes": "yes/no", "code": "code", "zip": "code", "hole": "empty", "lists": "unreadable", "when": "date",
        "took": "duration", "x": "number", "one": "constant", "y": "category",
    }  # fmt: skip
    assert seen.format == "parquet"
    label = seen.column("y")
    assert label is not None
    assert (label.missing, label.different) == (0, 3)  # in a label "None" is a class
    assert seen.classes == (("NA", 40), ("None", 40), ("a", 40))
    assert seen.column("lists").use == "left out"  # type: ignore[union-attr]


def test_json_lines_and_gzip(tmp_path: Path) -> None:
    frame = loans.loans(200)[["age", "district", "loan_status"]]
    frame.to_json(tmp_path / "l.jsonl", orient="records", lines=True)
    frame.to_csv(tmp_path / "l.csv.gz", index=False)
    frame.to_csv(tmp_path / "l.txt", index=False, sep="\t")
    looks = [draft(tmp_path / name).catalog for name in ("l.jsonl", "l.csv.gz", "l.txt")]
    assert [seen.format for seen in looks if seen] == ["json lines", "csv", "csv"]
    assert len({tuple((c.name, c.read_as, c.different, c.use) for c in seen.columns) for seen in looks if seen}) == 1


def test_lists_in_a_feature_are_pointed_out_as_the_loader_does(tmp_path: Path) -> None:
    rows = [{"age": 20 + i % 60, "tags": [["a"], ["b", "c"], ["a", "c"]][i % 3], "bad": ["yes", "no"][i * 7 % 5 < 2]} for i in range(300)]
    pd.DataFrame(rows).to_json(tmp_path / "l.jsonl", orient="records", lines=True)
    made = draft(tmp_path / "l.jsonl", "bad")
    loaded, seen, _ = loaded_as(made.toml, tmp_path)
    for notes in (made.notes, seen.notes, loaded.notes):
        (said,) = [note for note in notes if "holds lists" in note]
        assert said.startswith("'tags' holds lists ([")
        assert "dataset.drop = ['tags'] leaves it out" in said


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["1,yes", "2,no"], "none is left for"),
        (["1,yes", "2,yes", "3,yes", "4,yes", "5,yes", "6,yes", "7,yes", "8,no"], "train has rows of one class only"),
        ([f"{20 + i % 23},{'yes' if i % 2 else 'no'}" for i in range(40)], ""),
    ],
)
def test_too_few_rows_are_told_before_anything_is_loaded(tmp_path: Path, rows: list[str], said: str) -> None:
    (tmp_path / "few.csv").write_text("\n".join(["age,bad", *rows]) + "\n")
    made = draft(tmp_path / "few.csv", "bad")
    assert made.catalog is not None
    try:
        datasets.load(parse(made.toml, folder=tmp_path).dataset, 0, tmp_path)
    except BadData:
        assert said
        assert said in made.catalog.wrong[0]
        assert any(note.startswith("! cannot be run as it is") and said in note for note in made.notes)
    else:
        assert not said
        assert not made.catalog.wrong


def test_half_a_scenario_is_told_and_the_rest_holds(tmp_path: Path) -> None:
    loans.write(tmp_path / "loans.csv", 300)
    opener = Opener()
    for toml, told in (
        ("[dataset", ""),
        ('[dataset]\nlabel = "loan_statu"', "there is no column 'loan_statu', did you mean 'loan_status'?"),
        ('[dataset]\nlabel = "annual_inc"', "different values"),
        ('[dataset]\nlabel = 3\ndrop = ["age"]', "dataset.label"),
        ('[dataset]\nnumeric = ["purpose"]', "'purpose' is to be numbers and has none"),
        ('[dataset]\nannotations = ["distric"]', "did you mean 'district'?"),
        ('[dataset]\nkind = "image_folder"', "the file is a table"),
        ('[dataset]\nlabel = "loan_status"\ndrop = ["loan_status"]', "dataset.label and in dataset.drop"),
    ):
        seen = under("loans.csv", toml, tmp_path, opener)
        assert len(seen.columns) == 21
        assert (told in " ".join(seen.wrong)) if told else not seen.wrong, (toml, seen.wrong)
    dropped = under("loans.csv", '[dataset]\nlabel = 3\ndrop = ["age"]', tmp_path, opener).column("age")
    assert dropped is not None
    assert dropped.use == "left out"


def test_a_catalogue_goes_through_json(tmp_path: Path) -> None:
    import json

    made = draft(loans.write(tmp_path / "loans.csv", 300), leaks=True)
    assert made.catalog is not None
    assert catalog_of(json.loads(json.dumps(as_json(made.catalog)))) == made.catalog


def test_a_change_costs_no_second_reading(tmp_path: Path) -> None:
    """Question again under other keys, the file's columns are not read again."""
    path = loans.write(tmp_path / "loans.csv", 20_000)
    opener = Opener()
    begun = time.process_time()
    under(str(path), '[dataset]\nlabel = "loan_status"\n', tmp_path, opener)
    first, begun = time.process_time() - begun, time.process_time()
    under(str(path), '[dataset]\nlabel = "loan_status"\ndrop = ["age"]\n', tmp_path, opener)
    assert time.process_time() - begun < first / 3
    path.write_text(path.read_text().replace("district", "quarter"))
    assert under(str(path), "", tmp_path, opener).column("quarter") is not None
