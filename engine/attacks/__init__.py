"""Attacks: the poison of one victim."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from engine.attacks import label_flip
from engine.attacks.draw import count, draw
from engine.errors import RequestError
from engine.rows import Arm, Dataset, Membership, Poison, Subpopulation
from engine.scenario import AttackSection

ATTACKS = {"label_flip": label_flip}


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
) -> Poison:
    """The extra training rows of one victim: floor(alpha × size) of the subpopulation's aux rows, drawn with replacement, relabelled.

    The points of a smaller alpha are the first of a larger one's; they differ from trial to trial and depend on nothing but
    the seed, the trial and this subpopulation. arm "true_label" is the same rows with their true labels; "clean" is no rows.
    proba_aux: float [aux rows, classes], the adversary's model; only "flip" among more than two classes needs it.
    """
    kind = require(attack)
    true = dataset.aux.y
    size = subpopulation.train_rows if attack.per == "train" else subpopulation.aux_rows
    points = 0 if arm == "clean" else count(alpha, size)
    rows = draw(np.flatnonzero(membership.aux == subpopulation.index), points, seed=seed, trial=trial, subpopulation=subpopulation.index)
    labels = true[rows] if arm == "true_label" else kind.labels(subpopulation, dataset, rows, proba_aux)
    return Poison(rows, labels.astype(np.int64), true[rows].astype(np.int64))


def require(attack: AttackSection) -> ModuleType:
    """The attack's module, or a RequestError where this version does not have it."""
    if attack.kind not in ATTACKS:
        raise RequestError(
            f"the {attack.kind} attack is not available in this version", where="attack.kind", next=f"use {', '.join(ATTACKS)}"
        )
    return ATTACKS[attack.kind]


__all__ = ["ATTACKS", "count", "poison", "require"]
