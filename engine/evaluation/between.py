"""Two runs on the same test rows: the difference of their damages, other minus one, paired within a trial.

Its estimand: how much more damage the other attack does to the same test rows of the subpopulation, expected over the trials' randomness
(initial weights, batch order, poison draws). Each side's damage is against its own clean victim of the trial, so nothing need cancel, and
what the pairing takes out is what the two sides of a trial share. Intervals are those of a damage: moderated across the subpopulations
that are compared, with the sampling of test rows beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr, stdtrit

from engine.evaluation.counts import Counts
from engine.evaluation.damage import LEVEL, errors_of_difference, ratio
from engine.evaluation.layout import Layout
from engine.evaluation.spread import sums
from engine.evaluation.vulnerable import LEAST_TRIALS


@dataclass(frozen=True)
class Side:
    """One run's victims. members: those of its subpopulations that are compared, in the order of the other side's."""

    counts: Counts
    layout: Layout
    members: Sequence[int]


@dataclass(frozen=True)
class Between:
    """Of the alphas that both have, float64 [alphas, members]; nan where there is nothing to say it from.

    trials_AM       int64, trials of one number with both arms on both sides
    difference_AM   other minus one, over those trials;  low_AM, high_AM: 95 % interval (two trials and two test rows or more)
    p_AM            two-sided p of no difference (three trials or more)
    alike_AM        bool, on every row of every one of those trials poison did the same on both sides
    """

    alphas: tuple[float, ...]
    trials_AM: np.ndarray
    difference_AM: np.ndarray
    low_AM: np.ndarray
    high_AM: np.ndarray
    p_AM: np.ndarray
    alike_AM: np.ndarray


def between(one: Side, other: Side) -> Between:
    """The paired differences. Members at the same place must hold the same test rows, and trials of one number the same randomness."""
    alphas = tuple(a for a in one.layout.alphas if a in other.layout.alphas)
    trials = tuple(t for t in one.layout.trials if t in other.layout.trials)
    n_M = one.layout.n_S[list(one.members)]
    (have_ATM, diff_ATR), (others_ATM, others_ATR) = (_laid(side, alphas, trials) for side in (one, other))
    both_ATM = have_ATM & others_ATM
    apart_ATR = np.where(np.repeat(both_ATM, n_M, axis=2), others_ATR - diff_ATR, np.int8(0))
    trials_AM = both_ATM.sum(axis=1)
    ends_M = np.cumsum(n_M)
    difference_AM = ratio(_sums(apart_ATR.sum(axis=1, dtype=np.int64), ends_M), trials_AM * n_M)
    se_AM, df_AM = errors_of_difference(replace(one.layout, have_ATS=both_ATM, diff_ATR=apart_ATR, n_S=n_M), difference_AM)
    reach_AM = stdtrit(df_AM, (1 + LEVEL) / 2) * se_AM
    return Between(
        alphas=alphas,
        trials_AM=trials_AM,
        difference_AM=difference_AM,
        low_AM=np.maximum(difference_AM - reach_AM, -2.0),
        high_AM=np.minimum(difference_AM + reach_AM, 2.0),
        p_AM=np.where(trials_AM >= LEAST_TRIALS, 2 * stdtr(df_AM, -np.abs(difference_AM) / se_AM), np.nan),
        alike_AM=_sums((apart_ATR != 0).sum(axis=1), ends_M) == 0,
    )


def _sums(values_AR: np.ndarray, ends_M: np.ndarray) -> np.ndarray:
    """Sums over each member's slice of the R axis: int64 [alphas, members]."""
    return np.array([sums(values_R, ends_M) for values_R in values_AR], dtype=np.int64).reshape(len(values_AR), len(ends_M))


def _laid(side: Side, alphas: Sequence[float], trials: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """have bool [alphas, trials, members] and diff int8 [alphas, trials, rows of the members], rows of a member by their number.

    Rows are put in order of their number, for folds (and with them a layout's order) depend on all of the membership.
    """
    a = np.array([side.layout.alphas.index(alpha) for alpha in alphas], dtype=np.int64)
    t = np.array([side.layout.trials.index(trial) for trial in trials], dtype=np.int64)
    picks = [np.empty(0, np.int64)]
    for s in side.members:
        start = 0 if s == 0 else int(side.counts.ends_S[s - 1])
        picks.append(start + np.argsort(side.counts.rows_of(s)))
    members = np.array(side.members, dtype=np.int64)
    return side.layout.have_ATS[np.ix_(a, t, members)], side.layout.diff_ATR[np.ix_(a, t, np.concatenate(picks))]
