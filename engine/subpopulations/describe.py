"""What sets a cluster apart, in words: "education-num 13+, Married-civ-spouse, hours-per-week 40–50", "mostly 3 (82 %), heavy ink".

A description is a short list of conditions on the raw columns. Each is the one that, among the rows that meet the conditions before it,
tells the cluster's rows best from the others: the largest divergence (nats) between the share of cluster rows that meet it and the share of
the rest. Taking the rest as what the earlier conditions leave makes a second column that says the same (education beside education-num)
worthless, so it is not said.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.rows import Dataset, Rows
from engine.seeds import generator
from engine.subpopulations import levels

TERMS = (2, 4)  # fewest and most conditions
WORTH = 0.05  # nats: a condition beyond the fewest that adds less is not said
SUPPORT = 0.6  # least share of the cluster's rows that a condition must hold for
NEARLY_ALL = 0.95  # from this share on "mostly" is left out
REST = 20_000  # at most so many other rows are looked at, drawn once
MAX_COLUMNS = 60  # of a wider table, the columns that vary most between clusters


@dataclass(frozen=True)
class Trait:
    """One raw column, ready to be asked about. Numbers: values float64 [rows], NaN missing. Levels: codes int64 [rows] into names."""

    name: str
    names: tuple[str, ...] = ()
    codes: np.ndarray | None = None
    values: np.ndarray | None = None


@dataclass(frozen=True)
class Condition:
    """A statement about a row, and which rows it holds for (bool [cluster rows], bool [other rows])."""

    words: str
    inside: np.ndarray
    rest: np.ndarray
    nats: float


def describe(dataset: Dataset, of_aux: np.ndarray, clusters: int) -> tuple[str, ...]:
    """One description for each cluster; of_aux int [aux rows]. No two are equal: what stays equal after five conditions is numbered."""
    traits = traits_of(dataset)
    twice = levels.ambiguous(trait.names for trait in traits)
    chance = generator(0, "describe", len(of_aux))
    sample = np.sort(chance.permutation(len(of_aux))[: REST + len(of_aux) // max(clusters, 1)])
    members = [np.flatnonzero(of_aux == cluster)[:REST] for cluster in range(clusters)]

    def words(cluster: int, fewest: int, most: int) -> str:
        rest = sample[of_aux[sample] != cluster]
        return in_words(traits, twice, members[cluster], rest, fewest, most)

    said = [words(cluster, *TERMS) for cluster in range(clusters)]
    for most in (TERMS[1] + 1, TERMS[1] + 2):
        same = [cluster for cluster in range(clusters) if said.count(said[cluster]) > 1]
        longer = {cluster: words(cluster, most, most) for cluster in same}
        said = [longer.get(cluster, text) for cluster, text in enumerate(said)]
    return numbered(said)


def numbered(said: list[str]) -> tuple[str, ...]:
    """Equal descriptions told apart by "(1)", "(2)", ... in the order of their indices."""
    return tuple(f"{text} ({said[: place + 1].count(text)})" if said.count(text) > 1 else text for place, text in enumerate(said))


def in_words(traits: list[Trait], twice: frozenset[str], members: np.ndarray, rest: np.ndarray, fewest: int, most: int) -> str:
    """The conditions that tell `members` from `rest` (row numbers), strongest first."""
    said: list[str] = []
    left = list(traits)
    inside = members
    while left and len(said) < most:
        found = [(best, trait) for trait in left if (best := strongest(trait, twice, inside, rest)) is not None]
        if not found:
            break
        best, trait = max(found, key=lambda pair: pair[0].nats)
        if len(said) >= fewest and best.nats < WORTH:
            break
        said.append(best.words)
        left.remove(trait)
        # The cluster keeps all its rows: a condition is about the cluster, not about what the conditions before it left of it.
        rest = rest[best.rest]
    return ", ".join(said) if said else "like the whole"


def strongest(trait: Trait, twice: frozenset[str], inside: np.ndarray, rest: np.ndarray) -> Condition | None:
    """The condition on one column that diverges most, or None where none holds for enough of the cluster and for less of the rest."""
    found = numeric(trait, inside, rest) if trait.values is not None else categorical(trait, twice, inside, rest)
    return max(found, key=lambda condition: condition.nats, default=None)


def categorical(trait: Trait, twice: frozenset[str], inside: np.ndarray, rest: np.ndarray) -> list[Condition]:
    """The commonest level, or the two commonest where one alone is not the rule."""
    assert trait.codes is not None
    ours, theirs = trait.codes[inside], trait.codes[rest]
    common = np.argsort(-np.bincount(ours, minlength=len(trait.names)), kind="stable")[:2]
    found = []
    for count in (1, 2):
        chosen = common[:count]
        share = float(np.isin(ours, chosen).mean())
        names = [trait.names[code] for code in chosen]
        if all(levels.says_itself(name, twice) for name in names):
            words = " or ".join(names)
        else:
            words = f"{trait.name} {' or '.join(names)}"
        mostly = words if share >= NEARLY_ALL else f"mostly {words} ({100 * share:.0f} %)"
        found += _condition(mostly, np.isin(ours, chosen), np.isin(theirs, chosen))
        if share >= SUPPORT:
            break
    return found


def numeric(trait: Trait, inside: np.ndarray, rest: np.ndarray) -> list[Condition]:
    """Ranges that hold nine tenths of the cluster's rows, open at an end that the whole table shares."""
    assert trait.values is not None
    ours, theirs = trait.values[inside], trait.values[rest]
    there = ours[~np.isnan(ours)]
    if len(there) == 0:
        return _condition(f"{trait.name} {levels.MISSING}", np.isnan(ours), np.isnan(theirs))
    found = []
    for low_share, high_share in ((0.0, 0.9), (0.1, 1.0), (0.05, 0.95), (0.0, 1.0)):
        low = float(np.quantile(there, low_share, method="lower")) if low_share or high_share == 1.0 else None
        high = float(np.quantile(there, high_share, method="higher")) if high_share < 1 or low_share == 0.0 else None
        least, greatest = np.nanmin(trait.values), np.nanmax(trait.values)
        low = None if low is not None and low <= least and (high is None or high > least) else low
        high = None if high is not None and high >= greatest and (low is None or low < greatest) else high
        if low is None and high is None:
            continue
        bottom, top = -np.inf if low is None else low, np.inf if high is None else high
        found += _condition(
            f"{trait.name} {levels.span(low, high)}", (ours >= bottom) & (ours <= top), (theirs >= bottom) & (theirs <= top)
        )
    return found


def _condition(words: str, inside: np.ndarray, rest: np.ndarray) -> list[Condition]:
    """Empty where the condition is no news: too few of the cluster, or no rarer in the rest."""
    ours = (inside.sum() + 0.5) / (len(inside) + 1)
    theirs = (rest.sum() + 0.5) / (len(rest) + 1)
    if inside.mean() < SUPPORT or ours <= theirs:
        return []
    nats = ours * np.log(ours / theirs) + (1 - ours) * np.log((1 - ours) / (1 - theirs))
    return [Condition(words, inside, rest, float(nats))]


def traits_of(dataset: Dataset) -> list[Trait]:
    """The raw columns of aux worth asking about: not constant, not an identifier."""
    traits = [trait for name in dataset.aux.frame.columns if (trait := _trait(dataset.aux, name)) is not None]
    if len(traits) > MAX_COLUMNS:
        traits = traits[:MAX_COLUMNS]
    return traits


def _trait(rows: Rows, name: str) -> Trait | None:
    column = rows.frame[name]
    values = levels.numbers(column)
    if values is not None:
        return Trait(str(name), values=values) if len(np.unique(values[~np.isnan(values)])) > 1 else None
    names, codes = np.unique(levels.text(column).astype(str), return_inverse=True)
    if len(names) < 2 or len(names) > max(50, len(rows) // 2):
        return None
    return Trait(str(name), names=tuple(map(str, names)), codes=codes.reshape(-1))
