"""The annotations of the test rows that are worth keeping with a run: columns of few levels, numbers cut into as many as a person reads."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from engine.arrays import Annotations
from engine.rows import Dataset
from engine.scenario.sections import FeatureMatchSection, SubpopulationsSection
from engine.subpopulations.describing import levels
from engine.subpopulations.feature_match import annotate

MOST_LEVELS = 20  # of a column of texts, and of numbers that are left as they are
QUARTERS = (0.25, 0.5, 0.75)


def annotated(section: SubpopulationsSection, dataset: Dataset) -> Annotations:
    """In the order of the table's columns.

    A feature of FeatureMatch is cut as the scenario cuts it. Other numbers of more than MOST_LEVELS values are cut at the quartiles of aux.
    A column with one level or with too many tells nothing of groups and is left out.
    """
    features, bins = (section.features, section.bins) if isinstance(section, FeatureMatchSection) else ((), {})
    names: dict[str, tuple[str, ...]] = {}
    codes: dict[str, np.ndarray] = {}
    aux, test = dataset.aux.frame, dataset.test.frame
    for column in map(str, test.columns):
        both = pd.concat([aux[column], test[column]], ignore_index=True)
        coded = _coded(column, both, bins, always=column in features)
        if coded is None:
            continue
        code, level_names = coded
        code = code[len(aux) :]
        used = np.unique(code)
        if len(used) < 2 and column not in features:
            continue
        place = np.full(len(level_names), -1, dtype=np.int32)
        place[used] = np.arange(len(used), dtype=np.int32)
        names[column], codes[column] = tuple(level_names[i] for i in used), place[code]
    return Annotations(names, codes)


def _coded(
    name: str, column: pd.Series, bins: Mapping[str, tuple[float, ...]], *, always: bool
) -> tuple[np.ndarray, tuple[str, ...]] | None:
    if name in bins:
        return annotate(name, column, bins[name])
    values = levels.numbers(column)
    distinct = pd.unique(levels.plain(column)[~levels.is_missing(column)])
    if always or len(distinct) <= MOST_LEVELS:
        return annotate(name, column, None)
    if values is None:
        return None
    finite = values[np.isfinite(values)]
    edges = np.unique(np.quantile(finite, QUARTERS))
    if levels.integral(finite):
        edges = np.unique(np.ceil(edges))
    edges = edges[edges > finite.min()]
    return annotate(name, column, tuple(float(edge) for edge in edges)) if len(edges) else None
