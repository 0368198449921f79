"""What a run that attacks another's subpopulations again takes over from it: what was discovered, and the victims that are the same.

It is worked out from what is stored of both alone, so a resumed run comes to the same answer; and all is copied into the run's own rows,
so the other may go at any time. Victims do not depend on who shared their stack (to float error), on how many trials or which other
alphas there are: weights, batch order and dropout are drawn by (seed, trial), poison by (seed, trial, subpopulation), a smaller alpha's
points the first of a larger one's. Imports no numpy by itself.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from engine import versions
from engine.errors import SubpopError
from engine.rates import count
from engine.rows import Dataset, Membership, PartResult, StackPlan, VictimResult, VictimSpec
from engine.scenario.parse import scenario_of
from engine.scenario.sections import AttackSection, Scenario, SubpopulationsSection, TriageSection
from engine.store import Store, StoredDiscovery

if TYPE_CHECKING:
    import numpy as np

SELECTION = ("only", "select", "select_count", "min_size", "max_size")  # of [subpopulations]: which are attacked, not which there are
MADE_BY = ("code", "libraries", "device")

Key = tuple[int, str, int | None, float | None]  # of a victim: trial, arm, subpopulation, alpha


@dataclass(frozen=True)
class Parent:
    """The run that is attacked again, as it is stored now."""

    id: str
    scenario: Scenario
    discovery: StoredDiscovery
    schedule: int = versions.SCHEDULE


@dataclass(frozen=True)
class Reusable:
    """The parent's victims that are the same here, by key; `why`: why there are none, or none but clean ones. made: how they were made
    otherwise, in words."""

    parent: str = ""
    victims: Mapping[Key, VictimResult] = field(default_factory=dict)
    why: str = ""
    made: tuple[str, ...] = ()


def key(spec: VictimSpec) -> Key:
    return spec.trial, spec.arm, spec.subpopulation, spec.alpha


def parent_of(store: Store, run_id: str) -> Parent | None:
    """None where a run attacks none again, or that one is gone or has no discovery any more."""
    parent = store.run(run_id).parent
    if not parent:
        return None
    try:
        row, discovery = store.run(parent), store.discovery(parent)
        return None if discovery is None else Parent(parent, scenario_of(row), discovery, row.schedule)
    except SubpopError:  # gone, damaged, or of another version's making: then all is made anew
        return None


# ---- discovery ------------------------------------------------------------------------------------------------------


def same_subpopulations(one: SubpopulationsSection, other: SubpopulationsSection) -> bool:
    """Whether these form the same, whichever of them are attacked."""
    return one.model_copy(update={name: getattr(other, name) for name in SELECTION}) == other


def same_discovery(scenario: Scenario, parent: Scenario) -> bool:
    """Whether the parent's discovery over the same data is what this scenario's would be, but for which subpopulations are attacked.

    An optimised attack's points are its run's own: for the alphas, the trials and the targets of that run. What clean models foretell is
    taken over with the alphas it was foretold at.
    """
    return (
        _same(scenario, parent, "dataset", "model", "adversary", "seed")
        and scenario.evaluation.confidence_folds == parent.evaluation.confidence_folds
        and _same_poison(scenario.attack, parent.attack)
        and same_subpopulations(scenario.subpopulations, parent.subpopulations)
        and (not scenario.predicts or (parent.predicts and _same_keys(scenario.triage, parent.triage)))
    )


def same_data(stored: StoredDiscovery, data: object, dataset: Dataset) -> bool:
    """data: as provenance has it."""
    same_rows = len(stored.y_test) == len(dataset.test.y) and bool((stored.y_test == dataset.test.y).all())
    return stored.provenance.get("data") == data and same_rows and stored.classes == tuple(dataset.classes)


def same_members(one: Membership, other: Membership) -> bool:
    """Whether the numbers of subpopulations mean the same rows."""
    return all(_equal(getattr(one, name), getattr(other, name)) for name in ("train", "aux", "test"))


# ---- victims --------------------------------------------------------------------------------------------------------


def reusable(store: Store, parent: Parent, scenario: Scenario, stored: StoredDiscovery) -> Reusable:
    """stored: this run's own discovery."""
    of_parent = parent.discovery
    if parent.schedule != versions.SCHEDULE:
        return Reusable(parent.id, why=f"it was trained under schedule {parent.schedule}, this run is under {versions.SCHEDULE}")
    if stored.provenance.get("data") != of_parent.provenance.get("data") or not _equal(stored.y_test, of_parent.y_test):
        return Reusable(parent.id, why="the data is not the same")
    if stored.classes != of_parent.classes or not same_members(stored.membership, of_parent.membership):
        return Reusable(parent.id, why="the subpopulations are not the same")
    if not _same(scenario, parent.scenario, "dataset", "model", "adversary", "seed"):
        return Reusable(parent.id, why="another model is trained, or another way")
    if scenario.defense.kind != "none":
        return Reusable(parent.id, why="a defence asks the victims themselves, and what they learnt is not stored")
    why = ""
    if not _same_poison(scenario.attack, parent.scenario.attack):
        optimised = scenario.attack.kind != "label_flip"
        why = "the points of an optimised attack are its run's own" if optimised else "another attack makes other poison"
    elif not _equal(stored.arrays.proba_aux_AC, of_parent.arrays.proba_aux_AC):
        why = "the adversary's model is not the same"
    sizes = {s.index: s.train_rows if scenario.attack.per == "train" else s.aux_rows for s in stored.subpopulations}
    labels = {s.index: s.target_label for s in stored.subpopulations}
    same_label = {s.index for s in of_parent.subpopulations if labels.get(s.index) == s.target_label}
    kept = {}
    for victim in store.victims(parent.id):
        spec = victim.spec
        if spec.arm != "clean":
            if why or spec.subpopulation not in same_label or spec.subpopulation is None or spec.alpha is None:
                continue
            if victim.poison_points != count(spec.alpha, sizes[spec.subpopulation]):
                continue
        kept[key(spec)] = victim
    differences = [_difference(what, of_parent.provenance, stored.provenance) for what in MADE_BY]
    return Reusable(parent.id, kept, why, tuple(each for each in differences if each))


def _difference(what: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """How the parent was made otherwise than this run, in words; "" where it was not."""
    old, new = then.get(what), now.get(what)
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return ", ".join(f"{name} {version}" for name, version in old.items() if new.get(name) != version)
    return "" if old == new else f"{what} {old}"


def split(stacks: Sequence[StackPlan], kept: Container[Key]) -> tuple[StackPlan, ...]:
    """The same victims, those of each trial that are kept in stacks of their own; none larger than there were. Numbered from the first."""
    if not any(key(spec) in kept for stack in stacks for spec in stack.victims):
        return tuple(stacks)
    size, first = max(len(stack.victims) for stack in stacks), stacks[0].index
    parts: list[StackPlan] = []
    for trial in dict.fromkeys(stack.trial for stack in stacks):
        specs = [spec for stack in stacks if stack.trial == trial for spec in stack.victims]
        for some in ([s for s in specs if key(s) in kept], [s for s in specs if key(s) not in kept]):
            parts += [StackPlan(0, trial, tuple(some[lo : lo + size])) for lo in range(0, len(some), size)]
    return tuple(replace(part, index=first + at) for at, part in enumerate(parts))


def taken_over(stacks: Sequence[StackPlan], victims: Mapping[Key, VictimResult]) -> dict[int, list[VictimResult]]:
    """Stack -> its victims as the parent trained them, of the stacks that were trained there whole."""
    whole = [stack for stack in stacks if all(key(spec) in victims for spec in stack.victims)]
    return {stack.index: [replace(victims[key(spec)], spec=spec) for spec in stack.victims] for stack in whole}


# ---- the ensemble ---------------------------------------------------------------------------------------------------


def reusable_parts(store: Store, run_id: str, scenario: Scenario, stored: StoredDiscovery) -> list[PartResult]:
    """The models of the ensemble that the run which this one attacks again trained, where they would be the same here to the bit."""
    parent = parent_of(store, run_id)
    if parent is None or parent.schedule != versions.SCHEDULE:
        return []
    of_parent = parent.discovery
    same_rows = stored.provenance.get("data") == of_parent.provenance.get("data") and _equal(stored.y_test, of_parent.y_test)
    same_makers = all(stored.provenance.get(what) == of_parent.provenance.get(what) for what in MADE_BY)
    same_parts = scenario.evaluation.certificates == parent.scenario.evaluation.certificates
    if not (same_rows and same_makers and same_parts and _same(scenario, parent.scenario, "dataset", "model", "seed")):
        return []
    try:
        return store.parts(parent.id)
    except SubpopError:  # damaged there: trained anew here
        return []


# ---- alike ----------------------------------------------------------------------------------------------------------


def _same(one: Scenario, other: Scenario, *sections: str) -> bool:
    return one.compute.precision == other.compute.precision and all(getattr(one, name) == getattr(other, name) for name in sections)


def _same_poison(one: AttackSection, other: AttackSection) -> bool:
    return one.kind == "label_flip" and one.model_copy(update={"alphas": other.alphas}) == other


def _same_keys(one: TriageSection, other: TriageSection) -> bool:
    return one.model_copy(update={"predict": other.predict}) == other


def _equal(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    import numpy as np

    return one is not None and other is not None and one.dtype == other.dtype and np.array_equal(one, other)
