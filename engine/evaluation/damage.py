"""Target damage of each (subpopulation, alpha), paired within a trial, with its interval, and the collateral damage beside it.

Points are integer counts and one division, so that they do not depend on the order of anything. An interval has two parts:

- between trials: the variance of a trial's damage, moderated across the subpopulations of the alpha, over the number of trials. It
  holds what initial weights and batch order do, on these test rows;
- between test rows: trials share them, so averaging over trials does not average them out. The part of a row's mean damage that is not
  explained by its wobble between trials (a two-way layout, rows by trials) over the number of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

import numpy as np
from scipy.special import stdtr, stdtrit

from engine.evaluation import moderated, vulnerable
from engine.evaluation.layout import Layout

LEVEL = 0.95


@dataclass(frozen=True)
class Damages:
    """Float64 [alphas, subpopulations], nan where there is nothing to say it from. Damages are clean minus poisoned, fractions.

    trials_AS     int64, trials with both arms
    damage_AS     target damage;  low_AS, high_AS: 95 % interval (two trials or more);  se_AS its standard error
    p_AS, q_AS    one-sided p of damage > 0 and Benjamini-Hochberg's adjustment within the alpha (three trials or more)
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
    se_AS, df_AS = standard_errors(layout)
    reach_AS = stdtrit(np.minimum(df_AS, 1e6), (1 + LEVEL) / 2) * se_AS
    p_AS = np.where(trials_AS >= vulnerable.LEAST_TRIALS, stdtr(np.minimum(df_AS, 1e6), -damage_AS / se_AS), np.nan)
    q_AS = np.full_like(p_AS, np.nan)
    for p_S, q_S in zip(p_AS, q_AS, strict=True):
        told_S = ~np.isnan(p_S)
        q_S[told_S] = vulnerable.adjusted(p_S[told_S])
    return Damages(
        trials_AS=trials_AS,
        damage_AS=damage_AS,
        low_AS=damage_AS - reach_AS,
        high_AS=damage_AS + reach_AS,
        se_AS=se_AS,
        p_AS=p_AS,
        q_AS=q_AS,
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
    shape = layout.have_ATS.shape[0], layout.have_ATS.shape[2]
    se_AS, df_AS = np.full(shape, np.nan), np.full(shape, np.nan)
    for a in range(shape[0]):
        part = components(layout, a)
        told_S = (part.trials_S >= 2) & (layout.n_S >= 2)
        if not told_S.any():
            continue
        T, n = part.trials_S[told_S], layout.n_S[told_S]
        within = moderated.moderate(part.trial_S[told_S], T - 1.0, part.shape_S[told_S])
        se2 = (within.variance_S / T, part.row_S[told_S] / n)
        df_AS[a, told_S] = moderated.satterthwaite(se2, (within.df_S, n - 1.0))
        se_AS[a, told_S] = np.sqrt(se2[0] + se2[1])
    return se_AS, df_AS


@dataclass(frozen=True)
class Components:
    """Of one alpha, float64 [subpopulations]: what a damage varies by.

    trials_S  int64, trials with both arms
    trial_S   variance, between trials, of a trial's damage
    cell_S    variance of a row's difference once row and trial are taken out (rows by trials)
    row_S     variance, between rows, of a row's own damage, cell_S taken out; at least 0
    shape_S   what trial_S is expected to be: a part common to all of the alpha plus cell_S / rows
    """

    trials_S: np.ndarray
    trial_S: np.ndarray
    cell_S: np.ndarray
    row_S: np.ndarray
    shape_S: np.ndarray


def components(layout: Layout, alpha: int) -> Components:
    """The variance components of the alpha at that place. Half a pair of discordant rows is added to each subpopulation (after Agresti
    and Min, 2005), so that rows on which nothing happened do not claim to know that nothing ever would."""
    have_TS, n_S, ends_S = layout.have_ATS[alpha], layout.n_S, layout.ends_S
    diff_TR = layout.diff_ATR[alpha].astype(np.int64)
    T_S = have_TS.sum(axis=0)
    sum_R = diff_TR.sum(axis=0)
    per_S = np.maximum(T_S, 1)
    lost_TS = np.stack([sums(row, ends_S) for row in diff_TR]) if len(diff_TR) else np.zeros(have_TS.shape, dtype=np.int64)
    n = np.maximum(n_S, 1)
    lost_S, square_S = lost_TS.sum(axis=0), sums((diff_TR * diff_TR).sum(axis=0), ends_S)
    # sums of squares of the two-way layout, each from integers
    trial_ss_S = (lost_TS * lost_TS).sum(axis=0) / (n * n) - lost_S**2 / (n * n * per_S)
    row_ss_S = sums(sum_R * sum_R, ends_S) / (per_S * per_S) - lost_S**2 / (per_S * per_S * n)
    all_ss_S = square_S - lost_S**2 / (per_S * n)
    cell_ss_S = np.maximum(all_ss_S - per_S * row_ss_S - n * trial_ss_S, 0.0)
    trial_S = np.maximum(trial_ss_S, 0.0) / np.maximum(T_S - 1, 1)
    cell_S = (cell_ss_S + 1.0) / np.maximum((n_S - 1) * (T_S - 1) + 2, 1)
    row_S = np.maximum((np.maximum(row_ss_S, 0.0) + 1.0) / (n_S + 1) - cell_S / per_S, 0.0)
    told_S = (T_S >= 2) & (n_S >= 2)
    common = max(float(np.mean((trial_S - cell_S / n)[told_S])), 0.0) if told_S.any() else 0.0
    return Components(T_S, trial_S, cell_S, row_S, common + cell_S / n)


def sums(values_R: np.ndarray, ends_S: np.ndarray) -> np.ndarray:
    """Sums over each subpopulation's slice of the R axis: int64 [subpopulations]; 0 where it has no rows."""
    running = np.concatenate([[0], np.cumsum(values_R, dtype=np.int64)])
    return np.diff(running[np.concatenate([[0], ends_S])])


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
    picks = list(members)
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
