"""Which subpopulations are vulnerable: each judged by what the other victims of its trials did to it; Benjamini and Hochberg (1995).

A few trials' damages, each against one clean victim, cannot tell a subpopulation that flips whole in four trials of five from noise. The
victims of the same trial and alpha that were aimed at others can: they share its initial weights, batches and clean victim, and were fed
poison at the same rate. Two things must not be by chance, and p is the larger of the two permutation tests', each worked out in full:

- more than poison aimed elsewhere does: how often, one poisoned victim of each trial picked at random, would as few of its test rows be
  right? What is wrong with a trial's clean victim, and with all its damages alike, has no part in it.
- more than nothing: how often, two victims of each trial picked at random, the clean one among them, would their difference be as large as
  the damage? Poison aimed elsewhere that does good, and clean victims that are no steadier, are no evidence.

Nothing is asked of how damages are distributed. Victims aimed at neighbours may really hit it: that makes p larger, never smaller.
Victims of a trial are taken to be exchangeable; what it does that some are noisier than others on everything is seen by pairing a run's
aims anew at random (tests/studies/re_aimed.py). Where there are so few victims that p could not come down to q, were this the only one
damaged, p is that of the moderated t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

import numpy as np

from engine.evaluation.layout import Layout

Q = 0.05
LEAST_TRIALS = 3


@dataclass(frozen=True)
class Judged:
    """[alphas, subpopulations]. p_AS, q_AS: float64, nan where there is nothing to say it from; others_AS: int64, how many victims aimed
    elsewhere p rests on, 0 where it is the moderated t's."""

    p_AS: np.ndarray
    q_AS: np.ndarray
    others_AS: np.ndarray


def judged(layout: Layout, moderated_AS: np.ndarray) -> Judged:
    """moderated_AS: float64 [alphas, subpopulations], one-sided p of damage > 0 by the moderated t, nan where there is none."""
    enough_AS = layout.have_ATS.sum(axis=1) >= LEAST_TRIALS
    p_AS, others_AS = np.where(enough_AS, moderated_AS, np.nan), np.zeros(moderated_AS.shape, dtype=np.int64)
    q_AS = np.full_like(p_AS, np.nan)
    for a in range(len(p_AS)):
        tested = np.flatnonzero(enough_AS[a] & (layout.n_S > 0))
        for s in tested:
            trials = aimed_elsewhere(layout, a, int(s))
            if least_p(trials) <= Q / len(tested):
                p_AS[a, s], others_AS[a, s] = by_chance(trials), sum(len(each.others) for each in trials)
        judged_S = np.flatnonzero(~np.isnan(p_AS[a]))
        q_AS[a, judged_S] = adjusted(p_AS[a, judged_S])
    return Judged(p_AS, q_AS, others_AS)


@dataclass(frozen=True)
class Trial:
    """Test rows of one subpopulation that the victims of a trial got right: the clean one, the one aimed at it, those aimed elsewhere."""

    clean: int
    aimed: int
    others: np.ndarray


def aimed_elsewhere(layout: Layout, alpha: int, s: int) -> list[Trial]:
    """The trials with a victim aimed at the subpopulation and, at the same alpha, one or more aimed elsewhere."""
    if layout.crossed is None:
        return []
    aimed_V, trials = layout.crossed.aimed_V, []
    for t in np.flatnonzero(layout.have_ATS[alpha, :, s]):
        elsewhere_V = layout.have_ATS[alpha, t, aimed_V] & (aimed_V != s)
        if elsewhere_V.any():
            others = layout.crossed.right_ATVV[alpha, t, elsewhere_V, np.searchsorted(aimed_V, s)]
            trials.append(Trial(int(layout.clean_TS[t, s]), int(layout.right_ATS[alpha, t, s]), others.astype(np.int64)))
    return trials


def least_p(trials: Sequence[Trial]) -> float:
    """The smallest p that these trials could give: where the victim aimed at the subpopulation is the worst in every trial."""
    least = 1.0
    for trial in trials:
        least /= len(trial.others) + 1
    return least


def by_chance(trials: Sequence[Trial]) -> float:
    """How often the victims aimed at the subpopulation would come out as they did, were it by chance which of them these are."""
    broken = sum(each.aimed for each in trials)
    elsewhere = at_most(broken, [_one(np.append(each.others, each.aimed)) for each in trials])
    nothing = at_most(
        broken - sum(each.clean for each in trials), [_two(np.append(each.others, (each.aimed, each.clean))) for each in trials]
    )
    return max(elsewhere, nothing)


@dataclass(frozen=True)
class Draw:
    """What one random draw may be: `least` more than each of more_L, int64 ascending, with the shares share_L."""

    least: int
    more_L: np.ndarray
    share_L: np.ndarray


def _one(right_V: np.ndarray) -> Draw:
    """What a victim picked at random gets right."""
    times_L = np.bincount(right_V - right_V.min())
    return _draw(int(right_V.min()), times_L, len(right_V))


def _two(right_V: np.ndarray) -> Draw:
    """How much more the second of two different victims picked at random gets right than the first."""
    times_L = np.bincount(right_V - right_V.min())
    apart_L = np.convolve(times_L, times_L[::-1])
    apart_L[len(times_L) - 1] -= len(right_V)  # one victim twice
    return _draw(1 - len(times_L), apart_L, len(right_V) * (len(right_V) - 1))


def _draw(least: int, times_L: np.ndarray, of: int) -> Draw:
    more_L = np.flatnonzero(times_L)
    return Draw(least, more_L, times_L[more_L] / of)


def at_most(limit: int, draws: Sequence[Draw]) -> float:
    """How likely the sum of one draw each is at most the limit."""
    room = limit - sum(draw.least for draw in draws)
    if room < 0:
        return 0.0
    share_L = np.ones(1)  # share_L[l]: how likely the sum is l more than the least possible, so far; beyond the room it is not followed
    for draw in draws:
        longer_L = np.zeros(min(len(share_L) + int(draw.more_L[-1]), room + 1))
        for more, share in zip(draw.more_L.tolist(), draw.share_L.tolist(), strict=True):
            if more <= room:
                longer_L[more : more + len(share_L)] += share_L[: len(longer_L) - more] * share
        share_L = longer_L
    return min(fsum(share_L.tolist()), 1.0)


def adjusted(p: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg adjusted p values, float64 [tests]: a test is called at level q where its adjusted p is at most q."""
    order = np.argsort(p, kind="stable")[::-1]
    ranks = np.arange(len(p), 0, -1)
    stepped = np.minimum.accumulate(np.minimum(1.0, p[order] * len(p) / ranks))
    out = np.empty(len(p))
    out[order] = stepped
    return out
