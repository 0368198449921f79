"""FeatureMatch (paper, section 4.2): a subpopulation is the rows that share the annotated features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from engine.errors import RequestError, UnknownName
from engine.rows import NO_SUBPOPULATION, Dataset, Membership, Rows
from engine.scenario.sections import FeatureMatchSection
from engine.subpopulations.describing import levels
from engine.subpopulations.describing.describe import numbered

WHERE = "subpopulations.features"
MAX_LEVELS = 100  # of a numeric column that is not cut: more is a measurement, not an annotation
MAX_TUPLES = 10_000


def assign(
    section: FeatureMatchSection, dataset: Dataset, represent: Callable[[Rows], np.ndarray] | None, seed: int
) -> tuple[Membership, tuple[str, ...], None]:
    """Index the annotation tuples seen in aux, in the order of their levels (numbers ascending, missing last).

    A train or test row whose tuple aux does not have belongs to no subpopulation: the adversary has never seen it.
    `represent` and `seed` are not used: annotations need no model and no chance.
    """
    splits = (dataset.train, dataset.aux, dataset.test)
    check(section.features, section.bins, dataset.aux.frame)
    columns = {name: pd.concat([split.frame[name] for split in splits], ignore_index=True) for name in section.features}
    coded = {name: annotate(name, column, section.bins.get(name)) for name, column in columns.items()}

    codes = np.stack([code for code, _ in coded.values()], axis=1)  # [rows of all splits, features]
    tuples, of_row = np.unique(codes, axis=0, return_inverse=True)
    of_row = of_row.reshape(-1)
    ends = np.cumsum([len(split) for split in splits])
    train, aux, test = np.split(of_row, ends[:-1])

    seen = np.unique(aux)
    if len(seen) > MAX_TUPLES:
        raise RequestError(
            f"{' × '.join(section.features)} gives {len(seen):,} different tuples over {len(aux):,} auxiliary rows",
            where=WHERE,
            next=f"name fewer features, or cut the numeric ones with [subpopulations.bins] (at most {MAX_TUPLES:,} tuples)",
        )
    index = np.full(len(tuples), NO_SUBPOPULATION, dtype=np.int32)
    index[seen] = np.arange(len(seen), dtype=np.int32)

    twice = levels.ambiguous(names for _, names in coded.values())
    descriptions = [
        ", ".join(levels.phrase(name, names[code], twice) for code, (name, (_, names)) in zip(row, coded.items(), strict=True))
        for row in tuples[seen]
    ]
    return Membership(index[train], index[aux], index[test]), numbered(descriptions), None


def check(features: Sequence[str], bins: Mapping[str, Sequence[float]], frame: pd.DataFrame) -> None:
    """Refuse, in words, features and bins that this table cannot serve."""
    known = [str(name) for name in frame.columns]
    if not features:
        raise RequestError("feature_match needs at least one feature", where=WHERE, next=f"this dataset has {', '.join(known[:20])}")
    for name in features:
        if name not in known:
            raise UnknownName("annotation column", name, known, next=f"(in {WHERE})")
        if features.count(name) > 1:
            raise RequestError(f"{name!r} is named twice", where=WHERE, next="name each feature once")
    for name, edges in bins.items():
        if name not in features:
            raise RequestError(
                f"{name!r} is cut but is not a feature", where="subpopulations.bins", next=f"add it to {WHERE} or drop its bins"
            )
        if not edges or list(edges) != sorted(set(edges)):
            raise RequestError(
                f"the edges of {name!r} do not ascend: {list(edges)}",
                where="subpopulations.bins",
                next="list each edge once, smallest first",
            )


def annotate(name: str, column: pd.Series, edges: Sequence[float] | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """int64 [rows] codes into the level names, which are in reading order with MISSING last.

    edges: a row belongs to the range whose lower edge it has reached: [30, 45) reads "30–44" where all values are whole.
    """
    gone = levels.is_missing(column)
    if edges is not None:
        values = levels.numbers(column, parse=True)
        if values is None:
            odd = next(value for value in levels.text(column)[~gone] if not _reads_as_number(value))
            raise RequestError(
                f"{name!r} holds {odd!r}, which is not a number",
                where="subpopulations.bins",
                next=f"drop the bins of {name!r}: its levels are used as they are",
            )
        names = ranges(edges, whole=levels.integral(values) and levels.integral(np.asarray(edges, dtype=np.float64)))
        codes = np.searchsorted(np.asarray(edges, dtype=np.float64), np.where(gone, -np.inf, values), side="right")
        return np.where(gone, len(names), codes), (*names, levels.MISSING)

    values = levels.numbers(column)
    if values is None:
        read = levels.text(column)
        names = tuple(levels.in_order(set(read[~gone])))
        place = {level: code for code, level in enumerate((*names, levels.MISSING))}
        return np.array([place[level] for level in read], dtype=np.int64), (*names, levels.MISSING)

    distinct = np.unique(values[~gone])
    if len(distinct) > MAX_LEVELS:
        thirds = ", ".join(f"{edge:.4g}" for edge in np.unique(np.quantile(values[~gone], [1 / 3, 2 / 3])))
        raise RequestError(
            f"{name!r} is numeric and has {len(distinct):,} different values",
            where=WHERE,
            next=f"cut it: [subpopulations.bins] {name} = [{thirds}]",
        )
    codes = np.searchsorted(distinct, np.where(gone, np.inf, values))
    return np.where(gone, len(distinct), codes), (*levels.numbers_apart(distinct.tolist()), levels.MISSING)


def ranges(edges: Sequence[float], *, whole: bool) -> tuple[str, ...]:
    """The names of the len(edges) + 1 ranges: "under 30", "30–44", "45–59", "60+" for whole numbers, "0.2 to under 0.4" for others."""
    if whole:
        between = [levels.span(low, high - 1) for low, high in pairwise(edges)]
        return (f"under {levels.number(edges[0])}", *between, levels.span(edges[-1], None))
    shown = levels.numbers_apart(edges)
    return (f"under {shown[0]}", *(f"{low} to under {high}" for low, high in pairwise(shown)), f"{shown[-1]}+")


def _reads_as_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
