"""Rows into train, aux and test: stratified, disjoint, and the same for the same seed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from engine.account.data import ColumnAccount, DataFacts
from engine.datasets.wording import counted
from engine.errors import BadData, RequestError
from engine.rows import Dataset, Rows
from engine.seeds import generator

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SPLITS = ("train", "aux", "test")
VALIDATION = "validation"
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("aux", "auxiliary"), "aux"),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation", "holdout"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "development"), VALIDATION),
}
AROUND = re.compile(r"(?<![a-z])(set|sets|data|dataset|images?|imgs?|pictures?|seg|split|folder|files?)(?![a-z])")


def split_named(word: str) -> str | None:
    """Which split a word names ("Train", "seg_train", "val", "test-set"): train, aux, test or VALIDATION; None for another word."""
    plain = AROUND.sub(" ", re.sub(r"[^a-z0-9]+", " ", word.lower()))
    plain = re.sub(r"^(train|training|test|testing|val|valid|validation|dev)set$", r"\1", plain.strip())
    return SPLIT_WORDS.get(plain)


def held_out(named: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Words and their splits, with validation settled: it is test where there is no other, and left out beside one. Notes on it."""
    validation = [word for word, split in named.items() if split == VALIDATION]
    if not validation:
        return named, []
    kept = {word: split for word, split in named.items() if split != VALIDATION}
    words = ", ".join(map(repr, validation))
    if "test" in kept.values():
        return kept, [f"{words}: left out, for there is a test set beside it"]
    return {**kept, **dict.fromkeys(validation, "test")}, [f"{words} read as the test set, for there is no other"]


def stratified_order(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Positions 0..rows-1 in a random order of which every stretch has nearly the class mix of the whole.

    y: int [rows]. Each class is shuffled and spread evenly over [0, 1); a cut anywhere is off by less than one row a class.
    """
    import numpy as np

    place = np.empty(len(y), np.float64)
    for label in np.unique(y):
        of_class = np.flatnonzero(y == label)
        rng.shuffle(of_class)
        place[of_class] = (np.arange(len(of_class)) + rng.random()) / len(of_class)
    return np.argsort(place, kind="stable")


def split_by_fraction(y: np.ndarray, fractions: Sequence[float], seed: int) -> tuple[np.ndarray, ...]:
    """Sorted positions of train, aux and test, stratified by y. Fractions that sum to less than one leave rows unused."""
    import numpy as np

    if sum(fractions) > 1 + 1e-9:
        shares = " + ".join(f"{f:g}" for f in fractions)
        raise RequestError(
            f"the shares add up to {sum(fractions):g}: {shares}", where="dataset.split", next="make them add up to 1 or less"
        )
    order = stratified_order(y, generator(seed, "split"))
    ends = [round(float(end) * len(y)) for end in np.cumsum([0.0, *fractions])]
    return tuple(np.sort(order[start:end]) for start, end in pairwise(ends))


def aux_of_train(train: np.ndarray, y: np.ndarray, fractions: Sequence[float], seed: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Train divided into train and aux by their fractions, stratified by y[train]: int [rows] each, and how, in words."""
    share = fractions[0] / (fractions[0] + fractions[1])
    kept, aux = (train[rows] for rows in split_by_fraction(y[train], (share, 1 - share), seed))
    return kept, aux, f"aux is {1 - share:.0%} of train, stratified"


def cap(positions: np.ndarray, y: np.ndarray, rows: int | None, seed: int, split: str) -> np.ndarray:
    """At most `rows` of `positions` (int [n]), stratified by y[positions], sorted. A smaller cap takes a subset of a larger one's rows."""
    import numpy as np

    if rows is None or len(positions) <= rows:
        return positions
    return np.sort(positions[stratified_order(y[positions], generator(seed, "cap", split))[:rows]])


def cap_all(
    splits: Sequence[np.ndarray], ys: Sequence[np.ndarray], rows: int | None, seed: int
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Cap train, aux and test, each with the y that its positions point into; says what was left out (a deviation)."""
    capped = [cap(p, y, rows, seed, split) for p, y, split in zip(splits, ys, SPLITS, strict=True)]
    subsets = [f"{len(c):,} of {len(p):,} {split} rows" for c, p, split in zip(capped, splits, SPLITS, strict=True) if len(c) < len(p)]
    return capped, ((f"a subset of the data: {', '.join(subsets)}",) if subsets else ())


def standardise(train: np.ndarray, others: Sequence[np.ndarray], columns: np.ndarray, on: np.ndarray | None = None) -> list[np.ndarray]:
    """Train, then the others, with `columns` (bool [features]) to mean 0 and deviation 1 on train, or on the rows `on`.

    Constant columns are only centred.
    """
    import numpy as np

    on = train if on is None else on
    mean = np.where(columns, on.mean(axis=0, dtype=np.float64), 0.0)
    deviation = np.where(columns, on.std(axis=0, dtype=np.float64), 1.0)
    scale = np.where(deviation > 0, deviation, 1.0)
    return [((x - mean) / scale).astype(np.float32) for x in (train, *others)]


def levels(values: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Cut a number column into equally filled levels, as words: [rows] of names. Edges are quantiles of all the rows given."""
    import numpy as np

    edges = np.quantile(values, np.linspace(0, 1, len(names) + 1)[1:-1])
    return np.array(list(names), dtype=object)[np.searchsorted(edges, values, side="right")]


def in_memory(
    *,
    kind: str,
    classes: Sequence[str],
    feature_names: Sequence[str],
    x: np.ndarray,
    y: np.ndarray,
    frame: pd.DataFrame,
    fractions: Sequence[float],
    rows: int | None,
    standard: bool,
    fitted_on: str,
    seed: int,
    notes: Sequence[str],
    columns: Sequence[ColumnAccount],
) -> Dataset:
    """A dataset from one array in memory, float32 [rows, features], split by fractions; ids are the rows' numbers in it."""
    import numpy as np

    splits = split_by_fraction(y, fractions, seed)
    splits_kept, deviations = cap_all(splits, [y, y, y], rows, seed)
    xs = [x[p].astype(np.float32) for p in splits_kept]
    if standard:
        xs = standardise(xs[0], xs[1:], np.ones(x.shape[1], bool), xs[SPLITS.index(fitted_on)])
        notes = [*notes, f"features standardised on {fitted_on}"]
    train, aux, test = (
        Rows(x_, y[p], p.astype(np.int64), frame.iloc[p].reset_index(drop=True)) for x_, p in zip(xs, splits_kept, strict=True)
    )
    facts = DataFacts(tuple(columns), len(x))
    made = Dataset(kind, tuple(classes), tuple(feature_names), train, aux, test, notes=tuple(notes), deviations=deviations, facts=facts)
    return checked(made)


def checked(dataset: Dataset, where: str = "") -> Dataset:
    """The dataset, once every promise of `Rows` and `Dataset` holds: aligned, finite, no empty split, no row in two splits."""
    import numpy as np

    for name in SPLITS:
        rows: Rows = getattr(dataset, name)
        if len(rows) == 0:
            raise BadData(f"no rows for {name}", where=where or dataset.kind, next="give it a larger share in dataset.split, or more data")
        if not len(rows.x) == len(rows.y) == len(rows.ids) == len(rows.frame):
            raise AssertionError(f"{dataset.kind} {name}: x, y, ids and frame are not row-aligned")
        if rows.images is not None and rows.x is rows.images:  # a network's input: pictures, and no features by name
            if rows.x.dtype != np.uint8 or rows.x.ndim != 4 or rows.x.shape[3] != 3 or dataset.feature_names:
                raise AssertionError(f"{dataset.kind} {name}: {rows.x.dtype} {rows.x.shape} are not pictures")
            continue
        if rows.x.shape[1] != len(dataset.feature_names):
            raise AssertionError(f"{dataset.kind} {name}: {rows.x.shape[1]} features, {len(dataset.feature_names)} names")
        if not np.isfinite(rows.x).all():
            raise AssertionError(f"{dataset.kind} {name}: features that are not finite")
    if len(np.unique(dataset.train.y)) < 2:
        raise BadData(
            f"train has rows of one class only ({dataset.classes[int(dataset.train.y[0])]!r})",
            where=where or dataset.kind,
            next="a model needs two classes to tell apart",
        )
    assert_disjoint({name: getattr(dataset, name).ids for name in SPLITS}, dataset.kind)
    return dataset


def assert_disjoint(ids: dict[str, np.ndarray], where: str) -> None:
    """Raise BadData where a row is in two splits, or twice in one. ids: split -> int64 [rows]."""
    import numpy as np

    together = np.concatenate(list(ids.values()))
    unique, count = np.unique(together, return_counts=True)
    if len(unique) == len(together):
        return
    twice = int(unique[count > 1][0])
    homes = [name for name, of_split in ids.items() for _ in range(int((of_split == twice).sum()))]
    raise BadData(f"used more than once: {counted(int((count > 1).sum()), 'row')} (row {twice}: {' and '.join(homes)})", where=where,
                  next="train, aux and test must be disjoint; this is a fault of the program, please report it")  # fmt: skip
