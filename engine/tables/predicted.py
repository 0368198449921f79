"""What the victims of one subpopulation predict for it: trial by trial, class by class, row by row. Made when asked for, never stored.

A victim is held against the clean one of its trial; trials of which one of the two is not trained yet are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.errors import RequestError
from engine.rows import Column, Table, TableSpec
from engine.tables.columns.shared import ALPHA

if TYPE_CHECKING:
    import numpy as np

    from engine.rows import VictimResult
    from engine.tables.world import Discovered

MOST_ROWS = 500  # that changed, told one by one

TRIALS = TableSpec(
    "trials_of_one",
    (
        ALPHA,
        Column("trial", "int", "its number, from 0"),
        Column("clean", "fraction", "accuracy of the trial's clean victim on the subpopulation's test rows"),
        Column("poisoned", "fraction", "accuracy of the poisoned victim on the same rows"),
        Column("damage", "fraction", "clean minus poisoned"),
        Column("collateral", "fraction", "the same difference on the test rows outside"),
        Column("poison_points", "int"),
        Column("already_target", "int", "poison points whose label was the given one already"),
    ),
    ("alpha", "trial"),
    "one subpopulation, trial by trial",
)
CLASSES = TableSpec(
    "predicted_of_one",
    (
        ALPHA,
        Column("class", "text", "the predicted class"),
        Column("true", "fraction", "share of the subpopulation's test rows that are of it"),
        Column("clean", "fraction", "share that the clean victims take for it, mean over trials"),
        Column("poisoned", "fraction", "share that the poisoned victims take for it, mean over trials"),
        Column("difference", "fraction", "poisoned minus clean"),
        Column("trials", "int"),
        Column("test_rows", "int"),
    ),
    ("alpha", "class"),
    "what the victims take the subpopulation's test rows for; classes that none is of and none is taken for are left out",
)
FLIPPED = TableSpec(
    "flipped_of_one",
    (
        Column("row", "int", "test row, from 0, as in the table predictions"),
        Column("true_class", "text"),
        Column("flipped", "int", "how many poisoned victims predict another class for it than the clean one of their trial"),
        Column("of", "int", "poisoned victims, of all alphas and trials"),
        Column("broken", "int", "of those flipped: it was right and is wrong now"),
        Column("mended", "int", "it was wrong and is right now"),
        Column("to", "text", "the class that it most often flips to"),
        Column("by_alpha", "text", "alpha:flipped/trials"),
    ),
    ("row",),
    "the subpopulation's test rows whose predicted class changed, the most often first",
)


@dataclass(frozen=True)
class Predicted:
    """Tables of the specs TRIALS, CLASSES and FLIPPED. flipped_rows: how many rows ever flipped, told or not."""

    trials: Table
    classes: Table
    flipped: Table
    flipped_rows: int


def predicted_of(discovered: Discovered, results: Sequence[VictimResult], index: int) -> Predicted:
    """What the victims that aim at subpopulation `index` predict, against the clean victims. results: with their predictions.

    Raises RequestError where there is no such subpopulation.
    """
    import numpy as np

    if index not in {s.index for s in discovered.subpopulations}:
        raise RequestError(f"there is no subpopulation {index}", next=f"there are {len(discovered.subpopulations)}, from 0")
    inside = np.asarray(discovered.membership.test) == index
    clean = {result.spec.trial: result for result in results if result.spec.arm == "clean"}
    aimed = [r for r in results if r.spec.arm == "poisoned" and r.spec.subpopulation == index and r.spec.trial in clean]
    aimed.sort(key=lambda r: (r.spec.alpha or 0.0, r.spec.trial))
    pairs = [_Pair(clean[r.spec.trial].predictions, r) for r in aimed]
    flipped, count = _flipped(discovered, pairs, np.flatnonzero(inside))
    return Predicted(_trials(discovered, pairs, inside), _classes(discovered, pairs, inside), flipped, count)


@dataclass(frozen=True)
class _Pair:
    """A poisoned victim and what the clean one of its trial predicts, uint8 [test rows]."""

    clean: np.ndarray
    poisoned: VictimResult

    @property
    def alpha(self) -> float:
        return float(self.poisoned.spec.alpha or 0.0)


def _trials(discovered: Discovered, pairs: Sequence[_Pair], inside: np.ndarray) -> Table:
    rows: list[tuple[object, ...]] = []
    for pair in pairs:
        now, spec = pair.poisoned, pair.poisoned.spec
        was_right, is_right = pair.clean == discovered.y_test, now.predictions == discovered.y_test
        clean, poisoned = _share(was_right, inside), _share(is_right, inside)
        cells = (clean, poisoned, _fall(was_right, is_right, inside), _fall(was_right, is_right, ~inside))
        rows.append((pair.alpha, spec.trial, *cells, now.poison_points, now.already_target))
    return Table(TRIALS, tuple(rows))


def _share(right: np.ndarray, where: np.ndarray) -> float | None:
    total = int(where.sum())
    return int(right[where].sum()) / total if total else None


def _fall(before: np.ndarray, after: np.ndarray, where: np.ndarray) -> float | None:
    """By how much a share fell, from integer counts and one division."""
    total = int(where.sum())
    return (int(before[where].sum()) - int(after[where].sum())) / total if total else None


def _classes(discovered: Discovered, pairs: Sequence[_Pair], inside: np.ndarray) -> Table:
    import numpy as np

    total, classes = int(inside.sum()), len(discovered.classes)
    true_C = np.bincount(discovered.y_test[inside], minlength=classes)
    rows: list[tuple[object, ...]] = []
    for alpha in sorted({pair.alpha for pair in pairs}) if total else ():
        of_alpha = [pair for pair in pairs if pair.alpha == alpha]
        before_C = np.bincount(np.concatenate([pair.clean[inside] for pair in of_alpha]), minlength=classes)
        after_C = np.bincount(np.concatenate([pair.poisoned.predictions[inside] for pair in of_alpha]), minlength=classes)
        seen = len(of_alpha) * total
        for c, name in enumerate(discovered.classes):
            before, after = int(before_C[c]), int(after_C[c])
            if not (true_C[c] or before or after):
                continue
            shares = (int(true_C[c]) / total, before / seen, after / seen, (after - before) / seen)
            rows.append((alpha, name, *shares, len(of_alpha), total))
    return Table(CLASSES, tuple(rows))


def _flipped(discovered: Discovered, pairs: Sequence[_Pair], where_R: np.ndarray) -> tuple[Table, int]:
    """The table, and how many of the subpopulation's test rows `where_R` ever flipped."""
    import numpy as np

    if not pairs or not len(where_R):
        return Table(FLIPPED, ()), 0
    before_VR = np.stack([pair.clean[where_R] for pair in pairs])
    after_VR = np.stack([pair.poisoned.predictions[where_R] for pair in pairs])
    y_R, alpha_V = discovered.y_test[where_R], np.array([pair.alpha for pair in pairs])
    other_VR = before_VR != after_VR
    times_R = other_VR.sum(axis=0)
    order = [int(r) for r in np.lexsort((where_R, -times_R)) if times_R[r]]
    alphas = sorted(set(alpha_V.tolist()))
    rows: list[tuple[object, ...]] = []
    for r in order[:MOST_ROWS]:
        other_V = other_VR[:, r]
        broken = int((other_V & (before_VR[:, r] == y_R[r])).sum())
        mended = int((other_V & (after_VR[:, r] == y_R[r])).sum())
        to = int(np.bincount(after_VR[other_V, r], minlength=len(discovered.classes)).argmax())
        by_alpha = ", ".join(f"{alpha:g}:{int(other_V[alpha_V == alpha].sum())}/{int((alpha_V == alpha).sum())}" for alpha in alphas)
        cells = (int(times_R[r]), len(pairs), broken, mended, discovered.classes[to], by_alpha)
        rows.append((int(where_R[r]), discovered.classes[int(y_R[r])], *cells))
    return Table(FLIPPED, tuple(rows)), len(order)
