"""How a file or a folder is laid out is read from the whole of it, or refused by its own name."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine import datasets
from engine.datasets.splits import VALIDATION, split_named
from engine.errors import BadData
from engine.rows import Dataset
from tests.worlds import sections
from tests.worlds.pictures import coded, pixels, splits, unpacked
from tests.worlds.tables import column, labels, loaded, noted, people

N = 200
TEXT = people().to_csv(index=False)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SUBPOP_CACHE", str(tmp_path / "cache"))


def texts(folder: Path, content: str, name: str = "data.tsv", **keys: object) -> Dataset:
    (folder / name).write_text(content)
    section = sections.dataset(**{"kind": "text_table", "path": folder / name, "text": "text", "label": "label", **keys})
    return datasets.load(section, 0, folder)


# ---- splits by name -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "split"),
    [
        ("Train", "train"), ("seg_train", "train"), ("training_set", "train"), ("trainset", "train"), ("train-images", "train"),
        ("seg_test", "test"), ("test set", "test"), ("Testing", "test"), ("evaluation", "test"), ("val", VALIDATION),
        ("valid", VALIDATION), ("Validation", VALIDATION), ("dev", VALIDATION), ("val_data", VALIDATION), ("aux", "aux"),
        ("trains", None), ("device", None), ("training wheels", None), ("contest", None), ("ant", None), ("", None),
    ],
)  # fmt: skip
def test_words_that_name_a_split(word: str, split: str | None) -> None:
    assert split_named(word) == split


def pictures(folder: Path, *homes: str, nested: bool = False) -> Path:
    files = {}
    for home in homes:
        inner = f"{home}/{home}" if nested else home
        for place, name in enumerate(("ant", "bee")):
            files |= {f"{inner}/{name}/{k}.png": coded(pixels(1000 * len(files) + place + k, 16)) for k in range(20)}
    return unpacked(files, folder)


def load(path: Path, **keys: object) -> Dataset:
    return datasets.load(sections.dataset(**{"kind": "image_folder", "path": path, "image_size": 16, **keys}), 0, path)


@pytest.mark.parametrize("word", ["val", "valid", "validation", "dev", "Val_set"])
def test_a_validation_folder_alone_is_the_test_set(tmp_path: Path, word: str) -> None:
    dataset = load(pictures(tmp_path / "insects", "train", word))
    assert dataset.classes == ("ant", "bee")
    assert {name.split("/")[0] for name in dataset.test.frame["file"]} == {word}
    assert [len(rows) for rows in splits(dataset)] == [20, 20, 40]
    assert f"{word!r} read as the test set, for there is no other" in dataset.notes


def test_a_validation_folder_beside_test_is_left_out(tmp_path: Path) -> None:
    dataset = load(pictures(tmp_path / "insects", "train", "val", "test"))
    assert {name.split("/")[0] for rows in splits(dataset) for name in rows.frame["file"]} == {"train", "test"}
    assert "'val': left out, for there is a test set beside it" in dataset.notes


def test_splits_with_a_folder_of_their_own_name_within(tmp_path: Path) -> None:
    dataset = load(pictures(tmp_path / "scenes", "seg_train", "seg_test", nested=True))
    assert dataset.classes == ("ant", "bee")
    assert {name.split("/")[1] for name in dataset.test.frame["file"]} == {"seg_test"}
    for rows in splits(dataset):
        assert [name.split("/")[2] for name in rows.frame["file"]] == [dataset.classes[label] for label in rows.y]


def test_a_split_without_the_other_is_refused_and_classes_of_such_names_are_classes(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="has the folders train, which are no classes, and not both train and test"):
        load(pictures(tmp_path / "half", "train"))
    files = {f"{name}/{k}.png": coded(pixels(k, 16)) for name in ("train", "bus", "car") for k in range(10)}
    assert load(unpacked(files, tmp_path / "vehicles")).classes == ("bus", "car", "train")


def test_a_split_column_of_the_same_words(tmp_path: Path) -> None:
    table = people(300)
    alone = loaded(tmp_path, table.assign(part=[("train", "train", "validation")[i % 3] for i in range(300)]), split_column="part")
    assert [len(rows) for rows in splits(alone)] == [100, 100, 100]
    assert set(alone.test.ids % 3) == {2}
    assert "'validation' read as the test set" in noted(alone)
    assert "no aux rows: aux is 50% of train, stratified" in noted(alone)
    beside = loaded(tmp_path, table.assign(part=[("train", "dev", "test", "aux")[i % 4] for i in range(300)]), split_column="part")
    assert [set(rows.ids % 4) for rows in splits(beside)] == [{0}, {3}, {2}]
    assert "'dev': left out, for there is a test set beside it" in noted(beside)


# ---- quotes and lines -----------------------------------------------------------------------------------------------


def test_quotes_between_tabs_never_swallow_lines(tmp_path: Path) -> None:
    for strays in ((40, 80), (7,), (10, 11, 150)):
        lines = ["text\tlabel"] + [('"' if i in strays else "") + f"a b c {i}\t{i % 2}" for i in range(N)]
        dataset = texts(tmp_path, "\n".join(lines) + "\n")
        assert sum(len(rows) for rows in splits(dataset)) == N
        assert 'quotes (") read as they stand' in noted(dataset)
        kept = {text for rows in splits(dataset) for text in rows.texts}
        assert f'"a b c {strays[0]}' in kept


def test_a_quoted_record_of_several_lines_is_read_whole_and_told(tmp_path: Path) -> None:
    for separator, name in (("\t", "d.tsv"), (",", "d.csv")):
        lines = [separator.join(("text", "label", "n"))]
        lines += [separator.join((f'"one {i}\ntwo {i}"' if i % 50 == 0 else f"one {i}", str(i % 2), str(i))) for i in range(N)]
        dataset = texts(tmp_path, "\n".join(lines), name)
        assert sum(len(rows) for rows in splits(dataset)) == N
        assert "4 records of several lines, in quotes" in noted(dataset)
        assert "one 50\ntwo 50" in {text for rows in splits(dataset) for text in rows.texts}


def test_stray_quotes_between_commas_are_refused_with_their_lines(tmp_path: Path) -> None:
    lines = ["text,label"] + [('"' if i in (40, 80) else "") + f"a b c {i},{i % 2}" for i in range(N)]
    with pytest.raises(BadData, match=r"opens in line 42, and where the next one stands, in line 82, the field goes on"):
        texts(tmp_path, "\n".join(lines) + "\n", "data.csv")


# ---- headers and what stands above them -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        people().assign(age2=lambda t: t.age)[["age2", "age", "region", "y"]].to_csv(index=False, header=False),
        "".join(f"{k % 9 + 0.5},{k % 7},{('setosa', 'virginica')[k % 2]}\n" for k in range(150)),
        "".join(f"{k * 7 % 60};{k % 2}\n" for k in range(5, 150)),
        "".join(f"{k * 7 % 60}\tperson {k}\t{'ab'[k % 2]}\n" for k in range(150)),
        "".join(f"{'xyz'[k % 3]},{'ab'[k % 2]}\n" for k in range(150)),
    ],
    ids=range(5),
)
def test_a_header_of_data_is_none(tmp_path: Path, content: str) -> None:
    with pytest.raises(BadData, match=r"the first line looks like the rows below it .*does the file lack a header row"):
        loaded(tmp_path, content)


@pytest.mark.parametrize(
    "header",
    [["0", "1", "y"], ["2019", "2020", "y"], ["age", "3", "y"], ["n", "s", "y"], ["a1", "a2", "y"]],
)
def test_headers_that_are_headers(tmp_path: Path, header: list[str]) -> None:
    table = people().assign(more=lambda t: t.age * 3 % 17)[["age", "more", "y"]]
    table.columns = pd.Index(header)
    assert loaded(tmp_path, table).feature_names == tuple(header[:2])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("sep=;\n" + TEXT.replace(",", ";"), "read as semicolon-separated"),
        ('"sep=\t"\r\n' + TEXT.replace(",", "\t"), "read as tab-separated"),
        ("sep=^\n" + TEXT.replace(",", "^"), "read as '^'-separated"),
        ("# made by hand\n# in 2020, by me\n" + TEXT, "2 comment lines above the header left out"),
        ("#age,region,y\n" + TEXT.partition("\n")[2], ""),
        ("# a study\n#age,region,y\n" + TEXT.partition("\n")[2], "1 comment line above the header left out"),
        ("// a, b\n\n" + TEXT, "left out"),
    ],
)
def test_what_stands_above_the_header(tmp_path: Path, content: str, said: str) -> None:
    dataset = loaded(tmp_path, content)
    assert dataset.feature_names == ("age", "region=s")
    assert (column(dataset, "age") == people().age).all()
    assert (labels(dataset) == people().y).all()
    assert said in noted(dataset)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[{"age": 1, "y": "no"}, {"age": 2, "y": "yes"}]', "this is a JSON array"),
        ("\n[\n  [1, 2], [3, 4]]", "this is a JSON array"),
        ('<?xml version="1.0"?><rows/>', "this is XML or HTML"),
        ("<!DOCTYPE html><table></table>", "this is XML or HTML"),
        ("% iris\n@RELATION iris\n@DATA\n1,2\n", "this is an ARFF file"),
        (TEXT.replace(",", "  "), "its 3 columns are separated by blanks"),
        (TEXT.replace(",", " "), "its 3 columns are separated by blanks"),
    ],
)
def test_other_layouts_are_refused_by_their_own_name(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(BadData, match=said) as caught:
        loaded(tmp_path, content)
    assert caught.value.next
    assert os.fspath(tmp_path) in caught.value.where


def test_json_lines_are_a_table_too(tmp_path: Path) -> None:
    table = people().astype({"age": object})
    content = "\n".join(row.to_json() for _, row in table.iterrows())
    dataset = loaded(tmp_path, content, "mine.jsonl")
    assert dataset.feature_names == ("age", "region=s")
    assert np.array_equal(column(dataset, "age").to_numpy(np.int64), people().age.to_numpy())


def test_columns_of_one_name_that_are_not_used_are_no_reason_to_refuse(tmp_path: Path) -> None:
    table = people().assign(**{"note": "x", "note ": "z"})
    dataset = loaded(tmp_path, table.rename(columns={"note ": "note"}))
    assert dataset.feature_names == ("age", "region=s")
    dropped = people().assign(a=1.5, b=range(N)).rename(columns={"a": "age", "b": "other"})
    assert "age" in loaded(tmp_path, dropped.set_axis(["age", "region", "y", "note", "note"], axis=1), drop=("note",)).feature_names
