"""From a scenario to a discovery: split -> represent -> subpopulations -> their poison."""

from __future__ import annotations

from pathlib import Path

import torch

from engine import datasets, subpopulations
from engine.account import words
from engine.attacks import poison as attacks
from engine.evaluation.annotations import Annotations
from engine.features.pixels import flat_pixels
from engine.pipeline.adversary import Adversary
from engine.pipeline.discovery import DISTANCES, MOVED_FEATURES, PROBABILITIES, Discovery, Log, Progress, moved_pictures
from engine.rows import Dataset
from engine.scenario.sections import ClusterMatchSection, PretrainedKeys, Scenario
from engine.training.dense import Control
from engine.victims.choose import see, victims_of
from engine.victims.family import one_thread_each


def rows(scenario: Scenario, data_dir: Path, *, log: Log, progress: Progress) -> Dataset:
    """The scenario's rows as the adversary and the defender hold them."""
    dataset = datasets.load(scenario.dataset, scenario.seed, data_dir, progress)
    if scenario.adversary.rows < 1:
        dataset = datasets.recounted(subpopulations.adversary_view(dataset, scenario.adversary, scenario.seed))
    log(f"{words.TITLE}:")
    for line in words.lines(datasets.account_of(dataset)):
        log(str(line))
    return dataset


def load(scenario: Scenario, data_dir: Path, *, device: str = "cpu", log: Log, progress: Progress) -> Dataset:
    """The same as the victims' model reads them, which may cost frozen features."""
    dataset = rows(scenario, data_dir, log=log, progress=progress)
    return see(scenario.model, dataset, scenario.seed, data_dir=data_dir, device=device, report=progress)


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
    progress("loading data", 0.0)
    dataset = load(scenario, data_dir, device=device, log=log, progress=progress)
    known = subpopulations.known_classes(dataset.train.y, dataset.classes, scenario.attack.target_min_rows)
    if few := subpopulations.few_rows_note(dataset.train.y, dataset.classes, known):
        log(few)
    subpopulations.check_target(scenario.attack.target_label, dataset.classes, known)
    section = scenario.adversary.model or scenario.model
    seen = dataset
    if section != scenario.model:
        seen = see(section, dataset, scenario.seed, data_dir=data_dir, device=device, report=progress)
        weights = section.weights if isinstance(section, PretrainedKeys) else "random"
        log(f"the adversary's model is {section.kind}, from {weights} weights; the victims' is {scenario.model.kind}")
    layer = scenario.subpopulations.layer if isinstance(scenario.subpopulations, ClusterMatchSection) else "input"
    if layer == "input":  # before the adversary is trained, so that a wrong feature or too many clusters cost no training
        progress("forming subpopulations", 0.05)
        represent = None if dataset.train.images is None else flat_pixels
        formed = subpopulations.assign(scenario.subpopulations, dataset, represent, scenario.seed)
    adversary = Adversary(section, scenario, seen, torch.device(device), progress, control)
    for note in adversary.victims.notes():
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
    victims = victims_of(scenario.model, dataset, scenario.seed)
    if "moved.rows" in work and victims.KEEPS_MOVED:
        arrays[MOVED_FEATURES] = victims.moved_rows(moved_pictures(scenario, dataset, work), device=device, report=progress)
    return Discovery(dataset, membership, summary, arrays)
