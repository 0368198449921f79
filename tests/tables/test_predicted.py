"""What the victims of one subpopulation predict: against a slow count, row by row, in plain Python."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest

from engine.errors import RequestError
from engine.rows import Table
from engine.store import Store
from engine.tables.build import build
from engine.tables.predicted import predicted_of
from engine.tables.world import World
from tests.worlds import store as store_worlds
from tests.worlds.evaluation import FACTS, discovered, victims

FOUND = discovered()
RESULTS = victims(FOUND)


@dataclass(frozen=True)
class One:
    """A test row as a pair of victims sees it."""

    alpha: float
    trial: int
    row: int
    true: int
    clean: int
    poisoned: int


def seen_by_pairs(index: int, results=RESULTS) -> list[One]:
    """Every (pair of victims, test row), the slow way."""
    pairs = []
    for poisoned in results:
        for clean in results:
            aimed = poisoned.spec.arm == "poisoned" and poisoned.spec.subpopulation == index
            if aimed and clean.spec.arm == "clean" and clean.spec.trial == poisoned.spec.trial:
                for row, true in enumerate(FOUND.y_test.tolist()):
                    before, after = int(clean.predictions[row]), int(poisoned.predictions[row])
                    pairs.append(One(poisoned.spec.alpha, poisoned.spec.trial, row, true, before, after))
    return pairs


def rows_of(table: Table) -> list[dict[str, object]]:
    return [{column.name: cell for column, cell in zip(table.spec.columns, row, strict=True)} for row in table.rows]


def inside(index: int) -> set[int]:
    return {row for row, own in enumerate(FOUND.membership.test.tolist()) if own == index}


@pytest.mark.parametrize("index", [1, 3, 5])
def test_trials_are_those_of_a_slow_count(index: int) -> None:
    told, members = rows_of(predicted_of(FOUND, RESULTS, index).trials), inside(index)
    seen = seen_by_pairs(index)
    assert [(row["alpha"], row["trial"]) for row in told] == [(a, t) for a in FACTS.alphas for t in range(3)]
    for row in told:
        own = [one for one in seen if (one.alpha, one.trial) == (row["alpha"], row["trial"]) and one.row in members]
        rest = [one for one in seen if (one.alpha, one.trial) == (row["alpha"], row["trial"]) and one.row not in members]
        assert row["clean"] == sum(one.clean == one.true for one in own) / len(own)
        assert row["poisoned"] == sum(one.poisoned == one.true for one in own) / len(own)
        for name, some in (("damage", own), ("collateral", rest)):
            lost = sum(one.clean == one.true for one in some) - sum(one.poisoned == one.true for one in some)
            assert row[name] == lost / len(some)


def test_the_mean_over_trials_is_the_damage_table() -> None:
    damage = {(row["alpha"], row["subpopulation"]): row for row in rows_of(build(World.start(FACTS, FOUND, RESULTS))["damage"])}
    trials = rows_of(predicted_of(FOUND, RESULTS, 3).trials)
    for alpha in FACTS.alphas:
        own = [row for row in trials if row["alpha"] == alpha]
        for name in ("damage", "collateral"):
            assert sum(row[name] for row in own) / len(own) == pytest.approx(damage[alpha, 3][name], abs=1e-12)


@pytest.mark.parametrize("index", [1, 3])
def test_shares_of_classes_are_those_of_a_slow_count(index: int) -> None:
    told, members, seen = rows_of(predicted_of(FOUND, RESULTS, index).classes), inside(index), seen_by_pairs(index)
    of_alpha = {alpha: [one for one in seen if one.alpha == alpha and one.row in members] for alpha in FACTS.alphas}
    there = {(a, FOUND.classes[c]) for a, own in of_alpha.items() for one in own for c in (one.true, one.clean, one.poisoned)}
    assert [(row["alpha"], row["class"]) for row in told] == sorted(there, key=lambda key: (key[0], FOUND.classes.index(key[1])))
    for row in told:
        own = [one for one in seen if one.alpha == row["alpha"] and one.row in members]
        for name, value in (("true", "true"), ("clean", "clean"), ("poisoned", "poisoned")):
            count = sum(FOUND.classes[getattr(one, value)] == row["class"] for one in own)
            assert row[name] == pytest.approx(count / len(own), abs=1e-15)
        assert row["difference"] == pytest.approx(row["poisoned"] - row["clean"], abs=1e-12)
        assert (row["trials"], row["test_rows"]) == (3, len(members))


@pytest.mark.parametrize("index", [1, 3])
def test_rows_that_flip_are_those_of_a_slow_count(index: int) -> None:
    made, members = predicted_of(FOUND, RESULTS, index), inside(index)
    seen = [one for one in seen_by_pairs(index) if one.row in members]
    times = Counter(one.row for one in seen if one.clean != one.poisoned)
    told = rows_of(made.flipped)
    assert made.flipped_rows == len(times)
    assert [row["row"] for row in told] == sorted(times, key=lambda row: (-times[row], row))
    for row in told:
        own = [one for one in seen if one.row == row["row"]]
        flips = [one for one in own if one.clean != one.poisoned]
        assert (row["flipped"], row["of"]) == (len(flips), len(own))
        assert row["true_class"] == FOUND.classes[own[0].true]
        assert row["broken"] == sum(one.clean == one.true for one in flips)
        assert row["mended"] == sum(one.poisoned == one.true for one in flips)
        most = Counter(FOUND.classes[one.poisoned] for one in flips)
        assert most[row["to"]] == max(most.values())
        expected = [f"{alpha:g}:{sum(one.alpha == alpha for one in flips)}/3" for alpha in FACTS.alphas]
        assert row["by_alpha"] == ", ".join(expected)


def test_trials_without_their_clean_victim_are_left_out() -> None:
    some = [result for result in RESULTS if result.spec.trial != 1 or result.spec.arm != "clean"]
    assert {row["trial"] for row in rows_of(predicted_of(FOUND, some, 3).trials)} == {0, 2}


def test_before_any_victim_and_of_what_is_not_attacked_there_are_no_rows() -> None:
    for results, index in (([], 3), (RESULTS, 6)):
        made = predicted_of(FOUND, results, index)
        assert (made.trials.rows, made.classes.rows, made.flipped.rows, made.flipped_rows) == ((), (), (), 0)
    with pytest.raises(RequestError, match="no subpopulation 7"):
        predicted_of(FOUND, RESULTS, 7)


def test_the_store_gives_the_victims_of_one_subpopulation_and_the_clean_ones(tmp_path) -> None:
    with Store.open(tmp_path / "runs.db") as store:
        run_id = store_worlds.new_run(store)
        store.save_plan(run_id, store_worlds.plan(2))
        for stack in range(2):
            store.commit_stack(run_id, stack, store_worlds.stack_victims(stack), 1.0, {})
        assert [v.spec.index for v in store.victims(run_id, of=3)] == [0, 1, 2, 3]
        assert [v.spec.arm for v in store.victims(run_id, of=4)] == ["clean", "clean"]
        assert len(store.victims(run_id)) == 4
