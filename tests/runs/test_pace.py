"""A step's rest, by its own reports."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest

from engine.system.pace import Pace, in_words, step_of


@dataclass
class FakeClock:
    now: float = 50.0

    def __call__(self) -> float:
        return self.now


def test_the_rest_counts_down_and_what_a_step_is_at_is_no_other_step() -> None:
    clock = FakeClock()
    pace = Pace(clock)
    assert pace.at("optimising poison points", 0.0)
    told = []
    for step in range(1, 11):
        for _ in range(30):
            clock.now += 0.1
            told += [] if pace.eta_s is None else [pace.eta_s]
        assert not pace.at(f"optimising poison points, subpopulation 1 of 1, step {step} of 10", step / 10)
    assert max(later - earlier for earlier, later in pairwise(told)) < 1e-6
    assert told[0] == pytest.approx(27.0, abs=0.2)
    assert pace.eta_s is None  # done
    assert str(pace) == "optimising poison points, subpopulation 1 of 1, step 10 of 10"
    assert pace.at("forming subpopulations", 0.0)


def test_what_was_kept_from_an_earlier_run_is_no_work_of_this_one() -> None:
    clock = FakeClock()
    pace = Pace(clock)
    pace.at("computing frozen features of 1,000 images", 0.8)
    clock.now += 10
    pace.at("computing frozen features of 1,000 images", 0.9)
    assert pace.eta_s == pytest.approx(10.0)
    assert str(pace) == "computing frozen features of 1,000 images, 90%"


def test_another_pass_over_the_same_starts_its_clock_anew() -> None:
    clock = FakeClock()
    pace = Pace(clock)
    pace.at("representing the texts", 0.0)
    clock.now += 100
    pace.at("representing the texts", 0.9)
    assert not pace.at("representing the texts", 0.0)
    assert pace.eta_s is None
    clock.now += 4
    pace.at("representing the texts", 0.5)
    assert pace.eta_s == pytest.approx(4.0)


def test_a_pause_does_not_count() -> None:
    clock = FakeClock()
    pace = Pace(clock)
    pace.at("decoding", 0.0)
    clock.now += 5
    pace.at("decoding", 0.5)
    clock.now += 3600
    pace.passed(3600)
    assert pace.eta_s == pytest.approx(5.0)


def test_words() -> None:
    assert [in_words(s) for s in (0.2, 59.6, 200, 7500)] == ["0 s", "1 min 00 s", "3 min 20 s", "2 h 05 min"]
    assert step_of("decoding 1,000 pictures, b.tar") == "decoding 1,000 pictures"
