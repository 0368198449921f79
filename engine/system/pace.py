"""How far a step of some work is and how long the rest of it takes, by what its reports say: (what is being done, share done).

What stands before the first ", " of a report names the step; what stands behind it says where the step is at and may change from report
to report: "optimising poison points, subpopulation 2 of 3, step 12 of 30".
"""

from __future__ import annotations

import time
from collections.abc import Callable

UNKNOWN_FOR_S = 2.0  # no estimate before a step was seen for so long


def step_of(what: str) -> str:
    """The name of the step that a report is of."""
    return what.partition(", ")[0]


def in_words(seconds: float) -> str:
    """ "4 s", "3 min 20 s", "2 h 05 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Pace:
    """One step after the other. The rest is what the step took so far, by the share that it did in it; between two reports it counts down,
    by no more than reports lay apart so far, so that a silent step neither climbs nor comes to nothing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.what, self.share = "", 0.0
        self._first_share, self._reports = 0.0, 0
        self._began = self._last = clock()

    def at(self, what: str, share: float) -> bool:
        """Take note of a report; True where a step begins with it. A share that falls is another pass, whose clock starts anew."""
        now, begins = self._clock(), step_of(what) != step_of(self.what)
        if begins or share < self.share:
            self._began, self._first_share, self._reports = now, share, 0
        else:
            self._reports += 1
        self.what, self.share, self._last = what, share, now
        return begins

    def passed(self, seconds: float) -> None:
        """So long nothing was done, as in a pause: it does not count."""
        self._began, self._last = self._began + seconds, self._last + seconds

    @property
    def eta_s(self) -> float | None:
        """Seconds that the rest of the step will take, or None while it is unknown."""
        seen_s, done = self._last - self._began, self.share - self._first_share
        if seen_s < UNKNOWN_FOR_S or done <= 0 or self.share >= 1:
            return None
        since_s = min(self._clock() - self._last, seen_s / self._reports)
        return max(seen_s * (1 - self.share) / done - since_s, 0.0)

    def __str__(self) -> str:
        """ "forming subpopulations, 41%"."""
        return f"{self.what}, {self.share:.0%}" if 0 < self.share < 1 else self.what
