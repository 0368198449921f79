"""A pipeline that trains nothing: four subpopulations, three trials, six stacks, predictions that are a function of the victim alone.

As a program it is a worker over this pipeline: `python tests/worlds/fake_pipeline.py RUN --store FILE`, or with --child first the process
of one of several devices; $FAKE_STEP_S is how long a step takes, $FAKE_FAIL_AT the stack that raises.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.arrays import DiscoveryArrays
from engine.pipeline.discovery import Discovery, StackJob
from engine.rows import Dataset, Membership, PartResult, Rows, StackPlan, Subpopulation, VictimResult, VictimSpec
from engine.scenario.sections import Scenario
from engine.seeds import generator
from engine.training.partition import Part
from engine.training.room import Room

WORKER = (sys.executable, str(Path(__file__).resolve()))
CHILD = (*WORKER, "--child")
SCENARIO = """
title = "A fake"
[dataset]
kind = "digits"
[model]
kind = "logistic"
[subpopulations]
kind = "cluster_match"
[attack]
alphas = [1, 2]
[evaluation]
trials = 3
min_test_rows = 5
[compute]
device = "cpu"
nice = 1
"""
WITH_PARTS = SCENARIO.replace("min_test_rows = 5", "min_test_rows = 5\ncertificates = 3")  # an ensemble beside the victims
STACKS, VICTIMS, TEST_ROWS, STEPS = 6, 27, 80, 20


class FakePipeline:
    """What `engine.pipeline.order.RunPipeline` offers a worker."""

    def __init__(
        self, step_s: float = 0.0, fail_at: int | None = None, on_step: Callable[[int, int], None] = lambda stack, step: None
    ) -> None:
        self.step_s, self.fail_at, self.on_step = step_s, fail_at, on_step
        self.discovered = 0
        self.trained: list[int] = []
        self.rooms: dict[str, Room] = {}

    def load(self, scenario: Scenario, data_dir: Path, *, device: str = "cpu", log: Any, progress: Any) -> Dataset:
        progress("loading data", 0.5)
        rng = generator(scenario.seed, "fake data")

        def rows(n: int, first: int) -> Rows:
            frame: Any = None  # no table reads it, and pandas takes longer to import than this whole test
            return Rows(np.zeros((n, 1), np.float32), rng.integers(0, 2, n), np.arange(first, first + n), frame)

        return Dataset(
            "digits", ("no", "yes"), ("x",), rows(60, 0), rows(60, 100), rows(TEST_ROWS, 200), {"fake.csv": "md5:0"}, (), ("a fake",)
        )

    def discover(
        self, scenario: Scenario, data_dir: Path, *, device: str, log: Any, progress: Any, on_step: Any, milestones: Any
    ) -> Discovery:
        self.discovered += 1
        dataset = self.load(scenario, data_dir, log=log, progress=progress)
        on_step(1, 1)
        member = Membership(*(np.arange(n, dtype=np.int32) % 4 for n in (60, 60, TEST_ROWS)))
        found = tuple(
            Subpopulation(i, f"group {i}", 15, 15, TEST_ROWS // 4, {"no": 0.5, "yes": 0.5}, 0.75, 0.875, 0.9, "yes", True) for i in range(4)
        )
        log("four groups")
        return Discovery(dataset, member, found, DiscoveryArrays(generator(scenario.seed, "fake proba").random((60, 2)).astype(np.float32)))

    def deviations(self, scenario: Scenario, dataset: Dataset) -> tuple[str, ...]:
        return dataset.deviations

    def plan(
        self, scenario: Scenario, discovery: Discovery, device: str, *, log: Any, milestones: Any, cores: Any
    ) -> tuple[StackPlan, ...]:
        stacks: list[StackPlan] = []
        for trial in range(scenario.evaluation.trials):
            first = trial * 9
            aims = [(s, a) for s in range(4) for a in scenario.attack.alphas]
            specs = [
                VictimSpec(first, trial, "clean"),
                *(VictimSpec(first + 1 + i, trial, "poisoned", s, a) for i, (s, a) in enumerate(aims)),
            ]
            stacks += [StackPlan(len(stacks), trial, tuple(specs[:5])), StackPlan(len(stacks) + 1, trial, tuple(specs[5:]))]
        return tuple(stacks)

    def room(self, device: str) -> Room:
        return self.rooms.setdefault(device, Room())

    def parts(self, scenario: Scenario, dataset: Dataset, *, log: Any) -> list[Part]:
        k = scenario.evaluation.certificates or 0
        return [Part(number, np.arange(number, len(dataset.train), k), number) for number in range(k)]

    def train_parts(
        self, scenario: Scenario, dataset: Dataset, parts: Sequence[Part], device: str, on_step: Any
    ) -> Iterator[list[PartResult]]:
        for done, part in enumerate(parts):
            on_step(done, len(parts))
            says = generator(part.seed, "fake part").integers(0, 2, TEST_ROWS).astype(np.uint8)
            yield [PartResult(part.number, len(part.rows), says, 7, 0.5)]

    def train_stack(self, job: StackJob, on_step: Any, log: Any) -> list[VictimResult]:
        stack = job.stack
        for step in range(STEPS):
            time.sleep(self.step_s)
            self.on_step(stack.index, step)
            on_step(step + 1, STEPS)
        if stack.index == self.fail_at:
            raise RuntimeError("the fake was told to fail")
        self.trained.append(stack.index)
        return [victim(job.scenario.seed, spec, job.discovery.dataset.test.y) for spec in stack.victims]


def victim(seed: int, spec: VictimSpec, y_test: np.ndarray) -> VictimResult:
    """Right on nine rows of ten."""
    wrong = generator(seed, "fake victim", spec.index).random(len(y_test)) < 0.1
    return VictimResult(
        spec, np.where(wrong, 1 - y_test, y_test).astype(np.uint8), 0 if spec.alpha is None else int(spec.alpha * 15), 0, STEPS, 0.25
    )


if __name__ == "__main__":
    from engine.runs.executors import child
    from engine.runs.worker import main

    fail_at = os.environ.get("FAKE_FAIL_AT")
    fake = FakePipeline(float(os.environ.get("FAKE_STEP_S", "0")), int(fail_at) if fail_at else None)
    sys.exit(child.main(sys.argv[2:], lambda: fake) if sys.argv[1:2] == ["--child"] else main(pipeline=fake, child=CHILD))
