"""The remaining time: unknown at first, then soon close to the truth, and honest when the machine slows down."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from engine.rows import StackPlan, VictimSpec
from engine.runs.progress import Progress

STEPS = 400


def stacks(*victims: int) -> list[StackPlan]:
    plan, number = [], 0
    for index, n in enumerate(victims):
        plan.append(StackPlan(index, 0, tuple(VictimSpec(number + i, 0, "clean") for i in range(n))))
        number += n
    return plan


@dataclass
class FakeClock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Trace:
    """What was told while a run went by: (seconds since the start, what was said to remain)."""

    told: list[tuple[float, float | None]] = field(default_factory=list)
    total_s: float = 0.0

    def error_at(self, share: float) -> float:
        """By how much, as a share of the whole run's time, the remaining time told at `share` of it was off."""
        at, eta = next((at, eta) for at, eta in self.told if at >= share * self.total_s)
        assert eta is not None
        return abs(eta - (self.total_s - at)) / self.total_s


def train(plan: list[StackPlan], step_s: Callable[[int, int], float], between_s: float = 0.4) -> Trace:
    """A run by the clock: `step_s(stack, victims)` for each step, and the commits between stacks."""
    clock, trace = FakeClock(), Trace()
    progress, start = Progress(plan, clock=clock), clock.now
    for stack in plan:
        progress.start(stack)
        for step in range(STEPS):
            clock.now += step_s(stack.index, len(stack.victims))
            progress.step(step + 1, STEPS)
            trace.told.append((clock.now - start, progress.eta_s))
        clock.now += between_s
        progress.finish()
    assert progress.fraction == 1.0
    assert progress.eta_s == pytest.approx(0)
    trace.total_s = clock.now - start
    return trace


def noisy(seed: int) -> Callable[[int, int], float]:
    """Step times as seen on a shared machine: lognormal, with stalls of half a second, and stretches that are a third slower."""
    rng = random.Random(seed)
    slow = 1.0

    def step_s(stack: int, victims: int) -> float:
        nonlocal slow
        if rng.random() < 0.01:
            slow = rng.choice([1.0, 1.0, 4 / 3])
        return (0.004 + 0.0008 * victims) * slow * math.exp(rng.gauss(0, 0.5)) + (0.5 if rng.random() < 0.004 else 0.0)

    return step_s


def test_over_noisy_runs_the_remaining_time_settles_early() -> None:
    plan = stacks(*[60, 60, 60, 21] * 3)  # three trials; the last stack of each is the smaller rest
    errors = {share: sorted(train(plan, noisy(seed)).error_at(share) for seed in range(20)) for share in (0.1, 0.25, 0.5)}
    middle = {share: told[10] for share, told in errors.items()}
    worst = {share: told[18] for share, told in errors.items()}  # all but one of twenty
    print("share of the run -> median, 95th percentile of the error as a share of the whole:", middle, worst)
    assert middle[0.1] < 0.08
    assert middle[0.25] < 0.07
    assert middle[0.5] < 0.04
    assert worst[0.1] < 0.25
    assert worst[0.25] < 0.15
    assert worst[0.5] < 0.10


def test_nothing_is_told_before_two_seconds_of_training() -> None:
    trace = train(stacks(10, 10), lambda stack, victims: 0.0499)
    assert all((eta is None) == (at < 2.0) for at, eta in trace.told)


def test_a_machine_that_becomes_half_as_fast_is_followed() -> None:
    plan = stacks(*[20] * 12)  # 20 ms a step, then 40: the second half takes twice the time
    trace = train(plan, lambda stack, victims: 0.02 if stack < 4 else 0.04, between_s=0.0)
    assert trace.error_at(0.5) < 0.1
    assert trace.error_at(0.75) < 0.04


def test_a_pause_does_not_count() -> None:
    clock = FakeClock()
    progress = Progress(stacks(10), clock=clock)
    progress.start(stacks(10)[0])
    for step in range(100):
        clock.now += 0.1
        progress.step(step + 1, 400)
    before = progress.eta_s
    progress.hold()
    assert progress.fields() == {"progress": 0.25, "eta_s": None, "victims_per_minute": None}
    clock.now += 3600
    progress.go_on()
    assert progress.eta_s == before == pytest.approx(30.0)
    assert progress.victims_per_minute == pytest.approx(15.0)


def test_a_resumed_run_starts_from_what_its_stacks_took() -> None:
    clock, plan = FakeClock(), stacks(10, 10, 10, 10)
    progress = Progress(plan, {0: 40.0, 1: 40.0}, clock=clock)
    assert progress.fraction == 0.5
    assert progress.eta_s is None  # this machine may be another
    progress.start(plan[2])
    clock.now += 2.0
    progress.step(20, STEPS)
    assert progress.eta_s == pytest.approx(78.0, rel=0.05)


def test_the_fraction_never_goes_back() -> None:
    clock = FakeClock()
    progress = Progress(stacks(4, 4), clock=clock)
    progress.start(stacks(4, 4)[0])
    seen = []
    for done in (10, 5, 20, 400, 400):  # a trainer that halves its stack tells its steps anew
        clock.now += 1
        progress.step(done, STEPS)
        seen.append(progress.fraction)
    assert seen == sorted(seen)
    assert seen[-1] == 0.5


def test_a_stack_that_reports_seldom_counts_down_between_its_reports_and_never_climbs() -> None:
    """As encoders do: a step takes seconds, a look at the clock comes ten times a second with nothing new."""
    clock, plan = FakeClock(), stacks(8)
    progress = Progress(plan, clock=clock)
    progress.start(plan[0])
    told: list[float] = []
    for step in range(10):
        for _ in range(60):
            clock.now += 0.1
            progress.step(step, 10)
            told += [] if progress.eta_s is None else [progress.eta_s]
        progress.step(step + 1, 10)
    assert max(later - earlier for earlier, later in pairwise(told)) < 1e-6
    assert told[0] == pytest.approx(54.0, abs=0.2)  # nine steps of six seconds
    assert told[-1] < 0.2


def test_a_last_step_that_takes_long_leaves_the_estimate_where_it_is() -> None:
    """42 s had become 3 min with 10 s to go, for the time in which nothing is reported counted as time without work."""
    clock, plan = FakeClock(), stacks(10)
    progress = Progress(plan, clock=clock)
    progress.start(plan[0])
    for step in range(9):
        clock.now += 4.0
        progress.step(step + 1, 10)
    assert progress.eta_s == pytest.approx(4.0)
    clock.now += 120.0
    progress.step(9, 10)
    assert progress.eta_s == pytest.approx(0.0)
    progress.step(9.5, 10)  # it was slower than thought, and now that is known
    assert (progress.eta_s or 0.0) > 4.0
