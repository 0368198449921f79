"""Stand-ins for both sides of the executors' port (`engine/runs/executors`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from engine.pipeline.discovery import StackJob
from engine.rows import StackPlan, VictimResult
from engine.runs.executors import Job, TrainedStack, Watch


class FakeExecutor:
    """Trains by a function in an order of one's own, as several devices would: first those that `order` names, then the rest."""

    def __init__(self, train_stack: Callable[[StackJob], list[VictimResult]], order: Sequence[int] = ()) -> None:
        self.train_stack, self.order = train_stack, order
        self.asked: list[int] = []
        self.closed = False

    def train(self, stacks: Sequence[StackPlan], job: Job, watch: Watch) -> Iterator[TrainedStack]:
        first = [stack for index in self.order for stack in stacks if stack.index == index]
        for stack in [*first, *(stack for stack in stacks if stack not in first)]:
            watch.check()
            watch.begin(stack, "fake")
            self.asked.append(stack.index)
            victims = self.train_stack(job.of(stack, "cpu"))
            watch.step(stack, 1.0, 1.0)
            yield TrainedStack(stack, victims, 1.0, job.too_many)

    def close(self) -> None:
        self.closed = True


class FakeWatch:
    """Keeps what it is told. on_check: called at each look for a stop."""

    def __init__(self, on_check: Callable[[], None] = lambda: None) -> None:
        self.on_check = on_check
        self.begun: list[tuple[int, str]] = []
        self.lost: list[tuple[int, str]] = []
        self.steps: list[tuple[int, float]] = []
        self.lines: list[str] = []
        self.now_s = 0.0

    def begin(self, stack: StackPlan, where: str, node: str = "") -> None:
        self.begun.append((stack.index, where))

    def step(self, stack: StackPlan, done: float, total: float) -> None:
        self.steps.append((stack.index, done / total))

    def lose(self, stack: StackPlan, why: str) -> None:
        self.lost.append((stack.index, why))

    def check(self) -> None:
        self.on_check()

    def tell_of_pauses(self, tell: Callable[[bool], None]) -> None:
        self.tell = tell

    def log(self, message: str) -> None:
        self.lines.append(message)

    def at_work_s(self) -> float:
        return self.now_s
