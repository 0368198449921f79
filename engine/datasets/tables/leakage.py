"""Columns that alone settle the label, or nearly: often they are written down after the outcome, and no model may read them.

Two signs are looked for, each cheap and of one column at a time. One: how well the column alone tells the label on rows held out
(balanced accuracy of the majority class in its values or in ranges of them). The other: one value, or having any value, belongs
to one class almost without exception and covers much of that class. Nothing is left out for it: a person decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.datasets.tables.columns import Numbers, Words
from engine.datasets.wording import shortened

if TYPE_CHECKING:
    import numpy as np

SETTLES = 0.96  # balanced accuracy; the best columns of breast_cancer and of iris reach .91 and .95, and leak nothing
FOLDS = 5
MOST_ROWS = 50_000  # looked at; a sample of more says the same
LEAST_OF_CLASS = 10  # rows; smaller classes are not counted
MOST_BINS = 64  # of a column of numbers, and values that each get a bin of their own
MOST_CODES = 10  # different numbers that may stand for categories; of more, only zero is looked at for itself
MOST_LEVELS = 1_000
BETTER = 50.0  # a value belongs to a class where the odds against it are this many times smaller than they are without the value
COVERS = 0.5  # and it covers so much of the class
LEAST_OF_VALUE = 20  # rows
LEAST_OF_PURE = LEAST_OF_CLASS  # rows that will do where each is of the one class: a file of 500 rows may have 16 positives


@dataclass(frozen=True)
class Leak:
    """score: balanced accuracy of the column alone, held out; why: what gives it away, in words."""

    name: str
    score: float
    why: str

    @property
    def called(self) -> bool:
        """Whether the column is called a leak."""
        return self.score >= SETTLES or bool(self.why)


def leaks_of(columns: Sequence[Numbers | Words], y: np.ndarray, classes: Sequence[str], rows: np.ndarray) -> list[Leak]:
    """The columns that settle the label of the rows (int [n]), the surest first; y int [all rows]."""
    return sorted((leak for leak in scores_of(columns, y, classes, rows) if leak.called), key=lambda leak: (-leak.score, leak.name))


def scores_of(columns: Sequence[Numbers | Words], y: np.ndarray, classes: Sequence[str], rows: np.ndarray) -> Iterator[Leak]:
    """How well each column alone tells the label of the rows, one after the other; none where fewer than two classes have enough rows."""
    import numpy as np

    if len(rows) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(rows, MOST_ROWS, replace=False))
    y = y[rows]
    large = np.flatnonzero(np.bincount(y, minlength=len(classes)) >= LEAST_OF_CLASS)
    keep = np.isin(y, large)
    rows, y = rows[keep], np.searchsorted(large, y[keep])
    names = [classes[int(c)] for c in large]
    if len(names) < 2:
        return
    fold = _folds(y)
    for column in columns:
        bins, shown = _bins(column, rows)
        yield Leak(column.name, _score(bins, y, fold, len(names)), _given_away(bins, shown, y, names))


def leak_notes(leaks: Sequence[Leak]) -> list[str]:
    """One warning a column, with the key that leaves it out."""
    return [
        f"LABEL LEAKAGE? {leak.name!r} alone tells the label with balanced accuracy {leak.score:.2f} on held-out rows"
        f"{f' ({leak.why})' if leak.why else ''}: is it known only after the outcome? dataset.drop = [{leak.name!r}] leaves it out"
        for leak in leaks
    ]


def _folds(y: np.ndarray) -> np.ndarray:
    """A fold for each row, each class spread evenly over them, at random: int [rows]."""
    import numpy as np

    order = np.random.default_rng(0).permutation(len(y))
    order = order[np.argsort(y[order], kind="stable")]
    fold = np.empty(len(y), np.int64)
    fold[order] = np.arange(len(y)) % FOLDS
    return fold


def _bins(column: Numbers | Words, rows: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The bin of each row, int [rows], formed without the label; what each bin is called, "" for a range of numbers.

    Words: a bin a level, the rarest together. Numbers: a bin a value where there are few, else equally filled ranges, zero apart. The last
    bin is for missing.
    """
    import numpy as np

    if isinstance(column, Words):
        codes = column.codes[rows]
        count = np.bincount(codes[codes >= 0], minlength=len(column.levels))
        kept = np.sort(np.argsort(-count, kind="stable")[:MOST_LEVELS])
        place = np.full(len(column.levels) + 1, len(kept))
        place[kept] = np.arange(len(kept))
        place[-1] = len(kept) + 1
        return place[codes], [*(repr(shortened(column.levels[k])) for k in kept), "", "missing"]
    values = column.values[rows]
    present = values[~np.isnan(values)]
    distinct, rows_of = np.unique(present, return_counts=True)
    # Values of fewer rows than folds are in no other fold: where most are such, as amounts in a small file, ranges tell more.
    if len(distinct) <= MOST_BINS and (rows_of < FOLDS).sum() <= MOST_CODES:
        names = [f"{v:g}" if v == 0 or len(distinct) <= MOST_CODES else "" for v in distinct]
        return np.where(np.isnan(values), len(distinct), np.searchsorted(distinct, values)), [*names, "missing"]
    edges = np.unique(np.quantile(present, np.linspace(0, 1, max(2, min(MOST_BINS, len(present) // 10)))[1:-1]))
    bins = np.where(np.isnan(values), len(edges) + 2, np.searchsorted(edges, values, side="right"))
    return np.where(values == 0, len(edges) + 1, bins), [*[""] * (len(edges) + 1), "0", "missing"]


def _score(bins: np.ndarray, y: np.ndarray, fold: np.ndarray, classes: int) -> float:
    """Balanced accuracy, each row predicted by the rows of the other folds that are in its bin; an unseen bin by all of them."""
    import numpy as np

    size = int(bins.max()) + 1
    count = np.bincount((fold * size + bins) * classes + y, minlength=FOLDS * size * classes).reshape(FOLDS, size, classes)
    others = (count.sum(axis=0) - count).astype(np.float64)  # [folds, bins, classes]
    of_class = others.sum(axis=1, keepdims=True)
    rate = others / np.maximum(of_class, 1)  # each class counts alike
    guess = np.where(others.sum(axis=2) > 0, rate.argmax(axis=2), of_class[:, 0].argmax(axis=1)[:, None])
    right = np.take_along_axis(count, guess[:, :, None], axis=2)[:, :, 0]
    hits = np.bincount(guess.ravel(), weights=right.ravel(), minlength=classes)
    return float((hits / np.bincount(y, minlength=classes)).mean())


def _given_away(bins: np.ndarray, shown: Sequence[str], y: np.ndarray, names: Sequence[str]) -> str:
    """A value, or having one other than zero or missing, that gives a class away, in words; "" where there is none."""
    import numpy as np

    classes = len(names)
    count = np.bincount(bins * classes + y, minlength=len(shown) * classes).reshape(len(shown), classes)
    whole = count.sum(axis=0)
    groups = {f"where it is {name}": count[i] for i, name in enumerate(shown) if name}
    for i, name in enumerate(shown):
        if name in ("0", "missing") and count[i].any():
            groups[f"where it is not {name}"] = whole - count[i]
    best, description = 0.0, ""
    for what, inside in groups.items():
        c = int(inside.argmax())
        wrong, rows, base = inside.sum() - inside[c], inside.sum(), whole[c] / whole.sum()
        odds, before = (wrong + 0.5) / (inside[c] + 0.5), (1 - base) / base
        covered = inside[c] / whole[c]
        if rows >= (LEAST_OF_VALUE if wrong else LEAST_OF_PURE) and covered >= COVERS and covered > best and odds * BETTER <= before:
            best, description = covered, f"{what}, {inside[c] / rows:.1%} are {names[c]!r}, {covered:.0%} of that class"
    return description
