"""What a worker does with the run it has: wait for the device, discover, plan, train, commit. Each step is done once, also over resumes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from engine.datasets import account_of
from engine.errors import BadData, Interrupted, RunFailed
from engine.pipeline.discovery import Discovery
from engine.rows import Cores, Dataset, Planned, RunState, StackPlan
from engine.runs import certifying, finding, plans, queue, reuse, training
from engine.runs.at_work import Status, Terms, Work
from engine.runs.control import Control
from engine.runs.milestones import StoredMilestones
from engine.runs.provenance import provenance
from engine.scenario.parse import scenario_of
from engine.scenario.sections import Scenario
from engine.store import Store, StoredDiscovery
from engine.system import devices, processes

if TYPE_CHECKING:
    from engine.runs.pipeline import Pipeline

QUEUE_POLL_S = 0.5
QUEUE_LOOK_S = 2.0  # how often it is looked up how far the runs before this one are


def carry_out(
    store: Store,
    run_id: str,
    data_dir: Path | None,
    pipeline: Pipeline | None,
    control: Control,
    status: Status,
    terms: Terms,
) -> None:
    """pipeline: None means one of `engine.pipeline`, made when it is this run's turn."""
    scenario = scenario_of(store.run(run_id))
    from engine import datasets

    data_dir = datasets.data_dir(data_dir or store.data_dir(run_id))
    asked = terms.device or scenario.device
    cluster = asked if devices.is_cluster(asked) else ""
    found = devices.resolve_all(scenario.device_here if cluster else asked)
    cores = _cores(store, run_id, found, scenario, cluster)
    milestones = StoredMilestones(store, run_id, lambda checksums: provenance(scenario, ",".join(found), checksums, cores))
    w = Work(store, run_id, scenario, data_dir, found, cores, control, status, milestones, terms, cluster)
    try:
        _carry_out(w, pipeline)
    except Exception as error:
        milestones.put_away(stopped=isinstance(error, Interrupted))
        raise


def _cores(store: Store, run_id: str, found: Sequence[str], scenario: Scenario, cluster: str) -> Cores | None:
    """As planned; of a run that is still to be planned what these devices come to."""
    planned = store.planned(run_id)
    if planned is not None:
        return planned.cores
    if cluster and store.plan(run_id) is None:
        return devices.cores_of_cluster(scenario.compute.threads)
    return devices.cores_of(found, scenario.compute.threads) if store.plan(run_id) is None else None


def _carry_out(w: Work, pipeline: Pipeline | None) -> None:
    scenario = w.scenario
    _say_pauses(w)
    _wait_for_device(w)
    w.enter("loading torch", "running", started_at=w.store.run(w.run_id).started_at or w.store.now(), device=w.where)
    if pipeline is None:  # only now: a run in the queue needs no half a gigabyte of libraries
        from engine.pipeline.order import RunPipeline

        pipeline = RunPipeline()
    finding.check(scenario)
    if w.cluster:
        from engine.runs.executors import nodes

        w.enter("looking at the cluster's nodes")
        nodes.apart(scenario, w.cluster)
    discovery, stored = _discover(w, pipeline)
    reusable = _reusable(w, stored)
    stacks = _plan(w, pipeline, discovery, reusable)
    if again := w.store.take_back_damaged(w.run_id):
        w.log(f"the predictions of stacks {', '.join(map(str, again))} are damaged in the store: they are trained again", "warning")
    if w.terms.only_plan:
        raise Interrupted("planned, as asked")
    planned = w.store.planned(w.run_id)
    if scenario.evaluation.certificates is not None and (planned is None or planned.shard is None or planned.shard.number == 1):
        certifying.certify(w, pipeline, discovery.dataset, stored)
    with closing(training.executor_of(w, pipeline)) as executor:
        training.train_all(w, executor, discovery, stored, stacks, reusable)


def _wait_for_device(w: Work) -> None:
    """Stay in the devices' queues until it is this run's turn: several runs never share a device by accident.

    Of several devices one is taken after the other, always in the same order, so that no two runs wait for each other. A run that is
    paused meanwhile leaves every queue, and gives back what it has: so all are asked for again at the end.
    """
    wanted = sorted({devices.lease_name(each): each for each in w.devices}.items())
    held = False
    while not held:
        for name, device in wanted:
            _wait_for(w, name, device)
        held = all(w.store.lease(name, w.run_id, processes.identity()) is None for name, _ in wanted)


def _wait_for(w: Work, name: str, device: str) -> None:
    last_holder, looked_at = "", 0.0
    w.control.check()  # a pause that came while libraries were loaded: not in the queue yet
    while (holder := w.store.lease(name, w.run_id, processes.identity())) is not None:
        if holder != last_holder or time.monotonic() - looked_at >= QUEUE_LOOK_S:
            rows = {row.id: row for row in w.store.runs()}
            before = [rows[run_id] for run_id in w.store.queue_before(name, w.run_id, processes.identity().host) if run_id in rows]
            words = queue.in_words(before) if before else w.status.phase  # none: it ended between the two looks
            if before and holder != last_holder:
                w.log(f"{device} is in use: {words}")
                last_holder = holder
            if words != w.status.phase:
                w.enter(words, logged=False, device=w.where)
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
        provenance=provenance(w.scenario, w.where, dataset.checksums, w.cores),
        arrays=discovery.arrays,
        account=account_of(dataset),
    )
    w.milestones.forget()
    plans.check_discovery(w.store, w.run_id)
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
    if not reuse.same_data(parent.discovery, provenance(w.scenario, w.where, dataset.checksums)["data"], dataset):
        w.log(f"the data is not what it was in run {parent.id}: everything is made anew", "warning")
        return None
    w.log(f"the subpopulations are those discovered in run {parent.id}")
    from engine.subpopulations import reselected

    foretold = parent.discovery.arrays.foretold
    if foretold is not None and (new := sorted(set(w.scenario.attack.alphas) - set(foretold.alphas.tolist()))):
        w.log(f"damage was foretold there for other alphas: {', '.join(f'{alpha:g}' for alpha in new)} has no prediction here")
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
    now = provenance(w.scenario, w.store.run(w.run_id).device, dataset.checksums, w.cores)
    same_rows = len(stored.y_test) == len(dataset.test.y) and bool((stored.y_test == dataset.test.y).all())
    if stored.provenance.get("data") != now["data"] or not same_rows or stored.classes != tuple(dataset.classes):
        advice = "put the old files back, or start a new run"
        raise BadData("the data is not what it was when this run began", where=f"run {w.run_id}", next=advice)
    for what in ("code", "libraries", "device"):
        if stored.provenance.get(what) != now[what]:
            w.log(f"resumed with another {what}: was {stored.provenance.get(what)}, is {now[what]}; bits may differ", "warning")
            if (planned := w.store.planned(w.run_id)) and planned.shard:  # of which the log is left behind
                said = f"shard {planned.shard} was trained with another {what} than it was planned with; bits may differ"
                w.store.update_run(w.run_id, deviations=tuple(dict.fromkeys((*w.store.run(w.run_id).deviations, said))))


def _plan(w: Work, pipeline: Pipeline, discovery: Discovery, reusable: reuse.Reusable) -> tuple[StackPlan, ...]:
    stored = w.store.plan(w.run_id)
    if stored is not None:
        return stored
    w.enter("timing stacks" if w.scenario.compute.victims_per_stack == "auto" else "planning stacks")
    planned = pipeline.plan(w.scenario, discovery, w.device, log=w.log, milestones=w.milestones, cores=w.cores)
    stacks = reuse.split(planned, reusable.victims)
    if not stacks:
        advice = "widen subpopulations.min_size and max_size"
        raise RunFailed("no subpopulation is attacked: there is nothing to train", where=f"run {w.run_id}", next=advice)
    assert w.cores is not None  # it has no plan yet
    w.store.save_plan(w.run_id, stacks, Planned(w.cores, plans.discovery_digest(w.store, w.run_id)))
    w.milestones.forget()
    w.log(f"{sum(len(s.victims) for s in stacks)} victims in {len(stacks)} stacks on {w.where}")
    return stacks
