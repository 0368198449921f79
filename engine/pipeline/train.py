"""One stack: its poison, its victims, and what they predict."""

from __future__ import annotations

import numpy as np

from engine.arrays import MovedPoints
from engine.attacks import gradient
from engine.attacks import poison as attacks
from engine.features.opened import Opened
from engine.features.pixels import Pictures
from engine.pipeline import defend
from engine.pipeline.discovery import Discovery, Log, StackJob
from engine.rows import Dataset, Poison, VictimResult, VictimSpec
from engine.scenario.sections import GradientSection, Scenario
from engine.system import threads
from engine.training.recipe import Job, Training
from engine.training.room import Room
from engine.training.trial import OnStep, Trial
from engine.victims.choose import AnyFamily, victims_of
from engine.victims.family import how, job_of, one_thread_each, silent, training_of, workers


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
        proba_aux=discovery.arrays.proba_aux_AC,
        arm=spec.arm,
        prepared=discovery.arrays.prepared,
    )


def moved_pictures(scenario: Scenario, dataset: Dataset, points: MovedPoints) -> Pictures:
    """The run's optimised points as pictures."""
    assert dataset.aux.images is not None
    assert points.delta is not None
    assert isinstance(scenario.attack, GradientSection)
    return Pictures(dataset.aux.images, points.rows, points.delta, scenario.attack.bound / gradient.LEVELS)


def training(scenario: Scenario, discovery: Discovery, victims: AnyFamily) -> Training:
    """The defender's rows and the pool. Where victims read moved points as rows of numbers, these stand in the pool after aux."""
    points = discovery.arrays.moved
    features = None if points is None else points.features
    if points is not None and features is None and not victims.MOVES_PIXELS:
        features = victims.moved_rows(moved_pictures(scenario, discovery.dataset, points), device="cpu", report=silent)
    return training_of(discovery.dataset, features)


def job_for(scenario: Scenario, discovery: Discovery, victims: AnyFamily, poison: Poison) -> Job:
    """One victim's poison as its trainer takes it: points that were moved by their features, or by how far their pixels went."""
    points = discovery.arrays.moved
    if poison.moved is None or points is None:
        return job_of(poison)
    if not victims.MOVES_PIXELS:
        return Job(len(discovery.dataset.aux) + poison.moved, poison.labels)
    assert isinstance(scenario.attack, GradientSection)
    return Job(poison.rows, poison.labels, gradient.delta_of(scenario.attack, points, poison.moved))


def train_stack(
    job: StackJob,
    on_step: OnStep | None = None,
    log: Log = lambda message: None,
    opened: Opened | None = None,
    room: Room | None = None,
) -> list[VictimResult]:
    """Train the victims of one stack and say what each predicts for every test row. room: what is known of the device's memory."""
    one_thread_each()
    scenario, discovery, stack = job.scenario, job.discovery, job.stack
    on = how(scenario.compute, job.device)
    victims = victims_of(scenario.model, discovery.dataset, scenario.seed, opened)
    poisons = [poison_of(scenario, discovery, spec) for spec in stack.victims]
    trial = Trial(
        scenario.seed,
        stack.trial,
        on,
        on_step,
        workers(scenario, on.device, job.cores),
        on_halved=lambda victims: log(f"out of memory on {job.device}: {victims} victims at a time are too many, halves are trained"),
        say=log,
        room=room,
    )
    jobs = [job_for(scenario, discovery, victims, poison) for poison in poisons]
    with threads.counted(job.cores.threads if job.cores else None):
        data = training(scenario, discovery, victims)
        if scenario.defense.kind != "none":
            done = defend.trained(scenario, discovery, victims, data, stack.victims, jobs, trial)
        else:
            done = [defend.Defended(outcome) for outcome in victims.outcomes(data, discovery.dataset.test.x, jobs, trial)]
    return [
        VictimResult(
            spec, one.outcome.predictions, len(poison), poison.already_target, one.outcome.epochs, one.outcome.train_loss, one.judged
        )
        for spec, poison, one in zip(stack.victims, poisons, done, strict=True)
    ]
