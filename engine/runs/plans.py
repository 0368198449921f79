"""A run's plan as a thing of its own: which victims share a stack, how a stack uses a CPU, over which discovery, under which schedule.

Sizes are timed where a run plans for itself, so another machine would plan otherwise. A plan that is written to a file is shared by
devices, shards and machines: the same plan comes to the same bits wherever it is trained by the same libraries.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from engine import versions
from engine.errors import RequestError, RunFailed
from engine.rows import DEFENDED, Cores, Planned, Shard, StackPlan, Subpopulation, VictimSpec
from engine.store import Store, StoredDiscovery, checks
from engine.store.checks import a_dict, a_list, anything, fields, matching, text, whole
from engine.system import writing

if TYPE_CHECKING:
    from engine.account.data import DataAccount
    from engine.scenario.sections import Scenario

FORMAT = 1
MOST_BYTES = 1 << 28
HEX = matching("[0-9a-f]{16,64}", "a digest in hexadecimal")
SHAPE = fields(
    {
        "subpop_plan": whole(1),
        "title": text(),
        "scenario": HEX,
        "schedule": whole(1, 1 << 15),
        "parts": whole(1, 1 << 15),
        "threads": whole(1, 1 << 15),
        "device": text(),
        "data": a_dict(anything),
        "discovery": HEX,
        "stacks": a_list(a_list(checks.SPEC, least=1), least=1),
        "digest": HEX,
    }
)
DECIDES = ("scenario", "schedule", "parts", "threads", "data", "discovery", "stacks")  # what the digest is of: not where it was made
OLD = "what it has can still be exported"


@dataclass(frozen=True)
class Plan:
    """What devices, shards and machines share. scenario: the digest of what is run, wherever; discovery, data: over what.

    device: where its sizes were timed, for who reads it.
    """

    scenario: str
    cores: Cores
    data: dict[str, Any]
    discovery: str
    stacks: tuple[StackPlan, ...]
    schedule: int = versions.SCHEDULE
    title: str = ""
    device: str = ""

    @property
    def digest(self) -> str:
        """32 hex digits that differ where results may."""
        tree = {name: value for name, value in self._tree().items() if name in DECIDES}
        return blake2b(json.dumps(tree, sort_keys=True).encode(), digest_size=16).hexdigest()

    def _tree(self) -> dict[str, Any]:
        return {
            "subpop_plan": FORMAT,
            "title": self.title,
            "scenario": self.scenario,
            "schedule": self.schedule,
            "parts": self.cores.parts,
            "threads": self.cores.threads,
            "device": self.device,
            "data": self.data,
            "discovery": self.discovery,
            "stacks": [[[v.index, v.trial, v.arm, v.subpopulation, v.alpha] for v in stack.victims] for stack in self.stacks],
        }

    def planned(self, shard: Shard | None = None) -> Planned:
        return Planned(self.cores, self.discovery, shard)

    def text(self) -> str:
        """As a file has it: a line a stack."""
        tree = self._tree()
        stacks = ",\n".join(f"    {json.dumps(stack)}" for stack in tree.pop("stacks"))
        head = "".join(f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)},\n" for name, value in tree.items())
        return f'{{\n{head}  "stacks": [\n{stacks}\n  ],\n  "digest": "{self.digest}"\n}}\n'


@dataclass(frozen=True)
class Found:
    """What was discovered where a plan was made, for runs of it. deviations: as in a run's row."""

    discovery: StoredDiscovery
    account: DataAccount | None
    deviations: tuple[str, ...]


@dataclass(frozen=True)
class Given:
    """A plan that a run is given, and what it was made over; None: that is discovered anew, and must come to the same."""

    plan: Plan
    found: Found | None = None


def of_run(store: Store, run_id: str) -> Plan:
    """The plan of a run that has one. RequestError where it has none yet, or one that an older version made."""
    from engine.scenario.identity import digest_anywhere
    from engine.scenario.parse import scenario_of

    stacks, planned, row = store.plan(run_id), store.planned(run_id), store.run(run_id)
    if stacks is None or planned is None:
        why = "it has no plan yet" if stacks is None else "its plan is of an older version, which did not keep how stacks used the CPU"
        raise RequestError(why, where=f"run {run_id}", next="start its scenario again" if stacks else f"subpop resume {run_id}")
    scenario, provenance = scenario_of(row), store.provenance(run_id)
    data, device = provenance.get("data", {}), str(provenance.get("device", ""))
    return Plan(digest_anywhere(scenario), planned.cores, data, planned.discovery, stacks, row.schedule, row.title, device)


def write(plan: Plan, path: Path) -> None:
    """Whole or not at all."""

    def put(file: BinaryIO) -> None:
        file.write(plan.text().encode())

    writing.write_file(path, put)


def read(path: Path) -> Plan:
    """The plan in a file. RequestError where there is none, or it is damaged, changed by hand, or of another version."""
    where, again = str(path), "make it again: subpop plan PRESET -o FILE"
    try:
        if path.stat().st_size > MOST_BYTES or not path.is_file():
            raise RequestError("is no plan", where=where, next=again)
        tree = checks.load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"cannot be read: {error.strerror}", where=where, next=again) from error
    except (UnicodeDecodeError, checks.NotJson) as error:
        raise RequestError(f"is no plan: it is no JSON ({error})", where=where, next=again) from error
    if not isinstance(tree, dict) or "subpop_plan" not in tree:
        raise RequestError("is no plan: it has no subpop_plan", where=where, next=again)
    if tree["subpop_plan"] != FORMAT:
        raise RequestError(f"is a plan of form {checks.shown(tree['subpop_plan'])}; this version reads {FORMAT}", where=where, next=again)
    if wrong := SHAPE(tree):
        raise RequestError(f"is a damaged plan: {wrong}", where=where, next=again)
    stacks = tuple(StackPlan(at, of[0][1], tuple(VictimSpec(*spec) for spec in of)) for at, of in enumerate(tree["stacks"]))
    cores = Cores(tree["parts"], tree["threads"])
    plan = Plan(tree["scenario"], cores, tree["data"], tree["discovery"], stacks, tree["schedule"], tree["title"], tree["device"])
    numbers = sorted(v.index for stack in stacks for v in stack.victims)
    if plan.digest != tree["digest"]:
        raise RequestError("was damaged or changed by hand: it is not what its digest is of", where=where, next=again)
    if numbers != list(range(len(numbers))) or any(v.trial != stack.trial for stack in stacks for v in stack.victims):
        raise RequestError(
            "is a damaged plan: its victims are not numbered from 0, or of several trials in a stack", where=where, next=again
        )
    return plan


def check(plan: Plan, scenario: Scenario, where: str) -> None:
    """RequestError where a plan is not of this scenario, or of another schedule of training."""
    from engine.scenario.identity import digest_anywhere

    if plan.schedule != versions.SCHEDULE:
        then = f"make it again: subpop plan; {OLD}"
        raise RequestError(f"is of schedule {plan.schedule}; this version trains under {versions.SCHEDULE}", where=where, next=then)
    if plan.scenario != digest_anywhere(scenario):
        of = f" ({plan.title})" if plan.title else ""
        raise RequestError(
            f"is the plan of another scenario{of}", where=where, next="give the preset, --set and --smoke that it was made with"
        )


def check_victims(plan: Plan, scenario: Scenario, subpopulations: Sequence[Subpopulation]) -> None:
    """RequestError where a plan's victims are not those of its scenario: each arm of each target at each alpha once a trial."""
    controls = [arm for arm in ("true_label", "label_flip") if arm in scenario.evaluation.controls]
    targets = [(s.index, alpha) for s in subpopulations if s.attacked for alpha in scenario.attack.alphas]
    defended = () if scenario.defense.kind == "none" else DEFENDED
    of_trial: list[tuple[str, int | None, float | None]] = [(arm, None, None) for arm in ("clean", *defended)]
    of_trial += [(arm, *target) for target in targets for arm in ("poisoned", *controls, *defended)]
    due: Counter[tuple[int, str, int | None, float | None]] = Counter(
        (trial, *key) for trial in scenario.evaluation.trial_numbers for key in of_trial
    )
    there: Counter[tuple[int, str, int | None, float | None]] = Counter(
        (v.trial, v.arm, v.subpopulation, v.alpha) for stack in plan.stacks for v in stack.victims
    )
    for key in sorted(there.keys() | due.keys(), key=lambda key: (there[key] <= due[key], str(key))):
        if there[key] != due[key]:
            trial, arm, subpopulation, alpha = key
            which = f"{'' if subpopulation is None else f', subpopulation {subpopulation}'}{'' if alpha is None else f', alpha {alpha:g}'}"
            what = f"its victims are not its scenario's: trial {trial} has {arm}{which}, {_times(there[key])} instead of {_times(due[key])}"
            raise RequestError(what, where="the plan", next="make it again: subpop plan")


def _times(n: int) -> str:
    return ("never", "once")[n] if n < 2 else f"{n} times"


# ---- over which discovery -------------------------------------------------------------------------------------------


def discovery_digest(store: Store, run_id: str) -> str:
    """32 hex digits of all that was discovered: two runs with the same train the same victims for the same plan."""
    stored = store.discovery(run_id, bulk=True)
    assert stored is not None
    digest = blake2b(digest_size=16)
    digest.update(json.dumps([asdict(replace(s, class_mix=dict(s.class_mix))) for s in stored.subpopulations], sort_keys=True).encode())
    digest.update(json.dumps(list(stored.classes)).encode())
    members = {f"membership.{split}": getattr(stored.membership, split) for split in ("train", "aux", "test")}
    for name, array in sorted({**members, "y_test": stored.y_test, **stored.arrays.by_name()}.items()):
        digest.update(f"\0{name}\0{array.dtype.name}\0{array.shape}\0".encode())
        digest.update(memoryview(array.tobytes()))
    return digest.hexdigest()


def check_discovery(store: Store, run_id: str) -> None:
    """RunFailed where a run was given a plan, and what was discovered here is not what that was made over; RequestError where its victims
    are not those of its scenario."""
    from engine.scenario.parse import scenario_of

    planned = store.planned(run_id)
    if planned is not None and planned.discovery and planned.discovery != discovery_digest(store, run_id):
        raise RunFailed(
            "what was discovered here is not what its plan was made over: other data, libraries, or another number of cores",
            where=f"run {run_id}",
            next="put what was discovered beside the plan, as `subpop plan` left it (plan.subpop), or make the plan here",
        )
    if planned is not None and planned.discovery:
        found = store.discovery(run_id)
        assert found is not None
        check_victims(of_run(store, run_id), scenario_of(store.run(run_id)), found.subpopulations)
