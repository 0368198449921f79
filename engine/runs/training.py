"""A run's stacks: taken over where another run trained them, else trained by whoever does that, and committed one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.pipeline.discovery import Discovery
from engine.rows import StackPlan
from engine.runs import finding, reuse
from engine.runs.at_work import Work
from engine.runs.executors import Executor, Job
from engine.runs.executors.devices import Devices
from engine.runs.executors.local import Local
from engine.runs.progress import Progress
from engine.store import StoredDiscovery
from engine.system import processes

if TYPE_CHECKING:
    from engine.runs.pipeline import Pipeline
    from engine.tables.world import World

MOST_NODES = 8  # that a run's phase names


def executor_of(w: Work, pipeline: Pipeline) -> Executor:
    """This process where there is one device, else a child for each; of a cluster actors."""
    if w.cluster:
        from engine.runs.executors.ray import Cluster

        worker = processes.identity()
        before = w.store.provenance(w.run_id).get("cluster", {}).get("nodes", {})
        w.store.release(w.run_id)  # this machine's own device: its part is done
        return Cluster(
            w.cluster,
            w.run_id,
            claim=lambda name: w.store.lease(name, w.run_id, worker) is None,
            tell=lambda found: w.store.trained_by(w.run_id, found),
            before=[sort for words in before.values() for each in str(words).split(", ") for sort in [each.partition(" x ")[2]]],
        )
    return Local(pipeline, w.device) if len(w.devices) == 1 else Devices(w.devices, w.terms.child)


def train_all(
    w: Work,
    executor: Executor,
    discovery: Discovery,
    stored: StoredDiscovery,
    stacks: tuple[StackPlan, ...],
    reusable: reuse.Reusable,
) -> None:
    world = _train(w, executor, discovery, stored, stacks, reusable)
    # a search goes on from what it saw: each further plan is a function of the victims committed so far, so a resume makes the same
    while more := finding.further(w.scenario, stacks, world):
        w.enter("planning further stacks")
        more = reuse.split(more, reusable.victims)
        w.store.extend_plan(w.run_id, more)
        w.log(finding.in_words(w.scenario, more))
        stacks = (*stacks, *more)
        world = _train(w, executor, discovery, stored, stacks, reusable)


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
    executor: Executor,
    discovery: Discovery,
    stored: StoredDiscovery,
    stacks: tuple[StackPlan, ...],
    reusable: reuse.Reusable,
) -> World:
    """Train what of the plan is not committed yet; the run's world with all of its victims."""
    from engine.tables import build
    from engine.tables import world as tables

    planned = w.store.planned(w.run_id)
    shard = planned.shard if planned else None
    world = tables.World.start(w.scenario, stored, w.store.victims(w.run_id), w.store.parts(w.run_id))
    w.store.write_tables(w.run_id, build.build(world))
    _take_over(w, world, stacks, reusable)
    done = w.store.stacks_done(w.run_id)
    ours = [stack for stack in stacks if shard is None or shard.has(stack)]
    progress = w.status.progress = Progress(ours, w.store.stack_durations(w.run_id))
    if done:
        w.log(f"{len(done)} of {len(ours)} stacks are committed already")
    job = Job(w.scenario, discovery, w.cores, w.store.too_many(w.run_id))
    for trained in executor.train([stack for stack in ours if stack.index not in done], job, _Watch(w, progress, len(stacks))):
        world.add(trained.victims)
        w.store.commit_stack(w.run_id, trained.stack.index, trained.victims, trained.duration_s, build.build(world), trained.too_many)
        w.terms.committed()
        progress.finish(trained.stack.index)
        number = f"{trained.stack.index + 1} of {len(stacks)}"
        w.log(f"committed stack {number}: {len(trained.victims)} victims in {trained.duration_s:.1f} s")
    return world


class _Watch:
    """What is told of a run while its stacks are trained; see `engine.runs.executors.Watch`."""

    def __init__(self, w: Work, progress: Progress, stacks: int) -> None:
        self._w, self._progress, self._stacks = w, progress, stacks
        self._nodes: dict[int, str] = {}  # of a cluster, by stack

    def begin(self, stack: StackPlan, where: str, node: str = "") -> None:
        self._progress.start(stack)
        self._nodes[stack.index] = node
        self._say()
        number, on = f"{stack.index + 1} of {self._stacks}", f", on {where}" if where else ""
        self._w.log(f"training stack {number}: trial {stack.trial}, {len(stack.victims)} victims{on}")

    def _say(self) -> None:
        if not self._progress.in_training:
            self._w.say("waiting for a device")
            return
        by_node: dict[str, list[str]] = {}
        for index in self._progress.in_training:
            by_node.setdefault(self._nodes.get(index, ""), []).append(str(index + 1))
        numbers = [number for each in by_node.values() for number in each]
        if any(by_node):
            some = [f"{', '.join(each)} on {node}" for node, each in sorted(by_node.items())]
            more = f", {sum(map(len, by_node.values())) - sum(len(by_node[n]) for n in sorted(by_node)[:MOST_NODES])} on others"
            which = "stacks " + "; ".join(some[:MOST_NODES]) + (more if len(some) > MOST_NODES else "") + ";"
        else:
            which = f"stack {numbers[0]}" if len(numbers) == 1 else f"stacks {', '.join(numbers[:-1])} and {numbers[-1]}"
        self._w.say(f"training {which} of {self._stacks}")

    def step(self, stack: StackPlan, done: float, total: float) -> None:
        self._progress.step(done, total, stack.index)

    def lose(self, stack: StackPlan, why: str) -> None:
        self._progress.lose(stack.index)
        self._say()
        self._w.log(f"{why}: stack {stack.index + 1} is trained again, in the same company", "warning")

    def check(self) -> None:
        self._w.control.check()

    def tell_of_pauses(self, tell: Callable[[bool], None]) -> None:
        self._w.control.on_pause = tell

    def log(self, message: str) -> None:
        self._w.log(message)

    def at_work_s(self) -> float:
        return self._w.worked_s()
