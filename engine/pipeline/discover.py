"""From a scenario to a discovery: split -> represent -> subpopulations -> their poison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from engine import datasets, subpopulations
from engine.account import words
from engine.arrays import DiscoveryArrays, Foretold, MovedPoints
from engine.attacks import poison as attacks
from engine.features.opened import Opened
from engine.features.pixels import flat_pixels
from engine.milestones import NOTHING_KEPT, Arrays, Milestones, of_texts, texts_of
from engine.pipeline.adversary import Adversary
from engine.pipeline.discovery import Discovery, Log, Progress
from engine.pipeline.train import moved_pictures
from engine.rows import Dataset, Membership
from engine.scenario.sections import ClusterMatchSection, PretrainedKeys, Scenario
from engine.scenario.train_rows import check_train_rows
from engine.training.trial import OnStep
from engine.victims.choose import family_of, see, victims_of
from engine.victims.family import one_thread_each


def rows(scenario: Scenario, data_dir: Path, *, log: Log, progress: Progress) -> Dataset:
    """The scenario's rows as the adversary and the defender hold them. RequestError where train has too few of them."""
    dataset = datasets.load(scenario.dataset, scenario.seed, data_dir, progress)
    check_train_rows(scenario, len(dataset.train))  # before features are computed, which may take long
    if scenario.adversary.rows < 1:
        dataset = datasets.recounted(subpopulations.adversary_view(dataset, scenario.adversary, scenario.seed))
    log(f"{words.TITLE}:")
    for line in words.lines(datasets.account_of(dataset)):
        log(str(line))
    return dataset


def load(scenario: Scenario, data_dir: Path, *, device: str = "cpu", log: Log, progress: Progress, opened: Opened | None = None) -> Dataset:
    """The same as the victims' model reads them, which may cost frozen features."""
    dataset = rows(scenario, data_dir, log=log, progress=progress)
    return see(scenario.model, dataset, scenario.seed, data_dir=data_dir, device=device, report=progress, opened=opened)


def discover(
    scenario: Scenario,
    data_dir: Path,
    *,
    device: str = "cpu",
    log: Log,
    progress: Progress,
    on_step: OnStep | None = None,
    with_poison: bool = True,
    opened: Opened | None = None,
    milestones: Milestones = NOTHING_KEPT,
) -> Discovery:
    """Load the data, train the adversary's model on aux, form the subpopulations, choose the targets and work on their poison; where the
    scenario asks for it, foretell damage before the choice.

    with_poison: the last of these too, which may take longest; a look at the subpopulations does without.
    milestones: where what is done of it is put away, so that a discovery that was stopped goes on from there.
    """
    one_thread_each()
    opened = opened or Opened()
    progress("loading data", 0.0)
    dataset = load(scenario, data_dir, device=device, log=log, progress=progress, opened=opened)
    known = subpopulations.known_classes(dataset.train.y, dataset.classes, scenario.attack.target_min_rows)
    if few := subpopulations.few_rows_note(dataset.train.y, dataset.classes, known):
        log(few)
    subpopulations.check_target(scenario.attack.target_label, dataset.classes, known)
    section = scenario.adversary.model or scenario.model
    seen = dataset
    if section != scenario.model:
        seen = see(section, dataset, scenario.seed, data_dir=data_dir, device=device, report=progress, opened=opened)
        weights = section.weights if isinstance(section, PretrainedKeys) else "random"
        log(f"the adversary's model is {section.kind}, from {weights} weights; the victims' is {scenario.model.kind}")
    milestones.begin(dataset, *([seen] if seen is not dataset else []))
    layer = scenario.subpopulations.layer if isinstance(scenario.subpopulations, ClusterMatchSection) else "input"
    adversary = None
    if family_of(section).ONE_CORE:  # nothing of it is opened, and its training has no use for more than a core a model
        adversary = Adversary(
            victims_of(section, seen, scenario.seed, opened, milestones), scenario, torch.device(device), progress, on_step
        )
    if layer == "input":  # before the adversary is trained, or beside it, so that a wrong feature or too many clusters cost no training
        progress("forming subpopulations", 0.0)
        represent = None if dataset.train.images is None else flat_pixels
        form = partial(subpopulations.assign, scenario.subpopulations, dataset, represent, scenario.seed)
        formed = _formed(milestones, form, adversary.beside if adversary else None)
    if adversary is None:
        adversary = Adversary(
            victims_of(section, seen, scenario.seed, opened, milestones), scenario, torch.device(device), progress, on_step
        )
    for note in adversary.victims.notes():
        log(note)
    proba_in_sample, proba_test = adversary.in_sample(), adversary.on_test()
    proba_aux = adversary.cross_fitted(scenario.evaluation.confidence_folds)
    progress("forming subpopulations", 0.0)
    if layer != "input":
        represented = partial(adversary.representation, layer)
        formed = _formed(milestones, lambda: subpopulations.assign(scenario.subpopulations, seen, represented(), scenario.seed))
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
    progress("forming subpopulations", 1.0)
    foretold: Foretold | None = None
    if scenario.predicts:
        from engine.pipeline import triage  # here: few runs foretell, and SciPy is slow to open

        foretold = triage.foretell(
            scenario, dataset, membership, summary, proba_aux,
            device=device, log=log, progress=progress, on_step=on_step, opened=opened, milestones=milestones,
        )  # fmt: skip
        summary = triage.selected(scenario, summary, foretold)
    if not with_poison:
        return Discovery(dataset, membership, summary, DiscoveryArrays(proba_aux, distance_A, foretold=foretold))
    annotations = subpopulations.annotated(scenario.subpopulations, dataset)
    # whatever the victims read, the attack is the adversary's: it works on what its own model reads
    prepared = attacks.attack_of(scenario.attack).prepare(
        scenario.attack, summary, seen, membership, adversary, seed=scenario.seed, trials=scenario.evaluation.trial_numbers,
        proba_aux=proba_aux, progress=progress, check=lambda: on_step(0.0, 1.0) if on_step else None, milestones=milestones,
    )  # fmt: skip
    victims = victims_of(scenario.model, dataset, scenario.seed, opened, milestones)
    if isinstance(prepared, MovedPoints) and victims.KEEPS_MOVED:
        features = victims.moved_rows(moved_pictures(scenario, dataset, prepared), device=device, report=progress)
        prepared = replace(prepared, features=features)
    return Discovery(dataset, membership, summary, DiscoveryArrays(proba_aux, distance_A, annotations, prepared, foretold))


Formed = tuple[Membership, tuple[str, ...], np.ndarray | None]  # as `subpopulations.assign` has it


def _formed(milestones: Milestones, form: Callable[[], Formed], beside: Callable[[Callable[[], Arrays]], Arrays] | None = None) -> Formed:
    """beside: what carries it out beside other work, where there is some."""

    def make() -> Arrays:
        membership, descriptions, distance_A = form()
        members = {"train": membership.train, "aux": membership.aux, "test": membership.test}
        return {**members, "descriptions": of_texts(descriptions), **({} if distance_A is None else {"distance": distance_A})}

    arrays = milestones.step("subpopulations", (lambda: beside(make)) if beside else make)
    membership = Membership(arrays["train"], arrays["aux"], arrays["test"])
    return membership, texts_of(arrays["descriptions"]), arrays.get("distance")
