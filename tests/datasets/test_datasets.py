"""Splits hold their promises; digits, breast cancer and real Adult are what they say they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine import datasets
from engine.datasets.splits import assert_disjoint, cap, checked, levels, split_by_fraction, standardise, stratified_order
from engine.errors import BadData, RequestError, UnknownName
from engine.rows import Dataset, Rows
from engine.scenario.kinds import unions
from engine.scenario.sections import DatasetSection
from tests.worlds import sections

NOWHERE = Path("/nonexistent")


def section(kind: str, **keys: object) -> DatasetSection:
    return sections.dataset(**{"kind": kind, **keys})


def rows(ids: list[int], y: list[int] | None = None) -> Rows:
    n = len(ids)
    return Rows(np.zeros((n, 1), np.float32), np.array(y or [0, 1] * n)[:n], np.array(ids), pd.DataFrame({"a": range(n)}))


def parts(dataset: Dataset) -> tuple[Rows, Rows, Rows]:
    return dataset.train, dataset.aux, dataset.test


def assert_promises(dataset: Dataset) -> None:
    ids = np.concatenate([part.ids for part in parts(dataset)])
    assert len(np.unique(ids)) == len(ids)
    for part in parts(dataset):
        assert part.x.dtype == np.float32
        assert part.y.dtype == part.ids.dtype == np.int64
        assert part.x.shape == (len(part.y), len(dataset.feature_names))
        assert len(part.frame) == len(part.y) == len(part.ids)
        assert list(part.frame.index) == list(range(len(part)))
        assert np.isfinite(part.x).all()
        assert set(np.unique(part.y)) <= set(range(len(dataset.classes)))
    assert len(set(dataset.feature_names)) == len(dataset.feature_names)


# ---- splitting ------------------------------------------------------------------------------------------------------


def test_every_stretch_of_the_order_has_the_class_mix() -> None:
    y = np.repeat([0, 1, 2], [60, 30, 10])
    order = stratified_order(y, np.random.default_rng(0))
    assert sorted(order) == list(range(100))
    for start in (0, 25, 60):
        count = np.bincount(y[order[start : start + 40]], minlength=3)
        assert np.abs(count - [24, 12, 4]).max() <= 1


def test_split_is_disjoint_stratified_and_follows_the_seed() -> None:
    y = np.repeat([0, 1], [700, 300])
    splits = split_by_fraction(y, (0.4, 0.4, 0.2), seed=3)
    assert [len(s) for s in splits] == [400, 400, 200]
    assert len(np.unique(np.concatenate(splits))) == 1000
    assert [int(y[s].sum()) for s in splits] == [120, 120, 60]
    again, other = split_by_fraction(y, (0.4, 0.4, 0.2), seed=3), split_by_fraction(y, (0.4, 0.4, 0.2), seed=4)
    assert all((a == b).all() for a, b in zip(splits, again, strict=True))
    assert (splits[0] != other[0]).any()


def test_shares_below_one_leave_rows_unused_and_above_one_are_refused() -> None:
    y = np.tile([0, 1], 50)
    assert [len(s) for s in split_by_fraction(y, (0.1, 0.2, 0.3), 0)] == [10, 20, 30]
    with pytest.raises(RequestError, match=r"add up to 1\.3"):
        split_by_fraction(y, (0.5, 0.5, 0.3), 0)


def test_a_smaller_cap_takes_some_of_the_rows_of_a_larger_one() -> None:
    y = np.repeat([0, 1], [900, 100])
    every = np.arange(1000)
    small, large = cap(every, y, 50, 0, "train"), cap(every, y, 200, 0, "train")
    assert (len(small), int(y[small].sum())) == (50, 5)
    assert set(small) < set(large)
    assert cap(every, y, None, 0, "train") is every


@pytest.mark.parametrize(
    ("ids", "said"),
    [((range(5), range(4, 9), range(9, 12)), "used more than once: 1 row .*row 4: train and aux"), (([1, 1], [2], [3]), "train and train")],
)
def test_a_row_in_two_splits_is_refused(ids: tuple[list[int], ...], said: str) -> None:
    with pytest.raises(BadData, match=said):
        assert_disjoint({s: np.array(list(i)) for s, i in zip(("train", "aux", "test"), ids, strict=True)}, "here")


def test_checked_refuses_what_is_not_a_dataset() -> None:
    good = Dataset("tiny", ("a", "b"), ("f",), rows([0, 1]), rows([2, 3]), rows([4, 5]))
    assert checked(good) is good
    with pytest.raises(BadData, match="no rows for aux"):
        checked(Dataset("tiny", ("a", "b"), ("f",), rows([0, 1]), rows([]), rows([4, 5])))
    with pytest.raises(BadData, match=r"one class only \('a'\)"):
        checked(Dataset("tiny", ("a", "b"), ("f",), rows([0, 1], [0, 0]), rows([2]), rows([4])))
    with pytest.raises(BadData, match="used more than once: 1 row"):
        checked(Dataset("tiny", ("a", "b"), ("f",), rows([0, 1]), rows([2, 3]), rows([3, 5])))


def test_scale_is_learnt_from_train_alone() -> None:
    train, aux = np.array([[0.0, 5.0], [2.0, 5.0]]), np.array([[4.0, 7.0]])
    scaled_train, scaled_aux = standardise(train, [aux], np.array([True, True]))
    assert scaled_train.tolist() == [[-1, 0], [1, 0]]
    assert scaled_aux.tolist() == [[3, 2]]
    assert standardise(train, [], np.array([False, True]))[0][:, 0].tolist() == [0, 2]


def test_levels_are_equally_filled() -> None:
    words = levels(np.arange(100.0), ["low", "middle", "high", "top"])
    assert {w: int((words == w).sum()) for w in ("low", "middle", "high", "top")} == dict.fromkeys(("low", "middle", "high", "top"), 25)


# ---- the registry ---------------------------------------------------------------------------------------------------


def test_importing_and_asking_for_state_imports_nothing_heavy() -> None:
    code = (
        "import sys; from pathlib import Path; from engine import datasets\n"
        "for kind in datasets.summaries(): datasets.state(kind, Path('.'))\n"
        "datasets.data_dir(None)\n"
        "print([m for m in ('numpy', 'pandas', 'torch', 'sklearn', 'pydantic', 'pyarrow', 'requests') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_kind_misspelt_is_told_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'adult'"):
        datasets.state("adlut", NOWHERE)


def test_what_datasets_share_is_no_dataset_and_nothing_else_is_opened() -> None:
    for name in ("splits", "wording", "__init__", "files", "../../tests/conftest", "os", "engine.store", ""):
        with pytest.raises(UnknownName, match="no dataset called"):
            datasets.state(name, NOWHERE)
    assert set(datasets.summaries()) == set(unions()[("dataset",)])


def test_where_data_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SUBPOP_DATA", str(tmp_path / "env"))
    assert datasets.data_dir(tmp_path / "told") == tmp_path / "told"
    assert datasets.data_dir() == tmp_path / "env"
    monkeypatch.setenv("SUBPOP_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if sys.platform == "linux":
        assert datasets.data_dir() == tmp_path / "subpop" / "data"


# ---- what ships with scikit-learn -----------------------------------------------------------------------------------


def test_digits() -> None:
    dataset = datasets.load(section("digits"), 0, NOWHERE)
    assert_promises(dataset)
    assert [len(p) for p in parts(dataset)] == [719, 719, 359]
    assert (dataset.train.x.min(), dataset.train.x.max()) == (0, 1)
    for part in parts(dataset):
        assert (part.frame["digit"].astype(int) == part.y).all()
        assert part.frame["ink"].to_numpy() == pytest.approx(part.x.mean(axis=1), abs=1e-4)
    assert dataset.deviations == ()
    assert datasets.state("digits", NOWHERE).present
    assert datasets.fetch("digits", NOWHERE) == ()


def test_digits_capped_and_scaled() -> None:
    dataset = datasets.load(section("digits", rows=200, scale="standard"), 0, NOWHERE)
    assert_promises(dataset)
    assert [len(p) for p in parts(dataset)] == [200, 200, 200]
    assert dataset.deviations == ("a subset of the data: 200 of 719 train rows, 200 of 719 aux rows, 200 of 359 test rows",)
    assert np.abs(dataset.train.x.mean(axis=0)).max() < 1e-6
    assert np.bincount(dataset.train.y).min() >= 18


def test_breast_cancer() -> None:
    dataset = datasets.load(section("breast_cancer"), 0, NOWHERE)
    assert_promises(dataset)
    assert dataset.classes == ("benign", "malignant")
    assert [len(p) for p in parts(dataset)] == [228, 227, 114]
    together = pd.concat([p.frame for p in parts(dataset)])
    y = np.concatenate([p.y for p in parts(dataset)])
    assert int(y.sum()) == 212  # malignant, of 569
    assert together["mean radius"][y == 1].mean() > together["mean radius"][y == 0].mean()
    assert set(together["size"]) == {"lowest", "low", "high", "highest"}
    assert dataset.train.x[:, 0] == pytest.approx(dataset.train.frame["mean radius"].to_numpy(), rel=1e-6)


# ---- Adult, the real files ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def adult(shared_data: Path) -> Dataset:
    return datasets.load(section("adult"), 0, shared_data)


def test_adult_by_the_papers_protocol(adult: Dataset) -> None:
    assert_promises(adult)
    assert [len(p) for p in parts(adult)] == [7841, 7841, 7692]
    assert len(adult.feature_names) == 57
    assert not any(name.split("=")[0] in ("education", "native-country", "fnlwgt") for name in adult.feature_names)
    assert sum(name.startswith("education-num=") for name in adult.feature_names) == 15
    assert [int(p.y.sum()) for p in parts(adult)] == [3920, 3921, 3846]
    assert adult.classes == ("<=50K", ">50K")
    assert adult.deviations == ()
    assert adult.checksums == {"adult.data": "md5:5d7c39d7b8804f071cdd1f2a7c460872", "adult.test": "md5:35238206dfdf7f1fe215bbb874adecdc"}
    assert any("have a '?'" in note for note in adult.notes)


def test_adult_features_say_what_the_frame_says(adult: Dataset) -> None:
    names = list(adult.feature_names)
    for part in parts(adult):
        for number in ("age", "capital-gain", "capital-loss", "hours-per-week"):
            assert (part.x[:, names.index(number)] == part.frame[number]).all()
        for column, level in (("sex", "Male"), ("race", "White"), ("education-num", 13), ("workclass", "Private")):
            assert (part.x[:, names.index(f"{column}={level}")] == (part.frame[column] == level)).all()
        unknown = (part.frame["workclass"] == "?").to_numpy()
        assert unknown.any()
        assert (part.x[unknown][:, [n.startswith("workclass=") for n in names]] == 0).all()  # "?" is the level left out
    assert "native-country" in adult.train.frame
    assert "fnlwgt" not in adult.train.frame


def test_adult_ids_point_into_the_official_files(adult: Dataset, shared_data: Path) -> None:
    lines = [line for name in ("adult.data", "adult.test") for line in (shared_data / "adult" / name).read_text().splitlines()]
    lines = [line for line in lines if line and not line.startswith("|")]
    for part in parts(adult):
        for place in (0, 1000, len(part) - 1):
            fields = lines[part.ids[place]].rstrip(".").split(", ")
            assert int(fields[0]) == part.frame["age"][place]
            assert fields[13] == part.frame["native-country"][place]
            assert adult.classes[part.y[place]] == fields[14]
    assert (adult.test.ids >= 32_561).all()
    assert (np.concatenate([adult.train.ids, adult.aux.ids]) < 32_561).all()


def test_adult_follows_the_seed_and_says_what_is_not_the_papers(adult: Dataset, shared_data: Path) -> None:
    again = datasets.load(section("adult"), 0, shared_data)
    assert (again.train.ids == adult.train.ids).all()
    assert (again.aux.x == adult.aux.x).all()
    other = datasets.load(section("adult", rows=400, scale="standard"), 1, shared_data)
    assert_promises(other)
    assert [len(p) for p in parts(other)] == [400, 400, 400]
    assert all(abs(int(p.y.sum()) - 200) <= 1 for p in parts(other))
    assert set(other.train.ids) != set(adult.train.ids[:400])
    assert [d.split(":")[0].split(" (")[0] for d in other.deviations] == ["a subset of the data", "number columns standardised on train"]
    whole = datasets.load(section("adult", balance=False), 0, shared_data)
    assert_promises(whole)
    assert [len(p) for p in parts(whole)] == [16280, 16281, 16281]
    assert whole.deviations == ("not balanced: every row is used (the paper subsamples the negatives)",)
