"""Which stacks are still to be trained: dealt out one at a time to whoever trains, and once more where one is lost."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import RunFailed
from engine.rows import StackPlan
from engine.runs.executors.messages import Failed
from engine.training.room import Room

TRIES = 2  # of a stack


@dataclass(frozen=True)
class Waiting:
    """A stack to be trained. too_many: what was known of the memory when it was begun first."""

    stack: StackPlan
    too_many: int | None = None
    tried: bool = False


class Dealing:
    """room: what is known of the devices' memory, which grows while stacks are trained."""

    def __init__(self, stacks: Sequence[StackPlan], room: Room) -> None:
        self._waiting, self._tries, self._room = deque(Waiting(stack) for stack in stacks), Counter[int](), room
        self.left = len(stacks)  # not trained yet: waiting, or with somebody

    @property
    def waits(self) -> bool:
        """Whether there is a stack to give."""
        return bool(self._waiting)

    def next(self) -> Waiting:
        """The next stack. Who trains in whose company depends on what was known of the memory: a second time as the first."""
        one = self._waiting.popleft()
        return one if one.tried else Waiting(one.stack, self._room.too_many, tried=True)

    def done(self, too_many: int | None) -> None:
        """One is trained; too_many: what was learned of the memory by it."""
        self.left -= 1
        if too_many is not None:
            self._room.learn(too_many)

    def lose(self, one: Waiting, why: str, failed: Failed | None) -> None:
        """It goes to the next who is free. Raises RunFailed where it was lost before. failed: what was said of it, if anything was."""
        self._tries[one.stack.index] += 1
        if self._tries[one.stack.index] >= TRIES:
            where = f"stack {one.stack.index + 1}"
            if failed is not None:
                raise RunFailed(f"it failed twice: {why}", where=failed.where or where, next=failed.next)
            advice = "resume with fewer devices or threads, or a smaller stack"
            raise RunFailed(f"it failed twice: {why}, perhaps for memory", where=where, next=advice)
        self._waiting.appendleft(one)
