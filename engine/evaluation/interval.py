"""A 95 % interval for the corrected worst-k damage.

With three trials, neither a t over trials nor a jackknife holds: the picks share data, a cluster that flips whole shows [1, 1, 1] and no
variance at all, and the choice itself wobbles. So the error is worked out on the fitted world and then scaled as a proportion's is:

1. The world: true damages shrunk to what their variances let them be, variances by `spread.py`, noise of a trial part independent, part
   as correlated as the trials at hand (subpopulations share clean arms), part common.
2. DRAWS copies of the trials from that world; in each, the leave-one-trial-out worst k and its mean; its mean squared error about what such
   picks are truly worth is the variance, selection included. Sampling of test rows is added.
3. The variance depends on the value as the spread does, so the limits solve (estimate - x)^2 = t^2 V(x), as Wilson's for a proportion:
   an estimate of 1 from three trials is not sure of itself. Where the variance as it is reaches further, that is taken: whether it
   would fall with the damage is not known. t has the trials' degrees of freedom and the prior's.

The constants below were settled by `python -m tests.studies.simulate`, whose table says what they buy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from engine import seeds
from engine.evaluation.spread import Components, Spread

LEVEL = 0.95
DRAWS = 128
CORRELATION_TRIALS = 4.0  # correlations of so many trials are half believed
COMMON = 0.05  # share of a trial's noise variance that all subpopulations have in common
INFLATION = 1.2  # of the variance: damages of whole clusters are two-valued, the copies are normal


@dataclass(frozen=True)
class Error:
    """The error of a corrected worst k in the fitted world: variance (test rows apart) where the estimate is `centre`."""

    variance: float
    centre: float


def errors(spread: Spread, part: Components, damage_TE: np.ndarray, ks: tuple[int, ...]) -> dict[int, Error]:
    """The error of each k. damage_TE: float64, each trial's damage of each eligible subpopulation."""
    trials, size = damage_TE.shape
    true_E = shrunk(spread, part, trials)
    noise_BTE = noise(damage_TE, seeds.generator(0, "worst interval")) * np.sqrt(spread.at(true_E))
    seen_BTE = true_E + noise_BTE
    order_BTE = np.argsort(seen_BTE - seen_BTE.sum(axis=1, keepdims=True), axis=2)  # by the other trials, largest first
    order_BTE = order_BTE[:, :, : max(ks)]
    scored_BTK = np.take_along_axis(seen_BTE, order_BTE, axis=2).cumsum(axis=2)
    worth_BTK = true_E[order_BTE].cumsum(axis=2)
    found = {}
    for k in ks:
        last = min(k, size) - 1
        centre = float(worth_BTK[:, :, last].mean()) / (last + 1)
        estimate_B = scored_BTK[:, :, last].mean(axis=1) / (last + 1)
        found[k] = Error(float(((estimate_B - centre) ** 2).mean()), centre)
    return found


def shrunk(spread: Spread, part: Components, trials: int) -> np.ndarray:
    """True damages as far as they can be told, by their variances, from their mean: float64 [eligible]."""
    damage_E = part.damage_S
    if len(damage_E) < 2:
        return damage_E
    noise_E = spread.at(damage_E) / trials
    between = max(float(damage_E.var(ddof=1) - noise_E.mean()), 1e-5)
    return damage_E.mean() + between / (between + noise_E) * (damage_E - damage_E.mean())


def noise(damage_TE: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Noise of unit variance for DRAWS copies of the trials: float64 [DRAWS, trials, eligible]. See the module."""
    trials, size = damage_TE.shape
    left_TE = damage_TE - damage_TE.mean(axis=0)
    sd_E = np.sqrt((left_TE**2).sum(axis=0) / (trials - 1))
    moves_E = sd_E > 1e-9
    believed_E = np.where(moves_E, (trials - 1) / (trials - 1 + CORRELATION_TRIALS), 0.0)
    alike_BTE = (random.standard_normal((DRAWS, trials, trials)) / np.sqrt(trials - 1)) @ (left_TE / np.where(moves_E, sd_E, 1.0))
    mixed_BTE = np.sqrt(1 - believed_E) * random.standard_normal((DRAWS, trials, size)) + np.sqrt(believed_E) * alike_BTE
    return np.sqrt(1 - COMMON) * mixed_BTE + np.sqrt(COMMON) * random.standard_normal((DRAWS, trials, 1))


def limits(estimate: float, error: Error, spread: Spread, part: Components, share_E: np.ndarray, df: float) -> tuple[float, float]:
    """The interval. share_E: how often each eligible subpopulation is among the picks, float64, summing to the k really used."""
    k = float(share_E.sum())
    base, phi = float((share_E * spread.base_S).sum() / k), float((share_E * spread.phi_S).sum() / k)
    rows = float((share_E * part.row_S / part.n_S).sum() / k**2)
    t = float(stdtrit(df, (1 + LEVEL) / 2))
    variance, room = INFLATION * error.variance, max(error.centre * (1 - error.centre), 0.0)
    scale = variance / (base + phi * room)
    low, high = wilson(estimate, scale * base + rows, scale * phi, t)
    reach = t * float(np.sqrt(error.variance + rows))
    return max(min(low, estimate - reach), -1.0), min(max(high, estimate + reach), 1.0)


def wilson(estimate: float, flat: float, curved: float, t: float) -> tuple[float, float]:
    """Where (estimate - x)^2 = t^2 (flat + curved x (1 - x)); Wilson's (1927) interval for flat = 0, curved = 1 / n."""
    a, b, c = 1 + t * t * curved, 2 * estimate + t * t * curved, estimate * estimate - t * t * flat
    reach = np.sqrt(max(b * b - 4 * a * c, 0.0))
    return float((b - reach) / (2 * a)), float((b + reach) / (2 * a))
