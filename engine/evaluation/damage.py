"""Target damage of each (subpopulation, alpha), paired within a trial, with its interval, and the collateral damage beside it.

Points are integer counts and one division, so that they do not depend on the order of anything. An interval has two parts:

- between trials: the variance of a trial's damage, moderated across the subpopulations of the alpha, over the number of trials. It
  holds what initial weights and batch order do, on these test rows;
- between test rows: trials share them, so averaging over trials does not average them out. The part of a row's mean damage that is not
  explained by its wobble between trials (a two-way layout, rows by trials) over the number of rows.

Where cells flip whole, three trials without a flip do not show that there are none: a share of the variance between trials goes with
d (1 - d), so limits are those of `interval.wilson`: further towards 1/2, nearer towards the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import fsum

import numpy as np
from scipy.special import stdtr, stdtrit

from engine.evaluation import vulnerable
from engine.evaluation.interval import wilson
from engine.evaluation.layout import Layout
from engine.evaluation.spread import Components, Spread, components, fit

LEVEL = 0.95
CURVED = 0.25  # how far the spread's d (1 - d) is believed of one subpopulation: `tests.studies.coverage`, population "flips"


@dataclass(frozen=True)
class Damages:
    """Float64 [alphas, subpopulations], nan where there is nothing to say it from. Damages are clean minus poisoned, fractions.

    trials_AS     int64, trials with both arms
    damage_AS     target damage;  low_AS, high_AS: 95 % interval (two trials or more);  se_AS its standard error
    p_AS, q_AS    one-sided p of damage > 0 and Benjamini-Hochberg's adjustment within the alpha (three trials or more)
    others_AS     int64, victims aimed elsewhere that p rests on; 0 where it is the moderated t's. See `vulnerable.py`
    clean_AS      clean accuracy on the target, over the same trials;  poisoned_AS: poisoned accuracy
    collateral_AS the same difference on the rows outside
    label_AS      share of target rows given the target label;  clean_label_AS: by the clean victims
    points_AS     poison points, mean over trials;  already_AS: those that bore the target label before
    """

    trials_AS: np.ndarray
    damage_AS: np.ndarray
    low_AS: np.ndarray
    high_AS: np.ndarray
    se_AS: np.ndarray
    p_AS: np.ndarray
    q_AS: np.ndarray
    others_AS: np.ndarray
    clean_AS: np.ndarray
    poisoned_AS: np.ndarray
    collateral_AS: np.ndarray
    label_AS: np.ndarray
    clean_label_AS: np.ndarray
    points_AS: np.ndarray
    already_AS: np.ndarray


def damages(layout: Layout) -> Damages:
    """Every damage of one arm. See `Damages` for shapes."""
    have_ATS, n_S = layout.have_ATS, layout.n_S
    trials_AS = have_ATS.sum(axis=1)
    rows_AS, outside_AS = trials_AS * n_S, trials_AS * (layout.n_all - n_S)
    clean_AS = (have_ATS * layout.clean_TS).sum(axis=1)
    lost_AS = clean_AS - layout.right_ATS.sum(axis=1)
    lost_all_AS = (have_ATS * layout.clean_all_T[:, None]).sum(axis=1) - layout.all_ATS.sum(axis=1)
    damage_AS = ratio(lost_AS, rows_AS)
    se_AS, df_AS, curved_AS = errors(layout)
    flat_AS = se_AS**2 - curved_AS * np.maximum(damage_AS * (1 - damage_AS), 0.0)
    low_AS, high_AS = wilson(damage_AS, flat_AS, curved_AS, stdtrit(df_AS, (1 + LEVEL) / 2))
    evidence = vulnerable.judged(layout, stdtr(df_AS, -damage_AS / se_AS))
    return Damages(
        trials_AS=trials_AS,
        damage_AS=damage_AS,
        low_AS=np.maximum(low_AS, -1.0),
        high_AS=np.minimum(high_AS, 1.0),
        se_AS=se_AS,
        p_AS=evidence.p_AS,
        q_AS=evidence.q_AS,
        others_AS=evidence.others_AS,
        clean_AS=ratio(clean_AS, rows_AS),
        poisoned_AS=ratio(layout.right_ATS.sum(axis=1), rows_AS),
        collateral_AS=ratio(lost_all_AS - lost_AS, outside_AS),
        label_AS=ratio(layout.label_ATS.sum(axis=1), rows_AS),
        clean_label_AS=ratio((have_ATS * layout.clean_label_TS).sum(axis=1), rows_AS),
        points_AS=ratio(layout.points_ATS.sum(axis=1), trials_AS),
        already_AS=ratio(layout.already_ATS.sum(axis=1), trials_AS),
    )


def off_target(layout: Layout) -> np.ndarray:
    """What the victims of the same trial and alpha aimed elsewhere did to each subpopulation: float64 [alphas, subpopulations].

    The mean over such victims, then over trials; nan where there are none.
    """
    others_ATS = layout.aimed_AT[:, :, None] - layout.have_ATS
    lost_ATS = others_ATS * layout.clean_TS - (layout.sum_ATS - layout.right_ATS)
    per_trial_ATS = ratio(lost_ATS, others_ATS * layout.n_S)
    told_ATS = ~np.isnan(per_trial_ATS)
    rows_AST = np.where(told_ATS, per_trial_ATS, 0.0).transpose(0, 2, 1).tolist()
    return ratio(np.array([[fsum(row) for row in rows] for rows in rows_AST]).reshape(told_ATS.shape[::2]), told_ATS.sum(axis=1))


def standard_errors(layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Standard error and degrees of freedom of each mean damage: float64 [alphas, subpopulations]; nan below two trials or rows."""
    se_AS, df_AS, _ = errors(layout)
    return se_AS, df_AS


def errors(layout: Layout) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `standard_errors`, and the part of se^2 that goes with d (1 - d): what a whole cell's flips would do at another true damage."""
    shape = layout.have_ATS.shape[0], layout.have_ATS.shape[2]
    se_AS, df_AS, curved_AS = (np.full(shape, np.nan) for _ in range(3))
    for a in range(shape[0]):
        part = components(layout.diff_ATR[a], layout.have_ATS[a], layout.n_S)
        members = np.flatnonzero((part.trials_S >= 2) & (part.n_S >= 2))
        if not len(members):
            continue
        part = part.take(members)
        spread = fit(part)
        variance_S, trials_df_S = moderated(spread, part)
        trials2_S, rows2_S = variance_S / part.trials_S, part.row_S / part.n_S
        se_AS[a, members] = np.sqrt(trials2_S + rows2_S)
        # Satterthwaite: the degrees of freedom of a sum of two variances
        df_AS[a, members] = (trials2_S + rows2_S) ** 2 / (trials2_S**2 / trials_df_S + rows2_S**2 / (part.n_S - 1))
        curved_AS[a, members] = CURVED * trials2_S / spread.at(part.damage_S) * spread.phi_S
    return se_AS, df_AS, curved_AS


def errors_of_difference(layout: Layout, difference_AS: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `standard_errors`, of a difference of damages in either order: diff_ATR is one's minus other's, difference_AS their means.

    What a damage varies by is modelled by how large it is, so each is turned to where it is not negative: which of the two is taken from
    which changes no interval.
    """
    sign_AR = np.repeat(np.where(difference_AS < 0, np.int8(-1), np.int8(1)), layout.n_S, axis=1)
    return standard_errors(replace(layout, diff_ATR=layout.diff_ATR * sign_AR[:, None]))


def moderated(spread: Spread, part: Components) -> tuple[np.ndarray, np.ndarray]:
    """Variances of a trial's damage, each drawn towards what the spread expects of it, and their degrees of freedom (Smyth 2004).

    Of too few subpopulations to expect anything by, each has its own, at least that of the rows' sampling: trials that happened to lose the
    same number of rows do not show that there is no variance.
    """
    df_S = part.trials_S - 1.0
    if spread.prior_df == 0:
        return spread.base_S, df_S
    return (spread.prior_df * spread.shape_S + df_S * part.trial_S) / (spread.prior_df + df_S), spread.prior_df + df_S


def ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """top / bottom, nan where there is nothing to divide by: float64."""
    return np.divide(top, bottom, out=np.full(np.broadcast(top, bottom).shape, np.nan), where=np.asarray(bottom) != 0)


@dataclass(frozen=True)
class Collateral:
    """A group's mean collateral damage: 95 % interval and the trials it rests on. None below two trials."""

    low: float | None
    high: float | None
    trials: int


def collateral_of(layout: Layout, alpha: int, members: Sequence[int]) -> Collateral:
    """Plain t over trials of the group's mean collateral. The rows outside are thousands: their sampling is left out."""
    picks = [s for s in members if layout.n_S[s] < layout.n_all]  # one that is the whole test set has no rows outside
    if not picks:
        return Collateral(None, None, 0)
    told_T = layout.have_ATS[alpha][:, picks].all(axis=1)
    lost_TS = (layout.clean_all_T[:, None] - layout.all_ATS[alpha]) - (layout.clean_TS - layout.right_ATS[alpha])
    per_T = (lost_TS[:, picks] / (layout.n_all - layout.n_S[picks])).mean(axis=1)[told_T]
    trials = len(per_T)
    if trials < 2:
        return Collateral(None, None, trials)
    reach = float(stdtrit(trials - 1, (1 + LEVEL) / 2) * per_T.std(ddof=1) / np.sqrt(trials))
    centre = float(per_T.mean())
    return Collateral(centre - reach, centre + reach, trials)
