"""The search for the alpha that does a chosen damage: three plans, each made of what the ones before it showed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.errors import RequestError
from engine.pipeline.discovery import StackJob
from engine.rates import count, exact
from engine.rows import VictimResult, VictimSpec
from engine.runs import start as run
from engine.runs.finding import check
from engine.runs.worker import work
from engine.scenario.parse import parse
from engine.scenario.sections import Scenario
from engine.seeds import generator
from engine.store import Store
from tests.worlds.fake_pipeline import SCENARIO, VICTIMS, FakePipeline

FIND: Scenario = parse(SCENARIO, overrides=["evaluation.find=0.3"])
STEEP = (1.0, 0.3, 0.1, 0.0)  # damage of alpha 1 on each subpopulation


class Steep(FakePipeline):
    """Damage is in proportion to alpha, by subpopulation: the level 0.3 is reached at about 0.3 and 1, just not, and never."""

    def train_stack(self, job: StackJob, on_step: object, log: object) -> list[VictimResult]:
        super().train_stack(job, on_step, log)
        y, members = job.discovery.dataset.test.y, job.discovery.membership.test
        return [self.victim(job.scenario.seed, spec, y, members) for spec in job.stack.victims]

    def victim(self, seed: int, spec: VictimSpec, y: np.ndarray, own: np.ndarray) -> VictimResult:
        wrong = np.zeros(len(y), bool)
        if spec.subpopulation is not None and spec.alpha is not None:
            hit = generator(seed, "steep", spec.trial).random(len(y)) < STEEP[spec.subpopulation] * spec.alpha
            wrong = hit & (own == spec.subpopulation)
        points = 0 if spec.alpha is None else count(spec.alpha, 15)
        return VictimResult(spec, np.where(wrong, 1 - y, y).astype(np.uint8), points, 0, 1, 0.25)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "runs.db") as opened:
        yield opened


def new(store: Store, scenario: Scenario = FIND) -> str:
    return run.start(store, scenario, spawn=False).id


def rows(store: Store, run_id: str, name: str) -> list[dict[str, object]]:
    table = store.table(run_id, name)
    return [{column.name: cell for column, cell in zip(table.spec.columns, row, strict=True)} for row in table.rows]


def test_a_search_refines_once_and_ends_with_fresh_trials(store: Store) -> None:
    run_id = new(store)
    assert work(store, run_id, pipeline=Steep()) == "done"
    plan = store.plan(run_id)
    assert plan is not None
    victims = [v for stack in plan for v in stack.victims]
    assert [v.index for v in victims] == list(range(len(victims)))
    assert [stack.index for stack in plan] == list(range(len(plan)))
    assert all({v.trial for v in stack.victims} == {stack.trial} for stack in plan)
    assert store.run(run_id).victims_done == store.run(run_id).victims_total == len(victims)
    grid, rest = victims[:VICTIMS], victims[VICTIMS:]
    assert {v.alpha for v in grid if v.alpha is not None} == {1.0, 2.0}
    inside = [v for v in rest if v.trial < 3]
    assert {v.alpha is not None and v.alpha not in (1.0, 2.0) for v in inside} == {True}
    fresh = [v for v in rest if v.trial >= 3]
    assert {v.trial for v in fresh} == {3, 4, 5}
    assert sum(v.arm == "clean" for v in fresh) == 3
    dose = {row["subpopulation"]: row for row in rows(store, run_id, "dose")}
    assert {v.subpopulation for v in fresh if v.arm == "poisoned"} == {s for s in dose if dose[s]["found_alpha"] is not None} >= {0, 1}
    steep = dose[0]
    assert steep["level"] == 0.3
    assert 0.1 < steep["found_alpha"] < 0.6
    assert steep["found_points"] == count(steep["found_alpha"], 15)
    assert abs(steep["fresh_damage"] - 0.3) < 0.25
    assert steep["fresh_low"] <= steep["fresh_damage"] <= steep["fresh_high"]
    assert steep["fresh_trials"] == 3
    assert dose[3]["needed"] == "> 2"
    assert dose[3]["points_needed"] == "> 30"
    assert (dose[3]["found_alpha"], dose[3]["fresh_trials"]) == (None, 0)
    assert [line.message for line in store.log_rows(run_id) if line.message.startswith(("looking closer", "found the alpha"))]


def test_what_a_search_adds_changes_no_other_table(store: Store) -> None:
    plain, searched = new(store, parse(SCENARIO)), new(store)
    for run_id in (plain, searched):
        assert work(store, run_id, pipeline=Steep()) == "done"
    for name in ("damage", "worst", "collateral", "confidence", "distribution", "subpopulations"):
        assert store.table(plain, name) == store.table(searched, name), name


@pytest.mark.parametrize("stack", [3, 6, 7, 9])
def test_a_search_that_is_cut_off_goes_on_as_if_it_had_not_been(store: Store, stack: int) -> None:
    whole, cut = new(store), new(store)
    assert work(store, whole, pipeline=Steep()) == "done"
    assert work(store, cut, pipeline=Steep(fail_at=stack)) == "failed"
    again = Steep()
    assert work(store, cut, pipeline=again) == "done"
    assert again.trained[0] == stack
    assert store.plan(cut) == store.plan(whole)
    for name in store.tables(whole):
        assert store.table(cut, name) == store.table(whole, name), name


def test_optimised_points_cannot_be_searched(store: Store) -> None:
    digits = parse(SCENARIO, overrides=["evaluation.find=0.3", "attack.kind=influence"])
    with pytest.raises(RequestError, match="the alpha cannot be searched"):
        check(digits)


def test_an_alpha_gives_exactly_its_points() -> None:
    for size in (1, 3, 7, 15, 41, 99, 160, 2999):
        for points in (1, 2, size // 2 or 1, size, 2 * size + 1):
            assert count(exact(points, size), size) == points


def test_the_points_at_an_alpha_found_are_those_it_gives() -> None:
    assert exact(100, 88) == 1.14  # 1.14 of 88 is 100.32: a hundred points were trained, not 101
    assert count(1.14, 88) == 100
