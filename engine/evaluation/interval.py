"""A 95 % interval for the corrected worst-k damage.

With three trials, neither a t over trials nor a jackknife holds: the picks share data, a cluster that flips whole shows [1, 1, 1] and no
variance at all, and the choice itself wobbles. So the error is worked out on the fitted world and then scaled as a proportion's is:

1. The world: true damages shrunk to what their variances let them be; noise of trials, of rows (which trials share) and of rows by
   trials, by `spread.py`.
2. DRAWS copies of the trials and folds from that world; in each, the worst k by the other trials and folds and its mean; its mean squared
   error about what such picks are truly worth is the variance, selection and test rows included.
3. What all subpopulations of a trial have in common (one clean victim serves them all) moves every pick alike: it changes no choice and
   does not average out over the k. Its variance is estimated from the trials at hand (`common`) and added, with a t of its own: so few
   trials tell little of it.
4. The variance depends on the value as the spread does, so the limits solve (estimate - x)^2 = t^2 V(x), as Wilson's for a proportion:
   an estimate of 1 from three trials is not sure of itself. Where the variance as it is reaches further, that is taken: whether it
   would fall with the damage is not known. t has the trials' degrees of freedom and the prior's.

What they cover and how wide they are: `python -m tests.studies.coverage`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from engine import seeds
from engine.evaluation.spread import Components, Spread

LEVEL = 0.95
DRAWS = 128
INFLATION = 1.2  # of the variance: damages of whole clusters are two-valued, the copies are normal


@dataclass(frozen=True)
class Error:
    """The error of a corrected worst k in the fitted world: variance where the estimate is `centre`, what is common apart."""

    variance: float
    centre: float


def errors(spread: Spread, part: Components, n_EF: np.ndarray, common_part: float, ks: tuple[int, ...]) -> dict[int, Error]:
    """The error of each k. n_EF: int64, test rows of each eligible subpopulation and fold."""
    trials, size = int(part.trials_S[0]), len(n_EF)
    true_E = shrunk(spread, part)
    seen_BTEF = true_E[:, None] + noise(spread.at(true_E) - common_part, part, n_EF, trials, seeds.generator(0, "worst interval"))
    rows_BTEF = seen_BTEF * n_EF
    by_trial_BTE, by_fold_BEF = rows_BTEF.sum(axis=3), rows_BTEF.sum(axis=1)
    past_BTEF = by_fold_BEF.sum(axis=2)[:, None, :, None] - by_trial_BTE[..., None] - by_fold_BEF[:, None] + rows_BTEF
    past_BTEF /= n_EF.sum(axis=1, keepdims=True) - n_EF
    order_BTKF = np.argsort(-past_BTEF, axis=2)[:, :, : max(ks)]
    scored_BTKF = np.take_along_axis(seen_BTEF, order_BTKF, axis=2).cumsum(axis=2)
    worth_BTKF = true_E[order_BTKF].cumsum(axis=2)
    errors_by_k = {}
    for k in ks:
        last = min(k, size) - 1
        centre = float(worth_BTKF[:, :, last].mean()) / (last + 1)
        estimate_B = scored_BTKF[:, :, last].mean(axis=(1, 2)) / (last + 1)
        errors_by_k[k] = Error(float(((estimate_B - centre) ** 2).mean()), centre)
    return errors_by_k


def shrunk(spread: Spread, part: Components) -> np.ndarray:
    """True damages as far as they can be told, by their variances, from their mean: float64 [eligible]."""
    damage_E = part.damage_S
    if len(damage_E) < 2:
        return damage_E
    noise_E = spread.at(damage_E) / part.trials_S + part.row_S / part.n_S
    between = max(float(damage_E.var(ddof=1) - noise_E.mean()), 1e-5)
    return damage_E.mean() + between / (between + noise_E) * (damage_E - damage_E.mean())


def noise(trial_E: np.ndarray, part: Components, n_EF: np.ndarray, trials: int, random: np.random.Generator) -> np.ndarray:
    """DRAWS copies of what trials and rows add: float64 [DRAWS, trials, eligible, folds]. trial_E: variances of a trial's damage."""
    size, folds = n_EF.shape
    own_E = np.sqrt(np.maximum(trial_E - part.cell_S / part.n_S, 0.0))
    row_EF, cell_EF = np.sqrt(part.row_S[:, None] / n_EF), np.sqrt(part.cell_S[:, None] / n_EF)
    drawn_BTEF = cell_EF * random.standard_normal((DRAWS, trials, size, folds))
    drawn_BTEF += (own_E * random.standard_normal((DRAWS, trials, size)))[..., None]
    drawn_BTEF += row_EF * random.standard_normal((DRAWS, 1, size, folds))
    return drawn_BTEF


def common(damage_TE: np.ndarray, trial_E: np.ndarray) -> float:
    """The variance that all eligible subpopulations of a trial have in common: the mean of their covariances over trials, at least 0.

    trial_E: float64, the variance of each one's trials, by which it counts: one that flips whole says little of what the others share.
    """
    trials, size = damage_TE.shape
    if size < 2 or trials < 2:
        return 0.0
    weight_E = 1 / trial_E
    weight_E /= weight_E.sum()
    left_TE = damage_TE - damage_TE.mean(axis=0)
    together = float(((left_TE @ weight_E) ** 2).sum()) / (trials - 1)
    alone = float(((left_TE * weight_E) ** 2).sum()) / (trials - 1)
    return max((together - alone) / (1 - float((weight_E**2).sum())), 0.0)


def limits(
    estimate: float, error: Error, spread: Spread, part: Components, share_EF: np.ndarray, common_part: float, df: float
) -> tuple[float, float]:
    """The interval. share_EF: how often each eligible subpopulation is among a fold's picks, summing to the k really used in each fold."""
    k, trials = float(share_EF[:, 0].sum()), int(part.trials_S[0])
    share_E = share_EF.mean(axis=1)
    base, phi = float((share_E * spread.base_S).sum() / k), float((share_E * spread.phi_S).sum() / k)
    rows = float(((share_EF**2).mean(axis=1) * part.row_S / part.n_S).sum() / k**2)
    t, t_common = (float(stdtrit(f, (1 + LEVEL) / 2)) for f in (df, trials - 1.0))
    shared = common_part / trials * (t_common / t) ** 2
    moving = max(error.variance - rows, 0.0)
    room = max(error.centre * (1 - error.centre), 0.0)
    scale = INFLATION * moving / (base + phi * room)
    low, high = (float(end) for end in wilson(estimate, scale * base + rows + shared, scale * phi, t))
    reach = t * float(np.sqrt(moving + rows + shared))
    return max(min(low, estimate - reach), -1.0), min(max(high, estimate + reach), 1.0)


Numbers = float | np.ndarray


def wilson(estimate: Numbers, flat: Numbers, curved: Numbers, t: Numbers) -> tuple[np.ndarray, np.ndarray]:
    """Where (estimate - x)^2 = t^2 (flat + curved x (1 - x)); Wilson's (1927) interval for flat = 0, curved = 1 / n."""
    a, b, c = 1 + t * t * curved, 2 * estimate + t * t * curved, estimate * estimate - t * t * flat
    reach = np.sqrt(np.maximum(b * b - 4 * a * c, 0.0))
    return np.asarray((b - reach) / (2 * a)), np.asarray((b + reach) / (2 * a))
