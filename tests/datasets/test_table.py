"""One's own tables, as messy as people have them: each works, and what was done is said, or is refused in words."""

from __future__ import annotations

import gzip
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine import datasets
from engine.datasets.tables.columns import Numbers, Words
from engine.datasets.tables.reading import read_column
from engine.errors import BadData, MissingData, SubpopError
from engine.rows import Dataset
from engine.scenario.sections import TableSection
from tests.worlds import sections
from tests.worlds.tables import noted

Load = Callable[..., Dataset]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """load(content, **keys): the content (text, bytes or a frame) as a file, loaded with `label = "y"` and the keys."""

    def load_(content: str | bytes | pd.DataFrame | None, name: str = "mine.csv", seed: int = 0, **keys: object) -> Dataset:
        path = tmp_path / name
        if isinstance(content, pd.DataFrame):
            content = content.to_csv(index=False)
        if content is not None:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        section = sections.dataset(**{"kind": "table", "path": path, "label": "y", **keys})
        return datasets.load(section, seed, tmp_path)

    return load_


def people(n: int = 100) -> pd.DataFrame:
    """age 18..77, job a/b/c, y no/yes."""
    i = np.arange(n)
    return pd.DataFrame({"age": 18 + (i * 7) % 60, "job": np.array(["a", "b", "c"])[i % 3], "y": np.array(["no", "yes"])[(i // 2) % 2]})


def together(dataset: Dataset) -> pd.DataFrame:
    """The frames of all splits in the file's order."""
    parts = [dataset.train, dataset.aux, dataset.test]
    frame = pd.concat([part.frame for part in parts])
    frame.index = pd.Index(np.concatenate([part.ids for part in parts]))
    return frame.sort_index()


# ---- what works -----------------------------------------------------------------------------------------------------


def test_columns_are_found_by_type_and_rows_keep_their_numbers(load: Load) -> None:
    dataset = load(people())
    assert dataset.classes == ("no", "yes")
    assert dataset.feature_names == ("age", "job=a", "job=b", "job=c")
    assert [len(p) for p in (dataset.train, dataset.aux, dataset.test)] == [40, 40, 20]
    assert (together(dataset)["age"].to_numpy() == people()["age"]).all()
    for part in (dataset.train, dataset.aux, dataset.test):
        assert (part.x[:, 0] == part.frame["age"]).all()
        for place, job in enumerate("abc", 1):
            assert (part.x[:, place] == (part.frame["job"] == job)).all()
        assert [dataset.classes[c] for c in part.y] == list(people()["y"][part.ids])
    assert dataset.checksums["mine.csv"].startswith("sha256:")
    assert "fed as numbers: 'age'" in noted(dataset)
    assert "fed as 0 or 1 a level: 'job' (3 levels)" in noted(dataset)


def test_the_seed_alone_moves_the_split(load: Load) -> None:
    assert (load(people()).train.ids == load(people()).train.ids).all()
    assert (load(people()).train.ids != load(people(), seed=1).train.ids).any()


def test_standardised_on_train_numbers_only_and_capped(load: Load) -> None:
    dataset = load(people(400), scale="standard", rows=50)
    assert dataset.train.x[:, 0].mean() == pytest.approx(0, abs=1e-6)
    assert dataset.train.x[:, 0].std() == pytest.approx(1, abs=1e-5)
    assert set(np.unique(dataset.test.x[:, 1:])) == {0, 1}
    assert dataset.deviations[0] == "a subset of the data: 50 of 160 train rows, 50 of 160 aux rows, 50 of 80 test rows"
    assert "LABEL LEAKAGE? 'age' alone" in dataset.deviations[1], "people are made so that the age settles the label"


def test_overrides_annotations_and_drop(load: Load) -> None:
    table = people().assign(city=lambda t: "c" + (t["age"] % 4).astype(str), secret=1.5)
    dataset = load(table, categorical=("age",), annotations=("city", "job"), drop=("secret",))
    assert all(name.startswith("age=") for name in dataset.feature_names)
    assert set(dataset.train.frame) == {"age", "job", "city"}
    both = load(table, annotations=("job",), categorical=("job",), drop=("secret", "city"))
    assert both.feature_names == ("age", "job=a", "job=b", "job=c")


def test_the_positive_class_is_put_last_and_numbers_are_in_order(load: Load) -> None:
    assert load(people(), positive="no").classes == ("yes", "no")
    assert load(people().assign(y=[f"{i % 12}.0" for i in range(100)])).classes == tuple(map(str, range(12)))


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators(load: Load, separator: str) -> None:
    dataset = load(people().to_csv(index=False, sep=separator))
    assert dataset.feature_names == ("age", "job=a", "job=b", "job=c")
    assert "-separated" in noted(dataset)


@pytest.mark.parametrize(
    ("encoding", "said"),
    [("utf-8-sig", None), ("utf-16", "read as UTF-16"), ("cp1252", "not UTF-8 (line 2): read as Windows-1252")],
)
def test_encodings(load: Load, encoding: str, said: str | None) -> None:
    table = people().assign(job=["café", "thé"] * 50)
    dataset = load(table.to_csv(index=False).encode(encoding))
    assert set(dataset.train.frame["job"]) == {"café", "thé"}
    assert list(dataset.train.frame) == ["age", "job"]
    assert said is None or said in noted(dataset)


def test_line_endings_and_gzip(load: Load) -> None:
    text = people().to_csv(index=False)
    for content in (text.replace("\n", "\r\n"), text.replace("\n", "\r"), gzip.compress(text.encode()), text.rstrip("\n"), text + "\n\n"):
        assert len(together(load(content))) == 100


def test_quoted_newlines_separators_and_quotes(load: Load) -> None:
    rows = "\n".join(f'"a, ""b""\nline {i % 3}",{i * 3},{i % 2}' for i in range(60))
    dataset = load("text,age,y\n" + rows)
    assert set(together(dataset)["text"]) == {f'a, "b"\nline {k}' for k in range(3)}
    assert 'text=a, "b" line 0' in dataset.feature_names  # a feature's name stays on its line


def test_a_field_longer_than_any_block(load: Load) -> None:
    dataset = load('age,text,y\n1,"' + "x\n" * 3_000_000 + '",0\n' + "\n".join(f"{i},x,{i % 2}" for i in range(5, 60)))
    assert len(together(dataset)) == 56


def test_repeated_and_empty_headers(load: Load) -> None:
    dataset = load("age,age,,age,y\n" + "\n".join(f"{i * i},{i % 5},{i % 7},{i % 4},{i % 2}" for i in range(60)))
    assert dataset.feature_names == ("age", "age (2)", "column 3", "age (3)")
    assert "3 columns are called 'age'" in noted(dataset)
    assert "1 column without a name" in noted(dataset)


def test_columns_that_teach_nothing_are_left_out_and_said(load: Load) -> None:
    i = np.arange(100)
    table = people().assign(
        constant=1,
        void=np.nan,
        name=[f"user {k * 37 % 100}" for k in i],
        row=i,
        account_id=i * i + 5,
        when=[f"2024-{1 + k % 12:02d}-{1 + k % 28:02d}" for k in i],
    )
    dataset = load(table)
    assert dataset.feature_names == ("age", "job=a", "job=b", "job=c")
    for said in (
        "'constant' (the same in every row)",
        "'void' (all missing)",
        "'name' (an identifier or free text: 100 different values in 100 rows)",
        "'row' (numbers the rows)",
        "'account_id' (an identifier, different in every row)",
        "'when' (dates;",
    ):
        assert said in noted(dataset)
    asked = load(table, numeric=("when", "row"), annotations=("name",))
    assert asked.feature_names == ("age", "job=a", "job=b", "job=c", "row", "when")
    assert together(asked)["when"][0] == (pd.Timestamp("2024-01-01") - pd.Timestamp(0)).days
    assert together(asked)["name"][1] == "user 37"


def test_rare_levels_are_merged_by_their_frequency_in_train(load: Load) -> None:
    city = [f"c{int(k)}" for k in np.random.default_rng(0).gamma(1, 40, 4000)]
    dataset = load(people(4000).assign(city=city), max_categories=20)
    names = [name for name in dataset.feature_names if name.startswith("city=")]
    assert len(names) == 20
    assert names[-1] == "city=other"
    assert "merged into 'other', the 19 most frequent kept" in noted(dataset)
    first = dataset.feature_names.index(names[0])
    for part in (dataset.train, dataset.aux, dataset.test):
        assert (part.x[:, first : first + 20].sum(axis=1) == 1).all()
    kept = {name.removeprefix("city=") for name in names[:-1]}
    assert kept == set(dataset.train.frame["city"].value_counts(sort=True).index[:19]) or len(kept) == 19
    in_train = dataset.train.frame["city"].value_counts()
    assert in_train[list(kept)].min() >= in_train.drop(list(kept)).max()


def test_a_level_that_train_lacks_sets_no_feature_and_is_said(load: Load) -> None:
    table = people(99).assign(job=lambda t: np.where(t.index == 90, "zzz", t["job"]), s=["train"] * 40 + ["aux"] * 40 + ["test"] * 19)
    dataset = load(table, split_column="s")
    assert dataset.feature_names == ("age", "job=a", "job=b", "job=c")
    assert dataset.test.x[dataset.test.frame["job"] == "zzz", 1:].sum() == 0
    assert "'job': 1 row of aux and test with a value that train lacks" in noted(dataset)


def test_missing_values_are_filled_flagged_and_counted(load: Load) -> None:
    table = people()
    table.loc[::5, "age"] = np.nan
    table.loc[::7, "job"] = "?"
    dataset = load(table)
    assert dataset.feature_names == ("age", "age is missing", "job=a", "job=b", "job=c", "job=missing")
    assert "missing values (age 20, job 15 of 100 rows)" in noted(dataset)
    gone = dataset.test.frame["age"].isna().to_numpy()
    assert gone.any()
    assert (dataset.test.x[:, 1] == gone).all()
    assert set(dataset.test.x[gone, 0]) == {np.float32(dataset.train.frame["age"].median())}  # train's median, in test too
    dropped = load(table, missing="drop")
    assert dropped.feature_names == ("age", "job=a", "job=b", "job=c")
    assert len(together(dropped)) == 68
    assert "missing values: one or more in 32 of 100 rows, left out" in noted(dropped)


def test_rows_without_a_label_are_left_out_and_counted(load: Load) -> None:
    table = people()
    table.loc[:9, "y"] = np.nan
    dataset = load(table)
    assert min(together(dataset).index) == 10
    assert "no label: 10 of 100 rows, left out" in noted(dataset)


def test_a_split_column(load: Load) -> None:
    words = ["Train", "aux ", "TEST"]
    dataset = load(people(99).assign(s=[words[k % 3] for k in range(99)]), split_column="s")
    assert [set(part.ids % 3) for part in (dataset.train, dataset.aux, dataset.test)] == [{0}, {1}, {2}]
    assert "s" not in dataset.train.frame
    assert not any(name.startswith("s") for name in dataset.feature_names)


def test_a_class_too_rare_for_every_split_is_said(load: Load) -> None:
    dataset = load(people().to_csv(index=False) + "30,a,perhaps\n")
    assert dataset.classes == ("no", "perhaps", "yes")
    assert noted(dataset).count("rows of class 'perhaps'") == 2


# ---- what a column is -----------------------------------------------------------------------------------------------


def column(*values: object, forced: str | None = None) -> Numbers | Words:
    found = read_column("c", pa.chunked_array([pa.array(values)]), "here", forced)
    assert isinstance(found, Numbers | Words)
    return found


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        (("1", " 2.5 ", "-3e2", "+.5"), [1, 2.5, -300, 0.5]),
        (("1,234", "12,345,678.5", "-7", "0.25"), [1234, 12345678.5, -7, 0.25]),
        (("1 234", "12 345 678", "5"), [1234, 12345678, 5]),
        (("1'234", "1'234'567.5"), [1234, 1234567.5]),
        (("3,14", "1.234,5", "7"), [3.14, 1234.5, 7]),
        (("1", "", "NA", "NaN", "null", "?", "N/A"), [1, *[np.nan] * 6]),
        (("inf", "-inf", "1e300", "2"), [np.nan, np.nan, np.nan, 2]),
    ],
)
def test_ways_to_write_numbers(written: tuple[str, ...], numbers: list[float]) -> None:
    found = column(*written)
    assert isinstance(found, Numbers)
    assert np.array_equal(found.values, numbers, equal_nan=True)


def test_a_few_stray_words_are_missing_and_many_make_it_words() -> None:
    few = column(*map(str, range(98)), "n.a.", "unknown")
    assert isinstance(few, Numbers)
    assert few.missing.sum() == 2
    assert "2 values ('n.a.', 'unknown')" in few.notes[0]
    many = column("1", "2", "a", "b")
    assert isinstance(many, Words)
    assert many.levels == ("1", "2", "a", "b")


def test_codes_with_leading_zeros_dates_and_truths_are_words() -> None:
    codes, dates, truths = column("00501", "10001"), column("2024-01-31", "1.2.2024", "3/4/24 10:00"), column(True, False, None)
    assert isinstance(codes, Words)
    assert isinstance(dates, Words)
    assert dates.dates
    assert isinstance(truths, Words)
    assert truths.codes.tolist() == [1, 0, -1]
    zip_code = column("00501", "10001", forced="number")
    assert isinstance(zip_code, Numbers)


def test_dates_as_numbers_are_days() -> None:
    days = column("1970-01-02", "0001-01-01", "1970-01-01T12:00", "soon", None, "1969-12-31", forced="number")
    assert isinstance(days, Numbers)
    assert np.array_equal(days.values, [1, -719162, 0.5, np.nan, np.nan, -1], equal_nan=True)
    assert "not a date, and taken as missing: 1 value" in days.notes[1]


# ---- Parquet --------------------------------------------------------------------------------------------------------


def test_parquet_types(load: Load, tmp_path: Path) -> None:
    i = np.arange(100)
    table = pa.table(
        {
            "number": np.sin(i),
            "truth": i % 3 == 0,
            "lists": [[1]] * 100,
            "bytes": pa.array([b"x"] * 100),
            "when": pd.date_range("2020", periods=100),
            "word": pa.array(np.array(["u", "v"])[i % 2]).dictionary_encode(),
            "nothing": pa.nulls(100),
            "holes": pa.array([None if k % 4 == 0 else int(k % 9) for k in i]),
            "y": i % 2,
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    dataset = load(None, "t.parquet")
    assert dataset.feature_names == ("number", "truth=true", "word=v", "holes", "holes is missing")
    for said in ("'lists' (holds list<", "'bytes' (holds binary)", "'nothing' (all missing)", "'when' (dates;"):
        assert said in noted(dataset)
    with pytest.raises(BadData, match=r"column 'lists' holds list<.*cannot be a number"):
        load(None, "t.parquet", numeric=("lists",))
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:400])
    with pytest.raises(BadData, match=r"cut\.parquet: cannot be read as Parquet"):
        load(None, "cut.parquet")
    garbled = pa.table({"word": pa.array([b"\xff\xfe"] * 20, pa.binary()).view(pa.string()), "y": [0, 1] * 10})
    pq.write_table(garbled, tmp_path / "garbled.parquet")
    with pytest.raises(BadData, match=r"garbled\.parquet: cannot be read as Parquet"):
        load(None, "garbled.parquet")
    pq.write_table(table.slice(0, 0), tmp_path / "none.parquet")
    with pytest.raises(BadData, match="columns and no rows"):
        load(None, "none.parquet")


def test_csv_and_parquet_of_one_table_are_one_dataset(load: Load, tmp_path: Path) -> None:
    people().to_parquet(tmp_path / "p.parquet")
    csv, parquet = load(people()), load(None, "p.parquet")
    assert csv.feature_names == parquet.feature_names
    assert (csv.train.x == parquet.train.x).all()
    assert (csv.train.ids == parquet.train.ids).all()


# ---- what is refused ------------------------------------------------------------------------------------------------

TEXT = people().to_csv(index=False)
REFUSED: dict[str, tuple[str | bytes, dict[str, object], str]] = {
    "empty": ("", {}, "the file is empty; it needs a header row"),
    "blank lines": ("\n\n \n", {}, "there is no header row"),
    "header only": ("a,b,y\n", {}, "there is a header row and no row of data"),
    "one class": (people().assign(y="no").to_csv(index=False), {}, "has one class only ('no')"),
    "no label at all": (people().assign(y="").to_csv(index=False), {}, "the label column 'y' is empty"),
    "label in capitals": (TEXT, {"label": "Y"}, "dataset.label: there is no column 'Y', did you mean 'y'?"),
    "label misspelt": (TEXT, {"label": "agee"}, "did you mean 'age'?"),
    "no header": ("1,2,0\n3,4,1\n", {}, "does the file lack a header row?"),
    "label twice": ("y,a,y\n1,2,3\n", {}, "dataset.label: 2 columns are called 'y'; rename all but one"),
    "label a quantity": (pd.DataFrame({"a": [1, 2] * 50, "y": np.sin(range(100))}).to_csv(), {}, "the label column 'y' has 100 different"),
    "too many classes": (pd.DataFrame({"a": [1, 2] * 150, "y": range(300)}).to_csv(), {}, "at most 256 classes"),
    "unknown positive": (TEXT, {"positive": "yess"}, "no class 'yess'; did you mean 'yes'?"),
    "all mistakes at once": (TEXT, {"numeric": ("agee",), "drop": ("z",)}, "dataset.drop: there is no column 'z'"),
    "two roles": (TEXT, {"numeric": ("age",), "categorical": ("age",)}, "'age' is in dataset.numeric and in dataset.categorical"),
    "words as numbers": (TEXT, {"numeric": ("job",)}, "column 'job' is to be numbers and has none (for instance 'a')"),
    "split words": (
        people(8).assign(s=["train", "later"] * 4).to_csv(index=False),
        {"split_column": "s"},
        "the split column 's' says 'later' (4 rows); each row must say train, aux or test",
    ),
    "split gaps": (people(8).assign(s=["train", None] * 4).to_csv(index=False), {"split_column": "s"}, "says nothing (4 rows)"),
    "no test": (
        people(8).assign(s=["train", "aux"] * 4).to_csv(index=False),
        {"split_column": "s"},
        "no row of the split column 's' says test",
    ),
    "short row": (TEXT + "1,2\n3,4,5,6\n", {}, "row 102 has 2 fields where the header has 3 (the header is row 1); 2 rows do not fit"),
    "open quote": (TEXT + '"oops,1,2\n3,4,5\n', {}, "do not pair up: one opened in that row or above is never closed"),
    "open quote in the last field": (TEXT + '1,2,"oops\n3,4,5\n', {}, 'a quote (") that opens in row 102 is never closed'),
    "binary": (bytes(range(256)) * 4, {}, "this is not text: it has zero bytes"),
    "workbook": (b"PK\x03\x04....", {}, "this is a ZIP archive or an Excel workbook"),
    "cut gzip": (gzip.compress(TEXT.encode())[:80], {}, "cannot be read: Compressed file ended"),
    "only a label": ("y\n1\n0\n1\n", {}, "no column is left to learn from"),
    "too few rows": ("a,y\n1,0\n2,1\n", {}, "mine.csv: no rows for"),
    "all rows with gaps": (
        people(6).assign(job=["", "a"] * 3, age=[1, ""] * 3).to_csv(index=False),
        {"missing": "drop"},
        "every row has a",
    ),
    "too wide for memory": (
        people(3000).assign(k=[f"v{i % 1400}" for i in range(3000)]).to_csv(index=False),
        {"max_categories": 2000},
        "would take",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_words(load: Load, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    content, keys, said = REFUSED[case]
    monkeypatch.setattr("engine.datasets.tables.features.os.sysconf", lambda name: 4000 if name == "SC_PHYS_PAGES" else 4096)
    with pytest.raises(BadData) as caught:
        load(content, **keys)
    assert said in str(caught.value)
    assert "mine.csv" in str(caught.value)
    assert caught.value.next


def test_no_file_no_path_and_a_folder(load: Load, tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"mine\.csv: there is no such file"):
        load(None)
    with pytest.raises(BadData, match="this is a folder"):
        load(None, ".")
    assert not datasets.state("table", tmp_path).present
    (tmp_path / "there.csv").write_text(TEXT)
    for name, here in (("there.csv", True), ("absent.csv", False), (".", False)):
        section = TableSection(path=tmp_path / name, label="y")
        assert datasets.state(section, tmp_path).present is here


def test_random_bytes_and_broken_tables_never_end_in_a_traceback(load: Load) -> None:
    rng = np.random.default_rng(0)
    base = bytearray((people(40).to_csv(index=False) + '"q, ""r""\n",x,no\n').encode())
    refused: list[SubpopError] = []
    for _ in range(150):
        content = bytearray(base)
        for _ in range(rng.integers(1, 8)):
            at = int(rng.integers(len(content)))
            mischief = rng.choice(['"', ",", "\n", "\r", ";", "\t", "\ufeff", "é", "NaN", "-", "0", "\x1a", ""])
            content[at : at + int(rng.integers(3))] = str(mischief).encode(rng.choice(["utf-8", "utf-16-le"]))
        try:
            load(bytes(content))
        except SubpopError as error:
            refused.append(error)
    assert 0 < len(refused) < 150
    assert all(error.what and error.where and error.next for error in refused)


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
def test_a_large_table_is_read_in_little_more_than_its_own_size(load: Load) -> None:
    """60,000 rows here; a million rows of 12 columns (95 MiB of CSV), measured by hand: 6 s of one core, 0.9 GiB at the peak."""
    n = 60_000
    i = np.arange(n)
    table = people(n).assign(name=[f"u{k:07d}" for k in i], w=np.sin(i), city=[f"c{k % 211}" for k in i * i])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    dataset = load(table)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert len(together(dataset)) == n
    assert grown < 400
    assert "'name' (an identifier" in noted(dataset)
