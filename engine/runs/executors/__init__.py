"""Who trains the stacks of a run: the port, and behind it each way there is.

local.py     this process, a stack after the other: one device
devices.py   a child process a device, stacks handed out as they are done;  child.py: that process;  messages.py: what the two say
ray.py       an actor a device of a Ray cluster;  joining.py: being its client;  nodes.py: which nodes, and whether they will do
             sent.py: a run's data on their way;  at_node.py: what of the code goes with them
dealing.py   who of several gets which stack next;  trainer.py: what each does with it

`train(stacks, job)` gives each stack back as soon as it is done, in any order: nothing that is made of a run depends on the order in
which its stacks were committed. The caller commits a stack before it asks for the next. Whatever stands behind the port trains a stack
with `pipeline.train_stack` and a `StackJob`, which is plain data that can be pickled, and gives the same bits wherever it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.pipeline.discovery import Discovery, StackJob
from engine.rows import Cores, StackPlan, VictimResult
from engine.scenario.sections import Scenario


@dataclass(frozen=True)
class Job:
    """What all stacks of a run have in common. too_many: how many victims at a time were known to be too many for a device's memory."""

    scenario: Scenario
    discovery: Discovery
    cores: Cores | None = None
    too_many: int | None = None

    def of(self, stack: StackPlan, device: str) -> StackJob:
        return StackJob(self.scenario, self.discovery, stack, device, self.cores)


@dataclass(frozen=True)
class TrainedStack:
    """One stack's victims and the seconds it took to train them. too_many: as in `Job`, by then."""

    stack: StackPlan
    victims: list[VictimResult]
    duration_s: float
    too_many: int | None = None


class Watch(Protocol):
    """Who is told how it goes, by the thread that iterates over what `train` gives."""

    def begin(self, stack: StackPlan, where: str, node: str = "") -> None:
        """A stack is begun, for the first time or again. where: on which of several devices; "" where there is one. node: of a cluster."""

    def step(self, stack: StackPlan, done: float, total: float) -> None:
        """So many of its victims are done, counting parts of them."""

    def lose(self, stack: StackPlan, why: str) -> None:
        """What was done of it is lost; it is begun again."""

    def check(self) -> None:
        """Called often: holds while the run is paused, raises Interrupted where it is stopped."""

    def tell_of_pauses(self, tell: Callable[[bool], None]) -> None:
        """From now on `check` calls this, with True before it holds, with False when it goes on: for who has other processes at work."""

    def log(self, message: str) -> None: ...

    def at_work_s(self) -> float:
        """A clock that stands while the run is paused, in seconds."""


class Executor(Protocol):
    """One instance serves one run, and may be asked to train several times."""

    def train(self, stacks: Sequence[StackPlan], job: Job, watch: Watch) -> Iterator[TrainedStack]:
        """Train them, each given back as soon as it is done. Raises RunFailed where one cannot be trained, and what `watch` raises."""
        ...

    def close(self) -> None:
        """Nothing of it is at work any more when this returns."""
