"""A Ray cluster that somebody else started: its nodes, and whether each can train what this machine would, looked at before anything is.

`apart` does the whole look in a child process: who forks must not speak gRPC, and the command line stays quick.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from engine.errors import RequestError, SubpopError
from engine.runs.executors import at_node, joining
from engine.runs.provenance import LIBRARIES
from engine.scenario.sections import BertSection, EstimatorKeys, NetworkKeys, last_layer_alone
from engine.system import children

if TYPE_CHECKING:
    from engine.rows import Dataset
    from engine.scenario.sections import Scenario

PROBED_WITHIN_S = 120.0  # a node starts a process for the look, and reads files of weights
APART_S = 300.0

Sort = Literal["GPU", "CPU"]  # as Ray calls what a node has


@dataclass(frozen=True)
class Node:
    """One that is alive. name: unique among them, as messages have it. devices: what it has to train on, "cpu" once for each core."""

    id: str
    name: str
    devices: tuple[str, ...]


@dataclass(frozen=True)
class Device:
    """number: among those of its node."""

    node: Node
    number: int

    @property
    def name(self) -> str:
        sort = self.node.devices[self.number].partition(":")[0]
        return f"{self.node.name}, {sort} {self.number + 1}" if len(self.node.devices) > 1 else self.node.name

    @property
    def lease(self) -> str:
        """What it is called in the store's queue: a node that comes back has another id."""
        return f"ray {self.node.id[:16]} {self.number}"


@dataclass(frozen=True)
class Need:
    """What training reads of a node's own disk, at the same path as here. whole: its content must be the same; else its size."""

    path: str
    what: str
    whole: bool = True


# ---- what is there --------------------------------------------------------------------------------------------------


def nodes(ray: Any, only: Sort | None = None) -> tuple[Node, ...]:
    """Those that can train, on devices of one sort, for a stack comes to other last bits on another: of GPUs where there are any.

    only: of this sort, whatever there is.
    """
    alive = [each for each in ray.nodes() if each["Alive"]]
    named = Counter(str(each["NodeName"]) for each in alive)
    found = []
    for each in alive:
        name = str(each["NodeName"])
        name = name if named[name] == 1 else f"{name} ({each['NodeID'][:6]})"
        found.append((each["NodeID"], name, {sort: int(each["Resources"].get(sort, 0)) for sort in ("GPU", "CPU")}))
    sort = only or ("GPU" if any(count["GPU"] for _, _, count in found) else "CPU")
    device = "cuda:0" if sort == "GPU" else "cpu"  # Ray shows a process the one GPU that is its own
    return tuple(Node(id, name, (device,) * count[sort]) for id, name, count in sorted(found, key=lambda f: f[1]) if count[sort])


def sort_of(found: Sequence[Node]) -> Sort:
    return "CPU" if found[0].devices[0] == "cpu" else "GPU"


def only_sort(scenario: Scenario) -> Sort | None:
    """The sort of devices that a scenario's model has a use for; None: any."""
    return "CPU" if isinstance(scenario.model, EstimatorKeys) else None


def devices_of(found: Sequence[Node]) -> tuple[Device, ...]:
    """In turn over the nodes, so that few stacks are spread over many."""
    each = [Device(node, number) for node in found for number in range(len(node.devices))]
    return tuple(sorted(each, key=lambda device: (device.number, device.node.name)))


def in_words(kinds: Mapping[Device, str]) -> dict[str, str]:
    """Node -> its devices that trained: "2 x cpu"."""
    found: dict[str, Counter[str]] = {}
    for device, kind in kinds.items():
        found.setdefault(device.node.name, Counter())[kind] += 1
    return {node: ", ".join(f"{many} x {kind}" for kind, many in sorted(each.items())) for node, each in sorted(found.items())}


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
    asked = {ask(ray, node, wanted): node for node in found}
    ray.wait(list(asked), num_returns=len(asked), timeout=PROBED_WITHIN_S)
    ours = seen_here(wanted)
    wrong = [f"{node.name}: {what}" for ref, node in asked.items() for what in answered(ray, ref, ours, wanted)]
    if wrong:
        more = f"\n  and {len(wrong) - 12} more" if len(wrong) > 12 else ""
        what = "\n  ".join(["its nodes are not as this machine is:", *wrong[:12]]) + more
        raise RequestError(what, where=address, next="put that right, or take the node out of the cluster")


def ask(ray: Any, node: Node, wanted: Sequence[Need]) -> Any:
    """Have a node look at itself; what it says comes as `answered`."""
    return ray.remote(num_cpus=0)(at_node.probe).options(scheduling_strategy=on(ray, node)).remote(*_question(wanted))


def seen_here(wanted: Sequence[Need]) -> Mapping[str, Any]:
    """The same of this machine."""
    return at_node.probe(*_question(wanted))


def answered(ray: Any, ref: Any, ours: Mapping[str, Any], wanted: Sequence[Need]) -> list[str]:
    """In words, what of the node that was asked is not as here. What it has not said by now is not waited for."""
    try:
        theirs = ray.get(ref, timeout=1.0)
    except Exception as error:
        return [f"it does not answer ({' '.join(str(error).split())[:200] or type(error).__name__})"]
    return list(differences(theirs, ours, wanted))


def _question(wanted: Sequence[Need]) -> tuple[list[str], list[str], list[str]]:
    return [*LIBRARIES, "ray"], [n.path for n in wanted if n.whole], [n.path for n in wanted if not n.whole]


def on(ray: Any, node: Node) -> Any:
    """The strategy that places something on a node, or nowhere."""
    return ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node_id=node.id, soft=False)


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any], wanted: Sequence[Need]) -> Iterator[str]:
    """In words, what of a node is not as here."""
    if not theirs["package"]:
        yield f"subpop is not installed in {theirs['environment']} ({theirs['why']}); put the same wheel there"
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

    joining.check_address(address)
    command = children.command("engine.runs.executors.nodes", address)
    try:
        child = subprocess.run(command, input=dump(scenario).encode(), capture_output=True, timeout=APART_S, env=children.environment())
    except subprocess.TimeoutExpired as error:
        raise joining.nobody(address, f"no answer within {APART_S:.0f} s") from error
    try:
        answer = json.loads(child.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        why = (child.stderr.decode(errors="replace").strip().splitlines() or ["no word"])[-1]
        raise joining.nobody(address, why) from None
    if "what" in answer:
        raise RequestError(answer["what"], where=answer["where"], next=answer["next"])
    return tuple(Node(each["id"], each["name"], tuple(each["devices"])) for each in answer["nodes"])


def main() -> None:
    from engine.scenario.parse import stored

    address, scenario = sys.argv[1], stored(sys.stdin.buffer.read().decode())
    try:
        wanted = needs(scenario)
        with joining.joined(address) as ray:
            found = nodes(ray, only_sort(scenario))
            check(ray, found, wanted, address)
        answer: dict[str, Any] = {"nodes": [asdict(node) for node in found]}
    except SubpopError as error:
        answer = {"what": error.what, "where": error.where, "next": error.next}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
