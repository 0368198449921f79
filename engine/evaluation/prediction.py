"""What the same protocol would show as published if another had run it: the interval that a published number is held against.

A published worst k is itself one draw: few trials, other clusters, chosen and scored on the same. So the interval is not that of the
truth but of such a draw. Each copy picks as many subpopulations as there are, with replacement, gives each a true damage from where its
own lies (`deconvolve.py`), adds the noise of so many trials and of so many test rows, and is scored as published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from engine import seeds
from engine.evaluation.deconvolve import Mixture, deconvolve
from engine.evaluation.layout import Layout
from engine.evaluation.spread import components, fit

LEVEL = 0.95
COPIES = 400


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
class Replications:
    """damage_CM: float64 [copies, members], mean damages as others would see them, largest first; None below two trials."""

    damage_CM: np.ndarray | None

    def worst(self, k: int) -> Interval:
        """Of the mean of the worst k."""
        return NONE if self.damage_CM is None else _middle(self.damage_CM[:, :k].mean(axis=1))

    def share(self, least: float) -> Interval:
        """Of the share of subpopulations with at least that damage (of 0: with more than none)."""
        if self.damage_CM is None:
            return NONE
        return _middle((self.damage_CM >= least if least > 0 else self.damage_CM > 0).mean(axis=1))

    def quantile(self, share: float) -> Interval:
        """Of that quantile of the damages."""
        return NONE if self.damage_CM is None else _middle(np.quantile(self.damage_CM, share, axis=1))

    def mean(self) -> Interval:
        """Of their mean."""
        return NONE if self.damage_CM is None else _middle(self.damage_CM.mean(axis=1))


def mixture_of(damage_S: np.ndarray, se_S: np.ndarray, among_S: np.ndarray) -> tuple[np.ndarray, Mixture] | None:
    """(which subpopulations, the distribution of their true damages), over those among them with a standard error; None of none."""
    members = np.flatnonzero(among_S & ~np.isnan(damage_S) & ~np.isnan(se_S))
    return (members, deconvolve(damage_S[members], se_S[members])) if len(members) else None


def replications(layout: Layout, alpha: int, found: tuple[np.ndarray, Mixture] | None, trials: int) -> Replications:
    """Copies of what another would have seen in so many trials at the alpha at that place."""
    if found is None:
        return Replications(None)
    members, mixture = found
    part = components(layout.diff_ATR[alpha], layout.have_ATS[alpha], layout.n_S).take(members)
    spread, size = fit(part), len(members)
    random = seeds.generator(0, "replications")
    pick_CM = random.integers(0, size, (COPIES, size))
    place_MG = mixture.posterior_SG.cumsum(axis=1)
    at_CM = (random.random((COPIES, size, 1)) > place_MG[pick_CM]).sum(axis=2)
    true_CM = mixture.grid_G[np.minimum(at_CM, len(mixture.grid_G) - 1)]
    room_CM = np.maximum(true_CM * (1 - true_CM), 0.0)
    variance_CM = (spread.base_S[pick_CM] + spread.phi_S[pick_CM] * room_CM) / trials + (part.row_S / part.n_S)[pick_CM]
    seen_CM = np.clip(true_CM + np.sqrt(variance_CM) * random.standard_normal((COPIES, size)), -1.0, 1.0)
    return Replications(-np.sort(-seen_CM, axis=1))


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


def _middle(values_C: np.ndarray) -> Interval:
    low, high = np.quantile(values_C, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
