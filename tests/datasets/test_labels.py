"""Which cells of a label column are classes, and what is said of classes that look like one another."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.datasets.tables.alike import alike, difference
from engine.errors import BadData
from tests.worlds.tables import column, labels, loaded, noted, people


@pytest.mark.parametrize("word", ["None", "NA", "null", "N/A", "?", "missing", "nil", "#N/A"])
def test_a_class_is_never_dropped_for_its_name(tmp_path: Path, word: str) -> None:
    table = people().assign(y=lambda t: np.where(t.y == "no", word, np.where(t.age > 60, "Apnea", "Insomnia")))
    dataset = loaded(tmp_path, table)
    assert set(dataset.classes) == {word, "Apnea", "Insomnia"}
    assert (labels(dataset) == table.y).all()
    assert f"'{word}' is a class like any other ({(table.y == word).sum()} rows)" in noted(dataset)
    told = loaded(tmp_path, table, missing_words=(word,))
    assert told.classes == ("Apnea", "Insomnia")
    assert f"no label: {(table.y == word).sum()} of 200 rows, left out" in noted(told)


def test_an_empty_cell_and_nan_are_no_label_in_csv_and_parquet(tmp_path: Path) -> None:
    table = people()
    table["y"] = [None if i % 10 == 0 else float(v == "yes") for i, v in enumerate(table.y)]
    csv = loaded(tmp_path, table)
    assert csv.classes == ("0", "1")
    assert len(labels(csv)) == 180
    words = people().assign(y=lambda t: ["nan" if i % 10 == 0 else " " if i % 10 == 5 else v for i, v in enumerate(t.y)])
    assert len(labels(loaded(tmp_path, words))) == 160
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), tmp_path / "t.parquet")
    parquet = loaded(tmp_path, (tmp_path / "t.parquet").read_bytes(), "p.parquet")
    assert (labels(parquet) == labels(csv)).all()


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ("no", "no.", "a final dot"),
        ("Private", "private", "capitals"),
        ("New York", "New  York", "blanks"),
        ("New York", "New\u00a0York", "blanks"),
        ("left_arm", "left arm", "blanks"),
        (unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café"), "Unicode form"),
        ("Ａ１", "A1", "Unicode form"),
        ("'good'", "good", "quotes"),
        ("YES.", "yes", "spelling"),
    ],
)
def test_classes_and_levels_that_are_one_word_in_two_spellings_are_pointed_out(tmp_path: Path, one: str, other: str, said: str) -> None:
    assert alike({one: 2, other: 1, "else": 7}) == [[one, other]]
    assert difference(one, other) == difference(other, one) == said
    mixed = np.where(np.arange(200) % 3 == 0, other, one)
    dataset = loaded(tmp_path, people().assign(y=lambda t: np.where(t.y == "no", mixed, "else"), place=mixed))
    assert set(dataset.classes) == {one, other, "else"}, "never merged in silence"
    assert f"classes that differ by {said} alone" in noted(dataset)
    assert f"levels of 'place' that differ by {said} alone" in noted(dataset)
    assert set(column(dataset, "place")) == {one, other}


def test_what_differs_by_more_is_not_pointed_out(tmp_path: Path) -> None:
    assert alike(dict.fromkeys(["a", "b", "ab", "a b", "1", "10", "1.5", "e", "é", "C", "C++", "C#"], 1)) == []
    assert "differ by" not in noted(loaded(tmp_path, people()))


def test_a_measurement_is_refused_as_one_with_how_to_cut_it(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"has 40 different numbers: a measurement, not classes; .*low below 1\.95 \(its median\)") as caught:
        loaded(tmp_path, people().assign(y=[f"{v / 10}" for v in range(40)] * 5))
    assert caught.value.where.endswith("mine.csv")
    with pytest.raises(BadData, match="300 different numbers: a measurement"):
        loaded(tmp_path, pd.DataFrame({"a": [1, 2] * 150, "y": range(300)}))
    with pytest.raises(BadData, match="300 different values: free text or an identifier"):
        loaded(tmp_path, pd.DataFrame({"a": [1, 2] * 150, "y": [f"t{i}" for i in range(300)]}))
    stars = people().assign(y=[f"{i % 10 / 2}" for i in range(200)])
    assert len(loaded(tmp_path, stars).classes) == 10


def test_several_classes_in_one_cell_are_pointed_out(tmp_path: Path) -> None:
    words = ["joy", "anger", "joy,anger", "fear"]
    dataset = loaded(tmp_path, people().assign(y=[words[i % 4] for i in range(200)]))
    assert "50 rows of several classes at once ('joy,anger')" in noted(dataset)
    lists = loaded(tmp_path, people().assign(y=[['["joy"]', '["joy", "anger"]', "[]"][i % 3] for i in range(200)]))
    assert "the label's cells are lists" in noted(lists)
    plain = loaded(tmp_path, people().assign(y=[["n/a", "a"][i % 2] for i in range(200)]))
    assert "several classes" not in noted(plain)
