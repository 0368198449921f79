"""What the same protocol would show as published if another had run it: the interval that a published number is held against.

A published worst k is itself one draw: few trials, other clusters, chosen and scored on the same. So is this run's own. Two such draws
from the same world differ by chance alone, and where both have as many trials either is as often the larger: the interval stands around
what this run shows as published, as far away as two such draws are from each other.

How far that is, pairs of copies say, one of this run and one of another's:

1. A copy draws as many subpopulations as there are from the seen mean damages. These carry the noise of trials and of test rows already:
   none is added. Only where the other has fewer trials than this run its copy gets the noise that they lack; where it has more, what they
   would take away is taken for the lower end, and not for the upper one: which of the largest are so by noise is not known.
2. What a trial's damages have in common (`interval.common`) is drawn once a copy, by a t: so few trials tell little of its size.
3. Differences are taken on a scale that is a logarithm far from 0 and straight near it, and put back around this run's value: a run whose
   largest damages are small by luck also sees them spread less than they do.
4. The largest of so few is not the largest that there is. For the upper end copies reach beyond it by an exponential, as far as the
   largest quarter is above the next; for the lower end they do not: what lies below the largest was seen.

What falls outside, in seven simulated populations: `python -m tests.studies.coverage`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from engine import seeds
from engine.evaluation.deconvolve import Mixture, deconvolve
from engine.evaluation.interval import common
from engine.evaluation.layout import Layout
from engine.evaluation.spread import LEAST_SUBPOPULATIONS, Components, Spread, components, fit

LEVEL = 0.95
COPIES = 400
REACH = 1.4, 1.1  # the lower and the upper end, in distances between copies: `tests.studies.coverage`
FACTOR = 0.1  # damages well above it differ by factors, those well below by differences
LARGEST = 4, 3  # the upper tail is told by the largest of so many, and by no fewer than so many
LEAST_LEFT = 0.05  # of the variance of damages, when more trials take noise away


@dataclass(frozen=True)
class Interval:
    """A 95 % prediction interval of a damage or a share, kept within what either can be; None where there is none."""

    low: float | None = None
    high: float | None = None

    @classmethod
    def around(cls, centre: float, reach: float) -> Interval:
        return cls(max(centre - reach, -1.0), min(centre + reach, 1.0))

    def outside(self, published: float | None) -> str | None:
        """How the published value stands to it: "above", "below", "" within; None where either is missing."""
        if published is None or self.low is None or self.high is None:
            return None
        return "above" if published > self.high else "below" if published < self.low else ""


NONE = Interval()


@dataclass(frozen=True)
class Copies:
    """Float64 [copies, members], damages as one run would see them, largest first: as this run saw them, and with a tail beyond."""

    seen_CM: np.ndarray
    tailed_CM: np.ndarray


@dataclass(frozen=True)
class Replications:
    """seen_M: float64 [members], this run's mean damages, largest first; same_run, other_run: pairs of copies, of this run and of another.

    None below two trials.
    """

    seen_M: np.ndarray | None = None
    same_run: Copies | None = None
    other_run: Copies | None = None

    def worst(self, k: int) -> Interval:
        """Of the mean of the worst k."""
        return self._of(lambda damage_CM: damage_CM[:, :k].mean(axis=1), -1.0)

    def share(self, least: float) -> Interval:
        """Of the share of subpopulations with at least that damage (of 0: with more than none)."""
        return self._of(lambda damage_CM: (damage_CM >= least if least > 0 else damage_CM > 0).mean(axis=1), 0.0)

    def quantile(self, share: float) -> Interval:
        """Of that quantile of the damages."""
        return self._of(lambda damage_CM: np.quantile(damage_CM, share, axis=1), -1.0)

    def mean(self) -> Interval:
        """Of their mean."""
        return self._of(lambda damage_CM: damage_CM.mean(axis=1), -1.0)

    def _of(self, shown: Callable[[np.ndarray], np.ndarray], least: float) -> Interval:
        """Around what this run shows. least: the least that it can be; the most is 1."""
        if self.seen_M is None or self.same_run is None or self.other_run is None:
            return NONE
        at = _stretched(shown(self.seen_M[None]))
        low, _ = _apart(_stretched(shown(self.other_run.seen_CM)) - _stretched(shown(self.same_run.seen_CM)), len(self.seen_M))
        _, high = _apart(_stretched(shown(self.other_run.tailed_CM)) - _stretched(shown(self.same_run.tailed_CM)), len(self.seen_M))
        return Interval(max(float(_unstretched(at + low)[0]), least), min(float(_unstretched(at + high)[0]), 1.0))


def members_of(damage_S: np.ndarray, se_S: np.ndarray, among_S: np.ndarray) -> np.ndarray:
    """Which of the subpopulations among those have a damage and a standard error."""
    return np.flatnonzero(among_S & ~np.isnan(damage_S) & ~np.isnan(se_S))


def mixture_of(damage_S: np.ndarray, se_S: np.ndarray, among_S: np.ndarray) -> tuple[np.ndarray, Mixture] | None:
    """(which subpopulations, the distribution of their true damages), over those among them with a standard error; None of none."""
    members = members_of(damage_S, se_S, among_S)
    return (members, deconvolve(damage_S[members], se_S[members])) if len(members) else None


def replications(layout: Layout, alpha: int, members: np.ndarray, trials: int) -> Replications:
    """Copies of this run, and of what another would have seen in so many trials, at the alpha at that place."""
    if not len(members):
        return Replications()
    part = components(layout.diff_ATR[alpha], layout.have_ATS[alpha], layout.n_S)
    members = members[np.argsort(part.damage_S[members], kind="stable")]
    part = part.take(members)
    spread, random = fit(part), seeds.generator(0, "replications")
    shared, noise = _shared(layout, alpha, members, spread.at(part.damage_S))
    shared = min(shared, float(spread.base_S.min()))
    unsure_C1 = np.sqrt(noise / random.chisquare(noise, (COPIES, 1))) if noise else np.ones((COPIES, 1))
    ours, other = (
        _copies(part, spread, trials_M, shared, unsure_C1, random) for trials_M in (part.trials_S, np.full_like(part.trials_S, trials))
    )
    return Replications(part.damage_S[::-1], ours, other)


def _copies(
    part: Components, spread: Spread, trials_M: np.ndarray, shared: float, unsure_C1: np.ndarray, random: np.random.Generator
) -> Copies:
    """Of a run of so many trials. part: smallest damage first; shared: the variance that a trial's damages have in common."""
    size = len(part.damage_S)
    shape, place_M = (COPIES, size), np.arange(1, size + 1)
    at_CM = random.random(shape) * (size + 1)  # places between damages, and beyond the largest
    near_CM = np.clip(np.rint(at_CM).astype(int), 1, size) - 1
    stretched_M = _stretched(part.damage_S)
    seen_CM = np.interp(at_CM, place_M, stretched_M)
    tailed_CM = seen_CM + np.where(at_CM >= size, _tail(stretched_M) * random.standard_exponential(shape), 0.0)
    trial_M = np.maximum(spread.at(part.damage_S) - shared, 0.0)
    added_M = trial_M * np.maximum(1 / trials_M - 1 / part.trials_S, 0.0)
    taken_M = trial_M * np.maximum(1 / part.trials_S - 1 / trials_M, 0.0)
    if size < LEAST_SUBPOPULATIONS:  # too few to show by how they differ what trials and rows do
        added_M, taken_M = trial_M / trials_M + part.row_S / part.n_S, np.zeros(size)
    left_M = np.sqrt(np.maximum(1 - taken_M / max(float(part.damage_S.var()), 1e-9), LEAST_LEFT))
    noise_CM = np.sqrt(added_M)[near_CM] * random.standard_normal(shape)
    noise_CM += np.sqrt(shared / trials_M.mean()) * unsure_C1 * random.standard_normal((COPIES, 1))
    middle = float(part.damage_S.mean())

    less_CM = (1 - left_M[near_CM]) * (_unstretched(seen_CM) - middle)
    return Copies(_largest_first(_unstretched(seen_CM) - less_CM + noise_CM), _largest_first(_unstretched(tailed_CM) + noise_CM))


def _largest_first(damage_CM: np.ndarray) -> np.ndarray:
    return -np.sort(-np.clip(damage_CM, -1.0, 1.0), axis=1)


def _tail(stretched_M: np.ndarray) -> float:
    """How far beyond the largest of them others are, on the average: what the largest quarter are above the next. Smallest first."""
    one_of, least = LARGEST
    largest = min(max(round(len(stretched_M) / one_of), least), len(stretched_M) - 1)
    return float(stretched_M[-largest:].mean() - stretched_M[-largest - 1]) if largest else 0.0


def _shared(layout: Layout, alpha: int, members: np.ndarray, trial_M: np.ndarray) -> tuple[float, int]:
    """The variance that a trial's damages have in common, by the trials that all members have, and its degrees of freedom."""
    told_T = layout.have_ATS[alpha][:, members].all(axis=1)
    lost_TM = (layout.clean_TS - layout.right_ATS[alpha])[told_T][:, members]
    return common(lost_TM / layout.n_S[members], trial_M), max(int(told_T.sum()) - 1, 0)


def _apart(apart_C: np.ndarray, members: int) -> tuple[float, float]:
    """REACH times the middle 95 % of how far copies are apart; what is drawn from so few spreads less than what they come from."""
    low, middle, high = (float(each) for each in np.quantile(apart_C, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2]))
    wider = (members / max(members - 1, 1)) ** 0.5
    return middle + wider * REACH[0] * (low - middle), middle + wider * REACH[1] * (high - middle)


def _stretched(damage: np.ndarray) -> np.ndarray:
    """A scale on which equal steps are equal differences near 0 and equal factors far from it."""
    return np.arcsinh(damage / FACTOR)


def _unstretched(value: np.ndarray) -> np.ndarray:
    return FACTOR * np.sinh(value)


def of_mean(values: Sequence[float], others: int) -> Interval:
    """Of the mean of so many others drawn like these, by t; none below two values."""
    n = len(values)
    if n < 2 or others < 1:
        return NONE
    each = np.asarray(values, dtype=float)
    reach = float(stdtrit(n - 1, (1 + LEVEL) / 2) * each.std(ddof=1) * np.sqrt(1 / n + 1 / others))
    return Interval.around(float(each.mean()), reach)


def of_half(centre: float, half: float, trials: int, others: int) -> Interval:
    """Of a mean over `others` further trials, from the interval centre ± half of one over `trials`: that much again for one more mean."""
    if np.isnan(centre) or np.isnan(half) or others < 1 or trials < 1:
        return NONE
    reach = half * float(np.sqrt(1 + trials / others))
    return Interval.around(centre, reach)
