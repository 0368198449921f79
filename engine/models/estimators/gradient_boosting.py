"""Gradient-boosted trees over binned columns (scikit-learn's HistGradientBoostingClassifier), what many people train on tables.

scikit-learn's own default is to stop early above 10,000 rows and not below, which a victim's poison could carry it across: so a scenario
says which, and the default is not to.
"""

from __future__ import annotations

from math import ceil

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from engine.scenario.sections import GradientBoostingSection


def estimator(section: GradientBoostingSection, random_state: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=section.max_iter,
        learning_rate=section.learning_rate,
        max_leaf_nodes=section.max_leaf_nodes,
        max_depth=section.max_depth,
        min_samples_leaf=section.min_samples_leaf,
        l2_regularization=section.l2_regularization,
        max_bins=section.max_bins,
        early_stopping=section.early_stopping,
        validation_fraction=section.validation_fraction,
        n_iter_no_change=section.n_iter_no_change,
        random_state=random_state,
    )


def can_fit(section: GradientBoostingSection, rows_C: np.ndarray) -> bool:
    """rows_C: of each class that there is. Rows that are held back are drawn class by class: each needs one on either side."""
    if not section.early_stopping:
        return True
    held_back = ceil(section.validation_fraction * rows_C.sum())
    return bool(rows_C.min() >= 2 and min(held_back, rows_C.sum() - held_back) >= len(rows_C))


def passes(fitted: HistGradientBoostingClassifier) -> int:
    """Boosting rounds made."""
    rounds: int = fitted.n_iter_
    return rounds


def deviations(section: GradientBoostingSection) -> tuple[str, ...]:
    if not section.early_stopping:
        return ()
    return ("early stopping: one more row changes which rows are held back, so that arms of a trial are paired by their seed alone",)


def notes(section: GradientBoostingSection) -> tuple[str, ...]:
    if section.early_stopping:
        return ()
    return ("nothing is drawn while boosted trees are trained (up to 200,000 rows): trials differ by their poison alone",)
