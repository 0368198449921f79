"""A stand-in for the few calls of Ray that `engine/runs/executors` makes: actors are threads, nodes are names that a test takes away.

As with Ray, arrays come out of the object store read-only, answers of who is gone are errors, and calls of one actor run side by side.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np


class RayError(Exception):
    """Ray's own."""


class Ref:
    """What a call will come to."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.value: Any = None
        self.error: Exception | None = None

    def settle(self, value: Any = None, error: Exception | None = None) -> None:
        if not self.done.is_set():
            self.value, self.error = value, error
            self.done.set()


class Strategy(SimpleNamespace):
    """NodeAffinitySchedulingStrategy."""


class FakeRay:
    """nodes: name -> its resources, as {"CPU": 2}. probed: name -> what its `probe` answers in the place of the truth."""

    __version__ = "2.99.0"

    def __init__(self, nodes: Mapping[str, Mapping[str, float]]) -> None:
        self.up: dict[str, Mapping[str, float]] = dict(nodes)
        self.probed: dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {}
        self.actors: list[Actor] = []
        self.exceptions = SimpleNamespace(RayError=RayError)
        self.cloudpickle = SimpleNamespace(register_pickle_by_value=lambda module: None)
        strategies = SimpleNamespace(NodeAffinitySchedulingStrategy=Strategy)
        self.util = SimpleNamespace(scheduling_strategies=strategies, list_named_actors=self._named)
        self.stored = 0

    # ---- of a test ------------------------------------------------------------------------------------------------------

    @contextmanager
    def joined(self, address: str) -> Iterator[FakeRay]:
        """In the place of `joining.joined`."""
        yield self

    def take_away(self, node: str) -> None:
        """The machine is gone."""
        self.up.pop(node)
        for actor in [actor for actor in self.actors if actor.node == node]:
            actor.end(f"The actor died because its node has died. {node}")

    # ---- of Ray ---------------------------------------------------------------------------------------------------------

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": _id(name), "NodeName": name, "Alive": True, "Resources": has} for name, has in self.up.items()]

    def put(self, value: Sequence[np.ndarray]) -> Ref:
        self.stored += 1
        ref, copies = Ref(), [array.copy() for array in value]
        for array in copies:
            array.flags.writeable = False
        ref.settle(copies)
        return ref

    def get(self, ref: Ref, timeout: float | None = None) -> Any:
        if not ref.done.wait(timeout):
            raise RayError("Get timed out")
        if ref.error is not None:
            raise ref.error
        return ref.value

    def wait(self, refs: Sequence[Ref], num_returns: int = 1, timeout: float | None = None) -> tuple[list[Ref], list[Ref]]:
        end = time.monotonic() + (60.0 if timeout is None else timeout)
        while sum(ref.done.is_set() for ref in refs) < num_returns and time.monotonic() < end:
            time.sleep(0.002)
        ready = [ref for ref in refs if ref.done.is_set()][:num_returns]
        return ready, [ref for ref in refs if ref not in ready]

    def remote(self, **options: Any) -> Callable[[Any], Remote]:
        return lambda what: Remote(self, what, options)

    def kill(self, actor: Actor) -> None:
        actor.end("The actor was killed.")

    def get_actor(self, name: str, namespace: str) -> Actor:
        return next(actor for actor in self.actors if actor.name == name and actor.alive)

    def _named(self, all_namespaces: bool) -> list[dict[str, str]]:
        return [{"namespace": "subpop", "name": actor.name} for actor in self.actors if actor.alive]


def _id(name: str) -> str:
    return name.encode().hex().ljust(40, "0")


class Remote:
    """A function or a class that is called elsewhere."""

    def __init__(self, ray: FakeRay, what: Any, options: Mapping[str, Any]) -> None:
        self.ray, self.what, self.given = ray, what, dict(options)

    def options(self, **options: Any) -> Remote:
        return Remote(self.ray, self.what, {**self.given, **options})

    def remote(self, *args: Any) -> Any:
        node = next((name for name in self.ray.up if _id(name) == self.given["scheduling_strategy"].node_id), None)
        if isinstance(self.what, type):
            actor = Actor(self.what, args, node, self.given.get("name", ""))
            self.ray.actors.append(actor)
            return actor
        ref = Ref()
        if node is None:
            ref.settle(error=RayError("the node is gone"))
        else:
            ref.settle(self.ray.probed.get(node, lambda answer: answer)(pickle.loads(pickle.dumps(self.what(*args)))))
        return ref


class Actor:
    """A thread a call."""

    def __init__(self, cls: type, args: Sequence[Any], node: str | None, name: str) -> None:
        self.node, self.name, self.alive, self.open = node, name, node is not None, list[Ref]()
        self.ending = threading.Event()
        self.it = cls(*args) if self.alive else None

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(remote=lambda *args: self._call(name, args))

    def _call(self, name: str, args: Sequence[Any]) -> Ref:
        ref = Ref()
        self.open.append(ref)
        if not self.alive:
            ref.settle(error=RayError("The actor died unexpectedly before finishing this task."))
            return ref
        values = [arg.value if isinstance(arg, Ref) else arg for arg in args]

        def work() -> None:
            try:
                ref.settle(getattr(self.it, name)(*values))
            except Exception as error:
                ref.settle(error=RayError(str(error)))

        threading.Thread(target=work, daemon=True).start()
        return ref

    def end(self, why: str) -> None:
        self.alive = False
        if self.it is not None and hasattr(self.it, "end"):
            self.it.end()  # threads cannot be killed: the fake's work looks for it
        for ref in self.open:
            ref.settle(error=RayError(why))
