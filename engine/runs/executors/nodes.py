"""A Ray cluster that somebody else started: its nodes, and whether each can train what this machine would, looked at before anything is.

ray is imported here alone, and only where a cluster is asked for. `apart` does the whole look in a child process: who forks must not speak
gRPC, and the command line stays quick.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import RequestError, SubpopError
from engine.runs.executors import at_node
from engine.runs.provenance import LIBRARIES
from engine.scenario.sections import BertSection, EstimatorKeys, NetworkKeys, last_layer_alone
from engine.system import children

if TYPE_CHECKING:
    from engine.rows import Dataset
    from engine.scenario.sections import Scenario

NAMESPACE = "subpop"  # of our actors' names
WITHIN_S = 10.0  # to be answered at all
TRIES = 3  # of being taken in
HEAD_BUSY = "Initialization failure from server"  # mostly: it was too busy to start a process for us in time
PROBED_WITHIN_S = 120.0  # a node starts a process for the look, and reads files of weights
APART_S = 300.0
ADDRESS = re.compile(r"ray://(\[[^\]\s]+\]|[^/:\s]+):(\d{1,5})")
INSTALL = "install it here and on every node; in a checkout: uv sync --extra ray; of a wheel: its path, and [ray] behind it"


@dataclass(frozen=True)
class Node:
    """One that is alive. name: unique among them, as messages have it. devices: what it has to train on, "cpu" once for each core."""

    id: str
    name: str
    devices: tuple[str, ...]


@dataclass(frozen=True)
class Need:
    """What training reads of a node's own disk, at the same path as here. whole: its content must be the same; else its size."""

    path: str
    what: str
    whole: bool = True


def library() -> Any:
    """ray. RequestError where it is not installed; nothing else of ours needs it."""
    # under `uv run` Ray would send the working directory to the cluster, and have uv install what lies there
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    try:
        import ray
        import ray.util.client  # what ray:// needs of gRPC
    except ImportError as error:
        raise RequestError(f"needs Ray, which is not installed ({error})", where="--cluster", next=INSTALL) from error
    return ray


def check_address(address: str) -> tuple[str, int]:
    """Host and port. RequestError where it is no address of a cluster."""
    found = ADDRESS.fullmatch(address)
    if found is None or not 0 < int(found[2]) < 1 << 16:
        raise RequestError(
            f"{address!r} is no address of a Ray cluster", where="--cluster", next="give it as ray://HOST:PORT, as ray://head:10001"
        )
    return found[1].strip("[]"), int(found[2])


@contextmanager
def joined(address: str) -> Iterator[Any]:
    """Ray, as a client of a cluster. RequestError where there is none, or it does not take us."""
    ray = library()
    host, port = check_address(address)
    try:
        socket.create_connection((host, port), WITHIN_S).close()
    except OSError as error:
        raise _nobody(address, error.strerror or str(error)) from error
    logging.getLogger("ray").setLevel(logging.CRITICAL)  # what goes wrong is told once, by us
    for left in reversed(range(TRIES)):
        try:
            _greet(host, port)
            ray.init(address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.CRITICAL)
            break
        except Exception as error:
            if left and HEAD_BUSY in str(error):
                continue
            raise _refused(address, error) from error
    ray.cloudpickle.register_pickle_by_value(at_node)
    try:
        yield ray
    finally:
        ray.shutdown()


def _greet(host: str, port: int) -> None:
    """One call of Ray's own protocol. Its client tries for half a minute, and then does not say what was wrong."""
    try:
        from ray._private.grpc_utils import init_grpc_channel
        from ray.core.generated import ray_client_pb2, ray_client_pb2_grpc

        words: Any = ray_client_pb2  # which have no types
        question = words.ClusterInfoRequest(type=words.ClusterInfoType.PING)
    except (ImportError, AttributeError):  # a later Ray has them elsewhere: its client will say what it says
        return
    with init_grpc_channel(f"[{host}]:{port}" if ":" in host else f"{host}:{port}") as channel:
        ray_client_pb2_grpc.RayletDriverStub(channel).ClusterInfo(question, timeout=WITHIN_S)


def _nobody(address: str, why: str) -> RequestError:
    advice = "look for it with: ray status; ray start --head shows its client's port, which is 10001 where none was given"
    return RequestError(f"nobody answers there ({why})", where=address, next=advice)


def _refused(address: str, error: Exception) -> RequestError:
    details = getattr(error, "details", None)  # gRPC's
    said = str(details() if callable(details) else error).strip()
    text = " ".join((said.splitlines()[-1] if HEAD_BUSY in said else said).split())  # of a traceback there its last line
    low = text.lower()
    if "token" in low or "unauthenticated" in low:
        advice = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, as on the cluster"
        return RequestError("the cluster does not take this token, or asks for one", where=address, next=advice)
    if ("version" in low and "mismatch" in low) or "python version" in low:
        return RequestError(
            f"another version is at work there: {text[:300]}", where=address, next="use the same Python and Ray here and there"
        )
    code = getattr(error, "code", None)  # gRPC's
    return _nobody(address, text[:300] or (f"gRPC says {code().name}" if callable(code) else type(error).__name__))


# ---- what is there --------------------------------------------------------------------------------------------------


def nodes(ray: Any, *, gpus: bool = True) -> tuple[Node, ...]:
    """Those that can train: where any has GPUs those alone, for a stack comes to other last bits on a CPU. gpus: are they of use?"""
    alive = [each for each in ray.nodes() if each["Alive"]]
    named = Counter(str(each["NodeName"]) for each in alive)
    found = []
    for each in alive:
        own = each["Resources"]
        name = str(each["NodeName"])
        name = name if named[name] == 1 else f"{name} ({each['NodeID'][:6]})"
        count = {sort: int(own.get(sort, 0)) for sort in ("GPU", "CPU")}
        found.append((each["NodeID"], name, count))
    sort = "GPU" if gpus and any(count["GPU"] for _, _, count in found) else "CPU"
    device = "cuda:0" if sort == "GPU" else "cpu"  # Ray shows a process the one GPU that is its own
    return tuple(Node(id, name, (device,) * count[sort]) for id, name, count in sorted(found, key=lambda f: f[1]) if count[sort])


def needs(scenario: Scenario, dataset: Dataset | None = None) -> tuple[Need, ...]:
    """What training reads of a node's disk: weights, hidden states. Data and features of frozen layers go there by themselves.

    dataset: as the victims' model reads it, where it is known.
    """
    section = scenario.model
    if isinstance(section, NetworkKeys) and section.weights != "random" and not last_layer_alone(section):
        from engine.models.networks.checkpoint import file_of

        path = file_of(section)
        return () if path is None else (Need(str(path.absolute()), "weights"),)
    if isinstance(section, BertSection):
        found = []
        if section.weights != "random":
            from engine.models.bert.files import folder_of

            found.append(Need(str(folder_of(section.weights, section.name, section.revision).absolute()), "weights"))
        if dataset is not None and dataset.states is not None:
            found.append(Need(str(dataset.states.path), "hidden states (in $SUBPOP_CACHE)", whole=False))
        return tuple(found)
    return ()


def located(scenario: Scenario, wanted: Sequence[Need]) -> Scenario:
    """The scenario with its weights by the path that every node was asked for, whatever a node's own environment and folder."""
    path = next((need.path for need in wanted if need.what == "weights"), None)
    if path is None:
        return scenario
    return scenario.model_copy(update={"model": scenario.model.model_copy(update={"weights": path})})


def check(ray: Any, found: Sequence[Node], wanted: Sequence[Need], address: str) -> None:
    """RequestError where a node differs from this machine in what decides bits, or lacks what training reads."""
    if not found:
        raise RequestError("no node of it has a CPU or GPU to give", where=address, next="add one: ray start --address=HEAD:6379")
    ours = at_node.probe(*_question(wanted))
    wrong = [f"{node.name}: {what}" for node, theirs in _probed(ray, found, wanted) for what in differences(theirs, ours, wanted)]
    if wrong:
        more = f"\n  and {len(wrong) - 12} more" if len(wrong) > 12 else ""
        raise RequestError("\n  ".join(["its nodes are not as this machine is:", *wrong[:12]]) + more, where=address)


def _question(wanted: Sequence[Need]) -> tuple[list[str], list[str], list[str]]:
    return [*LIBRARIES, "ray"], [n.path for n in wanted if n.whole], [n.path for n in wanted if not n.whole]


def _probed(ray: Any, found: Sequence[Node], wanted: Sequence[Need]) -> list[tuple[Node, Mapping[str, Any] | str]]:
    """What each node says of itself; a text where it cannot."""
    remote = ray.remote(num_cpus=0)(at_node.probe)
    asked = {remote.options(scheduling_strategy=on(ray, node)).remote(*_question(wanted)): node for node in found}
    ray.wait(list(asked), num_returns=len(asked), timeout=PROBED_WITHIN_S)
    answers: list[tuple[Node, Mapping[str, Any] | str]] = []
    for ref, node in asked.items():
        try:
            answers.append((node, ray.get(ref, timeout=1.0)))
        except Exception as error:
            answers.append((node, f"it does not answer ({' '.join(str(error).split())[:200] or type(error).__name__})"))
    return answers


def on(ray: Any, node: Node) -> Any:
    """The strategy that places something on a node, or nowhere."""
    return ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node_id=node.id, soft=False)


def differences(theirs: Mapping[str, Any] | str, ours: Mapping[str, Any], wanted: Sequence[Need]) -> Iterator[str]:
    """In words, what of a node is not as here."""
    if isinstance(theirs, str):
        yield theirs
        return
    if not theirs["package"]:
        yield f"subpop is not installed for {theirs['executable']} ({theirs['why']}); put the same wheel there"
        return
    pairs = [("Python", "python"), ("the system", "system"), ("subpop", "package")]
    for name, key in pairs:
        if theirs[key] != ours[key]:
            yield f"{name} is {theirs[key]}, here {ours[key]}"
    for name, version in ours["versions"].items():
        if theirs["versions"][name] != version:
            yield f"{name} is {theirs['versions'][name] or 'not installed'}, here {version}"
    for need in wanted:
        there, here = theirs["files"][need.path], ours["files"][need.path]
        if there != here:
            how = "is not there" if not there else there if there.startswith("cannot") else "is another"
            yield f"{need.path} ({need.what}) {how}; it must be what it is here, at the same path"


# ---- all of it, in a process of its own -----------------------------------------------------------------------------


def apart(scenario: Scenario, address: str) -> tuple[Node, ...]:
    """The nodes of a cluster, which can train a scenario. RequestError where something is wrong with any of them; nothing is started."""
    from engine.scenario.identity import dump

    check_address(address)
    command = children.command("engine.runs.executors.nodes", address)
    try:
        child = subprocess.run(command, input=dump(scenario).encode(), capture_output=True, timeout=APART_S, env=children.environment())
    except subprocess.TimeoutExpired as error:
        raise _nobody(address, f"no answer within {APART_S:.0f} s") from error
    try:
        answer = json.loads(child.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        why = (child.stderr.decode(errors="replace").strip().splitlines() or ["no word"])[-1]
        raise _nobody(address, why) from None
    if "what" in answer:
        raise RequestError(answer["what"], where=answer["where"], next=answer["next"])
    return tuple(Node(each["id"], each["name"], tuple(each["devices"])) for each in answer["nodes"])


def main() -> None:
    from engine.scenario.parse import stored

    address, scenario = sys.argv[1], stored(sys.stdin.buffer.read().decode())
    try:
        wanted = needs(scenario)
        with joined(address) as ray:
            found = nodes(ray, gpus=uses_gpus(scenario))
            check(ray, found, wanted, address)
        answer: dict[str, Any] = {"nodes": [asdict(node) for node in found]}
    except SubpopError as error:
        answer = {"what": error.what, "where": error.where, "next": error.next}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    sys.stdout.flush()


def uses_gpus(scenario: Scenario) -> bool:
    return not isinstance(scenario.model, EstimatorKeys)


if __name__ == "__main__":
    main()
