"""How far a run has come, and how long the rest will take: measured, smoothed, and not told before it can be known."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from engine.rows import StackPlan

UNKNOWN_FOR_S = 2.0  # no estimate before so much training was seen: its first steps are warm-up
MEMORY_S = 30.0  # the rate forgets with at least this time constant ...
MEMORY_SHARE = 0.5  # ... and, later, with half the time trained so far: steady under noise, yet it follows a machine that slows down


class Progress:
    """Counts victim-steps (one step of one victim) against the plan's. Written by the trainer, read by the heartbeat's thread.

    The rate is work over time, both fading alike, so that the noise of single steps averages out. Time counts when work is reported:
    between two reports the rate stands and the estimate counts down, by no more than one report brings, so that a silent step neither
    climbs nor comes to nothing. Time spent paused does not count; time between stacks does, for the rest of the plan has it too. Stacks
    that were trained before a resume give the first guess.
    """

    def __init__(
        self, plan: Sequence[StackPlan], durations_s: Mapping[int, float] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """durations_s: stack index -> seconds, of the stacks that are committed already."""
        earlier = durations_s or {}
        self._clock = clock
        self._lock = threading.Lock()
        self._victims = {stack.index: len(stack.victims) for stack in plan}
        self._total = sum(self._victims.values())  # victims
        self._finished = sum(n for index, n in self._victims.items() if index in earlier)  # victims of committed stacks
        self._in_training: dict[int, float] = {}  # stack -> victims' worth of it that is done, a fraction of its size
        # Fading sums: victims' worth of work, and the seconds it took. What was taken over from another run took none: it is no work.
        self._work = float(sum(n for index, n in self._victims.items() if earlier.get(index, 0.0) > 0))
        self._time_s = sum(earlier.values())
        self._trained_s = 0.0  # seconds of training seen by this process
        self._last: float | None = None  # when the sums were brought up to date; None: the clock stands
        self._held_s = 0.0  # of the time that counts at the next report, what lay before a pause
        self._lately = 0.0  # victims' worth of work that the last report brought

    def start(self, stack: StackPlan) -> None:
        """Training of this stack begins, beside those that are trained already on other devices."""
        with self._lock:
            self._in_training[stack.index] = 0.0
            self._last = self._clock() if self._last is None else self._last

    def step(self, done_steps: float, total_steps: float, stack: int | None = None) -> None:
        """The stack in training has done so many of its steps. stack: which, by its index; None: the only one."""
        with self._lock:
            at = next(iter(self._in_training), None) if stack is None else stack
            if at in self._in_training and total_steps > 0:
                self._advance(at, self._victims[at] * min(done_steps / total_steps, 1.0))

    def finish(self, stack: int | None = None) -> None:
        """The stack in training is committed."""
        with self._lock:
            at = next(iter(self._in_training), None) if stack is None else stack
            if at in self._in_training:
                self._advance(at, float(self._victims[at]))
                self._finished += self._victims[at]
                del self._in_training[at]

    def lose(self, stack: int) -> None:
        """What was done of it is lost: it is begun again."""
        with self._lock:
            self._in_training.pop(stack, None)

    @property
    def in_training(self) -> tuple[int, ...]:
        """The stacks that are trained now, by their indices."""
        return tuple(sorted(self._in_training))

    @property
    def _in_flight(self) -> float:
        return sum(self._in_training.values())

    def hold(self) -> None:
        """The run is paused: the clock stands."""
        with self._lock:
            if self._last is not None:
                self._held_s, self._last = self._clock() - self._last, None

    def go_on(self) -> None:
        """The pause is over."""
        with self._lock:
            self._last = self._clock() - self._held_s

    def _advance(self, at: int, in_flight: float) -> None:
        if self._last is None or in_flight <= self._in_training[at]:
            return
        now = self._clock()
        passed_s, self._last = now - self._last, now
        self._lately = done = in_flight - self._in_training[at]
        self._in_training[at] = in_flight
        self._trained_s += passed_s
        fade = math.exp(-passed_s / max(MEMORY_S, MEMORY_SHARE * self._trained_s))
        self._work, self._time_s = self._work * fade + done, self._time_s * fade + passed_s

    @property
    def fraction(self) -> float:
        """The share of the plan's victims that is trained, those in flight counted by their steps; 0..1."""
        return (self._finished + self._in_flight) / self._total if self._total else 1.0

    @property
    def victims_per_minute(self) -> float | None:
        """The present rate, or None while it is unknown."""
        if self._trained_s < UNKNOWN_FOR_S or self._work <= 0 or self._time_s <= 0:
            return None
        return 60.0 * self._work / self._time_s

    @property
    def eta_s(self) -> float | None:
        """Seconds that the rest of the plan will take at the present rate, or None while it is unknown."""
        rate = self.victims_per_minute
        if rate is None:
            return None
        silent_s = 0.0 if self._last is None else self._clock() - self._last
        left = self._total - self._finished - self._in_flight - min(silent_s * rate / 60.0, self._lately)
        return max(left, 0.0) / rate * 60.0

    def fields(self) -> dict[str, object]:
        """What a run's row says of it; not told where the clock stands, for nobody knows how long a pause lasts."""
        with self._lock:
            standing = self._last is None
            return {
                "progress": self.fraction,
                "eta_s": None if standing else self.eta_s,
                "victims_per_minute": None if standing else self.victims_per_minute,
            }
