"""The vulnerable list: what is called, what is not, and by which test."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import permutations, product

import numpy as np
import pytest

from engine.evaluation import vulnerable
from engine.evaluation.counts import Counts
from engine.evaluation.damage import damages
from engine.evaluation.layout import Layout, lay_out
from engine.evaluation.tried import tried
from engine.evaluation.vulnerable import Q, Trial, by_chance
from engine.tables.build import build
from engine.tables.world import World
from tests.studies import independent, independent_p
from tests.studies.aimed_elsewhere import FLIP, KINDS, Law, draw, law_of
from tests.studies.vulnerable import layout_of
from tests.worlds.evaluation import CLASSES, FACTS, SUBPOPULATIONS, discovered, victims


def flipping(flips: tuple[bool, ...], size: int = 29) -> Layout:
    """Subpopulation 3 has 85 rows, all right by everyone, but by the victim aimed at it, in the trials told, none; elsewhere noise."""
    random = np.random.default_rng(1)
    law = replace(law_of(size, random), chance=0.02, fragile=0.1)
    law = replace(law, rows_S=np.where(np.arange(size) == 3, 85, law.rows_S))
    drawn = draw(law, len(flips), random)
    ends_S = np.cumsum(law.rows_S)
    own = slice(int(ends_S[3]) - 85, int(ends_S[3]))
    drawn.clean_TR[:, own], drawn.right_TVS[:, :, 3] = True, 85
    drawn.aimed_TR[:, own] = ~np.array(flips)[:, None]
    drawn.right_TVS[:, 3, 3] = np.where(flips, 0, 85)
    return layout_of(drawn)


@pytest.mark.parametrize("flips", [(True, True, True), (True, True, False, True, True), (False, True, False, False, True)])
def test_a_cluster_that_flips_whole_under_its_own_poison_alone_is_called(flips: tuple[bool, ...]) -> None:
    judged = damages(flipping(flips))
    assert (judged.q_AS[0] <= Q).tolist() == [s == 3 for s in range(29)]
    assert judged.others_AS[0, 3] == 28 * len(flips)
    alone = damages(replace(flipping(flips), crossed=None))
    if not all(flips):
        assert not (alone.q_AS <= Q).any()  # the moderated t of its own damages is blind to it


def test_one_flip_of_three_is_not_called() -> None:
    assert not (damages(flipping((False, True, False))).q_AS <= Q).any()


@pytest.mark.parametrize("trials", [3, 5])
@pytest.mark.parametrize("kind", ["flips", "shared", "near", "lifted"])
def test_nothing_is_called_where_nothing_is_damaged(kind: str, trials: int) -> None:
    called, populations = 0, 80
    for number in range(populations):
        random = np.random.default_rng([trials, number])
        called += bool((damages(layout_of(draw(KINDS[kind](0.0, random), trials, random))).q_AS <= Q).any())
    assert called / populations <= Q + 2.6 * (Q * (1 - Q) / populations) ** 0.5


def test_most_whole_flips_are_called_at_five_trials() -> None:
    there, found = 0, {"in use": 0, "t": 0}
    for number in range(10):
        random = np.random.default_rng(number)
        drawn = draw(KINDS["flips"](1.0, random), 5, random)
        layout, large_S = layout_of(drawn), drawn.damage_S > 0.1
        there += large_S.sum()
        for test, each in (("in use", layout), ("t", replace(layout, crossed=None))):
            found[test] += ((damages(each).q_AS[0] <= Q) & large_S).sum()
    assert found["in use"] / there > 0.6 > 0.45 > found["t"] / there


def test_p_is_that_of_all_ways_to_pick() -> None:
    random = np.random.default_rng(2)
    for _ in range(30):
        trials = [Trial(*random.integers(0, 5, 2).tolist(), random.integers(0, 5, random.integers(1, 4))) for _ in range(3)]
        own, lost = sum(each.aimed for each in trials), sum(each.clean - each.aimed for each in trials)
        every = [[each.aimed, *each.others.tolist()] for each in trials]
        singles = [sum(pick) <= own for pick in product(*every)]
        twos = [
            sum(first - second for first, second in pick) >= lost
            for pick in product(*(list(permutations([*right, each.clean], 2)) for right, each in zip(every, trials, strict=True)))
        ]
        expected = max(Fraction(sum(ways), len(ways)) for ways in (singles, twos))
        assert by_chance(trials) == pytest.approx(float(expected))


FEW = [(1, 10, True), (4, 3, True), (5, 3, False), (2, 5, True), (3, 5, False), (2, 10, False)]


@pytest.mark.parametrize(("size", "trials", "by_t"), FEW)
def test_with_few_victims_aimed_elsewhere_it_is_the_moderated_t(size: int, trials: int, by_t: bool) -> None:
    random = np.random.default_rng(size)
    layout = layout_of(draw(law_of(size, random), trials, random))
    judged, alone = damages(layout), damages(replace(layout, crossed=None))
    assert (judged.others_AS == 0).all() == by_t
    assert (judged.others_AS > 0).any() != by_t
    assert np.array_equal(judged.p_AS, alone.p_AS) == by_t


def test_a_damage_that_is_not_above_zero_is_never_called() -> None:
    random = np.random.default_rng(3)
    none = np.zeros(29)
    law = Law(np.full(29, 0.6), np.full(29, 50), none, np.full(29, FLIP), np.zeros((29, 29)), np.ones(29), lift_S=np.full(29, 0.3))
    judged = damages(layout_of(draw(law, 10, random)))  # all poison elsewhere does it good
    assert (judged.p_AS[judged.damage_AS <= 0] > 0.2).all()
    assert not (judged.q_AS <= Q).any()


# ---- from stored victims ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found():
    return discovered()


@pytest.fixture(scope="module")
def results(found):
    return victims(found, trials=4)


def laid_out(found, results) -> Layout:
    counts = Counts.start(found.membership.test, found.y_test, classes=len(CLASSES), subpopulations=SUBPOPULATIONS, seed=FACTS.seed)
    counts.add(results)
    return lay_out(counts, FACTS.alphas, [None] * SUBPOPULATIONS, trials=4)


def test_a_subpopulation_is_judged_by_the_victims_of_its_trial_and_alpha_aimed_elsewhere(found, results) -> None:
    layout = laid_out(found, results)
    for a, alpha in enumerate(FACTS.alphas):
        for s in range(6):
            inside = found.membership.test == s
            right = {
                (r.spec.trial, r.spec.subpopulation): int((r.predictions == found.y_test)[inside].sum())
                for r in results
                if r.spec.arm == "clean" or (r.spec.arm == "poisoned" and r.spec.alpha == alpha)
            }
            trials = vulnerable.aimed_elsewhere(layout, a, s)
            assert [each.clean for each in trials] == [right[t, None] for t in range(4)]
            assert [each.aimed for each in trials] == [right[t, s] for t in range(4)]
            assert [each.others.tolist() for each in trials] == [[right[t, v] for v in range(6) if v != s] for t in range(4)]


def test_victims_of_other_alphas_and_trials_beyond_the_scenarios_tell_nothing(found, results) -> None:
    before = damages(laid_out(found, results))
    wrong = np.full_like(results[0].predictions, 2)
    moved = [replace(r, predictions=wrong) if r.spec.alpha == 0.5 and r.spec.arm == "poisoned" else r for r in results]
    beyond = replace(results[1], spec=replace(results[1].spec, index=10_000, trial=9), predictions=wrong)
    after = damages(laid_out(found, [*moved, beyond]))
    assert np.array_equal(before.p_AS[1], after.p_AS[1], equal_nan=True)
    assert not np.array_equal(before.p_AS[0], after.p_AS[0], equal_nan=True)


def test_victims_tried_at_one_place_of_a_search_are_of_different_alphas_and_judge_nothing(found, results) -> None:
    counts = Counts.start(found.membership.test, found.y_test, classes=len(CLASSES), subpopulations=SUBPOPULATIONS, seed=FACTS.seed)
    counts.add(results)
    assert (tried(counts, FACTS.alphas, 4).damages.others_AS == 0).all()


def test_a_run_with_victims_missing_is_judged_by_those_there(found, results) -> None:
    some = [r for r in results if not (r.spec.trial == 2 and r.spec.arm == "poisoned" and r.spec.subpopulation in (0, 4))]
    judged = damages(laid_out(found, some))
    assert judged.others_AS[1, 3] == 5 + 5 + 3 + 5
    assert judged.others_AS[1, 4] == 5 + 5 + 5
    assert judged.q_AS[1, 3] <= Q


def test_tables_and_report_say_by_what_it_was_judged(found, results) -> None:
    def rows(least: int, kept: range) -> list[dict[str, object]]:
        some = [r for r in results if r.spec.trial < least and (r.spec.subpopulation is None or r.spec.subpopulation in kept)]
        table = build(World.start(replace(FACTS, trials=least), found, some), ["damage"])["damage"]
        return [dict(zip([column.name for column in table.spec.columns], row, strict=True)) for row in table.rows]

    full = [row for row in rows(4, range(6)) if row["trials"]]
    assert {(row["p_from"], row["off_target_victims"]) for row in full} == {("off_target", 20)}
    few = [row for row in rows(3, range(2, 4)) if row["trials"]]
    assert {(row["p_from"], row["off_target_victims"]) for row in few} == {("t", 0)}
    held = [row for row in rows(2, range(6)) if row["trials"]]
    assert {(row["p_from"], row["off_target_victims"], row["p"], row["vulnerable"]) for row in held} == {(None, None, None, None)}


@pytest.mark.parametrize("trials", [3, 13])
def test_a_script_that_knows_nothing_of_the_engine_gets_the_same_p_to_the_last_digit(found, trials: int) -> None:
    results = victims(found, trials=trials, seed=7)
    right = independent.Right(found.membership.test)
    for r in results:
        if r.spec.arm == "clean":
            right.clean[r.spec.trial] = r.predictions == found.y_test
        elif r.spec.arm == "poisoned":
            right.poisoned[r.spec.alpha, r.spec.subpopulation, r.spec.trial] = r.predictions == found.y_test
    table = build(World.start(FACTS, found, results), ["damage"])["damage"]
    names = [column.name for column in table.spec.columns]
    told = {alpha: independent_p.judged(right, alpha, list(range(6))) for alpha in FACTS.alphas}
    for row in (dict(zip(names, row, strict=True)) for row in table.rows):
        mine = told[row["alpha"]][row["subpopulation"]]
        assert mine["p_from"] == "off_target"
        assert mine == {name: row[name] for name in mine} | {"vulnerable": "true" if row["vulnerable"] else "false"}
