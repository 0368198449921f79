"""The poison points that a run's victims may draw, each once: they depend neither on the trial nor on alpha."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.attacks import label_flip
from engine.attacks.draw import draw
from engine.rates import count
from engine.rows import Dataset, Membership, Subpopulation
from engine.scenario.sections import AttackSection


@dataclass(frozen=True)
class Points:
    """Sorted by subpopulation, then by row. rows: int64 [points] into aux; subpopulation: int32; labels: int64, the poison labels."""

    rows: np.ndarray
    subpopulation: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


def size_of(attack: AttackSection, subpopulation: Subpopulation) -> int:
    """The rows that alpha is a multiple of."""
    return subpopulation.train_rows if attack.per == "train" else subpopulation.aux_rows


def drawn(
    attack: AttackSection,
    subpopulations: Sequence[Subpopulation],
    dataset: Dataset,
    membership: Membership,
    *,
    seed: int,
    trials: Sequence[int],
    proba_aux: np.ndarray | None,
) -> Points:
    """What the attacked subpopulations draw in any of the trials at the largest alpha; a smaller alpha's points are among them."""
    parts = []
    for s in subpopulations:
        if not s.attacked:
            continue
        members, points = np.flatnonzero(membership.aux == s.index), count(max(attack.alphas), size_of(attack, s))
        draws = [draw(members, points, seed=seed, trial=trial, subpopulation=s.index) for trial in trials]
        parts.append((s, np.unique(np.concatenate(draws))))
    parts.sort(key=lambda part: part[0].index)
    return Points(
        rows=np.concatenate([np.empty(0, np.int64), *(rows for _, rows in parts)]),
        subpopulation=np.concatenate([np.empty(0, np.int32), *(np.full(len(rows), s.index, np.int32) for s, rows in parts)]),
        labels=np.concatenate([np.empty(0, np.int64), *(label_flip.labels(s, dataset, rows, proba_aux) for s, rows in parts)]),
    )
