"""Label flipping (paper, section 4.4): copies of the subpopulation's own rows with a wrong label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.arrays import Prepared
from engine.attacks.draw import draw
from engine.attacks.model import AdversaryModel, Check, Progress
from engine.milestones import Milestones
from engine.rows import Dataset, Membership, Subpopulation
from engine.scenario.sections import AttackSection


def prepare(
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
) -> None:
    """Label flipping needs no preparation."""


def choose(
    subpopulation: Subpopulation, members: np.ndarray, points: int, prepared: Prepared | None, *, seed: int, trial: int
) -> tuple[np.ndarray, None]:
    """Rows of aux drawn from the members with replacement, int64 [points]; none is moved."""
    return draw(members, points, seed=seed, trial=trial, subpopulation=subpopulation.index), None


def labels(subpopulation: Subpopulation, dataset: Dataset, rows: np.ndarray, proba_aux: np.ndarray | None) -> np.ndarray:
    """int64 [points]: the label each poison point is given, whatever the attack; rows int64 [points] into aux.

    With a target label all points get it, also those that bear it already (counted by `Poison.already_target`: they are no poison).
    Without ("flip") each gets a label of its own that is not its true one: of two classes the other one; of more, the class that
    the adversary's model finds least likely for that row (ties to the lowest class index).
    """
    true = dataset.aux.y[rows]
    if subpopulation.target_label is not None:
        return np.full(len(rows), dataset.classes.index(subpopulation.target_label), dtype=np.int64)
    if len(dataset.classes) == 2:
        return (1 - true).astype(np.int64)
    if proba_aux is None:
        raise ValueError("flipping among more than two classes needs the adversary's outputs on aux")
    outputs = proba_aux[rows].astype(np.float64)
    outputs[np.arange(len(rows)), true] = np.inf
    return outputs.argmin(axis=1).astype(np.int64)
