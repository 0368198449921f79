"""What a run that waits for its device waits for, in words."""

from __future__ import annotations

from collections.abc import Sequence

from engine.rows import RunRow
from engine.system.pace import in_words as duration


def in_words(before: Sequence[RunRow]) -> str:
    """before: the runs that go first, the one at work at the head; at least one.

    "waiting for run 5b1e0c (quickstart): 120 of 300 victims, about 2 min 07 s left; 1 more run goes before this one"
    """
    first, more = before[0], len(before) - 1
    many = f"{first.victims_done} of {first.victims_total} victims" if first.victims_total else first.phase or first.state
    if first.state == "paused":
        left = "paused, so nobody knows how long"
    elif first.eta_s is None:
        left = "how long is not known yet"
    else:
        left = f"about {duration(first.eta_s)} left{'' if first.victims_total else ' of this step'}"
    behind = f"; {more} more {'run goes' if more == 1 else 'runs go'} before this one" if more else ""
    return f"waiting for run {first.id} ({first.name}): {many}, {left}{behind}"
