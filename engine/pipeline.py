"""The order of things, and the only file that knows it: split -> represent -> subpopulations -> poison -> stacks -> victims."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from engine import attacks, datasets, subpopulations
from engine.adversary import Adversary
from engine.rows import Arm, Dataset, Membership, Poison, StackPlan, Subpopulation, VictimResult, VictimSpec
from engine.scenario import Scenario, changed_keys
from engine.training.sizing import STEPS_TIMED, free_bytes, measured_size, timed
from engine.training.stacked import Control
from engine.victims import dtype_of, fit_stack, job_of, model_of, one_thread_each, predict, training_of, workers

Log = Callable[[str], None]
Progress = Callable[[str, float], None]  # (what is being done, share done)


@dataclass(frozen=True)
class Discovery:
    """What is known before any victim is trained.

    proba_aux_AC   float32 [aux rows, classes], the adversary's model on aux, cross-fitted: poison rules may ask it
    """

    dataset: Dataset
    membership: Membership
    subpopulations: tuple[Subpopulation, ...]
    proba_aux_AC: np.ndarray


def deviations(scenario: Scenario, dataset: Dataset) -> tuple[str, ...]:
    """What makes this run not the paper's; shown on every screen and in every export."""
    found = list(dataset.deviations)
    if scenario.smoked:
        found.insert(0, "smoke: a sliver of the scenario, for testing the way, not for its numbers")
    elif changed := changed_keys(scenario):
        found.insert(0, f"not as published: {', '.join(changed)}")
    return tuple(found)


# ---- split, represent, discover -------------------------------------------------------------------------------------


def load(scenario: Scenario, data_dir: Path, *, log: Log, progress: Progress) -> Dataset:
    """The scenario's rows as the adversary and the defender hold them."""
    dataset = datasets.load(scenario.dataset, scenario.seed, data_dir, progress)
    dataset = subpopulations.adversary_view(dataset, scenario.adversary, scenario.seed)
    for note in (*dataset.notes, *dataset.deviations):
        log(note)
    return dataset


def discover(
    scenario: Scenario, data_dir: Path, *, device: str = "cpu", log: Log, progress: Progress, control: Control | None = None
) -> Discovery:
    """Load the data, train the adversary's model on aux, form the subpopulations and choose the targets."""
    one_thread_each()
    dtype_of(scenario.compute)  # refused before any work is done
    progress("loading data", 0.0)
    dataset = load(scenario, data_dir, log=log, progress=progress)
    subpopulations.check_target(scenario.attack.target_label, dataset.classes)
    hidden = scenario.subpopulations.layer == "hidden"
    if not hidden:  # before the adversary is trained, so that a wrong feature or too many clusters cost no training
        progress("forming subpopulations", 0.05)
        membership, descriptions, _ = subpopulations.assign(scenario.subpopulations, dataset, None, scenario.seed)
    section = scenario.adversary.model or scenario.model
    adversary = Adversary(section, scenario, dataset, torch.device(device), progress, control)
    proba_in_sample, proba_test = adversary.fitted(dataset.aux.x), adversary.fitted(dataset.test.x)
    proba_aux = adversary.cross_fitted(scenario.evaluation.confidence_folds)
    progress("forming subpopulations", 0.9)
    if hidden:
        membership, descriptions, _ = subpopulations.assign(scenario.subpopulations, dataset, adversary.representation, scenario.seed)
    summary = subpopulations.summarise(
        scenario.subpopulations,
        scenario.attack,
        scenario.evaluation,
        dataset,
        membership,
        descriptions,
        proba_aux,
        proba_in_sample,
        proba_test,
    )
    progress("forming subpopulations", 1.0)
    return Discovery(dataset, membership, summary, proba_aux)


# ---- the plan -------------------------------------------------------------------------------------------------------


def victims_of_trial(scenario: Scenario, found: Sequence[Subpopulation], trial: int, first: int) -> list[VictimSpec]:
    """The trial's victims, the clean one first, numbered from `first`; those with the most poison next, so that padding is short."""
    arms: list[Arm] = ["poisoned", "true_label"] if "true_label" in scenario.evaluation.controls else ["poisoned"]
    per_train = scenario.attack.per == "train"
    targets = [
        (attacks.count(alpha, s.train_rows if per_train else s.aux_rows), arm, s.index, alpha)
        for s in found
        if s.attacked
        for alpha in scenario.attack.alphas
        for arm in arms
    ]
    targets.sort(key=lambda t: (-t[0], t[1], t[2], t[3]))
    clean = VictimSpec(first, trial, "clean")
    return [clean, *(VictimSpec(first + 1 + i, trial, arm, index, alpha) for i, (_, arm, index, alpha) in enumerate(targets))]


def plan(scenario: Scenario, discovery: Discovery, device: str, *, log: Log) -> tuple[StackPlan, ...]:
    """Which victims train together, for every trial, before any is trained."""
    one_thread_each()
    per_trial = len(victims_of_trial(scenario, discovery.subpopulations, 0, 0))
    size = scenario.compute.victims_per_stack
    if size == "auto":
        size = _best_size(scenario, discovery, torch.device(device), per_trial)
        parts = workers(scenario, torch.device(device))
        log(f"{size} victims a stack, by memory and measured speed on {device}, {parts} {'part' if parts == 1 else 'parts'} side by side")
    stacks: list[StackPlan] = []
    for trial in range(scenario.evaluation.trials):
        specs = victims_of_trial(scenario, discovery.subpopulations, trial, trial * per_trial)
        for lo in range(0, len(specs), size):
            stacks.append(StackPlan(len(stacks), trial, tuple(specs[lo : lo + size])))
    return tuple(stacks)


def _best_size(scenario: Scenario, discovery: Discovery, device: torch.device, most: int) -> int:
    """Time a few steps at doubling sizes on the scenario's own rows."""
    specs = victims_of_trial(scenario, discovery.subpopulations, 0, 0)
    dtype = dtype_of(scenario.compute)
    model, data = model_of(scenario.model, discovery.dataset), training_of(discovery.dataset).to(device, dtype)
    jobs = [job_of(poison_of(scenario, discovery, spec)) for spec in specs]
    seed = scenario.seed

    def seconds(victims: int) -> float:
        few = jobs[:: max(1, len(jobs) // victims)][:victims]
        return timed(lambda: fit_stack(model, scenario.model, data, few, seed, 0, device, dtype, None, max_steps=STEPS_TIMED), device)

    widest = max(discovery.dataset.train.x.shape[1], sum(scenario.model.hidden), 1)
    # parameters, gradient and two moments; then activations, deltas and logits of a step's rows and of a slice of the test rows
    per_victim = 4 * (4 * widest * (sum(scenario.model.hidden) + len(discovery.dataset.classes)) + 8 * scenario.model.batch * widest)
    side_by_side = workers(scenario, device)
    parts = measured_size(seconds, per_victim * side_by_side, free_bytes(device), -(-most // side_by_side))
    return min(most, parts * side_by_side)


# ---- poison, stacks, victims ----------------------------------------------------------------------------------------


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
    )


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
    where, dtype = torch.device(device), dtype_of(scenario.compute)
    model = model_of(scenario.model, discovery.dataset)
    poisons = [poison_of(scenario, discovery, spec) for spec in stack.victims]
    trained = fit_stack(
        model,
        scenario.model,
        training_of(discovery.dataset).to(where, dtype),
        [job_of(p) for p in poisons],
        scenario.seed,
        stack.trial,
        where,
        dtype,
        control,
        workers=workers(scenario, where),
        on_halved=lambda size: log(f"out of memory on {device}: going on with {size} victims at a time"),
    )
    predictions = predict(model, [t.params for t in trained], discovery.dataset.test.x, where, dtype)
    return [
        VictimResult(spec, predicted, len(poison), poison.already_target, t.epochs, t.train_loss)
        for spec, poison, t, predicted in zip(stack.victims, poisons, trained, predictions, strict=True)
    ]
