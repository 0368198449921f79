"""What a worker does with the run it has: wait for the device, discover, plan, train, commit. Each step is done once, also over resumes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.datasets import account_of
from engine.errors import BadData, Interrupted, RunFailed
from engine.pipeline.discovery import Discovery, StackJob
from engine.rows import Dataset, RunState, StackPlan, VictimResult
from engine.runs import executor, finding, queue, reuse
from engine.runs.control import PAUSING, STOPPING, Control
from engine.runs.milestones import StoredMilestones
from engine.runs.progress import Progress
from engine.runs.provenance import provenance
from engine.scenario.parse import scenario_of
from engine.scenario.sections import Scenario
from engine.store import Store, StoredDiscovery
from engine.system import devices, processes
from engine.system.pace import Pace, in_words, step_of

if TYPE_CHECKING:
    from engine.runs.pipeline import Pipeline
    from engine.tables.world import World

QUEUE_POLL_S = 0.5
QUEUE_LOOK_S = 2.0  # how often it is looked up how far the runs before this one are
SAID_AGAIN_S = 20.0  # a long step's share is logged at its quarters, where these lie so far apart


class Status:
    """What the run's row should say now; the work writes it, the heartbeat's thread reads it."""

    def __init__(self) -> None:
        self.phase = "starting its engine"
        self.pace = Pace()  # of the step it is at, until victims are trained
        self.progress: Progress | None = None
        self.control: Control | None = None
        self.paused_s = 0.0
        self.steps_said: set[str] = set()  # by their lines in the log
        self.said_at = 0.0

    def fields(self) -> dict[str, object]:
        phase = self.phase
        if self.control is not None and (self.control.stopping or (self.control.pausing and phase != "paused")):
            phase = f"{phase}, {STOPPING if self.control.stopping else PAUSING}"
        return {"phase": phase, **(self.progress.fields() if self.progress else self._of_step())}

    def _of_step(self) -> dict[str, object]:
        return {"progress": self.pace.share, "eta_s": None if self.phase == "paused" else self.pace.eta_s}


@dataclass(frozen=True)
class Work:
    """One run in one worker: where it reads and writes, on what it trains, and how it hears of requests."""

    store: Store
    run_id: str
    scenario: Scenario
    data_dir: Path
    device: str
    control: Control
    status: Status
    milestones: StoredMilestones

    def log(self, message: str, level: str = "info") -> None:
        self.store.log(self.run_id, level, message)

    def enter(self, phase: str, state: RunState | None = None, *, logged: bool = True, **fields: object) -> None:
        """Say what is being done now, in the run's row at once; then a moment at which requests are met, in the state just entered.

        logged: False where a fuller line of the log says it.
        """
        self.status.pace.at(phase, 0.0)
        self.status.phase = phase
        known = {**self.status.fields(), "phase": phase}  # its share too: else the step before's stands until the next heartbeat
        self.store.update_run(self.run_id, **known, **({"state": state} if state else {}), **fields)
        if logged:
            self._log_step(phase)
        self.control.check()

    def at(self, what: str, share: float) -> None:
        """The pipeline's progress within a phase: a step that begins is said at once, in the row and the log, what comes of it by the
        heartbeat; a long one's quarters are logged.
        """
        self.control.check()
        pace, before = self.status.pace, self.status.pace.share
        begins = pace.at(what, share)
        self.status.phase = str(pace)
        if begins:
            self.store.update_run(self.run_id, **self.status.fields())
            self._log_step(what)
        elif int(4 * share) > int(4 * before) and share < 1 and time.monotonic() - self.status.said_at >= SAID_AGAIN_S:
            left = f", {in_words(pace.eta_s)} left of this step" if pace.eta_s is not None else ""
            self.log(f"{pace}{left}")
            self.status.said_at = time.monotonic()

    def _log_step(self, what: str) -> None:
        """Each step has its line once, however often the work comes back to it."""
        self.status.said_at = time.monotonic()
        if step_of(what) not in self.status.steps_said:
            self.status.steps_said.add(step_of(what))
            self.log(what)


def carry_out(store: Store, run_id: str, data_dir: Path | None, pipeline: Pipeline | None, control: Control, status: Status) -> None:
    """pipeline: None means one of `engine.pipeline`, made when it is this run's turn."""
    scenario = scenario_of(store.run(run_id))
    from engine import datasets

    data_dir = datasets.data_dir(data_dir or store.data_dir(run_id))
    device = devices.resolve(scenario.device)
    milestones = StoredMilestones(store, run_id, lambda checksums: provenance(scenario, device, checksums))
    w = Work(store, run_id, scenario, data_dir, device, control, status, milestones)
    try:
        _carry_out(w, pipeline)
    except Exception as error:
        milestones.put_away(stopped=isinstance(error, Interrupted))
        raise


def _carry_out(w: Work, pipeline: Pipeline | None) -> None:
    scenario = w.scenario
    _say_pauses(w)
    _wait_for_device(w)
    w.enter("loading torch", "running", started_at=w.store.run(w.run_id).started_at or w.store.now(), device=w.device)
    if pipeline is None:  # only now: a run in the queue needs no half a gigabyte of libraries
        from engine.pipeline.order import RunPipeline

        pipeline = RunPipeline()
    finding.check(scenario)
    discovery, stored = _discover(w, pipeline)
    reusable = _reusable(w, stored)
    stacks = _plan(w, pipeline, discovery, reusable)
    if again := w.store.take_back_damaged(w.run_id):
        w.log(f"the predictions of stacks {', '.join(map(str, again))} are damaged in the store: they are trained again", "warning")
    world = _train(w, pipeline, discovery, stored, stacks, reusable)
    # a search goes on from what it saw: each further plan is a function of the victims committed so far, so a resume makes the same
    while more := finding.further(scenario, stacks, world):
        w.enter("planning further stacks")
        more = reuse.split(more, reusable.victims)
        w.store.extend_plan(w.run_id, more)
        w.log(finding.in_words(scenario, more))
        stacks = (*stacks, *more)
        world = _train(w, pipeline, discovery, stored, stacks, reusable)


def _wait_for_device(w: Work) -> None:
    """Stay in the device's queue until it is this run's turn: several runs never share a device by accident."""
    name = devices.lease_name(w.device)
    last_holder, looked_at = "", 0.0
    w.control.check()  # a pause that came while libraries were loaded: not in the queue yet
    while (holder := w.store.lease(name, w.run_id, processes.identity())) is not None:
        if holder != last_holder or time.monotonic() - looked_at >= QUEUE_LOOK_S:
            rows = {row.id: row for row in w.store.runs()}
            before = [rows[run_id] for run_id in w.store.queue_before(name, w.run_id, processes.identity().host) if run_id in rows]
            words = queue.in_words(before) if before else w.status.phase  # none: it ended between the two looks
            if before and holder != last_holder:
                w.log(f"{w.device} is in use: {words}")
                last_holder = holder
            if words != w.status.phase:
                w.enter(words, logged=False, device=w.device)
            looked_at = time.monotonic()
        w.control.wait(QUEUE_POLL_S)


def _say_pauses(w: Work) -> None:
    """A pause that takes effect is said in the run's row, and its end. A run that trains keeps its device; one in the queue leaves it."""
    before: tuple[RunState, str] = "queued", ""
    held_at = 0.0

    def hold() -> None:
        nonlocal before, held_at
        held_at = time.monotonic()
        before, w.status.phase = (w.store.run(w.run_id).state, w.status.phase), "paused"
        if before[0] == "queued":
            w.store.release(w.run_id)
        if w.status.progress:
            w.status.progress.hold()
        w.store.update_run(w.run_id, state="paused", **w.status.fields())
        w.log("paused")

    def go_on() -> None:
        state, w.status.phase = before
        w.status.paused_s += time.monotonic() - held_at
        w.status.pace.passed(time.monotonic() - held_at)
        if w.status.progress:
            w.status.progress.go_on()
        w.store.update_run(w.run_id, state=state, phase=w.status.phase)
        w.log("resumed")

    w.control.on_hold, w.control.on_go_on = hold, go_on


def _discover(w: Work, pipeline: Pipeline) -> tuple[Discovery, StoredDiscovery]:
    """The run's discovery: made and stored, or, in a run that is resumed, the stored one over the data loaded again."""
    stored = w.store.discovery(w.run_id, bulk=True)
    if stored is not None:
        w.enter("loading data")
        dataset = pipeline.load(w.scenario, w.data_dir, device=w.device, log=w.log, progress=w.at)
        _check_same(w, stored, dataset)
        return Discovery(dataset, stored.membership, stored.subpopulations, stored.arrays), stored
    parent = _parent(w)
    discovery = _of_parent(w, pipeline, parent) if parent else None
    if discovery is None:
        w.enter("discovering subpopulations", logged=False)
        discovery = pipeline.discover(
            w.scenario,
            w.data_dir,
            device=w.device,
            log=w.log,
            progress=w.at,
            on_step=lambda done, total: w.control.check(),
            milestones=w.milestones,
        )
        if w.milestones.reused:
            w.log(f"{w.milestones.reused} steps of it were done before: they were kept")
    dataset = discovery.dataset
    deviations = pipeline.deviations(w.scenario, dataset)
    if parent and not reuse.same_members(parent.discovery.membership, discovery.membership):
        w.log(f"the subpopulations are not those of run {parent.id}", "warning")
        deviations = (f"the subpopulations are not those of run {parent.id}: the numbers marked there may mean others here", *deviations)
    # before the discovery: a worker killed in between would else leave a discovery that a resume takes for one whose deviations are stored
    w.store.update_run(w.run_id, deviations=tuple(dict.fromkeys((*w.store.run(w.run_id).deviations, *deviations))))
    w.store.save_discovery(
        w.run_id,
        subpopulations=discovery.subpopulations,
        membership=discovery.membership,
        y_test=dataset.test.y,
        classes=dataset.classes,
        provenance=provenance(w.scenario, w.device, dataset.checksums),
        arrays=discovery.arrays,
        account=account_of(dataset),
    )
    w.milestones.forget()
    stored = w.store.discovery(w.run_id)
    assert stored is not None
    return discovery, stored


def _parent(w: Work) -> reuse.Parent | None:
    """The run that this one attacks again, where it does and that is still there."""
    parent = reuse.parent_of(w.store, w.run_id)
    if parent is None and (parent_id := w.store.run(w.run_id).parent):
        w.log(f"run {parent_id}, of which this one attacks some subpopulations again, is gone: everything is made anew", "warning")
    return parent


def _of_parent(w: Work, pipeline: Pipeline, parent: reuse.Parent) -> Discovery | None:
    """What the parent discovered, with which subpopulations are attacked worked out anew; None where it is to be discovered anew."""
    if not reuse.same_discovery(w.scenario, parent.scenario):
        return None
    w.enter("loading data")
    dataset = pipeline.load(w.scenario, w.data_dir, device=w.device, log=w.log, progress=w.at)
    if not reuse.same_data(parent.discovery, provenance(w.scenario, w.device, dataset.checksums)["data"], dataset):
        w.log(f"the data is not what it was in run {parent.id}: everything is made anew", "warning")
        return None
    w.log(f"the subpopulations are those discovered in run {parent.id}")
    from engine.subpopulations import reselected

    attacked = reselected(w.scenario, parent.discovery.subpopulations)
    return Discovery(dataset, parent.discovery.membership, attacked, parent.discovery.arrays)


def _reusable(w: Work, stored: StoredDiscovery) -> reuse.Reusable:
    """The victims that need not be trained, for a run that this one attacks again did."""
    parent = reuse.parent_of(w.store, w.run_id)
    if parent is None:
        return reuse.Reusable()
    reusable = reuse.reusable(w.store, parent, w.scenario, stored)
    if reusable.why:
        w.log(f"of run {parent.id} {'the clean victims alone are' if reusable.victims else 'no victim is'} reused: {reusable.why}")
    return reusable


def _check_same(w: Work, stored: StoredDiscovery, dataset: Dataset) -> None:
    """Refuse to go on over other data or another device: half a run's victims would not be comparable with the other half."""
    now = provenance(w.scenario, w.store.run(w.run_id).device, dataset.checksums)
    same_rows = len(stored.y_test) == len(dataset.test.y) and bool((stored.y_test == dataset.test.y).all())
    if stored.provenance.get("data") != now["data"] or not same_rows or stored.classes != tuple(dataset.classes):
        advice = "put the old files back, or start a new run"
        raise BadData("the data is not what it was when this run began", where=f"run {w.run_id}", next=advice)
    for what in ("code", "libraries", "device"):
        if stored.provenance.get(what) != now[what]:
            w.log(f"resumed with another {what}: was {stored.provenance.get(what)}, is {now[what]}; bits may differ", "warning")


def _plan(w: Work, pipeline: Pipeline, discovery: Discovery, reusable: reuse.Reusable) -> tuple[StackPlan, ...]:
    stored = w.store.plan(w.run_id)
    if stored is not None:
        return stored
    w.enter("timing stacks" if w.scenario.compute.victims_per_stack == "auto" else "planning stacks")
    stacks = reuse.split(pipeline.plan(w.scenario, discovery, w.device, log=w.log, milestones=w.milestones), reusable.victims)
    if not stacks:
        advice = "widen subpopulations.min_size and max_size"
        raise RunFailed("no subpopulation is attacked: there is nothing to train", where=f"run {w.run_id}", next=advice)
    w.store.save_plan(w.run_id, stacks)
    w.milestones.forget()
    w.log(f"{sum(len(s.victims) for s in stacks)} victims in {len(stacks)} stacks on {w.device}")
    return stacks


def _take_over(w: Work, world: World, stacks: tuple[StackPlan, ...], reusable: reuse.Reusable) -> None:
    """Commit the stacks that are to be trained here and were trained in the parent, as it trained them."""
    from engine.tables import build

    done = w.store.stacks_done(w.run_id)
    uncommitted = [stack for stack in stacks if stack.index not in done]
    taken_over = reuse.taken_over(uncommitted, reusable.victims)
    left = sum(len(stack.victims) for stack in uncommitted if stack.index not in taken_over)
    victims = [victim for of_stack in taken_over.values() for victim in of_stack]
    if reusable.parent and uncommitted and not (taken_over or done):
        w.log(f"none of the victims to train was trained in run {reusable.parent}")
    if not taken_over:
        return
    world.add(victims)
    if reusable.made:
        deviation = f"reused victims of run {reusable.parent} were trained with {', '.join(reusable.made)}"
        w.log(f"{deviation}; bits may differ", "warning")
        w.store.update_run(w.run_id, deviations=tuple(dict.fromkeys((*w.store.run(w.run_id).deviations, deviation))))
    w.store.commit_stacks(w.run_id, taken_over, 0.0, build.build(world))
    clean = sum(victim.spec.arm == "clean" for victim in victims)
    w.log(f"reused {len(victims)} victims of run {reusable.parent}, {clean} clean and {len(victims) - clean} others; {left} to train")


def _train(
    w: Work,
    pipeline: Pipeline,
    discovery: Discovery,
    stored: StoredDiscovery,
    stacks: tuple[StackPlan, ...],
    reusable: reuse.Reusable,
) -> World:
    """Train what of the plan is not committed yet; the run's world with all of its victims."""
    from engine.tables import build
    from engine.tables import world as tables

    world = tables.World.start(w.scenario, stored, w.store.victims(w.run_id))
    w.store.write_tables(w.run_id, build.build(world))
    _take_over(w, world, stacks, reusable)
    done = w.store.stacks_done(w.run_id)
    progress = w.status.progress = Progress(stacks, w.store.stack_durations(w.run_id))
    if done:
        w.log(f"{len(done)} of {len(stacks)} stacks are committed already")

    def train_stack(job: StackJob) -> list[VictimResult]:
        stack = job.stack
        w.enter(f"training stack {stack.index + 1} of {len(stacks)}", logged=False)
        w.log(f"training stack {stack.index + 1} of {len(stacks)}: trial {stack.trial}, {len(stack.victims)} victims")
        progress.start(stack)

        def on_step(done: float, total: float) -> None:
            w.control.check()
            progress.step(done, total)

        return pipeline.train_stack(job, on_step, w.log)

    def at_work_s() -> float:
        return time.monotonic() - w.status.paused_s

    room = pipeline.room(w.device)
    if (too_many := w.store.too_many(w.run_id)) is not None:
        room.learn(too_many)
    jobs = [StackJob(w.scenario, discovery, stack, w.device) for stack in stacks if stack.index not in done]
    for trained in executor.train(jobs, train_stack, at_work_s):
        world.add(trained.victims)
        w.store.commit_stack(w.run_id, trained.stack.index, trained.victims, trained.duration_s, build.build(world), room.too_many)
        progress.finish()
        number = f"{trained.stack.index + 1} of {len(stacks)}"
        w.log(f"committed stack {number}: {len(trained.victims)} victims in {trained.duration_s:.1f} s")
    return world
