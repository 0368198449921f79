"""A real control of the vulnerable list: a run's aims paired anew at random, near clusters apart from far ones.

    python -m tests.studies.re_aimed RUN [--store FILE] [--draws 400] [--near 5] [--hit 0.02]

In each draw every attacked subpopulation is judged as if a victim that was aimed at another had been aimed at it, against all victims
aimed at still others; its own is left out. The wrong victim is either the same in all trials (so that what it always does to the
subpopulation, or being noisier than others, would show), or drawn anew in each (exchangeable by construction: what the test itself does).

Neighbours really are hit, and so are some that lie far. So pairs are told apart twice: near ones, of which either is among the few nearest
of the other (mean auxiliary rows, as clustered; the data are read again), from far ones; and all is judged on every other trial, so that
the trials between can say which far ones are hit: those on which the wrong victim is by `--hit` of the rows worse than the mean of the
others. Nothing should be called among the far that are not hit.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from engine.datasets import data_dir
from engine.evaluation.layout import Layout
from engine.evaluation.vulnerable import LEAST_TRIALS, Q, Trial, adjusted, by_chance, least_p
from engine.pipeline import order as pipeline
from engine.scenario.parse import scenario_of
from engine.scenario.sections import Scenario
from engine.store import Store
from engine.subpopulations.cluster_match import reducer
from engine.tables.figures import Figures
from engine.tables.world import World
from tests.studies.common import quiet


def distances(given: Scenario, aux_A: np.ndarray, aimed_V: np.ndarray) -> np.ndarray:
    """Between the mean auxiliary rows of the subpopulations, as clustered: float64 [subpopulations, subpopulations]. aux_A: memberships."""
    dataset = pipeline.rows(given, Path(data_dir()), log=quiet, progress=quiet)
    rows = np.asarray(dataset.aux.x, dtype=np.float64).reshape(len(dataset.aux), -1)
    rows = reducer(getattr(given.subpopulations, "pca", None), given.seed, rows)(rows)
    centre_V = np.stack([rows[aux_A == s].mean(axis=0) for s in aimed_V])
    apart_VV: np.ndarray = np.sqrt(((centre_V[:, None] - centre_V) ** 2).sum(axis=2))
    return apart_VV


class Aims:
    """The victims of one alpha on each other's subpopulations, in some trials; the first axis of pairs is the subpopulation."""

    def __init__(self, layout: Layout, alpha: int, trials: slice) -> None:
        assert layout.crossed is not None
        aimed_V = layout.crossed.aimed_V
        self.have_TV = layout.have_ATS[alpha, trials][:, aimed_V]
        self.right_TVV = layout.crossed.right_ATVV[alpha, trials].astype(np.int64)  # [trial, victim, subpopulation]
        self.clean_TV = layout.clean_TS[trials][:, aimed_V]
        self.rows_V = layout.n_S[aimed_V]

    def worse(self) -> np.ndarray:
        """How much worse each victim is on each subpopulation than the mean of the trial's: float64 [subpopulations, victims]."""
        right_TVV = np.where(self.have_TV[:, :, None], self.right_TVV, np.nan)
        worse_VV: np.ndarray = np.nanmean(np.nanmean(right_TVV, axis=1, keepdims=True) - right_TVV, axis=0).T / self.rows_V[:, None]
        return worse_VV

    def judged(self, wrong_TV: np.ndarray) -> np.ndarray:
        """p of each subpopulation were victim wrong_TV[trial] (-1: none) the one aimed at it; nan where the test would fall back."""
        size = len(self.rows_V)
        p_V = np.full(size, np.nan)
        for s in range(size):
            trials = []
            for t in np.flatnonzero(wrong_TV[:, s] >= 0):
                wrong = int(wrong_TV[t, s])
                others = self.right_TVV[t, self.have_TV[t] & ~np.isin(np.arange(size), (s, wrong)), s]
                if self.have_TV[t, wrong]:
                    trials.append(Trial(int(self.clean_TV[t, s]), int(self.right_TVV[t, wrong, s]), others))
            if len(trials) >= LEAST_TRIALS and least_p(trials) <= Q / size:
                p_V[s] = by_chance(trials)
        return p_V


def pairs(among_VV: np.ndarray, trials: int, fixed: bool, random: np.random.Generator) -> np.ndarray:
    """A victim of those allowed to each subpopulation (its row), for all trials or anew in each; -1 of none: int64 [trials, aimed]."""
    wrong_TV = np.full((trials, len(among_VV)), -1)
    for s, row in enumerate(among_VV):
        if row.any():
            wrong_TV[:, s] = random.choice(np.flatnonzero(row), 1 if fixed else trials)
    return wrong_TV


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--near", type=int, default=5)
    parser.add_argument("--hit", type=float, default=0.02)
    given = parser.parse_args()
    store = Store.open(given.store, create=False)
    run = store.find(given.run)
    discovered = store.discovery(run.id)
    assert discovered is not None, "no discovery yet"
    scenario = scenario_of(run)
    layout = Figures(World.start(scenario, discovered, store.victims(run.id))).layout
    assert layout.crossed is not None
    rank_VV = distances(scenario, discovered.membership.aux, layout.crossed.aimed_V).argsort(axis=1).argsort(axis=1)  # 0: itself
    near_VV = np.minimum(rank_VV, rank_VV.T) <= given.near
    others_VV = ~np.eye(len(near_VV), dtype=bool)
    judge, between = slice(0, None, 2), slice(1, None, 2)
    trials = len(layout.trials[judge])
    print(f"run {run.id}: {len(near_VV)} attacked, judged on {trials} of {len(layout.trials)} trials, {given.draws} draws")
    print("| alpha | aims | pairs | wrong victim | called, of those attacked | draws with any called | share of p at most .05 |")
    print("| --- " * 7 + "|")
    for a, alpha in enumerate(layout.alphas):
        aims = Aims(layout, a, judge)
        own_V = aims.judged(np.tile(np.arange(len(near_VV)), (trials, 1)))
        print(f"| {alpha:g} | its own | {len(near_VV)} | | {called(own_V)} | | {np.nanmean(own_V <= 0.05):.3f} |")
        hit_VV = Aims(layout, a, between).worse() > given.hit
        groups = {"near": near_VV, "far": ~near_VV, "far, hit in the trials between": ~near_VV & hit_VV, "far, not hit": ~near_VV & ~hit_VV}
        for group, of_VV in groups.items():
            among_VV = of_VV & others_VV
            for fixed in (True, False):
                random = np.random.default_rng([a, int(fixed), given.near])
                p_DV = np.stack([aims.judged(pairs(among_VV, trials, fixed, random)) for _ in range(given.draws)])
                called_D = np.array([called(p_V) for p_V in p_DV])
                cells = (
                    f"{called_D.mean():.2f} | {(called_D > 0).mean():.3f} | {(p_DV <= 0.05).sum() / max((~np.isnan(p_DV)).sum(), 1):.3f}"
                )
                kind = "the same in all trials" if fixed else "another in each trial"
                print(f"| {alpha:g} | {group} | {among_VV.sum()} | {kind} | {cells} |")
                sys.stdout.flush()


def called(p_V: np.ndarray) -> int:
    return int((adjusted(p_V[~np.isnan(p_V)]) <= Q).sum())


if __name__ == "__main__":
    main()
