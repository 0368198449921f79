"""One device: this process trains the stacks, one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.rows import StackPlan
from engine.runs.executors import Job, TrainedStack, Watch
from engine.runs.pipeline import Pipeline


class Local:
    """See `engine.runs.executors.Executor`."""

    def __init__(self, pipeline: Pipeline, device: str) -> None:
        self._pipeline, self._device = pipeline, device

    def train(self, stacks: Sequence[StackPlan], job: Job, watch: Watch) -> Iterator[TrainedStack]:
        room = self._pipeline.room(self._device)
        if job.too_many is not None:
            room.learn(job.too_many)
        for stack in stacks:
            started_s = watch.at_work_s()
            watch.begin(stack, "")
            watch.check()

            def on_step(done: float, total: float, stack: StackPlan = stack) -> None:
                watch.check()
                watch.step(stack, done, total)

            victims = self._pipeline.train_stack(job.of(stack, self._device), on_step, watch.log)
            yield TrainedStack(stack, victims, watch.at_work_s() - started_s, room.too_many)

    def close(self) -> None:
        pass
