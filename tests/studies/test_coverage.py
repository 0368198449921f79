"""The intervals cover the truth in simulated worlds.

The full tables: `python -m tests.studies.simulate` (2,000 worlds) and `python -m tests.studies.coverage` (the hard populations).
"""

from __future__ import annotations

import numpy as np
import pytest

from engine.evaluation import interval
from tests.studies import coverage as study
from tests.studies.populations import KINDS, few, flips, shared
from tests.studies.simulate import ADULT, KS, coverage, draw, main, quantiles, truths, world_of

WORLDS = {3: 45, 5: 30, 10: 14}
NOMINAL = 0.93
SIGMAS = 2.6  # a run in two hundred fails by chance where the true coverage is exactly 0.93


@pytest.mark.parametrize("kind", ["adult", "calm"])
@pytest.mark.parametrize("trials", WORLDS)
def test_the_corrected_interval_covers_and_as_published_overstates(kind: str, trials: int) -> None:
    lines = coverage(kind, trials, WORLDS[trials], seed=1)
    assert [line.k for line in lines] == list(KS)
    for line in lines:
        error = (NOMINAL * (1 - NOMINAL) / line.worlds) ** 0.5
        assert line.coverage >= NOMINAL - SIGMAS * error, line
        assert line.width < (1.3 if kind == "adult" else 0.45), line
        assert line.bias_published - line.bias_corrected > 0.01, line  # on the same data, so that this is sharp
        assert abs(line.bias_corrected) < 3 * line.width / 4 / line.worlds**0.5, line


def test_the_null_is_covered_too() -> None:
    for line in coverage("null", 5, 30, seed=1):
        assert line.coverage >= NOMINAL - SIGMAS * (NOMINAL * (1 - NOMINAL) / line.worlds) ** 0.5, line
        assert line.truth == 0.0
        assert line.bias_published > 0.02


def test_drawn_data_have_the_worlds_damages_and_spreads() -> None:
    random = np.random.default_rng(0)
    world = world_of(np.array(ADULT), random)
    damage_TS = (
        np.add.reduceat(draw(world, 4000, world.n_S, 1, random)[0], np.cumsum(world.n_S) - world.n_S, axis=1, dtype=float) / world.n_S
    )
    assert damage_TS.mean(axis=0) == pytest.approx(world.true_S, abs=0.035)
    flips = [s for s, row in enumerate(ADULT) if row[2] == 0.0]  # clean never wrong: all of the variance is the poisoned arm's
    for s in flips:
        assert damage_TS[:, s].std() == pytest.approx(ADULT[s][4], abs=0.04)


def test_quantiles_have_the_asked_mean_and_spread() -> None:
    mean, sd = np.array([0.9, 0.5, 1.0, 0.3]), np.array([0.05, 0.3, 0.0, 0.1])
    found = quantiles(mean, sd)
    assert found.mean(axis=1) == pytest.approx(mean, abs=2e-3)
    assert found.std(axis=1) == pytest.approx(sd, abs=5e-3)


def test_the_truth_of_a_world_without_noise_is_its_largest_damages() -> None:
    random = np.random.default_rng(0)
    rows = np.array([(4000, 0.9, 0.0, 0.9 - damage, 0.0, 0.5) for damage in (0.0, 0.1, 0.3, 0.2)])
    found = truths(world_of(rows, random), 3, (1, 2), random)
    assert found[1] == pytest.approx(0.3)
    assert found[2] == pytest.approx(0.25)


def test_the_command_prints_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--worlds", "3", "--kind", "calm", "--trials", "3"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| world | trials | k | covers")
    assert [line.split("|")[1:4] for line in lines[2:]] == [[" calm ", " 3 ", f" {k} "] for k in KS]


# ---- the hard populations: seeds are fixed, so that what is measured is what is asserted -------------------------------


@pytest.mark.parametrize("kind", ["shared", "sparse"])
def test_a_clean_arm_that_all_share_is_covered_with_three_trials(kind: str) -> None:
    _, five, ten = study.held_worst(study.cell(kind, 3, 200, seed=0))
    assert five.coverage >= NOMINAL
    assert ten.coverage >= NOMINAL


def test_where_nothing_is_shared_the_interval_is_near_the_oracles() -> None:
    for kind in ("null", "few"):
        _, five, ten = study.held_worst(study.cell(kind, 10, 80, seed=0))
        assert min(five.coverage, ten.coverage) >= NOMINAL - SIGMAS * (NOMINAL * (1 - NOMINAL) / 80) ** 0.5
        assert max(five.width / five.oracle, ten.width / ten.oracle) < 1.45


def test_damages_of_cells_that_flip_whole_are_covered_with_three_trials() -> None:
    every, _ = study.held_damage(study.cell("flips", 3, 60, seed=0))
    assert every.coverage >= 0.94


def test_what_a_trial_shares_is_estimated_without_bias() -> None:
    found: dict[float, list[float]] = {0.0: [], 0.06: []}
    for number in range(300):
        random = np.random.default_rng(number)
        for size in found:
            damage_TE = 0.03 * random.standard_normal((5, 28)) + size * random.standard_normal((5, 1))
            found[size].append(interval.common(damage_TE, np.full(28, 0.03**2)))
    assert np.mean(found[0.06]) == pytest.approx(0.06**2, rel=0.1)
    assert np.mean(found[0.0]) < 0.03**2 / 28
    assert interval.common(np.ones((3, 1)), np.ones(1)) == 0.0


def test_populations_have_the_damages_they_say() -> None:
    for kind in (flips, shared, few):
        random = np.random.default_rng(0)
        population = kind(random)
        starts = np.cumsum(population.n_S) - population.n_S
        rows = [np.add.reduceat(population.draw(3, random), starts, axis=1, dtype=float).mean(axis=0) for _ in range(600)]
        drawn, quick = np.array(rows) / population.n_S, population.damages(3, population.n_S, 600, random)
        assert drawn.mean(axis=0) == pytest.approx(population.true_S, abs=0.06)
        assert drawn.mean(axis=0) == pytest.approx(quick.mean(axis=0), abs=0.06)
        assert drawn.std(axis=0) == pytest.approx(quick.std(axis=0), abs=0.03)


def test_the_study_prints_its_tables(capsys: pytest.CaptureFixture[str]) -> None:
    study.main(["--populations", "3", "--kind", "five", "--trials", "3"])
    assert sum(line.startswith("| five | 3 |") for line in capsys.readouterr().out.splitlines()) == 3
    assert set(KINDS) == {"flips", "shared", "sparse", "five", "few", "unlike", "null"}
