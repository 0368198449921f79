"""Who belongs to which subpopulation, and what each is called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import datasets, subpopulations
from engine.errors import RequestError, UnknownName
from engine.rows import Dataset, Rows
from engine.scenario.sections import AdultSection, AdversarySection, ClusterMatchSection, FeatureMatchSection, SubpopulationsSection
from engine.subpopulations import cluster_match
from engine.subpopulations.describing import levels, twins
from engine.subpopulations.describing.describe import describe, numbered
from engine.subpopulations.feature_match import annotate, ranges

COLOURS = ("red", "green", "blue")


def world(n: int = 60, seed: int = 0) -> Dataset:
    """Three blobs that a colour names; age follows the colour, hours and noise do not. 60 rows in each split."""
    draw = np.random.default_rng(seed)

    def rows(first: int) -> Rows:
        blob = np.arange(n) % 3
        x = np.stack([blob * 10.0, -blob * 5.0], axis=1) + draw.normal(0, 0.3, (n, 2))
        frame = pd.DataFrame(
            {
                "colour": [COLOURS[b] for b in blob],
                "age": 20 + 20 * blob + draw.integers(0, 9, n),
                "hours": draw.integers(10, 60, n),
                "member": draw.choice(["yes", "no"], n),
            }
        )
        return Rows(x.astype(np.float32), (blob == 2).astype(np.int64), np.arange(first, first + n), frame)

    return Dataset("toy", ("no", "yes"), ("a", "b"), rows(0), rows(n), rows(2 * n))


def with_column(dataset: Dataset, name: str, values: list[object]) -> Dataset:
    """The dataset with one more raw column, the same in all splits."""
    return replace(
        dataset, **{s: replace(rows := getattr(dataset, s), frame=rows.frame.assign(**{name: values})) for s in ("train", "aux", "test")}
    )


def features(*names: str, **bins: tuple[float, ...]) -> SubpopulationsSection:
    return FeatureMatchSection(features=names, bins=bins)


def clusters(k: int, pca: int | None = None) -> SubpopulationsSection:
    return ClusterMatchSection(clusters=k, pca=pca)


# ---- FeatureMatch ---------------------------------------------------------------------------------------------------


def test_feature_match_groups_exactly_the_rows_that_share_the_tuple():
    data = world()
    membership, words, _ = subpopulations.assign(features("colour", "member"), data, None, 0)
    assert words == tuple(f"{colour}, member {member}" for colour in sorted(COLOURS) for member in ("no", "yes"))
    for split in ("train", "aux", "test"):
        frame, of_row = getattr(data, split).frame, getattr(membership, split)
        assert of_row.dtype == np.int32
        assert [words[i] for i in of_row] == [f"{row.colour}, member {row.member}" for row in frame.itertuples()]


def test_a_tuple_that_aux_does_not_have_is_no_subpopulation():
    data = world()
    aux = data.aux.take(np.flatnonzero(data.aux.frame["colour"] != "blue"))
    membership, words, _ = subpopulations.assign(features("colour"), replace(data, aux=aux), None, 0)
    assert words == ("green", "red")
    assert (membership.test[data.test.frame["colour"] == "blue"] == -1).all()
    assert (membership.test >= 0).sum() == 40


def test_numbers_are_cut_at_their_edges_and_missing_is_a_level_of_its_own():
    codes, names = annotate("age", pd.Series([29, 30, 44, 45, 60, 90, None]), (30, 45, 60))
    assert [names[code] for code in codes] == ["under 30", "30–44", "30–44", "45–59", "60+", "60+", "missing"]
    assert ranges((0.2, 0.4), whole=False) == ("under 0.2", "0.2 to under 0.4", "0.4+")
    codes, names = annotate("job", pd.Series(["nurse", "?", None, " nurse ", ""]), None)
    assert [names[code] for code in codes] == ["nurse", "missing", "missing", "nurse", "missing"]
    codes, names = annotate("rooms", pd.Series([10, 9, np.nan, 9]), None)
    assert names == ("9", "10", "missing")
    assert codes.tolist() == [1, 0, 2, 0]


def test_levels_are_compared_as_they_read_whatever_their_type():
    data = world(6)
    frames = [["9", "10", None, "9", "10", "9"], [9, 10, 9, 10, 9, 9], [9.0, 10.0, np.nan, 9.0, 9.0, 9.0]]
    rows = [replace(r, frame=pd.DataFrame({"n": f})) for r, f in zip((data.train, data.aux, data.test), frames, strict=True)]
    membership, words, _ = subpopulations.assign(features("n"), replace(data, train=rows[0], aux=rows[1], test=rows[2]), None, 0)
    assert words == ("n 9", "n 10")
    assert membership.train.tolist() == [0, 1, -1, 0, 1, 0]
    assert membership.test.tolist() == [0, 1, -1, 0, 0, 0]


@pytest.mark.parametrize(
    ("section", "says"),
    [
        (features("color"), "no annotation column called 'color'; did you mean 'colour'"),
        (features("age", "age"), "'age' is named twice"),
        (features("colour", age=(30,)), "'age' is cut but is not a feature"),
        (features("age", age=(30, 20)), "the edges of 'age' do not ascend"),
        (features("colour", colour=(1,)), "'colour' holds 'red', which is not a number"),
        (features("income"), r"'income' is numeric and has 150 different values; cut it: \[subpopulations.bins\] income = \["),
    ],
)
def test_features_that_cannot_serve_are_refused_in_words(section: SubpopulationsSection, says: str):
    data = with_column(world(150), "income", [100.5 * i for i in range(150)])
    with pytest.raises(RequestError, match=says):
        subpopulations.assign(section, data, None, 0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", None, "?"]), st.integers(-3, 3) | st.none()), min_size=3, max_size=40))
def test_feature_match_partitions_aux(raw: list[tuple[str | None, int | None]]):
    frame = pd.DataFrame(raw, columns=["letter", "digit"])
    n = len(frame)
    rows = Rows(np.zeros((n, 1), np.float32), np.zeros(n, np.int64), np.arange(n), frame)
    membership, words, _ = subpopulations.assign(
        features("letter", "digit", digit=(0,)), Dataset("t", ("0", "1"), ("x",), rows, rows, rows), None, 0
    )
    assert set(membership.aux) == set(range(len(words)))  # every row in one, none empty
    assert len(set(words)) == len(words)
    keys = [(None if a == "?" else a, None if b is None else b >= 0) for a, b in raw]
    assert all((keys[i] == keys[j]) == (membership.aux[i] == membership.aux[j]) for i in range(n) for j in range(n))


# ---- ClusterMatch ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pca", [None, 1])
def test_cluster_match_finds_the_blobs_in_every_split(pca: int | None):
    data = world()
    membership, words, _ = subpopulations.assign(clusters(3, pca), data, None, 0)
    assert len(words) == 3
    colour_of = {index: data.aux.frame["colour"][np.flatnonzero(membership.aux == index)[0]] for index in range(3)}
    for split in ("train", "aux", "test"):
        assert [colour_of[i] for i in getattr(membership, split)] == getattr(data, split).frame["colour"].tolist()
    assert all(colour_of[i] in words[i] or "age" in words[i] for i in range(3))


def test_clusters_are_the_same_bits_again_and_know_nothing_of_train_and_test():
    data = world()
    one, words, _ = subpopulations.assign(clusters(8), data, None, 5)
    two, again, _ = subpopulations.assign(clusters(8), data, None, 5)
    assert words == again
    assert all(np.array_equal(getattr(one, s), getattr(two, s)) for s in ("train", "aux", "test"))
    moved = replace(data, train=replace(data.train, x=data.train.x + 3), test=replace(data.test, x=data.test.x * 0))
    three, _, _ = subpopulations.assign(clusters(8), moved, None, 5)
    assert np.array_equal(one.aux, three.aux)
    assert np.all(np.diff(np.bincount(one.aux)) <= 0)  # the largest first


def test_the_representation_is_what_is_clustered():
    data = world()
    by_hours, words, _ = subpopulations.assign(clusters(2), data, lambda rows: rows.frame[["hours"]].to_numpy()[:, None, :], 0)
    hours = data.aux.frame["hours"].to_numpy()
    assert (
        hours[by_hours.aux == 0].max() < hours[by_hours.aux == 1].min() or hours[by_hours.aux == 1].max() < hours[by_hours.aux == 0].min()
    )
    assert all(text.startswith("hours ") for text in words)


def test_empty_clusters_are_dropped():
    data = world()
    few = replace(data, aux=replace(data.aux, x=np.repeat(np.float32([[0, 0], [5, 5], [9, 9]]), 20, axis=0)))
    membership, words, _ = subpopulations.assign(clusters(10), few, None, 0)
    assert len(words) == 3
    assert np.bincount(membership.aux).tolist() == [20, 20, 20]
    assert set(membership.test) <= {0, 1, 2}


def test_of_very_many_rows_the_centres_come_from_a_part(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster_match, "FIT_ROWS", 30)
    monkeypatch.setattr(cluster_match, "FEW_ROWS", 10)
    data = world()
    membership, _, _ = subpopulations.assign(clusters(3), data, None, 0)
    again, _, _ = subpopulations.assign(clusters(3), data, None, 0)
    assert np.array_equal(membership.aux, again.aux)
    assert np.bincount(membership.aux).tolist() == [20, 20, 20]


def test_more_clusters_than_rows_and_impossible_pca_are_refused_in_words():
    with pytest.raises(RequestError, match=r"subpopulations.clusters: 61 clusters from 60 auxiliary rows; ask for at most 60"):
        subpopulations.assign(clusters(61), world(), None, 0)
    with pytest.raises(RequestError, match=r"subpopulations.pca: 3 principal components .* ask for 1 to 2"):
        subpopulations.assign(clusters(3, pca=3), world(), None, 0)
    broken = world()
    broken.train.x[4, 0] = np.nan
    with pytest.raises(RequestError, match="1 rows have features that are not finite"):
        subpopulations.assign(clusters(3), broken, None, 0)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 40), st.integers(1, 12), st.integers(0, 2**31))
def test_rows_go_to_the_nearest_centre(n: int, k: int, seed: int):
    draw = np.random.default_rng(seed)
    rows, centres = draw.normal(1e4, 1, (n, 3)), draw.normal(1e4, 1, (k, 3))
    found = cluster_match.nearest(rows, centres)
    distance = np.linalg.norm(rows[:, None] - centres, axis=2)
    assert np.allclose(distance[np.arange(n), found], distance.min(axis=1), atol=1e-9)


# ---- descriptions ---------------------------------------------------------------------------------------------------


def test_a_cluster_is_called_by_what_sets_it_apart_and_not_twice_by_the_same():
    data = with_column(world(), "shade", [f"{COLOURS[i % 3]}dish" for i in range(60)])
    _, words, _ = subpopulations.assign(clusters(3), data, None, 0)
    assert len(set(words)) == 3
    for text in words:
        said = [any(word in text for word in words) for words in (COLOURS, ("dish",), ("age",))]
        assert said.count(True) >= 1
        assert not ("dish" in text and any(f"{c}," in text or text.endswith(c) for c in COLOURS)), text  # shade settles colour


def test_equal_descriptions_are_numbered():
    assert numbered(["a", "b", "a"]) == ("a (1)", "b", "a (2)")
    data = world()
    bare = replace(data, aux=replace(data.aux, frame=pd.DataFrame({"constant": [1] * 60})))
    _, words, _ = subpopulations.assign(clusters(3), bare, None, 0)
    assert words == ("much like the whole (1)", "much like the whole (2)", "much like the whole (3)")


CELLS = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(width=16) | st.sampled_from(["?", "", "a", "b c", "3", "nan", "yes"])


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(3, 25), st.integers(1, 4))
def test_any_table_gets_one_distinct_description_for_each_cluster(data: st.DataObject, n: int, k: int):
    columns = data.draw(st.lists(st.lists(CELLS, min_size=n, max_size=n), max_size=4))
    frame = pd.DataFrame({f"c{i}": pd.Series(cells, dtype=object).infer_objects() for i, cells in enumerate(columns)}, index=range(n))
    of_row = np.concatenate([np.arange(k), np.arange(n) % k])[:n].astype(np.int32)
    rows = Rows(np.zeros((n, 1), np.float32), np.zeros(n, np.int64), np.arange(n), frame)
    words = describe(Dataset("t", ("0", "1"), ("x",), rows, rows, rows), of_row, min(k, n))
    assert len(words) == len(set(words)) == min(k, n)
    assert all(words)


def test_ranges_and_levels_read_well():
    assert [levels.span(13, None), levels.span(None, 35), levels.span(40, 50), levels.span(-3, 5), levels.span(7688, 7688)] == [
        "13+",
        "≤ 35",
        "40–50",
        "-3 to 5",
        "7688",
    ]
    assert [levels.number(v) for v in (12285, 0.04171, 3.0, float("nan"))] == ["12,285", "0.0417", "3", "missing"]
    assert levels.phrase("sex", "Female") == "Female"
    assert levels.phrase("digit", "3") == "digit 3"
    assert levels.phrase("owner", "yes") == "owner yes"
    assert levels.phrase("home", "north", levels.ambiguous([["north", "south"], ["north"]])) == "home north"


def test_a_column_settles_its_copies_and_coarser_versions_only():
    draw = np.random.default_rng(0)
    fine, free = draw.normal(size=500), draw.normal(size=500)
    quarter = np.searchsorted(np.quantile(fine, [0.25, 0.5, 0.75]), fine)
    assert twins.settles((fine, True), (np.exp(fine), True))
    assert twins.settles((fine, True), (quarter, False))
    assert twins.settles((quarter, False), (quarter // 2, False))
    assert not twins.settles((quarter // 2, False), (quarter, False))
    assert not twins.settles((fine, True), (free, True))
    assert not twins.settles((np.arange(500), False), (quarter, False))  # an identifier settles nothing


# ---- the adversary's share ------------------------------------------------------------------------------------------


def test_the_adversary_holds_nested_shares_of_aux():
    data = world()
    shares = [set(subpopulations.adversary_rows(data, AdversarySection(rows=share), 3)) for share in (0.3, 0.6, 1.0)]
    assert [len(share) for share in shares] == [18, 36, 60]
    assert shares[0] < shares[1] < shares[2]
    view = subpopulations.adversary_view(data, AdversarySection(rows=0.3), 3)
    assert set(view.aux.ids) == {int(data.aux.ids[i]) for i in shares[0]}
    assert view.notes == ("the adversary holds 18 of 60 auxiliary rows",)
    assert subpopulations.adversary_view(data, AdversarySection(), 3) is data
    with pytest.raises(RequestError, match="do not hold two classes; raise it"):
        subpopulations.adversary_rows(data, AdversarySection(rows=0.01), 3)


# ---- the real thing -------------------------------------------------------------------------------------------------


def test_adult_has_the_papers_counts(shared_data: Path):
    """PAPER.md: 35 feature tuples and 28 clusters have more than 10 and fewer than 100 aux rows, for the authors' split."""
    data = datasets.load(AdultSection(), 0, shared_data)

    def in_range(section: SubpopulationsSection) -> tuple[int, tuple[str, ...]]:
        membership, words, _ = subpopulations.assign(section, data, None, 0)
        sizes = np.bincount(membership.aux[membership.aux >= 0], minlength=len(words))
        return int(((sizes > 10) & (sizes < 100)).sum()), words

    found, words = in_range(features("education-num", "race", "sex"))
    assert abs(found - 35) <= 5
    assert "education-num 9, Black, Female" in words
    found, words = in_range(clusters(100))
    assert len(words) == len(set(words)) == 100
    assert abs(found - 28) <= 5


def test_unknown_feature_names_the_nearest_of_the_real_ones(shared_data: Path):
    data = datasets.load(AdultSection(rows=40), 0, shared_data)
    with pytest.raises(UnknownName, match="did you mean 'education-num'"):
        subpopulations.assign(features("education_num"), data, None, 0)


def test_numbers_that_differ_have_names_that_differ():
    assert levels.numbers_apart([1234.3, 1234.4]) == ("1234.3", "1234.4")
    assert levels.numbers_apart([0.5, 2.0, 12_285.0]) == ("0.5", "2", "12,285")
    assert levels.numbers_apart([1e-7, 1e-7 + 1e-20]) == ("1e-07", "1.0000000000001e-07")
    table = pd.Series([1234.3, 1234.4, np.nan])
    assert annotate("n", table, None)[1] == ("1234.3", "1234.4", "missing")
    names = ranges([1234.31, 1234.32, 1234.4], whole=False)
    assert names == ("under 1234.31", "1234.31 to under 1234.32", "1234.32 to under 1234.4", "1234.4+")
    assert ranges([0.2, 0.4], whole=False) == ("under 0.2", "0.2 to under 0.4", "0.4+")
