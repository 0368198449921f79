"""The poison of one victim, whatever the attack, and what the adversary works out before there is any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import numpy as np

from engine.arrays import Prepared
from engine.attacks import label_flip
from engine.attacks.model import AdversaryModel, Check, Progress
from engine.attacks.points import size_of
from engine.milestones import Milestones
from engine.rates import count
from engine.rows import Arm, Dataset, Membership, Poison, Subpopulation
from engine.scenario.modules import module
from engine.scenario.sections import AttackSection


class Prepare(Protocol):
    """What an attack works out once, before the plan, to be stored and given to `poison`; None where it needs nothing.

    proba_aux: float [aux rows, classes], the adversary's model; only "flip" among more than two classes needs it. milestones: where what
    is done is put away. RequestError for what this dataset or model cannot be asked.
    """

    def __call__(
        self,
        attack: AttackSection,
        subpopulations: Sequence[Subpopulation],
        dataset: Dataset,
        membership: Membership,
        adversary: AdversaryModel,
        *,
        seed: int,
        trials: Sequence[int],
        proba_aux: np.ndarray | None,
        progress: Progress,
        check: Check,
        milestones: Milestones,
    ) -> Prepared | None: ...


class Choose(Protocol):
    """Which rows of aux a victim's points copy, int64 [points], and which prepared point each is, int64 [points] or None."""

    def __call__(
        self, subpopulation: Subpopulation, members: np.ndarray, points: int, prepared: Prepared | None, *, seed: int, trial: int
    ) -> tuple[np.ndarray, np.ndarray | None]: ...


class Attack(Protocol):
    """What the module of an attack's kind has."""

    prepare: Prepare
    choose: Choose


def attack_of(section: AttackSection) -> Attack:
    """The module of the section's kind, opened when asked for."""
    return cast(Attack, module("attacks", section.kind))


def poison(
    attack: AttackSection,
    subpopulation: Subpopulation,
    dataset: Dataset,
    membership: Membership,
    *,
    alpha: float,
    trial: int,
    seed: int,
    proba_aux: np.ndarray | None,
    arm: Arm,
    prepared: Prepared | None = None,
) -> Poison:
    """The extra training rows of one victim: floor(alpha × size) copies of the subpopulation's aux rows, relabelled.

    The points of a smaller alpha are the first of a larger one's; they depend on nothing but the seed, the trial, this subpopulation
    and what the attack prepared. By arm:
        poisoned     the attack's points
        label_flip   what label flipping would do: as many, drawn with replacement, pixels as they are
        true_label   the poisoned arm's very points, moved as they are there, with their true labels
        clean        none
    proba_aux: float [aux rows, classes], the adversary's model; only "flip" among more than two classes needs it.
    """
    choose = label_flip.choose if arm == "label_flip" else attack_of(attack).choose
    true = dataset.aux.y
    points = 0 if arm == "clean" else count(alpha, size_of(attack, subpopulation))
    members = np.flatnonzero(membership.aux == subpopulation.index)
    rows, moved = choose(subpopulation, members, points, prepared, seed=seed, trial=trial) if points else (members[:0], None)
    labels = true[rows] if arm == "true_label" else label_flip.labels(subpopulation, dataset, rows, proba_aux)
    return Poison(rows, labels.astype(np.int64), true[rows].astype(np.int64), moved)
