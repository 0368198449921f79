"""Which victims train together, before any is trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from engine import rates
from engine.features.opened import Opened
from engine.milestones import NOTHING_KEPT, Arrays, Milestones
from engine.pipeline import defend
from engine.pipeline.discovery import Discovery, Log
from engine.pipeline.train import job_for, poison_of, training
from engine.rows import Arm, Cores, StackPlan, Subpopulation, VictimSpec
from engine.scenario.sections import Scenario
from engine.training.sizing import timed
from engine.training.trial import Trial
from engine.victims.choose import victims_of
from engine.victims.family import how, one_thread_each, workers


def victims_of_trial(scenario: Scenario, subpopulations: Sequence[Subpopulation], trial: int, first: int) -> list[VictimSpec]:
    """The trial's victims, the clean one first, numbered from `first`; those with the most poison next, so that padding is short."""
    controls: tuple[Arm, ...] = ("true_label", "label_flip")
    arms: list[Arm] = ["poisoned", *(arm for arm in controls if arm in scenario.evaluation.controls)]
    per_train = scenario.attack.per == "train"
    targets = [
        (rates.count(alpha, s.train_rows if per_train else s.aux_rows), arm, s.index, alpha)
        for s in subpopulations
        if s.attacked
        for alpha in scenario.attack.alphas
        for arm in arms
    ]
    targets.sort(key=lambda t: (-t[0], t[1], t[2], t[3]))
    clean = VictimSpec(first, trial, "clean")
    return [clean, *(VictimSpec(first + 1 + i, trial, arm, index, alpha) for i, (_, arm, index, alpha) in enumerate(targets))]


def plan(
    scenario: Scenario,
    discovery: Discovery,
    device: str,
    *,
    log: Log,
    opened: Opened | None = None,
    milestones: Milestones = NOTHING_KEPT,
    cores: Cores | None = None,
) -> tuple[StackPlan, ...]:
    """Which victims train together, for every trial, before any is trained.

    milestones: where the times of stacks are put away. cores: how a stack uses a CPU; None: all of them.
    """
    one_thread_each()
    per_trial = len(victims_of_trial(scenario, discovery.subpopulations, 0, 0))
    size = scenario.compute.victims_per_stack
    if size == "auto":
        parts = workers(scenario, torch.device(device), cores)
        size = _best_size(scenario, discovery, torch.device(device), per_trial, opened, milestones, parts)
        log(f"{size} victims a stack, by memory and measured speed on {device}, {parts} {'part' if parts == 1 else 'parts'} side by side")
    stacks: list[StackPlan] = []
    number = 0  # of the next victim
    for trial in scenario.evaluation.trial_numbers:
        specs = victims_of_trial(scenario, discovery.subpopulations, trial, number)
        number += per_trial
        for lo in range(0, len(specs), size):
            some = with_defences(specs[lo : lo + size], number) if scenario.defense.kind != "none" else specs[lo : lo + size]
            number += len(some) - len(specs[lo : lo + size])
            stacks.append(StackPlan(len(stacks), trial, tuple(some)))
    return tuple(stacks)


def with_defences(specs: Sequence[VictimSpec], first: int) -> list[VictimSpec]:
    """The same, and the defended victim of each whose rows a defence judges and its control, numbered from `first`: in one stack, for a
    defence looks at the fit of the one whose rows it judges.
    """
    judged = [spec for spec in specs if defend.is_judged(spec)]
    pairs = [defend.company(spec, first + 2 * at) for at, spec in enumerate(judged)]
    return [*specs, *(pair[0] for pair in pairs), *(pair[1] for pair in pairs)]


def _best_size(
    scenario: Scenario,
    discovery: Discovery,
    device: torch.device,
    most: int,
    opened: Opened | None,
    milestones: Milestones,
    parts: int,
) -> int:
    """As the family has it, which may have a few steps timed on the scenario's own rows."""
    specs = victims_of_trial(scenario, discovery.subpopulations, scenario.evaluation.first_trial, 0)
    victims, on = victims_of(scenario.model, discovery.dataset, scenario.seed, opened), how(scenario.compute, str(device))
    data = training(scenario, discovery, victims).to(device, on.dtype)

    milestones.begin(discovery.dataset)

    def seconds(count: int, steps: int) -> float:
        def measure() -> Arrays:
            return {"seconds": np.array([timed_afresh(count, steps)])}

        return float(milestones.step(f"time of {count} victims, {steps} steps", measure)["seconds"][0])

    def timed_afresh(count: int, steps: int) -> float:
        # of these alone: moved points are pictures of floats, gigabytes for all victims of a trial
        some = specs[:: max(1, len(specs) // count)][:count]
        few = [job_for(scenario, discovery, victims, poison_of(scenario, discovery, spec)) for spec in some]
        return timed(lambda: victims.fit(data, few, Trial(scenario.seed, 0, on, max_steps=steps)), device)

    return victims.stack_size(seconds, most, on, parts)
