"""What each subpopulation is said to be, which are attacked, and with what label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import RequestError, UnknownName
from engine.rows import Dataset, Membership, Rows, Subpopulation
from engine.scenario.sections import EvaluationSection, LabelFlipSection, SubpopulationsSection
from engine.subpopulations import summarise
from engine.subpopulations.selection import by_confidence, select
from engine.subpopulations.target_label import check_target, few_rows_note, known_classes, target_label
from tests.worlds import sections

CLASSES = ("cat", "dog", "owl")


def section(**keys: object) -> SubpopulationsSection:
    return sections.subpopulations(**{"kind": "feature_match", "features": ["f"], **keys})


def rows(y: list[int]) -> Rows:
    n = len(y)
    return Rows(np.zeros((n, 1), np.float32), np.array(y), np.arange(n), pd.DataFrame({"f": [0] * n}))


# Subpopulation 0 has aux rows 0-2 and test rows 0-1; 1 has aux row 3 and no test row; 2 has aux rows 4-5 and test row 2.
# Aux row 6 and test row 3 are in none.
AUX, TEST = [0, 0, 1, 2, 1, 1, 0], [0, 1, 1, 0]
MEMBERSHIP = Membership(np.array([0, 2, 2, -1], np.int32), np.array([0, 0, 0, 1, 2, 2, -1], np.int32), np.array([0, 0, 2, -1], np.int32))
DATA = Dataset("toy", CLASSES, ("x",), replace(rows([0, 1, 2, 0]), ids=np.arange(100, 104)), rows(AUX), rows(TEST))


def proba(y: list[int], right: list[float]) -> np.ndarray:
    """[rows, classes]: `right` for the true class, the rest shared 2 to 1 between the others, lower index first."""
    out = np.zeros((len(y), 3))
    for row, (truth, p) in enumerate(zip(y, right, strict=True)):
        first, second = (c for c in range(3) if c != truth)
        out[row, truth], out[row, first], out[row, second] = p, (1 - p) * 2 / 3, (1 - p) / 3
    return out


CV = proba(AUX, [0.9, 0.6, 0.3, 0.5, 0.2, 0.4, 0.0])
IN = proba(AUX, [1.0, 0.8, 0.6, 0.7, 0.4, 0.6, 0.0])
TEST_PROBA = proba(TEST, [0.9, 0.1, 0.8, 0.9])


def summary(subpopulations: SubpopulationsSection | None = None, target: str = "rarest", folds: int = 5) -> tuple[Subpopulation, ...]:
    attack, evaluation = LabelFlipSection(target_label=target), EvaluationSection(confidence_folds=folds)
    return summarise(subpopulations or section(), attack, evaluation, DATA, MEMBERSHIP, ("a", "b", "c"), CV, IN, TEST_PROBA)


def test_a_summary_says_what_the_rows_are():
    first, second, third = summary()
    assert (first.index, first.description, first.train_rows, first.aux_rows, first.test_rows) == (0, "a", 1, 3, 2)
    assert first.class_mix == pytest.approx({"cat": 2 / 3, "dog": 1 / 3, "owl": 0})
    assert first.confidence == pytest.approx(0.6)
    assert first.confidence_in_sample == pytest.approx(0.8)
    assert first.clean_accuracy == 0.5
    assert (first.attacked, first.reason) == (True, "")
    assert (second.train_rows, second.clean_accuracy, second.attacked, second.reason) == (0, None, False, "no test rows")
    assert (third.train_rows, third.clean_accuracy, third.attacked) == (2, 1.0, True)


def test_sizes_are_filtered_by_aux_rows_and_say_so():
    assert [s.reason for s in summary(section(min_size=2, max_size=2))] == [
        "3 aux rows, more than max_size 2",
        "1 aux row, fewer than min_size 2",
        "",
    ]
    assert [s.reason for s in summary(section(only=(2,)))] == ["not among subpopulations.only", "not among subpopulations.only", ""]


def test_confidence_chooses_cross_fitted_or_in_sample_as_published():
    chosen = summary(section(select="low_confidence", select_count=1))
    assert [s.attacked for s in chosen] == [False, False, True]
    assert chosen[0].reason == "confidence 0.600, not among the 1 lowest"
    published = summary(section(select="low_confidence", select_count=1), folds=1)
    assert published[0].reason == "confidence 0.800, not among the 1 lowest"


def test_nothing_left_says_which_filter_took_how_many_and_what_to_do():
    with pytest.raises(RequestError) as caught:
        summary(section(min_size=2, max_size=1))
    told = str(caught.value)
    assert "none of 3 is left to attack: 1 below min_size 2, 2 above max_size 1 (sizes run from 1 to 3 aux rows)" in told
    assert "lower min_size or raise max_size" in told
    with pytest.raises(RequestError, match="2 not in `only`, 1 without test rows"):
        summary(section(only=(1,)))
    with pytest.raises(RequestError, match="there is no subpopulation 7, 9; there are 3, numbered 0 to 2"):
        summary(section(only=(9, 0, 7)))


def test_target_labels_by_each_rule():
    assert [s.target_label for s in summary(target="rarest")] == ["owl", "cat", "cat"]  # ties and absent classes: the lowest index
    assert [s.target_label for s in summary(target="least_likely")] == ["owl", "dog", "owl"]
    assert [s.target_label for s in summary(target="flip")] == [None, None, None]
    assert [s.target_label for s in summary(target="dog")] == ["dog", "dog", "dog"]
    with pytest.raises(UnknownName, match="no class or rule called 'dgo'; did you mean 'dog'"):
        summary(target="dgo")


def test_least_likely_takes_the_lowest_sum_and_the_first_of_ties():
    outputs = np.array([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]])
    assert target_label("least_likely", CLASSES, np.array([0, 0]), outputs) == "dog"
    assert target_label("rarest", CLASSES, np.array([0, 1, 2, 2]), outputs) == "cat"


def test_a_class_that_train_has_no_row_of_is_nobodys_target():
    classes, y = ("?", *CLASSES), np.array([1, 1, 2, 3])
    outputs = np.array([[0.0, 0.5, 0.2, 0.3]] * 4)
    known = known_classes(np.array([1, 2, 3]), classes)
    assert known.tolist() == [False, True, True, True]
    assert target_label("rarest", classes, y, outputs) == "?"
    assert target_label("rarest", classes, y, outputs, known) == "dog"
    assert target_label("least_likely", classes, y, outputs, known) == "dog"
    check_target("owl", classes, known)
    with pytest.raises(RequestError, match=r"attack.target_label: train has no row of class '\?', or too few.*use one of.*cat, dog, owl"):
        check_target("?", classes, known)


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ((1, 300, 299), "011"),  # the mistyped one of 600
        ((9, 300, 291), "011"),
        ((10, 300, 290), "111"),
        ((19, 990, 991), "011"),  # less than 1 %
        ((20, 990, 990), "111"),
        ((0, 3, 3), "011"),
        ((9,) * 10, "1" * 10),  # a sliver of ten classes: none is smaller than the others
        ((8,) * 250 + (1,), "1" * 250 + "0"),  # 1 % of train is more than any class has
    ],
)
def test_a_class_with_a_handful_of_train_rows_is_nobodys_target(rows, kept):
    classes = tuple(f"c{i}" for i in range(len(rows)))
    y = np.repeat(np.arange(len(rows)), rows)
    known = known_classes(y, classes)
    assert "".join(str(int(each)) for each in known) == kept
    assert known_classes(y, classes, 1).tolist() == [n > 0 for n in rows]
    said = few_rows_note(y, classes, known)
    assert (said is None) == ("0" not in kept)


def test_a_class_that_is_a_slip_is_pointed_out_with_what_it_may_have_meant():
    y = np.repeat([0, 1, 2, 3], [300, 299, 1, 3])
    classes = ("no", "yes", "yess", "maybe")
    known = known_classes(y, classes)
    assert few_rows_note(y, classes, known) == (
        "too few train rows to be anybody's target: 'yess' (1 row; did you mean 'yes'?), 'maybe' (3 rows); "
        "attack.target_min_rows moves the bound"
    )
    assert target_label("rarest", classes, y, np.ones((603, 4)), known) == "yes"
    with pytest.raises(RequestError, match=r"too few for a clean victim to know it \(attack.target_min_rows\)"):
        check_target("yess", classes, known)
    check_target("yess", classes, known_classes(y, classes, 1))


def test_outputs_of_the_wrong_shape_are_a_programming_error():
    with pytest.raises(ValueError, match=r"proba \(test\)"):
        summarise(section(), LabelFlipSection(), EvaluationSection(), DATA, MEMBERSHIP, ("a", "b", "c"), CV, IN, TEST_PROBA[:-1])


def test_confidence_groups_are_the_ends_and_the_middle():
    level = [0.1 * i for i in range(9)]
    assert by_confidence("low_confidence", 2, range(9), level) == {0, 1}
    assert by_confidence("high_confidence", 2, range(9), level) == {7, 8}
    assert by_confidence("mid_confidence", 3, range(9), level) == {3, 4, 5}
    assert by_confidence("confidence", 1, range(9), level) == {0, 4, 8}
    assert by_confidence("confidence", 10, range(9), level) == set(range(9))
    assert by_confidence("low_confidence", 1, [4, 2], [None, None, 0.5, None, 0.5]) == {2}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5), st.floats(0, 1) | st.none()), min_size=1, max_size=30),
    st.sampled_from(["all", "low_confidence", "mid_confidence", "high_confidence", "confidence"]),
    st.integers(1, 12),
    st.integers(1, 15),
    st.integers(15, 30) | st.none(),
)
def test_selection_keeps_its_word(found: list[tuple[int, int, float | None]], rule: str, each: int, least: int, most: int | None):
    aux, test, level = (list(column) for column in zip(*found, strict=True))
    fits = [i for i in range(len(aux)) if least <= aux[i] <= (most or 99) and test[i] > 0]
    asked = section(select=rule, select_count=each, min_size=least, max_size=most)
    if not fits:
        with pytest.raises(RequestError, match="is left to attack"):
            select(asked, aux, test, level)
        return
    reasons = select(asked, aux, test, level)
    chosen = [i for i, reason in enumerate(reasons) if not reason]
    assert set(chosen) <= set(fits)
    groups = 3 if rule == "confidence" else 1
    assert min(each, len(fits)) <= len(chosen) <= (len(fits) if rule == "all" else groups * each)
    if rule == "low_confidence":
        worst = max(2 if level[i] is None else level[i] for i in chosen)
        assert all((2 if level[i] is None else level[i]) >= worst for i in fits if i not in chosen)
