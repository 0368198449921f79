"""The order of things, and the only file that knows it: split -> represent -> subpopulations -> poison -> stacks -> victims."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from engine import datasets, rates, subpopulations
from engine.attacks import poison as attacks
from engine.evaluation.annotations import Annotations
from engine.features import pictures as features
from engine.features import texts
from engine.models import build as models
from engine.models.bert.bert import LAST_LAYER_DEVIATION
from engine.pipeline.adversary import Adversary
from engine.rows import Arm, Dataset, Membership, Poison, StackPlan, Subpopulation, VictimResult, VictimSpec
from engine.scenario import available
from engine.scenario.identity import changed_keys
from engine.scenario.sections import ModelSection, Scenario
from engine.training.dense import Control
from engine.training.encoders.stack import bytes_a_victim
from engine.training.recipe import Job, Training
from engine.training.sizing import STEPS_TIMED, free_bytes, measured_size, timed
from engine.victims.family import TextHead, Whole, fit, how, job_of, model_of, one_thread_each, outcomes, training_of, workers

Log = Callable[[str], None]
Progress = Callable[[str, float], None]  # (what is being done, share done)


PROBABILITIES, DISTANCES = "proba_aux_AC", "distance_A"
MOVED_FEATURES = "moved.features"
STACK_S = 60.0  # a stack of networks takes about so long: what a crash may lose
FEW_STEPS = 3  # of a network, timed to work that out


@dataclass(frozen=True)
class Discovery:
    """What is known before any victim is trained. dataset: as the victims' model reads it (see `features.seen_by`).

    arrays, all that a resumed run must have again to the bit, by name:
    proba_aux_AC     float32 [aux rows, classes], the adversary's model on aux, cross-fitted: poison rules may ask it
    distance_A       float32 [aux rows], to the centre of its own cluster; ClusterMatch only
    groups, group.*  the test rows' annotations, of which tables of groups are made
    moved.*          the optimised points (see `attacks.prepare`); moved.features float32 [points, width], as a frozen network reads them
    """

    dataset: Dataset
    membership: Membership
    subpopulations: tuple[Subpopulation, ...]
    arrays: Mapping[str, np.ndarray]

    @property
    def proba_aux_AC(self) -> np.ndarray:
        return self.arrays[PROBABILITIES]


def deviations(scenario: Scenario, dataset: Dataset) -> tuple[str, ...]:
    """What makes this run not the paper's; shown on every screen and in every export."""
    found = list(dataset.deviations)
    section = scenario.model
    if dataset.states is not None:  # of frozen layers, which are not run anew
        found.insert(0, LAST_LAYER_DEVIATION)
    if scenario.reproduces and section.kind not in ("mlp", "logistic", "conv") and section.weights not in ("imagenet", "hub"):
        theirs = "bert-base-uncased" if section.kind == "bert" else "ImageNet's weights"
        ours = "random weights" if section.weights == "random" else f"weights of your own ({Path(section.weights).name})"
        found.insert(0, f"{ours}: the paper starts from {theirs}")
    if changed := changed_keys(scenario):
        found.insert(0, f"not as published: {', '.join(changed)}")
    if scenario.smoked:
        found.insert(0, "smoke: a sliver of the scenario, for testing the way, not for its numbers")
    return tuple(found)


# ---- split, represent, discover -------------------------------------------------------------------------------------


def rows(scenario: Scenario, data_dir: Path, *, log: Log, progress: Progress) -> Dataset:
    """The scenario's rows as the adversary and the defender hold them."""
    dataset = datasets.load(scenario.dataset, scenario.seed, data_dir, progress)
    dataset = subpopulations.adversary_view(dataset, scenario.adversary, scenario.seed)
    for note in (*dataset.notes, *dataset.deviations):
        log(note)
    return dataset


def load(scenario: Scenario, data_dir: Path, *, device: str = "cpu", log: Log, progress: Progress) -> Dataset:
    """The same as the victims' model reads them, which may cost frozen features."""
    dataset = rows(scenario, data_dir, log=log, progress=progress)
    return seen_by(scenario.model, dataset, scenario.seed, data_dir, device=device, progress=progress)


def seen_by(section: ModelSection, dataset: Dataset, seed: int, data_dir: Path, *, device: str, progress: Progress) -> Dataset:
    """The dataset as a model reads it. Weights that it starts from count among the data: a resumed run must have the same."""
    if dataset.train.texts is not None:
        seen = texts.seen_by(section, dataset, seed, device=device, report=progress, data_dir=data_dir)
        return replace(seen, checksums={**seen.checksums, **texts.source_of(section).checksums()})
    seen = features.seen_by(section, dataset, seed, device=device, report=progress)
    return replace(seen, checksums={**seen.checksums, **models.weights_checksum(section)}) if dataset.train.images is not None else seen


def discover(
    scenario: Scenario,
    data_dir: Path,
    *,
    device: str = "cpu",
    log: Log,
    progress: Progress,
    control: Control | None = None,
    with_poison: bool = True,
) -> Discovery:
    """Load the data, train the adversary's model on aux, form the subpopulations, choose the targets and work on their poison.

    with_poison: the last of these too, which may take longest; a look at the subpopulations does without.
    """
    one_thread_each()
    available.require(scenario)  # before any work is done
    progress("loading data", 0.0)
    dataset = load(scenario, data_dir, device=device, log=log, progress=progress)
    known = subpopulations.known_classes(dataset.train.y, dataset.classes)
    subpopulations.check_target(scenario.attack.target_label, dataset.classes, known)
    section = scenario.adversary.model or scenario.model
    seen = dataset
    if section != scenario.model:
        seen = seen_by(section, dataset, scenario.seed, data_dir, device=device, progress=progress)
        log(f"the adversary's model is {section.kind}, from {section.weights} weights; the victims' is {scenario.model.kind}")
    layer = scenario.subpopulations.layer
    if layer == "input":  # before the adversary is trained, so that a wrong feature or too many clusters cost no training
        progress("forming subpopulations", 0.05)
        represent = None if dataset.train.images is None else features.flat_pixels
        formed = subpopulations.assign(scenario.subpopulations, dataset, represent, scenario.seed)
    adversary = Adversary(section, scenario, seen, torch.device(device), progress, control)
    if isinstance(adversary.model, Whole):
        for note in adversary.model.notes():
            log(note)
    proba_in_sample, proba_test = adversary.fitted(seen.aux.x), adversary.fitted(seen.test.x)
    proba_aux = adversary.cross_fitted(scenario.evaluation.confidence_folds)
    progress("forming subpopulations", 0.9)
    if layer != "input":
        formed = subpopulations.assign(scenario.subpopulations, seen, adversary.representation(layer), scenario.seed)
    membership, descriptions, distance_A = formed
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
    arrays = {PROBABILITIES: proba_aux} | ({} if distance_A is None else {DISTANCES: distance_A})
    progress("forming subpopulations", 1.0)
    if not with_poison:
        return Discovery(dataset, membership, summary, arrays)
    arrays |= Annotations(*subpopulations.annotated(scenario.subpopulations, dataset)).arrays()
    # whatever the victims read, the attack is the adversary's: it works on what its own model reads
    work = attacks.prepare(
        scenario.attack, summary, seen, membership, adversary, seed=scenario.seed, trials=scenario.evaluation.trial_numbers,
        proba_aux=proba_aux, progress=progress, control=lambda: control(0.0, 1.0) if control else None,
    )  # fmt: skip
    arrays |= work
    if "moved.rows" in work and scenario.model.tune == "last_layer":
        arrays[MOVED_FEATURES] = features.features_of(
            scenario.model, dataset, scenario.seed, moved_pictures(scenario, dataset, work), device=device, report=progress
        )
    return Discovery(dataset, membership, summary, arrays)


def moved_pictures(scenario: Scenario, dataset: Dataset, arrays: Mapping[str, np.ndarray]) -> features.Pictures:
    """The run's optimised points as pictures."""
    assert dataset.aux.images is not None
    return features.Pictures(dataset.aux.images, arrays["moved.rows"], arrays["moved.delta"], scenario.attack.bound / 127)


# ---- the plan -------------------------------------------------------------------------------------------------------


def victims_of_trial(scenario: Scenario, found: Sequence[Subpopulation], trial: int, first: int) -> list[VictimSpec]:
    """The trial's victims, the clean one first, numbered from `first`; those with the most poison next, so that padding is short."""
    controls: tuple[Arm, ...] = ("true_label", "label_flip")
    arms: list[Arm] = ["poisoned", *(arm for arm in controls if arm in scenario.evaluation.controls)]
    per_train = scenario.attack.per == "train"
    targets = [
        (rates.count(alpha, s.train_rows if per_train else s.aux_rows), arm, s.index, alpha)
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
    for at, trial in enumerate(scenario.evaluation.trial_numbers):
        specs = victims_of_trial(scenario, discovery.subpopulations, trial, at * per_trial)
        for lo in range(0, len(specs), size):
            stacks.append(StackPlan(len(stacks), trial, tuple(specs[lo : lo + size])))
    return tuple(stacks)


def _best_size(scenario: Scenario, discovery: Discovery, device: torch.device, most: int) -> int:
    """Time a few steps on the scenario's own rows: at doubling sizes where victims gain by company."""
    specs = victims_of_trial(scenario, discovery.subpopulations, scenario.evaluation.first_trial, 0)
    model, data = model_of(scenario.model, discovery.dataset), _training(scenario, discovery)
    seed, on = scenario.seed, how(scenario.compute, str(device))
    data = data.to(device, on.dtype)

    def seconds(victims: int, steps: int = STEPS_TIMED) -> float:
        # of these alone: moved points are pictures of floats, gigabytes for all victims of a trial
        some = specs[:: max(1, len(specs) // victims)][:victims]
        few = [_job(scenario, discovery, poison_of(scenario, discovery, spec)) for spec in some]
        return timed(lambda: fit(model, scenario.model, data, few, seed, 0, on, None, max_steps=steps), device)

    side_by_side = workers(scenario, device)
    if isinstance(model, TextHead):
        init = model.init(torch.Generator(), torch.float32)
        each = bytes_a_victim(model.layer, init, scenario.model.batch, torch.float32) * side_by_side
        sizes = (4, 8, 16, 32, 64, 128)
        parts = measured_size(lambda v: seconds(v, FEW_STEPS), each, free_bytes(device), -(-most // side_by_side), sizes)
        return min(most, parts * side_by_side)
    if isinstance(model, Whole) and device.type == "cpu":  # there a victim gains nothing by company
        steps = -(-len(discovery.dataset.train) // scenario.model.batch) * scenario.model.epochs
        victim_s = seconds(1, FEW_STEPS) / FEW_STEPS * steps
        return min(most, side_by_side * max(1, round(STACK_S / victim_s)))
    if isinstance(model, Whole):
        numbers = sum(p.numel() for p in model.init(torch.Generator(), torch.float32))
        row = 2048 * model.image[0] * model.image[1] if isinstance(model, models.Network) else 64 * model.length * model.width * 12
        return min(most, measured_size(lambda v: seconds(v, FEW_STEPS), 16 * numbers + scenario.model.batch * row,
                                       free_bytes(device), most, (1, 2, 4, 8, 16, 32, 64)))  # fmt: skip
    widest = max(model.sizes[:-1])
    # parameters, gradient and two moments; then activations, deltas and logits of a step's rows and of a slice of the test rows
    per_victim = 4 * (4 * widest * sum(model.sizes[1:]) + 8 * scenario.model.batch * widest)
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
        arrays=discovery.arrays,
    )


def _reads_features(scenario: Scenario) -> bool:
    """Whether victims see a moved point as a row of numbers, beside aux in the pool, instead of moving its pixels as they go."""
    return scenario.model.tune == "last_layer" or scenario.model.kind in models.DENSE


def _training(scenario: Scenario, discovery: Discovery) -> Training:
    moved = discovery.arrays.get(MOVED_FEATURES)
    if moved is None and "moved.rows" in discovery.arrays and _reads_features(scenario):
        moved = features.flat_moved(moved_pictures(scenario, discovery.dataset, discovery.arrays))
    return training_of(discovery.dataset, moved)


def _job(scenario: Scenario, discovery: Discovery, poison: Poison) -> Job:
    """One victim's poison as its trainer takes it: points that were moved by their features, or by how far their pixels went."""
    if poison.moved is None:
        return job_of(poison)
    if _reads_features(scenario):
        return Job(len(discovery.dataset.aux) + poison.moved, poison.labels)
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
    found = outcomes(
        model_of(scenario.model, discovery.dataset),
        scenario.model,
        _training(scenario, discovery),
        discovery.dataset.test.x,
        [_job(scenario, discovery, p) for p in poisons],
        scenario.seed,
        stack.trial,
        on,
        control,
        workers=workers(scenario, on.device),
        on_halved=lambda size: log(f"out of memory on {device}: going on with {size} victims at a time"),
    )
    return [
        VictimResult(spec, victim.predictions, len(poison), poison.already_target, victim.epochs, victim.train_loss)
        for spec, poison, victim in zip(stack.victims, poisons, found, strict=True)
    ]
