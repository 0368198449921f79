"""Who trains the stacks of a run: this process, one after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from engine.rows import StackPlan, VictimResult


@dataclass(frozen=True)
class TrainedStack:
    """One stack's victims and the seconds it took to train them."""

    stack: StackPlan
    victims: list[VictimResult]
    duration_s: float


def train(
    stacks: Sequence[StackPlan], train_stack: Callable[[StackPlan], list[VictimResult]], clock: Callable[[], float] = time.monotonic
) -> Iterator[TrainedStack]:
    """Train the stacks one after another on one device, each handed over as soon as it is done.

    The caller commits a stack before it asks for the next. With several devices this would hand out stacks as they are done, in any
    order: nothing that is made of a run depends on the order in which its stacks were committed.
    """
    for stack in stacks:
        started = clock()
        victims = train_stack(stack)
        yield TrainedStack(stack, victims, clock() - started)
