"""Subpopulations: who belongs to which, what each is, and which are attacked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.rows import Dataset, Membership, Rows
from engine.scenario import SubpopulationsSection
from engine.subpopulations import cluster_match, feature_match
from engine.subpopulations.adversary import adversary_rows, adversary_view
from engine.subpopulations.summary import summarise
from engine.subpopulations.target_label import check_target

MATCHERS = {"cluster_match": cluster_match, "feature_match": feature_match}


def assign(
    section: SubpopulationsSection, dataset: Dataset, represent: Callable[[Rows], np.ndarray] | None, seed: int
) -> tuple[Membership, tuple[str, ...]]:
    """The subpopulation of every row of every split, and one description for each index.

    represent: rows -> float [rows, ...], the adversary's hidden representation, for `layer = "hidden"`; None: the input.
    Only aux decides what the subpopulations are. RequestError, in words, for what this dataset cannot serve.
    """
    return MATCHERS[section.kind].assign(section, dataset, represent, seed)


__all__ = ["MATCHERS", "adversary_rows", "adversary_view", "assign", "check_target", "summarise"]
