"""The poison of one victim, whatever the attack, and what the adversary works out before there is any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType, ModuleType

import numpy as np

from engine.attacks import gradient, label_flip
from engine.attacks.adversary import Adversary, Control, Progress
from engine.attacks.points import size_of
from engine.rates import count
from engine.rows import Arm, Dataset, Membership, Poison, Subpopulation
from engine.scenario.modules import module
from engine.scenario.sections import AttackSection, GradientSection

NOTHING: Mapping[str, np.ndarray] = MappingProxyType({})


def prepare(
    attack: AttackSection,
    subpopulations: Sequence[Subpopulation],
    dataset: Dataset,
    membership: Membership,
    adversary: Adversary,
    *,
    seed: int,
    trials: Sequence[int],
    proba_aux: np.ndarray | None = None,
    progress: Progress = lambda what, share: None,
    control: Control | None = None,
) -> dict[str, np.ndarray]:
    """What the adversary works out once, before the plan: arrays by name, to be stored and given to `poison`; none for label flipping.

    See `gradient.prepare` and `influence.prepare` for the arrays. Raises RequestError for what this dataset or model cannot be asked.
    """
    arrays: dict[str, np.ndarray] = _module(attack).prepare(
        attack,
        subpopulations,
        dataset,
        membership,
        adversary,
        seed=seed,
        trials=trials,
        proba_aux=proba_aux,
        progress=progress,
        control=control,
    )
    return arrays


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
    arrays: Mapping[str, np.ndarray] = NOTHING,
) -> Poison:
    """The extra training rows of one victim: floor(alpha × size) copies of the subpopulation's aux rows, relabelled.

    The points of a smaller alpha are the first of a larger one's; they depend on nothing but the seed, the trial, this subpopulation
    and what `prepare` found. By arm:
        poisoned     the attack's points
        label_flip   what label flipping would do: as many, drawn with replacement, pixels as they are
        true_label   the poisoned arm's very points, moved as they are there, with their true labels
        clean        none
    proba_aux: float [aux rows, classes], the adversary's model; only "flip" among more than two classes needs it.
    """
    kind = label_flip if arm == "label_flip" else _module(attack)
    true = dataset.aux.y
    points = 0 if arm == "clean" else count(alpha, size_of(attack, subpopulation))
    members = np.flatnonzero(membership.aux == subpopulation.index)
    rows, moved = kind.choose(subpopulation, members, points, arrays, seed=seed, trial=trial) if points else (members[:0], None)
    labels = true[rows] if arm == "true_label" else label_flip.labels(subpopulation, dataset, rows, proba_aux)
    return Poison(rows, labels.astype(np.int64), true[rows].astype(np.int64), moved)


def delta(attack: AttackSection, arrays: Mapping[str, np.ndarray], poison: Poison) -> np.ndarray | None:
    """How far the pixels (0 to 1) of a victim's points were moved: float32 [points, height, width, 3]; None where none was."""
    if poison.moved is None or not isinstance(attack, GradientSection):
        return None
    return gradient.delta_of(attack, arrays, poison.moved)


def _module(attack: AttackSection) -> ModuleType:
    return module("attacks", attack.kind)


__all__ = ["Adversary", "Control", "Progress", "delta", "poison", "prepare"]
