"""What a cluster buys: the same stacks of the same plan by this host, on all of its cores or GPUs, and by a Ray cluster, in one run.

Both are timed from the first stack's begin to the last one's end, so that neither the start of processes counts nor the way of the data.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import RunFailed
from engine.rows import StackPlan, VictimResult
from engine.runs.executors import Executor, Job
from engine.runs.executors.devices import Devices
from engine.runs.executors.ray import Cluster
from engine.system import devices
from engine.system.pace import step_of
from engine.system.processes import cores

if TYPE_CHECKING:
    from engine.scenario.sections import Scenario

STACKS_EACH = 3  # of a device of the larger side, where the plan has as many


@dataclass(frozen=True)
class ClusterBench:
    """here, there: the devices of both sides, in words. equal: whether every victim predicted the same."""

    victims: int
    stacks: int
    here: str
    there: str
    here_s: float
    there_s: float
    equal: bool

    @property
    def times(self) -> float:
        return self.here_s / self.there_s

    def lines(self) -> list[str]:
        """What was measured, for a person."""
        ways = [
            f"{name:<8} {self.victims / seconds * 3600:10,.0f} victims an hour ({where})"
            for name, where, seconds in (("host", self.here, self.here_s), ("cluster", self.there, self.there_s))
        ]
        same = "every prediction is the same" if self.equal else "! predictions differ"
        head = f"{self.victims} victims in {self.stacks} stacks"
        return [head, *ways, f"the cluster is {self.times:.2f} times this host; {same}"]


def run(scenario: Scenario, data_dir: Path, address: str, *, report: Callable[[str], None] = lambda line: None) -> ClusterBench:
    """Measure the first stacks of the scenario's plan. report is told each phase."""
    from engine.pipeline import order as pipeline
    from engine.runs.executors import nodes

    planned = devices.cores_of_cluster(scenario.compute.threads)
    [device] = devices.resolve_all(scenario.device_here)
    host = ("cpu",) * cores() if device == "cpu" else devices.resolve_all("cuda:all")
    said: set[str] = set()

    def progress(what: str, share: float) -> None:
        if step_of(what) not in said:
            said.add(step_of(what))
            report(what)

    there = nodes.apart(scenario, address)
    many = sum(len(node.devices) for node in there)
    discovery = pipeline.discover(scenario, data_dir, device=device, log=report, progress=progress)
    plan = pipeline.plan(scenario, discovery, device, log=report, cores=planned)
    stacks = plan[: STACKS_EACH * max(many, len(host))]
    job = Job(scenario, discovery, planned)
    report(f"{len(stacks)} stacks on this host")
    here_s, here = _timed(Devices(host), stacks, job, report)
    report(f"the same on the cluster's {many} devices")
    there_s, away = _timed(Cluster(address, "bench"), stacks, job, report)
    names = ", ".join(f"{node.name}: {len(node.devices)} x {node.devices[0].partition(':')[0]}" for node in there)
    victims = sum(len(stack.victims) for stack in stacks)
    equal = here.keys() == away.keys() and all((here[index].predictions == away[index].predictions).all() for index in here)
    return ClusterBench(victims, len(stacks), f"{len(host)} x {host[0].partition(':')[0]}", names, here_s, there_s, bool(equal))


def _timed(
    executor: Executor, stacks: Sequence[StackPlan], job: Job, report: Callable[[str], None]
) -> tuple[float, dict[int, VictimResult]]:
    """Seconds from the first begin to the last end, and the victims by number."""
    watch, victims = _Watch(report), {}
    with closing(executor):
        for done in executor.train(stacks, job, watch):
            victims.update({victim.spec.index: victim for victim in done.victims})
    if watch.lost:
        raise RunFailed(f"a stack was lost meanwhile ({watch.lost}), so the time says nothing", next="measure it again")
    return time.monotonic() - watch.begun_s, victims


class _Watch:
    """See `engine.runs.executors.Watch`."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self.begun_s, self.lost = 0.0, ""

    def begin(self, stack: StackPlan, where: str, node: str = "") -> None:
        self.begun_s = self.begun_s or time.monotonic()

    def step(self, stack: StackPlan, done: float, total: float) -> None:
        pass

    def lose(self, stack: StackPlan, why: str) -> None:
        self.lost = why

    def check(self) -> None:
        pass

    def tell_of_pauses(self, tell: Callable[[bool], None]) -> None:
        pass

    def log(self, message: str) -> None:
        self._report(message)

    def at_work_s(self) -> float:
        return time.monotonic()
