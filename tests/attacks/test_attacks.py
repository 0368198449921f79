"""The poison of one victim: how much, which rows, which labels."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.attacks.poison import poison
from engine.errors import RequestError, ScenarioError
from engine.rates import count
from engine.rows import Arm, Dataset, Membership, Poison, Rows, Subpopulation
from engine.scenario import kinds, modules
from engine.scenario.parse import parse
from engine.scenario.sections import LabelFlipSection
from tests.worlds import sections
from tests.worlds.attacks import prepare


def world(classes: int = 2, n: int = 40) -> tuple[Dataset, Membership]:
    y = np.arange(n) % classes
    rows = Rows(np.zeros((n, 1), np.float32), y, np.arange(n), pd.DataFrame({"f": y}))
    of_row = (np.arange(n) // 10).astype(np.int32)  # four of ten rows each
    data = Dataset("toy", tuple("abcdefgh"[:classes]), ("x",), rows, replace(rows, ids=rows.ids + n), replace(rows, ids=rows.ids + 2 * n))
    return data, Membership(of_row, of_row, of_row)


def target(index: int = 1, label: str | None = "a", train: int = 25, aux: int = 10) -> Subpopulation:
    return Subpopulation(index, "it", train, aux, 10, {}, 0.5, 0.5, 0.5, label, True)


def drawn(
    *,
    alpha: float = 1.0,
    trial: int = 0,
    seed: int = 0,
    per: str = "aux",
    label: str | None = "a",
    index: int = 1,
    arm: Arm = "poisoned",
    classes: int = 2,
    outputs: np.ndarray | None = None,
) -> Poison:
    data, membership = world(classes)
    attack = sections.attack(per=per)
    return poison(attack, target(index, label), data, membership, alpha=alpha, trial=trial, seed=seed, proba_aux=outputs, arm=arm)


def test_points_are_copies_of_the_subpopulations_rows_with_the_target_label():
    got = drawn(alpha=2.0)
    assert len(got) == 20
    assert set(got.rows) <= set(range(10, 20))
    assert len(set(got.rows)) < 20  # with replacement
    assert got.labels.tolist() == [0] * 20
    assert np.array_equal(got.true_labels, got.rows % 2)
    assert got.already_target == int((got.rows % 2 == 0).sum()) > 0
    assert got.rows.dtype == got.labels.dtype == got.true_labels.dtype == np.int64


def test_size_is_counted_in_aux_or_in_train():
    assert (len(drawn(alpha=0.5)), len(drawn(alpha=0.5, per="train"))) == (5, 12)


def test_flip_gives_every_point_a_wrong_label_of_its_own():
    two = drawn(label=None, alpha=2.0)
    assert two.already_target == 0
    assert np.array_equal(two.labels, 1 - two.true_labels)
    outputs = np.tile([0.1, 0.2, 0.3, 0.4], (40, 1))
    four = drawn(label=None, alpha=2.0, classes=4, outputs=outputs)
    assert np.array_equal(four.labels, np.where(four.true_labels == 0, 1, 0))  # the least likely, but never the true one
    with pytest.raises(ValueError, match="needs the adversary's outputs"):
        drawn(label=None, classes=4)


def test_the_true_label_arm_is_the_same_points_unpoisoned():
    wrong, right, none = drawn(), drawn(arm="true_label"), drawn(arm="clean")
    assert np.array_equal(wrong.rows, right.rows)
    assert np.array_equal(right.labels, right.true_labels)
    assert len(none) == 0


def test_too_little_poison_is_an_honest_nothing():
    nothing = drawn(alpha=0.05)
    assert (len(nothing), nothing.already_target) == (0, 0)
    assert nothing.labels.dtype == np.int64


def test_draws_differ_by_trial_seed_and_subpopulation_and_by_nothing_else():
    base = drawn(alpha=2.0).rows
    assert not np.array_equal(base, drawn(alpha=2.0, trial=1).rows)
    assert not np.array_equal(base, drawn(alpha=2.0, seed=1).rows)
    assert not np.array_equal(base, drawn(alpha=2.0, index=2).rows - 10)
    data, membership = world()
    alone = Membership(membership.train, np.where(membership.aux == 1, 1, -1).astype(np.int32), membership.test)
    again = poison(LabelFlipSection(), target(), data, alone, alpha=2.0, trial=0, seed=0, proba_aux=None, arm="poisoned")
    assert np.array_equal(base, again.rows)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 5), st.floats(0, 5), st.integers(0, 20), st.integers(0, 2**40), st.sampled_from(["aux", "train"]))
def test_poison_is_nested_across_alphas(one: float, other: float, trial: int, seed: int, per: str):
    small, large = sorted((one, other))
    less, more = (drawn(alpha=alpha, trial=trial, seed=seed, per=per) for alpha in (small, large))
    assert np.array_equal(less.rows, more.rows[: len(less)])
    assert np.array_equal(less.labels, more.labels[: len(less)])


def test_the_floor_is_of_the_alpha_that_was_written():
    assert count(0.29, 100) == 29  # the float product is 28.999999999999996
    assert count(0.1, 30) == 3
    assert count(1e-05, 300_000) == 3
    assert count(np.float64(0.7), 10) == 7
    assert int(0.29 * 100) == 28  # what this guards against


@settings(max_examples=200)
@given(st.integers(1, 5000), st.integers(1, 4), st.integers(0, 10**6))
def test_the_floor_is_exact(digits: int, places: int, size: int):
    written = Decimal(digits).scaleb(-places)
    assert count(float(written), size) == int(written * size)


def test_draws_are_even_over_the_rows():
    """Chi-squared over ten rows and 20,000 points: beyond 33.7 once in 10,000 seeds, and the seed is fixed."""
    counts = np.bincount(drawn(alpha=2000.0).rows, minlength=20)[10:]
    assert ((counts - 2000) ** 2 / 2000).sum() < 33.7


def test_every_attack_of_the_grammar_is_here():
    for kind in kinds.unions()[("attack",)]:
        attack = modules.module("attacks", kind)
        assert callable(attack.prepare)
        assert callable(attack.choose)


def test_label_flipping_needs_nothing_worked_out_before():
    data, membership = world()
    assert prepare(LabelFlipSection(), [target()], data, membership, None, seed=0, trials=range(3)) is None


def test_a_subpopulation_without_aux_rows_makes_no_poison():
    data, membership = world()
    with pytest.raises(RequestError, match="subpopulation 9 has no auxiliary rows to make 25 poison points of"):
        poison(LabelFlipSection(per="train"), target(9), data, membership, alpha=1.0, trial=0, seed=0, proba_aux=None, arm="poisoned")


# ---- what a scenario may ask ----------------------------------------------------------------------------------------


VGG = 'title = "t"\n[dataset]\nkind = "utkface"\n[model]\nkind = "vgg"\n[subpopulations]\nkind = "cluster_match"\n'


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["attack.kind=gradient", "attack.layer=all", "attack.objective=cosine"], 'attack.objective is "cosine", which is for the last'),
        (["attack.kind=gradient", "attack.layer=conv1", "model.tune=last_layer"], 'attack.layer is "conv1"; with tune = "last_layer" no'),
        (['evaluation.controls=["label_flip"]'], 'evaluation.controls names "label_flip", which is the attack itself'),
    ],
)
def test_keys_of_optimised_points_that_disagree(overrides: list[str], message: str):
    with pytest.raises(ScenarioError) as caught:
        parse(VGG, overrides=overrides)
    assert message in str(caught.value).replace(":", "")


@pytest.mark.parametrize(
    "overrides",
    [
        ["attack.kind=gradient", "attack.layer=all"],
        ["attack.kind=gradient", "attack.objective=cosine", "model.tune=last_layer"],
        ["attack.kind=influence", 'evaluation.controls=["label_flip", "true_label"]'],
    ],
)
def test_keys_of_optimised_points_that_agree(overrides: list[str]):
    parse(VGG, overrides=overrides)
