"""What sets a cluster apart, in words: "education-num 13+, Married-civ-spouse, hours-per-week 40–50", "mostly digit 3 (82 %), ink 0.35+".

A description is a short list of conditions on the raw columns. Each is the one that, among the rows that meet the conditions before it,
tells the cluster's rows best from the others: the largest divergence (nats) between the share of cluster rows that meet it and the share of
the rest. A column that one already said settles (education, after education-num) is not said.

Of pictures the classes come first ("mostly cat (62 %), dog"): what a cluster of pictures shows is the first thing that a reader asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from engine.rows import Dataset, Rows
from engine.seeds import generator
from engine.subpopulations.describing import levels, twins

FEWEST, MOST = 2, 4  # conditions
WORTH = 0.15  # nats: a condition beyond the fewest that adds less is not said
HARDLY = 0.03  # nats: nor is any that adds less than this
SUPPORT = 0.6  # least share of the cluster's rows that a condition must hold for
NEARLY_ALL = 0.95  # from this share on "mostly" is left out
REST_PRIOR, CLUSTER_PRIOR = 10.0, 2.0  # rows; see `_condition`
CLUSTER_ROWS, OTHER_ROWS = 1_000, 10_000  # at most so many of each are looked at, the first of one random order
IDENTIFIERS = frozenset({"file", "filename", "file name", "path", "image", "picture", "id"})  # columns that name a row, whatever they hold
SHOWN_CLASSES, CLASS_WORTH, CLASSES_SAY = 3, 0.1, 0.8  # classes named at most; the least share; enough are named from this share on
DIGITS = (4, 5, 6, 8, 10)  # significant ones of numbers, tried one after the other where fewer leave two descriptions equal
MAX_COLUMNS = 60  # of a wider table, those whose means differ most between clusters


@dataclass(frozen=True)
class Trait:
    """One raw column, ready to be asked about.

    Numbers: `values` float64 [rows], NaN missing, and the `ends` of the whole column. Levels: `codes` int64 [rows] into `names`.
    """

    name: str
    names: tuple[str, ...] = ()
    codes: np.ndarray | None = None
    values: np.ndarray | None = None
    ends: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Crowd:
    """Row numbers: the cluster's, those of the others that meet the conditions so far, and all others."""

    ours: np.ndarray
    rest: np.ndarray
    others: np.ndarray


@dataclass(frozen=True)
class Condition:
    """A statement about a row, and which of the rest it holds for: bool [rows of the rest]."""

    words: str
    holds: np.ndarray
    nats: float


def describe(dataset: Dataset, of_aux: np.ndarray, clusters: int) -> tuple[str, ...]:
    """One description for each cluster; of_aux int [aux rows] is each row's cluster.

    Of pictures `Rows.y` is the first column, whether or not the frame has one of the class. No two are equal: equal ones are made longer,
    and what that leaves equal is numbered.
    """
    traits = traits_of(dataset.aux, of_aux)
    pictures = dataset.aux.images is not None
    if pictures:
        traits = [Trait("class", names=dataset.classes, codes=dataset.aux.y.astype(np.int64)), *traits]
    twice = levels.ambiguous(trait.names for trait in traits)
    settled = twins.memory([(trait.codes, False) if trait.codes is not None else (np.asarray(trait.values), True) for trait in traits])
    order = generator(0, "describe").permutation(len(of_aux))

    def words(cluster: int, fewest: int, most: int, digits: int = 3) -> str:
        inside = of_aux[order] == cluster
        others = order[~inside][:OTHER_ROWS]
        crowd = Crowd(order[inside][:CLUSTER_ROWS], others, others)
        return in_words(traits, twice, settled, crowd, fewest, most, classes_first=pictures, digits=digits)

    descriptions = [words(cluster, FEWEST, MOST) for cluster in range(clusters)]
    for digits in DIGITS:  # 1234.3 and 1234.4 read alike until more digits are written
        closer = {
            cluster: words(cluster, FEWEST, MOST, digits) for cluster in range(clusters) if descriptions.count(descriptions[cluster]) > 1
        }
        closer_texts = list(closer.values())
        descriptions = [
            closer[cluster] if closer_texts.count(closer.get(cluster, "")) == 1 else text for cluster, text in enumerate(descriptions)
        ]
    for more in (MOST, MOST + 1, MOST + 2):
        longer = {cluster: words(cluster, more, more) for cluster in range(clusters) if descriptions.count(descriptions[cluster]) > 1}
        descriptions = [longer.get(cluster, text) for cluster, text in enumerate(descriptions)]
    return numbered(descriptions)


def numbered(texts: list[str]) -> tuple[str, ...]:
    """Equal descriptions told apart by "(1)", "(2)", ... in the order of their indices."""
    count = Counter(texts)
    taken = {text for text, n in count.items() if n == 1}
    unique, of = [], Counter[str]()
    for text in texts:
        name = text
        while count[text] > 1 and (name == text or name in taken):
            of[text] += 1
            name = f"{text} ({of[text]})"
        taken.add(name)
        unique.append(name)
    return tuple(unique)


def in_words(
    traits: list[Trait],
    twice: frozenset[str],
    settled: Callable[[int, int], bool],
    crowd: Crowd,
    fewest: int,
    most: int,
    classes_first: bool = False,
    digits: int = 3,
) -> str:
    """The conditions that tell the cluster from the rest, strongest first. classes_first: the first trait is the class, said before them.
    digits: of numbers that are not whole.

    The cluster keeps all its rows from one condition to the next: each describes all of it, not the rows that those before it left.
    """
    conditions: list[str] = []
    left = list(range(len(traits)))
    if classes_first:
        assert traits[0].codes is not None
        words, named = class_mix(traits[0], crowd.ours)
        conditions.append(words)
        left = [other for other in left[1:] if not settled(0, other)]
        crowd = Crowd(crowd.ours, crowd.rest[np.isin(traits[0].codes[crowd.rest], named)], crowd.others)
    while left and len(conditions) < most:
        candidates = [(best, place) for place in left if (best := strongest(traits[place], twice, crowd, digits)) is not None]
        if not candidates:
            break
        best, place = max(candidates, key=lambda pair: pair[0].nats)
        if best.nats < (WORTH if len(conditions) >= fewest else HARDLY):
            break
        conditions.append(best.words)
        left = [other for other in left if other != place and not settled(place, other)]
        crowd = Crowd(crowd.ours, crowd.rest[best.holds], crowd.others)
    return ", ".join(conditions) if conditions else "much like the whole"


def class_mix(classes: Trait, ours: np.ndarray) -> tuple[str, list[int]]:
    """The classes of the rows `ours`, the commonest first, in words ("mostly cat (62 %), dog"), and which are named."""
    assert classes.codes is not None
    counts = np.bincount(classes.codes[ours], minlength=len(classes.names))
    shares = counts / max(1, counts.sum())
    order = [int(code) for code in np.argsort(-shares, kind="stable")]
    named = order[:1]
    for code in order[1:SHOWN_CLASSES]:
        if shares[named].sum() >= CLASSES_SAY or shares[code] < CLASS_WORTH:
            break
        named.append(code)
    names = [levels.phrase(classes.name, classes.names[code]) for code in named]
    first = float(shares[named[0]])
    if first < NEARLY_ALL:
        names[0] = f"{'mostly ' if first >= SUPPORT else ''}{names[0]} ({100 * first:.0f} %)"
    return ", ".join(names), named


def strongest(trait: Trait, twice: frozenset[str], crowd: Crowd, digits: int = 3) -> Condition | None:
    """The condition on one column that diverges most; None where none holds for enough of the cluster and for less of the rest."""
    conditions = _ranges(trait, crowd, digits) if trait.values is not None else _levels(trait, twice, crowd)
    return max(conditions, key=lambda condition: condition.nats, default=None)


def _levels(trait: Trait, twice: frozenset[str], crowd: Crowd) -> list[Condition]:
    """The commonest level, or the two commonest where one alone is not the rule."""
    assert trait.codes is not None
    ours = trait.codes[crowd.ours]
    common = np.argsort(-np.bincount(ours, minlength=len(trait.names)), kind="stable")
    for count in range(1, min(3, len(trait.names))):
        chosen = np.isin(np.arange(len(trait.names)), common[:count])  # bool [levels]
        share = float(chosen[ours].mean())
        if share >= SUPPORT:
            names = [trait.names[code] for code in sorted(common[:count])]
            bare = all(levels.says_itself(name, twice) for name in names)
            words = " or ".join(names) if bare else f"{trait.name} {' or '.join(names)}"
            return _condition(
                words if share >= NEARLY_ALL else f"mostly {words} ({100 * share:.0f} %)", trait.codes, crowd, chosen.__getitem__
            )
    return []


def _ranges(trait: Trait, crowd: Crowd, digits: int) -> list[Condition]:
    """Ranges that hold nine tenths of the cluster's rows, or all of them."""
    assert trait.values is not None
    ours = trait.values[crowd.ours]
    present = ours[~np.isnan(ours)]
    if len(present) < SUPPORT * len(ours):
        return _condition(f"{trait.name} {levels.MISSING}", trait.values, crowd, np.isnan)
    least, greatest = trait.ends
    conditions = []
    for low_share, high_share in ((0.0, 0.9), (0.1, 1.0), (0.05, 0.95), (0.0, 1.0)):
        low = float(np.quantile(present, low_share, method="lower"))
        high = float(np.quantile(present, high_share, method="higher"))
        if low == least and high == greatest:
            continue
        open_below, open_above = low == least and low < high, high == greatest and low < high
        words = f"{trait.name} {levels.span(None if open_below else low, None if open_above else high, digits)}"
        conditions += _condition(words, trait.values, crowd, partial(_within, low, high))
    return conditions


def _within(low: float, high: float, values: np.ndarray) -> np.ndarray:
    return (values >= low) & (values <= high)


def _condition(words: str, column: np.ndarray, crowd: Crowd, holds: Callable[[np.ndarray], np.ndarray]) -> list[Condition]:
    """The condition that a row's cell (of column [rows]) meets where `holds` of it.

    Empty where that is no news: too few of the cluster, or no rarer elsewhere.
    Where the conditions so far leave few of the rest, all others stand in for them with the weight of REST_PRIOR rows; and a cluster of
    few rows is drawn towards the rest by CLUSTER_PRIOR rows, so that what three rows happen to share is not called a trait.
    """
    ours, rest, others = (holds(column[rows]) for rows in (crowd.ours, crowd.rest, crowd.others))
    elsewhere = (rest.sum() + REST_PRIOR * (others.sum() + 0.5) / (len(others) + 1)) / (len(rest) + REST_PRIOR)
    inside = (ours.sum() + CLUSTER_PRIOR * elsewhere) / (len(ours) + CLUSTER_PRIOR)
    if ours.mean() < SUPPORT or inside <= elsewhere or elsewhere >= 1:
        return []
    nats = inside * np.log(inside / elsewhere) + (1 - inside) * np.log((1 - inside) / (1 - elsewhere))
    return [Condition(words, rest, float(nats))]


def traits_of(rows: Rows, of_row: np.ndarray) -> list[Trait]:
    """The raw columns worth asking about: neither constant nor identifiers."""
    names = [name for name in rows.frame.columns if str(name).lower() not in IDENTIFIERS]
    traits = [trait for name in names if (trait := _trait(str(name), rows.frame[name])) is not None]
    if len(traits) <= MAX_COLUMNS:
        return traits
    spread = [_between(trait, of_row) for trait in traits]
    keep = sorted(np.argsort(-np.array(spread), kind="stable")[:MAX_COLUMNS])
    return [traits[place] for place in keep]


def _trait(name: str, column: pd.Series) -> Trait | None:
    values = levels.numbers(column)
    if values is not None:
        distinct = np.unique(values[~np.isnan(values)])
        return Trait(name, values=values, ends=(float(distinct[0]), float(distinct[-1]))) if len(distinct) > 1 else None
    names, codes = np.unique(levels.text(column).astype(str), return_inverse=True)
    identifier = len(names) > 0.9 * len(column) > 9
    return None if len(names) < 2 or identifier else Trait(name, names=tuple(map(str, names)), codes=codes.reshape(-1))


def _between(trait: Trait, of_row: np.ndarray) -> float:
    """The share of a column's variance that lies between clusters; for levels, that of their codes."""
    raw = trait.codes if trait.values is None else trait.values
    assert raw is not None
    present = ~np.isnan(raw)
    values = raw[present].astype(np.float64)
    return twins.between(values - values.mean(), of_row[present])
