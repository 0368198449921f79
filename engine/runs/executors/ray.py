"""A Ray cluster that somebody else started: an actor (`at_node.Post`) for each device of its nodes, stacks dealt out as they are done.

The run's data go to the cluster once, as bytes in its object store; each node has them once, in memory that its actors share and none may
write to. Nothing but plain values goes over the wire besides, and this process alone writes to the store. Nodes that come later are looked
at as the first were, and take part; what a node that is gone was at goes to another, in the same company.
"""

from __future__ import annotations

import contextlib
import pickle
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from engine.errors import RunFailed, SubpopError
from engine.rows import StackPlan
from engine.runs.executors import Job, TrainedStack, Watch, joining, nodes
from engine.runs.executors.at_node import Post
from engine.runs.executors.dealing import Dealing, Waiting
from engine.runs.executors.messages import Done, Failed, Train
from engine.runs.executors.nodes import Device, Node
from engine.runs.executors.sent import lean, packed
from engine.training.room import Room

POLL_S = 0.1  # how often a stop is looked for
LOOK_S = 0.3  # how often a trainer is asked how far it is
NODES_S = 5.0  # how often nodes are looked for that came or went, and devices that another run has given back
STARTS = 3  # of a device's trainer, in a row
SILENT_S = 20.0  # a trainer that is not there after so long is waited for, and that is said


@dataclass
class _Actor:
    """A device's trainer, and what it is at; nothing where it is free."""

    handle: Any
    started_s: float
    ready: bool = False
    said: bool = False  # that it is waited for
    at: Waiting | None = None
    begun_s: float = 0.0
    looked_s: float = 0.0


@dataclass(frozen=True)
class _Gone:
    """In the place of an answer: whoever should give it is gone. why: as Ray has it."""

    why: str


class Cluster:
    """See `engine.runs.executors.Executor`.

    claim     whether a device is this run's, by its name in the store's queue: asked again until it is
    tell      told which nodes and devices train, {"ray": version, "nodes": {node: devices in words}}, whenever one more does
    post      what is placed on each device; tests have their own
    before    what sorts of devices, in words, trained this run before it was resumed
    """

    def __init__(
        self,
        address: str,
        run_id: str,
        claim: Callable[[str], bool] = lambda name: True,
        tell: Callable[[Mapping[str, object]], None] = lambda found: None,
        post: type | None = None,
        before: Sequence[str] = (),
    ) -> None:
        self._address, self._run_id, self._claim, self._tell, self._post = address, run_id, claim, tell, post or Post
        self._before = frozenset(before)
        self._open = ExitStack()
        self._ray: Any = None
        self._room = Room()
        self._devices: tuple[Device, ...] = ()
        self._probes: dict[Any, Node] = {}  # nodes that came later, and were asked what they have
        self._refused: set[str] = set()  # those of them that are not as this machine is
        self._claimed: set[Device] = set()
        self._actors: dict[Device, _Actor] = {}
        self._starts: Counter[Device] = Counter()  # of a device's trainers, since one of them was ready
        self._asked: dict[Any, tuple[_Actor, Device, str]] = {}  # what is still to be answered, and by whom
        self._kinds: dict[Device, str] = {}
        self._told, self._number, self._holds, self._next_look_s = None, 0, 0, 0.0
        self._why_none = self._waiting = ""  # the last that befell a trainer; what is waited for, as it was said last
        self._wanted: tuple[nodes.Need, ...] = ()
        self._sort: nodes.Sort | None = None  # of its devices; one that comes later is of the same

    def train(self, stacks: Sequence[StackPlan], job: Job, watch: Watch) -> Iterator[TrainedStack]:
        if not stacks:
            return
        if job.too_many is not None:
            self._room.learn(job.too_many)
        with self._told_in_words():
            self._join(job, watch)
        dealing = Dealing(stacks, self._room)
        watch.tell_of_pauses(self._hold)
        while dealing.left:
            watch.check()
            with self._told_in_words():
                self._staff(dealing, watch)
                self._hand_out(dealing, watch)
                heard = self._heard()
            for device, kind, answer in heard:
                trained = self._take(device, kind, answer, dealing, watch)
                if trained is not None:
                    with self._told_in_words():
                        self._hand_out(dealing, watch)  # it is at work while this stack is committed
                    yield trained

    def close(self) -> None:
        if self._ray is not None:
            for actor in self._actors.values():
                self._kill(actor)
        self._actors.clear()
        with contextlib.suppress(Exception):  # what cannot be said good-bye to is gone
            self._open.close()

    # ---- the cluster ----------------------------------------------------------------------------------------------------

    def _join(self, job: Job, watch: Watch) -> None:
        """Be a client of it, for the first time, and send what all stacks have in common."""
        if self._ray is None:
            self._wanted = nodes.needs(job.scenario, job.discovery.dataset)
            self._ray = self._open.enter_context(joining.joined(self._address))
            self._end_others()
            found = nodes.nodes(self._ray, nodes.only_sort(job.scenario))
            nodes.check(self._ray, found, self._wanted, self._address)
            self._devices, self._sort = nodes.devices_of(found), nodes.sort_of(found)
            names = ", ".join(f"{node.name} ({len(node.devices)})" for node in found)
            watch.log(f"a cluster of {len(found)} {'node' if len(found) == 1 else 'nodes'}, devices of each: {names}")
        parts = packed(lean(replace(job, scenario=nodes.located(job.scenario, self._wanted))))
        self._told, self._number = self._ray.put(parts), self._number + 1

    def _end_others(self) -> None:
        """Trainers of a worker of this run that is gone: Ray would keep their devices for half a minute."""
        for each in self._ray.util.list_named_actors(all_namespaces=True):
            if each["namespace"] == joining.NAMESPACE and each["name"].startswith(f"{self._run_id} "):
                with contextlib.suppress(ValueError):  # gone by itself meanwhile
                    self._ray.kill(self._ray.get_actor(each["name"], namespace=joining.NAMESPACE))

    @contextlib.contextmanager
    def _told_in_words(self) -> Iterator[None]:
        """A cluster that does not answer any more, as a failure of the run: it can be resumed."""
        try:
            yield
        except SubpopError:  # of the store, or of a node: said in words already
            raise
        except Exception as error:
            why = " ".join(str(error).split())[:200] or type(error).__name__
            advice = f"resume it when the cluster is there again: subpop resume {self._run_id}"
            raise RunFailed(f"the cluster does not answer any more ({why})", where=self._address, next=advice) from error

    def _look_for_nodes(self, watch: Watch) -> None:
        """Those that came are looked at as the first were, while the others train; the devices of those that are gone are no more."""
        self._next_look_s = time.monotonic() + NODES_S
        found = nodes.nodes(self._ray, self._sort)
        known = {device.node.id for device in self._devices} | {node.id for node in self._probes.values()} | self._refused
        self._probes |= {nodes.ask(self._ray, node, self._wanted): node for node in found if node.id not in known}
        came = []
        for ref in self._ray.wait(list(self._probes), num_returns=len(self._probes), timeout=0)[0] if self._probes else ():
            node = self._probes.pop(ref)
            if wrong := nodes.answered(self._ray, ref, nodes.seen_here(self._wanted), self._wanted):
                self._refused.add(node.id)
                watch.log(f"a node that came later takes no part: {node.name}: {'; '.join(wrong)}")
            else:
                watch.log(f"a node more: {node.name}, {len(node.devices)} {'device' if len(node.devices) == 1 else 'devices'}")
                came.append(node)
        alive = {node.id for node in found}
        self._devices = (*(device for device in self._devices if device.node.id in alive), *nodes.devices_of(came))

    def _staff(self, dealing: Dealing, watch: Watch) -> None:
        """A trainer on each device that is this run's, no more than there is work for."""
        looks = time.monotonic() >= self._next_look_s
        if looks:
            self._look_for_nodes(watch)
        for device in self._devices:
            if not dealing.waits:
                return
            if device in self._actors or self._starts[device] >= STARTS:
                continue
            if device not in self._claimed and looks and self._claim(device.lease):
                self._claimed.add(device)
            if device in self._claimed:
                self._start(device)
        if looks and not self._actors:
            if self._devices and all(self._starts[device] >= STARTS for device in self._devices):
                raise RunFailed(
                    f"no node of it can start a trainer: {self._why_none}", where=self._address, next="see Ray's logs there, then resume"
                )
            self._say_waiting(watch)

    def _say_waiting(self, watch: Watch) -> None:
        said = "waiting: other runs have the cluster's devices" if self._devices else "waiting: no node of the cluster is left"
        if said != self._waiting:
            watch.log(said)
            self._waiting = said

    def _start(self, device: Device) -> None:
        self._starts[device] += 1
        name = f"{self._run_id} {device.lease} {time.time_ns()}"
        gpu = device.node.devices[device.number] != "cpu"
        made = self._ray.remote(num_cpus=0 if gpu else 1, num_gpus=1 if gpu else 0, max_concurrency=4, max_restarts=0)(self._post)
        handle = made.options(name=name, scheduling_strategy=nodes.on(self._ray, device.node)).remote(device.node.devices[device.number])
        actor = self._actors[device] = _Actor(handle, time.monotonic())
        self._ask(actor, device, "begin", handle.begin.remote())

    def _kill(self, actor: _Actor) -> None:
        with contextlib.suppress(Exception):  # it may be gone, and so may the cluster
            self._ray.kill(actor.handle)

    # ---- questions and answers ------------------------------------------------------------------------------------------

    def _ask(self, actor: _Actor, device: Device, kind: str, ref: Any) -> None:
        self._asked[ref] = (actor, device, kind)

    def _hand_out(self, dealing: Dealing, watch: Watch) -> None:
        """Give each trainer that is free a stack, and ask the others how far they are."""
        now = time.monotonic()
        for device, actor in self._actors.items():
            if actor.ready and actor.at is None and dealing.waits:
                one = dealing.next()
                actor.at, actor.begun_s = one, watch.at_work_s()
                watch.begin(one.stack, device.name, device.node.name)
                message = pickle.dumps(Train(one.stack, one.too_many))
                self._ask(actor, device, "train", actor.handle.train.remote(self._told, self._number, message))
            elif actor.at is not None and now >= actor.looked_s + LOOK_S:
                actor.looked_s = float("inf")  # until it has answered
                self._ask(actor, device, "look", actor.handle.look.remote())
            elif not actor.ready and not actor.said and now >= actor.started_s + SILENT_S:
                actor.said = True
                watch.log(f"waiting for {device.name}: Ray has not given it yet")

    def _heard(self) -> list[tuple[Device, str, Any]]:
        """(device, what was asked, the answer) of all that was answered by now; in the place of an answer perhaps `_Gone`."""
        if not self._asked:
            time.sleep(POLL_S)
            return []
        ready, _ = self._ray.wait(list(self._asked), num_returns=1, timeout=POLL_S)
        if ready:
            ready, _ = self._ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0)
        heard = []
        for ref in ready:
            actor, device, kind = self._asked.pop(ref)
            try:
                answer = self._ray.get(ref)
            except self._ray.exceptions.RayError as error:
                answer = _Gone(_first_words(error))
            if self._actors.get(device) is actor:  # else it was ended meanwhile, and has been said to be
                heard.append((device, kind, answer))
        # what was trained counts, though its trainer is gone since
        return sorted(heard, key=lambda each: each[1] != "train" or isinstance(each[2], _Gone))

    def _take(self, device: Device, kind: str, answer: Any, dealing: Dealing, watch: Watch) -> TrainedStack | None:
        actor = self._actors.get(device)
        if actor is None:
            return None
        if isinstance(answer, _Gone):
            self._lose(device, actor, answer, None, dealing, watch)
        elif kind == "begin":
            actor.ready, self._starts[device], self._waiting = True, 0, ""
            kinds = {*self._before, *self._kinds.values()}
            if kinds and answer not in kinds:
                others = ", ".join(sorted(kinds))
                watch.log(f"{device.name} is {answer}, others are {others}: the last bits of what they train may differ")
            self._kinds[device] = answer
            self._tell({"ray": self._ray.__version__, "nodes": nodes.in_words(self._kinds)})
        elif kind == "look":
            stack, done, total, said = answer
            actor.looked_s = time.monotonic()
            self._log(device, said, watch)
            if total and actor.at is not None and actor.at.stack.index == stack:  # not of the one before
                watch.step(actor.at.stack, done, total)
        elif kind == "train" and actor.at is not None:
            message, said = pickle.loads(answer)  # between the product's own processes
            self._log(device, said, watch)
            if isinstance(message, Failed):
                self._lose(device, actor, _Gone(message.what), message, dealing, watch)
            elif isinstance(message, Done):
                one, actor.at = actor.at, None
                dealing.done(message.too_many)
                return TrainedStack(one.stack, message.victims, watch.at_work_s() - actor.begun_s, self._room.too_many)
        return None

    @staticmethod
    def _log(device: Device, said: Sequence[str], watch: Watch) -> None:
        for line in said:
            watch.log(f"{device.name}: {line}")

    def _lose(self, device: Device, actor: _Actor, gone: _Gone, failed: Failed | None, dealing: Dealing, watch: Watch) -> None:
        """Its trainer is ended, and what it was at goes to another. Raises RunFailed where that stack was lost before."""
        self._kill(actor)
        del self._actors[device]
        why = f"the process on {device.name} failed: {gone.why}" if failed else f"the process on {device.name} is gone: {gone.why}"
        self._why_none = why
        self._next_look_s = 0.0  # its node may be gone as well
        if actor.at is None:
            watch.log(f"{why}, before it had begun")
            return
        dealing.lose(actor.at, why, failed)
        watch.lose(actor.at.stack, why)

    def _hold(self, holds: bool) -> None:
        self._holds += 1
        for actor in self._actors.values():
            with contextlib.suppress(Exception):  # one that is gone is found to be, soon
                actor.handle.hold.remote(self._holds, holds)


def _first_words(error: Exception) -> str:
    """Of Ray's words the line that says why."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    for sign in ("because", "low on memory", "exit", "Error"):
        if why := next((line for line in lines if sign in line), ""):
            return why[:300]
    return lines[0][:300]
