"""One stack: its poison, its victims, and what they predict."""

from __future__ import annotations

import numpy as np

from engine.attacks import poison as attacks
from engine.pipeline.discovery import MOVED_FEATURES, Discovery, Log, moved_pictures
from engine.rows import Poison, StackPlan, VictimResult, VictimSpec
from engine.scenario.sections import GradientSection, Scenario
from engine.training.dense import Control
from engine.training.recipe import Job, Training
from engine.victims.choose import family_of, victims_of
from engine.victims.family import Trial, how, job_of, one_thread_each, silent, training_of, workers


def poison_of(scenario: Scenario, discovery: Discovery, spec: VictimSpec) -> Poison:
    """The extra rows of one victim; none for a clean one."""
    if spec.subpopulation is None or spec.alpha is None:
        none = np.empty(0, np.int64)
        return Poison(none, none, none)
    return attacks.poison(
        scenario.attack,
        discovery.subpopulations[spec.subpopulation],
        discovery.dataset,
        discovery.membership,
        alpha=spec.alpha,
        trial=spec.trial,
        seed=scenario.seed,
        proba_aux=discovery.proba_aux_AC,
        arm=spec.arm,
        arrays=discovery.arrays,
    )


def training(scenario: Scenario, discovery: Discovery) -> Training:
    """The defender's rows and the pool. Where victims read moved points as rows of numbers, these stand in the pool after aux."""
    moved = discovery.arrays.get(MOVED_FEATURES)
    if moved is None and "moved.rows" in discovery.arrays and not family_of(scenario.model).MOVES_PIXELS:
        victims, pictures = (
            victims_of(scenario.model, discovery.dataset, scenario.seed),
            moved_pictures(scenario, discovery.dataset, discovery.arrays),
        )
        moved = victims.moved_rows(pictures, device="cpu", report=silent)
    return training_of(discovery.dataset, moved)


def job(scenario: Scenario, discovery: Discovery, poison: Poison) -> Job:
    """One victim's poison as its trainer takes it: points that were moved by their features, or by how far their pixels went."""
    if poison.moved is None:
        return job_of(poison)
    if not family_of(scenario.model).MOVES_PIXELS:
        return Job(len(discovery.dataset.aux) + poison.moved, poison.labels)
    assert isinstance(scenario.attack, GradientSection)
    unit = np.float32(scenario.attack.bound / 127)
    return Job(poison.rows, poison.labels, discovery.arrays["moved.delta"][poison.moved] * unit)


def train_stack(
    scenario: Scenario,
    discovery: Discovery,
    stack: StackPlan,
    device: str,
    control: Control | None = None,
    log: Log = lambda message: None,
) -> list[VictimResult]:
    """Train the victims of one stack and say what each predicts for every test row."""
    one_thread_each()
    on = how(scenario.compute, device)
    poisons = [poison_of(scenario, discovery, spec) for spec in stack.victims]
    trial = Trial(
        scenario.seed,
        stack.trial,
        on,
        control,
        workers(scenario, on.device),
        on_halved=lambda size: log(f"out of memory on {device}: going on with {size} victims at a time"),
    )
    found = victims_of(scenario.model, discovery.dataset, scenario.seed).outcomes(
        training(scenario, discovery), discovery.dataset.test.x, [job(scenario, discovery, p) for p in poisons], trial
    )
    return [
        VictimResult(spec, victim.predictions, len(poison), poison.already_target, victim.epochs, victim.train_loss)
        for spec, poison, victim in zip(stack.victims, poisons, found, strict=True)
    ]
