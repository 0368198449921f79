"""Does the vulnerable list hold? False discovery rate and power on simulated populations, by the moderated t alone and by what is in use.

    python -m tests.studies.vulnerable [--populations 400] [--kind flips near] [--trials 3 5 10]

Populations are those of `aimed_elsewhere.py`, and of each the null: nothing is damaged. A false discovery is a subpopulation called that is
not truly damaged; power is the share called of those whose true damage is over 0.1, or over 0.2. The same populations for both tests and
for every number of trials (the first few of ten). The last column: how many of those tested had to be judged by the moderated t after all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.evaluation.damage import damages
from engine.evaluation.folds import FOLDS
from engine.evaluation.layout import Crossed, Layout
from engine.evaluation.vulnerable import Q
from tests.studies.aimed_elsewhere import KINDS, Drawn, draw

LEVELS = (0.1, 0.2)


def layout_of(drawn: Drawn) -> Layout:
    """The counts of one alpha, as a run would have them."""
    trials, size = len(drawn.clean_TR), len(drawn.rows_S)
    starts_S, own = np.concatenate([[0], np.cumsum(drawn.rows_S)[:-1]]), np.arange(size)
    clean_TS = np.add.reduceat(drawn.clean_TR, starts_S, axis=1, dtype=np.int64)
    zeros = np.zeros((1, trials, size), np.int64)
    return Layout(
        alphas=(1.0,),
        trials=tuple(range(trials)),
        have_ATS=np.ones((1, trials, size), bool),
        diff_ATR=(drawn.clean_TR.astype(np.int8) - drawn.aimed_TR)[None],
        right_ATS=drawn.right_TVS[:, own, own][None],
        all_ATS=drawn.right_TVS.sum(axis=2)[None],
        label_ATS=zeros,
        points_ATS=zeros,
        already_ATS=zeros,
        sum_ATS=drawn.right_TVS.sum(axis=1)[None],
        aimed_AT=np.full((1, trials), size),
        clean_TS=clean_TS,
        clean_all_T=clean_TS.sum(axis=1),
        clean_label_TS=zeros[0],
        n_S=drawn.rows_S,
        n_SF=np.zeros((size, FOLDS), np.int64),
        n_all=int(drawn.rows_S.sum()),
        crossed=Crossed(own, drawn.right_TVS.astype(np.int32)[None]),
    )


@dataclass(frozen=True)
class Called:
    """Of one population: the share of those called that are false (0 of none), how many were called; by level, how many truly damaged
    beyond it there are and how many of them were called; and how many of those tested the moderated t judged."""

    false: float
    called: int
    there: tuple[int, ...]
    found: tuple[int, ...]
    by_t: float

    @classmethod
    def of(cls, layout: Layout, damage_S: np.ndarray) -> Called:
        judged = damages(layout)
        called_S = judged.q_AS[0] <= Q
        beyond = [damage_S > level for level in LEVELS]
        return cls(
            false=float((called_S & (damage_S <= 0)).sum() / max(called_S.sum(), 1)),
            called=int(called_S.sum()),
            there=tuple(int(each.sum()) for each in beyond),
            found=tuple(int((called_S & each).sum()) for each in beyond),
            by_t=float((judged.others_AS[0] == 0).mean()),
        )


TESTS = ("moderated t", "in use")


def study(kind: str, share: float, trials: Sequence[int], populations: int) -> dict[tuple[int, str], list[Called]]:
    found: dict[tuple[int, str], list[Called]] = {(count, test): [] for count in trials for test in TESTS}
    for number in range(populations):
        random = np.random.default_rng([number, list(KINDS).index(kind), int(share)])
        drawn = draw(KINDS[kind](share, random), max(trials), random)
        for count in trials:
            layout = layout_of(drawn.first(count))
            for test, each in zip(TESTS, (replace(layout, crossed=None), layout), strict=True):
                found[count, test].append(Called.of(each, drawn.damage_S))
    return found


def power(found: Sequence[Called], level: int) -> str:
    there = sum(each.there[level] for each in found)
    return f"{sum(each.found[level] for each in found) / there:.2f}" if there else "–"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--populations", type=int, default=400)
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--trials", type=int, nargs="+", default=[3, 5, 10])
    given = parser.parse_args()
    heads = ["population", "trials", *(f"{what}, {test}" for what in ("FDR", "power > .1", "power > .2") for test in TESTS), "judged by t"]
    print("| " + " | ".join(heads) + " |\n" + "| --- " * len(heads) + "|")
    for kind in given.kind:
        for share in (1.0, 0.0):
            found = study(kind, share, given.trials, given.populations)
            for count in given.trials:
                both = [found[count, test] for test in TESTS]
                rates = [np.array([each.false for each in test]) for test in both]
                cells = [f"{rate.mean():.3f} ± {rate.std() / len(rate) ** 0.5:.3f}" for rate in rates]
                cells += [power(test, level) for level in range(len(LEVELS)) for test in both]
                by_t = np.mean([each.by_t for each in both[1]])
                print(f"| {kind}{'' if share else ', null'} | {count} | " + " | ".join(cells) + f" | {by_t:.2f} |")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
