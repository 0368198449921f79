"""What the study of schedules says of its trials, and that it goes on where it was cut off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from engine.rows import StackPlan
from tests.studies.common import discovered, records, tables_of, trained
from tests.studies.schedules import Study, Trial, World, compared, figures, product, published_trial


@pytest.fixture(scope="module")
def world() -> World:
    return World(*discovered("quickstart", "model.epochs=2", "subpopulations.clusters=6", "attack.alphas=[1, 2]", "evaluation.trials=2"))


def trials(clean: float, poisoned: float, count: int = 40, seed: int = 0) -> list[Trial]:
    """Trials of two targets, whose means over targets spread by .02."""
    noise = np.random.default_rng(seed).normal(0, 0.02, (count, 2, 2))
    noise -= noise.mean(0)
    return [Trial(t, list(clean + n[0]), {"1": list(poisoned + n[1])}) for t, n in enumerate(noise)]


def test_a_trials_figures_are_those_of_the_products_damage_table(world: World):
    mine = list(product(world, [0, 1]))
    damage = records(tables_of(world.given, world.found, trained(world.given, world.found))["damage"])
    assert len(damage) == 2 * len(world.targets) > 2
    for row in damage:
        at = [s.index for s in world.targets].index(row["subpopulation"])
        assert np.mean([t.clean[at] - t.poisoned[f"{row['alpha']:g}"][at] for t in mine]) == pytest.approx(row["damage"], abs=1e-12)


def test_the_published_side_asks_the_same_of_its_own_victims(world: World):
    [a], b, again = list(product(world, [1])), published_trial(world, 1), published_trial(world, 1)
    assert b == again
    assert (b.trial, len(b.clean), list(b.poisoned)) == (1, len(a.clean), list(a.poisoned))
    assert b.clean != a.clean
    assert np.mean(b.clean) > np.mean(b.poisoned["2"])


def test_a_difference_is_within_where_its_whole_interval_is():
    same, shifted = trials(0.8, 0.6), trials(0.8, 0.572, seed=1)
    table, holds = compared(("a", "b"), same, trials(0.8, 0.61, seed=1))
    assert holds, table
    table, holds = compared(("a", "b"), same, shifted)  # .028 apart, with a half-width of about .006
    assert not holds
    lines = {line.split(" | ")[0]: line for line in table.splitlines()}
    assert lines["| clean"].endswith("| yes |")
    assert "| -0.0280 |" in lines["| poisoned, alpha 1"]
    assert lines["| poisoned, alpha 1"].endswith("| NO |")
    # the noise is the same in both, so that by trial the difference is known to the last digit
    assert compared(("a", "b"), same, trials(0.8, 0.572), by_trial=True)[1]
    assert not compared(("a", "b"), same, trials(0.8, 0.569), by_trial=True)[1]


def test_the_standard_error_counts_trials_not_targets():
    mine = trials(0.8, 0.6)
    found = figures(mine)
    assert {name: len(v) for name, v in found.items()} == {"clean": 40, "poisoned, alpha 1": 40, "damage, alpha 1": 40}
    assert found["damage, alpha 1"] == pytest.approx(found["clean"] - found["poisoned, alpha 1"])
    table, _ = compared(("a", "b"), mine, mine)
    assert f"| clean | 0.8000 ({found['clean'].std(ddof=1) / 40**0.5:.4f}) |" in table


def test_what_is_kept_is_not_trained_again(tmp_path: Path, world: World):
    asked: list[list[int]] = []

    def side(given: World, missing: Sequence[int]) -> Iterator[Trial]:
        asked.append(list(missing))
        yield from trials(0.8, 0.6)[: max(missing, default=-1) + 1][min(missing, default=0) :]

    def study(count: int) -> Study:
        return Study(count, 1, tmp_path / "out.md")

    first, more = study(2).of("a", world, side), study(5).of("a", world, side)
    assert asked == [[0, 1], [2, 3, 4]]
    assert more[:2] == first == trials(0.8, 0.6)[:2]
    study(1).of("b", world, side)
    assert asked[-1] == [0], "trials of another name were taken for its own"
    study(2).say("done")
    assert (tmp_path / "out.md").read_text() == "done\n"


def test_another_batch_keeps_subpopulations_and_poison(world: World):
    turned = world.turned(batch=50)
    assert (turned.given.model.batch, turned.found) == (50, world.found)
    [a], [b] = list(product(world, [0])), list(product(turned, [0]))
    assert a != b
    assert StackPlan(0, 0, tuple(world.specs(0))) == StackPlan(0, 0, tuple(turned.specs(0)))
