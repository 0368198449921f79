"""Who trains the stacks of a run: this process, one after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from engine.pipeline.discovery import StackJob
from engine.rows import StackPlan, VictimResult


@dataclass(frozen=True)
class TrainedStack:
    """One stack's victims and the seconds it took to train them."""

    stack: StackPlan
    victims: list[VictimResult]
    duration_s: float


def train(
    jobs: Sequence[StackJob], train_stack: Callable[[StackJob], list[VictimResult]], clock: Callable[[], float] = time.monotonic
) -> Iterator[TrainedStack]:
    """Train the jobs' stacks one after another, each handed over as soon as it is done.

    The caller commits a stack before it asks for the next. A job is plain data, so that with several devices or machines this would hand
    them out as they are done, in any order: nothing that is made of a run depends on the order in which its stacks were committed.
    """
    for job in jobs:
        started = clock()
        victims = train_stack(job)
        yield TrainedStack(job.stack, victims, clock() - started)
