"""The order of things, for whoever drives it: rows -> discovery -> plan -> stacks of victims.

rows             the scenario's rows as adversary and defender hold them; load: as the victims' model reads them
discover         adversary's model, subpopulations, targets, their poison: a Discovery
plan             which victims train together
train_stack      one stack's victims and what each predicts; poison_of: the extra rows of one
train_parts      the models of an ensemble over parts of train, beside the victims
RunPipeline      the same for the whole of a run, with its files opened once
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.features.opened import Opened
from engine.milestones import NOTHING_KEPT, Milestones
from engine.pipeline.certify import parts_of, train_parts
from engine.pipeline.deviations import deviations
from engine.pipeline.discover import discover, load, rows
from engine.pipeline.discovery import Discovery, Log, Progress, StackJob
from engine.pipeline.plan import plan, victims_of_trial
from engine.pipeline.train import moved_pictures, poison_of, train_stack
from engine.rows import Cores, Dataset, PartResult, StackPlan, VictimResult
from engine.scenario.sections import Scenario
from engine.training.partition import Part
from engine.training.room import Room
from engine.training.trial import OnStep


class RunPipeline:
    """What the worker of a run drives. It holds files of weights, frozen networks and tokenizers for as long as it exists."""

    def __init__(self) -> None:
        self.opened = Opened()
        self.rooms: dict[str, Room] = {}

    def load(self, scenario: Scenario, data_dir: Path, *, device: str, log: Log, progress: Progress) -> Dataset:
        return load(scenario, data_dir, device=device, log=log, progress=progress, opened=self.opened)

    def discover(
        self,
        scenario: Scenario,
        data_dir: Path,
        *,
        device: str,
        log: Log,
        progress: Progress,
        on_step: OnStep | None,
        milestones: Milestones = NOTHING_KEPT,
    ) -> Discovery:
        return discover(
            scenario,
            data_dir,
            device=device,
            log=log,
            progress=progress,
            on_step=on_step,
            opened=self.opened,
            milestones=milestones,
        )

    def deviations(self, scenario: Scenario, dataset: Dataset) -> tuple[str, ...]:
        return deviations(scenario, dataset, self.opened)

    def plan(
        self,
        scenario: Scenario,
        discovery: Discovery,
        device: str,
        *,
        log: Log,
        milestones: Milestones = NOTHING_KEPT,
        cores: Cores | None = None,
    ) -> tuple[StackPlan, ...]:
        return plan(scenario, discovery, device, log=log, opened=self.opened, milestones=milestones, cores=cores)

    def room(self, device: str) -> Room:
        return self.rooms.setdefault(device, Room())

    def train_stack(self, job: StackJob, on_step: OnStep | None, log: Log) -> list[VictimResult]:
        return train_stack(job, on_step, log, self.opened, self.room(job.device))

    def parts(self, scenario: Scenario, dataset: Dataset, *, log: Log) -> list[Part]:
        return parts_of(scenario, dataset, log)

    def train_parts(
        self, scenario: Scenario, dataset: Dataset, parts: Sequence[Part], device: str, on_step: OnStep | None
    ) -> Iterator[list[PartResult]]:
        return train_parts(scenario, dataset, parts, device, on_step, self.opened)


__all__ = [
    "Discovery",
    "Log",
    "Progress",
    "RunPipeline",
    "StackJob",
    "deviations",
    "discover",
    "load",
    "moved_pictures",
    "parts_of",
    "plan",
    "poison_of",
    "rows",
    "train_parts",
    "train_stack",
    "victims_of_trial",
]
