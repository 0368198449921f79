"""Which columns subpopulations are matched on in a draft: few levels, enough rows in each, people and places before anything else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from engine.datasets.tables.columns import Numbers, Words
from engine.drafting.cuts import round_cuts

if TYPE_CHECKING:
    import numpy as np

# Names of what describes whom or what a row is about. Word by word, signs taken for blanks.
WHO = re.compile(
    r"\b(age|age group|age band|sex|gender|race|ethnicity|ethnic group|nationality|religion|country|native country|region|district|state"
    r"|province|county|city|town|area|borough|zone|location|site|hospital|clinic|ward|school|branch|store|education|education level|degree"
    r"|occupation|job|job title|profession|employment|workclass|marital|marital status|marriage|family status|home ownership|housing"
    r"|language|dialect|generation|citizenship|addr state|embarked|pclass|purpose|department|segment|customer type|channel|product|plan"
    r"|device|platform|source|topic|genre|category)\b"
)
BANDED = re.compile(
    r"\b(age|years? old|income|annual inc|salary|tenure|seniority|experience|hours per week|bmi|weight|height|balance|amount|price|fare)\b"
)
FIRST = re.compile(r"\b(age|sex|gender|race|ethnicity)\b")  # what is asked first of a population
MOST_LEVELS, MOST_NUMBERS = 16, 8  # of a column of words, and of whole numbers that are levels as they are
MOST_FEATURES, MOST_CELLS = 3, 80
LEAST_CELLS = 4  # subpopulations; of fewer, clusters say more
COVERED = (0.7, 0.7, 0.85)  # share of the rows that must be in subpopulations of enough rows, by one, two, three features
LARGEST = 0.95  # share of the commonest level
MOST_MISSING = 0.4
ROWS_OF_CLUSTER, LEAST_OF_CLUSTER = 60, 15  # auxiliary rows of a cluster, on average, and where there are few
CLUSTERS = (6, 100)


@dataclass(frozen=True)
class Matching:
    """features: empty where nothing is good to match on; bins: cuts of those that are numbers; cells: subpopulations of enough rows."""

    features: tuple[str, ...] = ()
    bins: dict[str, tuple[float, ...]] = field(default_factory=dict)
    cells: int = 0


@dataclass(frozen=True)
class Ground:
    """A column that rows could be matched on. codes: int64 [rows], its level or band; points: how good it is to match on; about: what its
    name says that it describes, "" where it says nothing."""

    name: str
    codes: np.ndarray
    cuts: tuple[float, ...]
    points: int
    about: str


def least_rows(aux_rows: float) -> int:
    """The fewest auxiliary rows of a subpopulation that a draft attacks: half as many are in test, of which it takes 8 to say anything."""
    return 10 if aux_rows < 300 else 20 if aux_rows < 10_000 else 30


def clusters_for(aux_rows: float) -> int:
    """A number of clusters with a few dozen rows each, in round numbers."""
    few = max(2, min(CLUSTERS[0], aux_rows // LEAST_OF_CLUSTER))
    wanted = max(few, min(CLUSTERS[1], aux_rows / ROWS_OF_CLUSTER))
    return int(wanted) if wanted < 10 else int(wanted // 5 * 5) if wanted < 50 else int(wanted // 10 * 10)


def matching(columns: Sequence[Numbers | Words], rows: np.ndarray, share: float, least: int) -> Matching:
    """Up to three columns, greedily: the best, then others as long as most rows stay in subpopulations of enough rows.

    rows: int [n], those that can be used; share: of them that are auxiliary; least: auxiliary rows that a subpopulation must have.
    """
    import numpy as np

    grounds = sorted(filter(None, (_ground(column, rows) for column in columns)), key=lambda each: (-each.points, each.name))
    chosen: list[Ground] = []
    codes, cells = np.zeros(len(rows), np.int64), 1
    for each in grounds:
        if len(chosen) == MOST_FEATURES or (chosen and each.points < 0):
            break
        if each.about and each.about in (other.about for other in chosen):  # "age" beside "age_cat"
            continue
        both = np.unique(codes * (int(each.codes.max()) + 1) + each.codes, return_inverse=True)[1].reshape(-1)
        sizes = np.bincount(both) * share
        enough = sizes >= least
        if cells < enough.sum() <= MOST_CELLS and sizes[enough].sum() >= COVERED[len(chosen)] * sizes.sum():
            chosen.append(each)
            codes, cells = both, int(enough.sum())
    if cells < LEAST_CELLS:
        return Matching()
    return Matching(tuple(each.name for each in chosen), {each.name: each.cuts for each in chosen if each.cuts}, cells)


def _ground(column: Numbers | Words, rows: np.ndarray) -> Ground | None:
    """The column as something to match on, or None."""
    import numpy as np

    gone = column.missing[rows]
    if gone.mean() > MOST_MISSING:
        return None
    words = " ".join(re.sub(r"([a-z])([A-Z])", r"\1 \2", column.name).lower().replace("_", " ").replace("-", " ").replace(".", " ").split())
    match = WHO.search(words)
    about, named = match[0].partition(" ")[0] if match else "", match is not None
    cuts: tuple[float, ...] = ()
    if isinstance(column, Words):
        if column.dates:
            return None
        codes, levels = column.codes[rows].astype(np.int64) + 1, len(column.levels)
        if not 2 <= levels <= MOST_LEVELS:
            return None
    else:
        present = column.values[rows][~gone]
        distinct = np.unique(present)
        if 2 <= len(distinct) <= MOST_NUMBERS and not (distinct % 1).any():
            codes = np.where(gone, 0, np.searchsorted(distinct, column.values[rows]) + 1)
        elif BANDED.search(words):
            cuts = round_cuts(column.values[rows])
            if not cuts:
                return None
            codes = np.where(gone, 0, np.searchsorted(np.array(cuts), column.values[rows], side="right") + 1)
        else:
            return None
    share = np.bincount(codes) / len(codes)
    if share.max() > LARGEST:
        return None
    points = 40 * named + 20 * bool(FIRST.search(words)) + 15 * isinstance(column, Words)
    points += 15 if share.max() < 0.7 else 0
    return Ground(column.name, codes, tuple(cuts), points - 30 * (not named), about)


def bands(cuts: Sequence[float]) -> str:
    """Cuts in words: "under 30, 30–45, 45–60, 60 and over"."""
    inner = [f"{low:g}–{high:g}" for low, high in pairwise(cuts)]
    return ", ".join([f"under {cuts[0]:g}", *inner, f"{cuts[-1]:g} and over"])
