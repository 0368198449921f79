"""What a worker drives: `pipeline.order.RunPipeline`, or what stands in for it. Opens none: a queued run needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from engine.milestones import Milestones
from engine.pipeline.discovery import Discovery, Log, Progress, StackJob
from engine.rows import Cores, Dataset, PartResult, StackPlan, VictimResult
from engine.scenario.sections import Scenario
from engine.training.room import Room

if TYPE_CHECKING:
    from engine.training.partition import Part

OnStep = Callable[[float, float], None]  # as `training.trial.OnStep`


class Pipeline(Protocol):
    """One instance serves one run, and may hold what it opened for as long as the run lasts. on_step and progress may raise Interrupted."""

    def load(self, scenario: Scenario, data_dir: Path, *, device: str, log: Log, progress: Progress) -> Dataset:
        """The scenario's rows as the victims' model reads them."""
        ...

    def discover(
        self,
        scenario: Scenario,
        data_dir: Path,
        *,
        device: str,
        log: Log,
        progress: Progress,
        on_step: OnStep | None,
        milestones: Milestones,
    ) -> Discovery:
        """All that is known before any victim is trained."""
        ...

    def deviations(self, scenario: Scenario, dataset: Dataset) -> tuple[str, ...]:
        """What makes this run not the paper's."""
        ...

    def plan(
        self, scenario: Scenario, discovery: Discovery, device: str, *, log: Log, milestones: Milestones, cores: Cores | None
    ) -> tuple[StackPlan, ...]:
        """Which victims train together. cores: how a stack uses a CPU."""
        ...

    def room(self, device: str) -> Room:
        """What is known of a device's memory; stacks that are trained learn of it."""
        ...

    def train_stack(self, job: StackJob, on_step: OnStep | None, log: Log) -> list[VictimResult]:
        """One stack's victims and what each predicts."""
        ...

    def parts(self, scenario: Scenario, dataset: Dataset, *, log: Log) -> Sequence[Part]:
        """The parts of train that the run's ensemble has a model for each of."""
        ...

    def train_parts(
        self, scenario: Scenario, dataset: Dataset, parts: Sequence[Part], device: str, on_step: OnStep | None
    ) -> Iterator[list[PartResult]]:
        """Their models and what each predicts, some at a time."""
        ...
