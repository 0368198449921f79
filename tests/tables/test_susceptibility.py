"""The table `susceptibility`, held against scipy and counting by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import spearmanr

from engine.arrays import DiscoveryArrays, Foretold
from engine.errors import BadData
from engine.evaluation import susceptibility as of
from engine.tables.build import build
from engine.tables.world import World
from tests.worlds.evaluation import FACTS, Discovered, discovered, foretold, victims

ALL = 6  # trials


@pytest.fixture(scope="module")
def world() -> Discovered:
    return foretold(discovered())


@pytest.fixture(scope="module")
def rows(world: Discovered) -> list[dict]:
    return build(World.start(FACTS, world, victims(world, ALL)), ["susceptibility"])["susceptibility"].records()


def by_hand(world: Discovered, alpha: float) -> np.ndarray:
    """Damages [trials, subpopulations 0 to 4], of the victims' predictions alone."""
    everything = victims(world, ALL)
    damage = np.zeros((ALL, 5))
    for trial in range(ALL):
        clean = next(v for v in everything if v.spec.trial == trial and v.spec.arm == "clean").predictions == world.y_test
        for v in everything:
            if (v.spec.trial, v.spec.arm, v.spec.alpha) == (trial, "poisoned", alpha) and v.spec.subpopulation < 5:
                inside = world.membership.test == v.spec.subpopulation
                damage[trial, v.spec.subpopulation] = clean[inside].mean() - (v.predictions == world.y_test)[inside].mean()
    return damage


def test_a_row_for_each_subpopulation(world: Discovered, rows: list[dict]) -> None:
    told = world.arrays.foretold
    assert told is not None
    for a, alpha in enumerate(FACTS.alphas):
        ones = [row for row in rows if row["group"] == "one" and row["alpha"] == alpha]
        assert [row["subpopulation"] for row in ones] == [0, 1, 2, 3, 4, 5]  # of the last nothing is foretold
        assert [row["predicted"] for row in ones] == told.aux_AS[a, :6].tolist()
        assert [row["predicted_on_test"] for row in ones] == [*told.test_AS[a, :5].tolist(), None]
        order = sorted(ones, key=lambda row: row["rank"])
        assert [row["predicted"] for row in order] == sorted(told.aux_AS[a, :6], reverse=True)
        assert [row["rank"] for row in order] == [1, 2, 3, 4, 5, 6]
        there = sorted(ones[:5], key=lambda row: row["rank_on_test"])
        assert [row["predicted_on_test"] for row in there] == sorted(told.test_AS[a, :5], reverse=True)
        assert ones[5]["rank_on_test"] is None
        damage = by_hand(world, alpha).mean(axis=0)
        np.testing.assert_allclose([row["damage"] for row in ones[:5]], damage, atol=1e-12)
        assert [row["ranked"] for row in ones] == [True] * 5 + [False]  # the last has five test rows


def test_rankings_are_scipys(world: Discovered, rows: list[dict]) -> None:
    told = world.arrays.foretold
    assert told is not None
    for a, alpha in enumerate(FACTS.alphas):
        told_of = {row["group"]: row for row in rows if row["alpha"] == alpha and row["group"] != "one"}
        by_trial = by_hand(world, alpha)
        damage, confidence = by_trial.mean(axis=0), np.array([s.confidence for s in world.subpopulations[:5]])
        scores = {
            "predicted": told.aux_AS[a, :5],
            "predicted_on_test": told.test_AS[a, :5],
            "least_confident": -confidence,
            "most_confident": confidence,
            "largest": np.array([s.aux_rows for s in world.subpopulations[:5]]),
        }
        for group, score in scores.items():
            assert told_of[group]["spearman"] == pytest.approx(spearmanr(score, damage)[0]), group
            assert told_of[group]["subpopulations"] == 5
        assert told_of["predicted"]["mae"] == pytest.approx(np.abs(told.aux_AS[a, :5] - damage).mean())
        assert told_of["predicted"]["mae_constant"] == pytest.approx(min(np.abs(c - damage).mean() for c in damage))
        assert told_of["largest"]["mae"] is None
        victim = [spearmanr(by_trial[t], np.delete(by_trial, t, 0).mean(0))[0] for t in range(ALL)]
        assert told_of["one_victim"]["spearman"] == pytest.approx(np.mean(victim))
        half = [
            spearmanr(by_trial[list(way)].mean(0), by_trial[[t for t in range(ALL) if t not in way]].mean(0))[0]
            for way in combinations(range(ALL), 3)
        ]
        assert told_of["trial_halves"]["spearman"] == pytest.approx(np.mean(half))


def test_equal_damages_are_ties_whatever_the_arithmetic() -> None:
    """Of 3, 6, 7, 10 and 30 rows a tenth, a third and so on come out of sums in another order with other last bits."""
    from fractions import Fraction

    random = np.random.default_rng(1)
    rows_S = np.array([3, 6, 7, 10, 30, 12, 9, 15])
    lost_TS = np.stack([random.integers(0, 4, 8) * rows_S // 3 for _ in range(5)])

    def exact(trials: list[int]) -> list[int]:
        """Ranks of the mean damages as fractions."""
        means = [sum((Fraction(int(lost_TS[t, s]), int(rows_S[s])) for t in trials), Fraction(0)) / len(trials) for s in range(8)]
        return [sorted(set(means)).index(mean) for mean in means]

    by_trial, every = of.Trials(lost_TS, rows_S), range(5)
    ones = [spearmanr(exact([t]), exact([u for u in every if u != t]))[0] for t in every]
    assert of.one_victim(by_trial) == pytest.approx(np.mean(ones), abs=1e-12)
    halves = [spearmanr(exact(list(way)), exact([t for t in every if t not in way]))[0] for way in combinations(every, 2)]
    assert of.halves(by_trial, 0) == pytest.approx(np.mean(halves), abs=1e-12)
    as_floats = lost_TS / rows_S
    careless = [spearmanr(as_floats[t], np.delete(as_floats, t, 0).mean(0))[0] for t in every]
    assert abs(np.mean(careless) - np.mean(ones)) > 1e-3  # else there would be nothing to get wrong


def test_recall_of_the_worst() -> None:
    damage, score = np.arange(40.0), np.arange(40.0)
    score[39] = -1  # the very worst is foretold to be the least
    ranking = of.ranking(score, damage)
    assert ranking.worst == 10
    # 20 % are eight, all of them among the ten; 30 % are twelve, with nine of these; half finds no more
    assert ranking.recall == (0.8, 0.9, 0.9)
    few = of.ranking(np.arange(5.0), np.arange(5.0))
    assert (few.worst, few.recall) == (1, (1.0, 1.0, 1.0))
    assert of.ranking(np.arange(2.0), np.arange(2.0)).recall == (None, None, None)


def test_before_there_is_any_victim_it_only_foretells(world: Discovered) -> None:
    early = build(World.start(FACTS, world, []))["susceptibility"].records()
    assert {row["group"] for row in early} == {"one"}
    assert all(row["damage"] is None and row["predicted"] is not None for row in early)


def test_one_trial_has_no_ceiling(world: Discovered) -> None:
    one = build(World.start(FACTS, world, victims(world, 1)), ["susceptibility"])["susceptibility"].records()
    halves = [row for row in one if row["group"] in ("one_victim", "trial_halves")]
    assert len(halves) == 4
    assert all(row["spearman"] is None and row["note"] == "takes two trials or more" for row in halves)


def test_where_nothing_can_be_ranked_it_is_said_why(world: Discovered) -> None:
    """Of one attacked subpopulation, or two, no correlation can be had, however many trials there are."""
    for many in (1, 2):
        some = [v for v in victims(world, ALL) if v.spec.subpopulation is None or v.spec.subpopulation < many]
        rows = build(World.start(FACTS, world, some), ["susceptibility"])["susceptibility"].records()
        rankings = [row for row in rows if row["group"] != "one"]
        assert len(rankings) == 7 * len(FACTS.alphas)
        assert all((row["subpopulations"], row["spearman"]) == (many, None) for row in rankings)
        assert all(row["note"] == "too few subpopulations, or all alike" for row in rankings)


def test_a_run_without_triage_has_no_such_table_and_one_of_other_alphas_tells_of_those_alone(world: Discovered) -> None:
    assert "susceptibility" not in build(World.start(FACTS, discovered()))
    other = build(World.start(replace(FACTS, alphas=(1.0, 3.0)), world))["susceptibility"].records()
    assert {row["alpha"] for row in other} == {1.0}


def test_what_does_not_fit_is_damage(world: Discovered) -> None:
    told = world.arrays.foretold
    assert told is not None
    short = replace(world, arrays=DiscoveryArrays(foretold=Foretold(told.alphas, told.aux_AS[:, :3], told.test_AS)))
    with pytest.raises(BadData, match="is not of 7 subpopulations"):
        World.start(FACTS, short)
