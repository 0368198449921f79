"""Subpopulations: who belongs to which, what each is, and which are attacked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.rows import Dataset, Membership, Rows
from engine.scenario.modules import module
from engine.scenario.sections import SubpopulationsSection
from engine.subpopulations.annotated import annotated
from engine.subpopulations.share import adversary_rows, adversary_view
from engine.subpopulations.summary import reselected, summarise
from engine.subpopulations.target_label import check_target, few_rows_note, known_classes


def assign(
    section: SubpopulationsSection, dataset: Dataset, represent: Callable[[Rows], np.ndarray] | None, seed: int
) -> tuple[Membership, tuple[str, ...], np.ndarray | None]:
    """The subpopulation of every row of every split, one description for each index, and how typical each aux row is.

    represent: rows -> float [rows, ...], what the adversary's network makes of them, for any `layer` but "input"; None: the input.
    The third: float32 [aux rows], each one's Euclidean distance to its own cluster's centre where it was clustered; None for FeatureMatch.
    Only aux decides what the subpopulations are. RequestError, in words, for what this dataset cannot serve.
    """
    formed: tuple[Membership, tuple[str, ...], np.ndarray | None] = module("subpopulations", section.kind).assign(
        section, dataset, represent, seed
    )
    return formed


__all__ = [
    "adversary_rows",
    "adversary_view",
    "annotated",
    "assign",
    "check_target",
    "few_rows_note",
    "known_classes",
    "reselected",
    "summarise",
]
