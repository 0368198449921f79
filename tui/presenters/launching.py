"""Before a run is started: how many victims it will train, roughly how long that takes here, and which runs it waits for."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from engine.rows import DEFENDED, RunRow, VictimSpec
from engine.system.processes import host_name
from tui.presenters import format as fmt

if TYPE_CHECKING:
    from engine.scenario.sections import Scenario

Key = tuple[int, str, int | None, float | None]  # trial, arm, subpopulation, alpha
ARMS = ("true_label", "label_flip")  # controls that are victims of their own
SAME = ("dataset", "model", "compute")  # sections that decide how long a victim takes
UNKNOWN = "not known before a run of it: its ETA stands in Runs"


def most_subpopulations(scenario: Scenario, groups: int | None = None) -> int | None:
    """How many subpopulations are attacked at most; None where only the data tell.

    groups: how many combinations the features of FeatureMatch may have, where that is known.
    """
    from engine.scenario.sections import ClusterMatchSection

    section = scenario.subpopulations
    most = section.clusters if isinstance(section, ClusterMatchSection) else groups
    chosen = 3 * section.select_count if section.select == "confidence" else section.select_count if section.select != "all" else None
    limits = [limit for limit in (most, chosen, len(section.only) or None) if limit is not None]
    return min(limits, default=None)


def arms_of(scenario: Scenario) -> tuple[str, ...]:
    """Those that have a victim for each subpopulation and alpha."""
    return ("poisoned", *(arm for arm in ARMS if arm in scenario.evaluation.controls), *_defended(scenario))


def _defended(scenario: Scenario) -> tuple[str, ...]:
    """The arms of a run with a defence; the clean victim of a trial has one of each as well."""
    return DEFENDED if scenario.defense.kind != "none" else ()


def victims(scenario: Scenario, count: int | None) -> tuple[int | None, str]:
    """How many victims at most, None where only the data tell; and that in words. count: of subpopulations, at most."""
    trials, alphas = scenario.evaluation.trials, len(scenario.attack.alphas)
    arms = len(arms_of(scenario))
    each = alphas * arms
    kinds = " × ".join([fmt.plural(alphas, "alpha"), *([f"{arms} arms"] if arms > 1 else []), fmt.plural(trials, "trial")])
    clean = 1 + len(_defended(scenario))
    if count is None:
        return None, f"{each * trials} for each subpopulation ({kinds}) + {clean * trials} clean"
    total = trials * (clean + each * count)
    more = ", and those of the search" if scenario.evaluation.find is not None else ""
    parts = scenario.evaluation.certificates
    more += f", beside them {parts:,} small ones for certificates" if parts else ""
    more += f", and before them {scenario.triage.models} clean models that foretell damage" if scenario.predicts else ""
    return total, f"up to {total:,}: {fmt.plural(count, 'subpopulation')} × {kinds} + {clean * trials} clean{more}"


@dataclass(frozen=True)
class Reuse:
    """Victims of a run that attacks some subpopulations again: all, and those of them that are taken over from the run before."""

    total: int
    kept: int

    @property
    def to_train(self) -> int:
        return self.total - self.kept


def reuse(scenario: Scenario, subpopulations: Sequence[int], trained: Iterable[VictimSpec]) -> Reuse:
    """trained: what the run before has committed. An optimised attack's points are its run's own, so only clean victims are kept then;
    with a defence none are, for it asks the victims themselves.
    """
    trials = scenario.evaluation.trial_numbers
    wanted: set[Key] = {(trial, arm, None, None) for trial in trials for arm in ("clean", *_defended(scenario))}
    wanted |= set(product(trials, arms_of(scenario), subpopulations, scenario.attack.alphas))
    committed = {(spec.trial, spec.arm, spec.subpopulation, spec.alpha) for spec in trained}
    if _defended(scenario):
        committed = set()
    elif scenario.attack.kind != "label_flip":
        committed = {key for key in committed if key[1] == "clean"}
    return Reuse(len(wanted), len(wanted & committed))


def headline(scenario: Scenario, whom: str, trials: str) -> str:
    """What would be run, in a line. whom: the subpopulations; trials: how many, or which."""
    alphas = ", ".join(f"{alpha:g}" for alpha in scenario.attack.alphas)
    return f"✓ {scenario.attack.kind} on {whom}, alpha {alphas}, {trials}"


def cost(scenario: Scenario, total: int | None, runs: Sequence[RunRow], preset_cost: str = "") -> str:
    """Roughly how long: as long as a run of the same data and model took here, else what a preset says of itself (`preset_cost`)."""
    from engine.scenario.identity import dump

    scenario_tree = tomllib.loads(dump(scenario))
    for run in runs:
        rate = _seconds_each(run)
        if total is not None and rate is not None and _alike(scenario_tree, run):
            return f"about {fmt.duration(rate * total)} at most, by run {run.name} ({run.id})"
    return preset_cost or UNKNOWN


def _seconds_each(run: RunRow) -> float | None:
    """Of one victim of a run, its start and discovery spread over them all."""
    if run.state != "done" or run.parent or not run.victims_done or run.started_at is None or run.finished_at is None:
        return None
    return (run.finished_at - run.started_at) / run.victims_done


def _alike(scenario_tree: Mapping[str, Any], run: RunRow) -> bool:
    try:
        run_tree = tomllib.loads(run.scenario_toml)
    except ValueError:
        return False
    attacks = [tree.get("attack", {}).get("kind") for tree in (scenario_tree, run_tree)]
    return attacks[0] == attacks[1] and all(_timed(scenario_tree, name) == _timed(run_tree, name) for name in SAME)


def _timed(tree: Mapping[str, Any], section: str) -> Any:
    section_keys = tree.get(section, {})
    return {key: value for key, value in section_keys.items() if key != "nice"} if isinstance(section_keys, dict) else section_keys


def queue(device: str, runs: Sequence[RunRow], gpu: bool) -> str:
    """Which runs on the same device of this machine go first. device: as the scenario asks for it; gpu: whether there is one."""
    wanted = _sort(("cuda" if gpu else "cpu") if device == "auto" else device)
    before = [run for run in reversed(runs) if run.alive and run.host == host_name() and _sort(run.device or wanted) == wanted]
    if not before:
        return "none: it starts at once" if not wanted.startswith("ray://") else "none: the cluster's nodes are looked at first"
    return f"it waits for {' and '.join(_at_work(run) for run in before[:3])}" + (f" and {len(before) - 3} more" if len(before) > 3 else "")


def _sort(device: str) -> str:
    return device if device.startswith("ray://") else "cuda" if "cuda" in device else "cpu"


def _at_work(run: RunRow) -> str:
    left = f", {fmt.duration(run.eta_s)} left" if run.eta_s is not None and run.state == "running" else ""
    state = "" if run.state == "running" else f", {run.state}"
    return f"{run.name} ({run.victims_done}/{run.victims_total or '?'}{left}{state})"
