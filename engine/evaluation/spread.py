"""What a trial's damage varies by, learned over all subpopulations of an alpha, so that few trials of one are not all there is to go by.

Adult's clusters show what must be allowed for: rows of a cluster are often alike, so that a model gets all of them right or all wrong and
a trial's damage is 0 or 1, beside clusters where it moves by a hundredth. The variance of a trial's damage is modelled as

    v_s(d) = common + cell_s / rows_s + phi * d (1 - d)        (the last 0 where d < 0)

with d the true damage: a part common to all, the sampling of rows by trials (known well: it comes from rows), and a share phi of the
largest variance that a number between 0 and 1 of that mean can have. phi is 1 where clusters flip whole, a few hundredths where they do
not; what one subpopulation varies by beyond that (clean victims flip too, and then damage is negative) is added to its own base.
How far single subpopulations stray from the model is Smyth's (2004) prior degrees of freedom, fitted on the logarithms: few for Adult, many
where all vary alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import digamma, polygamma

LEAST_SUBPOPULATIONS = 3  # with fewer there is nothing to learn a prior from
MOST_PRIOR_DF = 50.0
LEAST_RATIO = 0.02  # exact zeros, which accuracies over few rows do give, count as this share of the expected variance
OWN = 4.0  # after so many trials beyond the first, what one subpopulation shows is half believed
POOLED = 8.0  # rows of all that a subpopulation's own are drawn towards, where several are summed
ROOM = 0.1  # so much d (1 - d) makes a trial tell of phi


@dataclass(frozen=True)
class Components:
    """Of one alpha, float64 [subpopulations]: what a damage varies by.

    trials_S  int64, trials with both arms;  n_S: test rows;  damage_S: mean damage (0 where there are no trials)
    trial_S   variance, between trials, of a trial's damage
    cell_S    variance of a row's difference once row and trial are taken out (rows by trials)
    row_S     variance, between rows, of a row's own damage, cell_S taken out; at least 0
    cell_ss_S, row_ss_S   the sums of squares that the two come from, nothing added
    """

    trials_S: np.ndarray
    n_S: np.ndarray
    damage_S: np.ndarray
    trial_S: np.ndarray
    cell_S: np.ndarray
    row_S: np.ndarray
    cell_ss_S: np.ndarray
    row_ss_S: np.ndarray

    def take(self, members: np.ndarray) -> Components:
        """These components of some of the subpopulations alone."""
        parts = (self.trials_S, self.n_S, self.damage_S, self.trial_S, self.cell_S, self.row_S, self.cell_ss_S, self.row_ss_S)
        return Components(*(part[members] for part in parts))


@dataclass(frozen=True)
class Spread:
    """v_s(d) = base_S + phi_S d (1 - d), float64 [subpopulations]; prior_df: how many trials' worth the model is.

    shape_S   the model's variance at the subpopulation's own damage, before its own variance is looked at
    """

    base_S: np.ndarray
    phi_S: np.ndarray
    shape_S: np.ndarray
    prior_df: float

    def at(self, damage_S: np.ndarray) -> np.ndarray:
        """The variance of a trial's damage were the true damage so: float64 [subpopulations]."""
        return self.base_S + self.phi_S * np.maximum(damage_S * (1 - damage_S), 0.0)


def components(diff_TR: np.ndarray, have_TS: np.ndarray, n_S: np.ndarray) -> Components:
    """The variance components of one alpha. diff_TR: int8, clean right - poisoned right, 0 without a victim; have_TS: bool; n_S: rows.

    Half a pair of discordant rows is added to each subpopulation (after Agresti and Min, 2005), so that rows on which nothing happened do
    not claim to know that nothing ever would.
    """
    ends_S, diff_TR = np.cumsum(n_S), diff_TR.astype(np.int64)
    T_S = have_TS.sum(axis=0)
    per_S, n = np.maximum(T_S, 1), np.maximum(n_S, 1)
    sum_R = diff_TR.sum(axis=0)
    lost_TS = np.stack([sums(row_R, ends_S) for row_R in diff_TR]) if len(diff_TR) else np.zeros(have_TS.shape, dtype=np.int64)
    lost_S = lost_TS.sum(axis=0)
    # sums of squares of the two-way layout, rows by trials
    trial_ss_S = (lost_TS * lost_TS).sum(axis=0) / (n * n) - lost_S**2 / (n * n * per_S)
    row_ss_S = sums(sum_R * sum_R, ends_S) / (per_S * per_S) - lost_S**2 / (per_S * per_S * n)
    all_ss_S = sums((diff_TR * diff_TR).sum(axis=0), ends_S) - lost_S**2 / (per_S * n)
    cell_ss_S = np.maximum(all_ss_S - per_S * row_ss_S - n * trial_ss_S, 0.0)
    cell_S = (cell_ss_S + 1.0) / np.maximum((n_S - 1) * (T_S - 1) + 2, 1)
    row_S = np.maximum((np.maximum(row_ss_S, 0.0) + 1.0) / (n_S + 1) - cell_S / per_S, 0.0)
    trial_S = np.maximum(trial_ss_S, 0.0) / np.maximum(T_S - 1, 1)
    trial_S = np.where(trial_S < 1e-12, 0.0, trial_S)  # rounding
    return Components(T_S, n_S, lost_S / (n * per_S), trial_S, cell_S, row_S, cell_ss_S, np.maximum(row_ss_S, 0.0))


def pooled_rows(part: Components) -> Components:
    """The same with cell_S and row_S drawn towards those of all, for sums over several: half a pair of rows more in each is too much there.

    Each counts as its own rows and POOLED of the others'.
    """
    rows_S, cells_S = part.n_S - 1, (part.n_S - 1) * (part.trials_S - 1)
    cell, row = ((ss_S.sum() + 1.0) / (df_S.sum() + 2) for ss_S, df_S in ((part.cell_ss_S, cells_S), (part.row_ss_S, rows_S)))
    cell_S = (part.cell_ss_S + POOLED * cell) / (cells_S + POOLED)
    row_S = np.maximum((part.row_ss_S + POOLED * row) / (rows_S + POOLED) - cell_S / part.trials_S, 0.0)
    return replace(part, cell_S=cell_S, row_S=row_S)


def fit(part: Components) -> Spread:
    """The spread over these subpopulations, each with two trials and two rows or more."""
    df_S = part.trials_S - 1.0
    floor_S = part.cell_S / part.n_S
    room_S = part.damage_S * (1 - part.damage_S) + part.trial_S / part.trials_S  # unbiased for d (1 - d) of the true d
    if len(df_S) < LEAST_SUBPOPULATIONS:
        base_S = np.maximum(part.trial_S, floor_S)
        return Spread(base_S, np.zeros_like(base_S), base_S, 0.0)
    common, phi = _two_parts(part.trial_S - floor_S, room_S)
    base_S, room_S = common + floor_S, np.maximum(room_S, 0.0)
    shape_S = base_S + phi * room_S
    above_S = np.maximum(part.trial_S - base_S, 0.0)
    phi_S = np.minimum((OWN * ROOM * phi + df_S * above_S) / (OWN * ROOM + df_S * room_S), 1.0)
    rest_S = df_S / (df_S + OWN) * np.maximum(above_S - phi_S * room_S, 0.0)
    return Spread(base_S + rest_S, phi_S, shape_S, prior_df(part.trial_S / shape_S, df_S))


def prior_df(ratio_S: np.ndarray, df_S: np.ndarray) -> float:
    """How alike variances are that were each divided by their expectation: Smyth's d0, from 0 (not at all) to MOST_PRIOR_DF.

    The variance of log F(d, d0) is trigamma(d / 2) + trigamma(d0 / 2).
    """
    log_S = np.log(np.maximum(ratio_S, LEAST_RATIO)) - digamma(df_S / 2) + np.log(df_S / 2)
    excess = float(np.var(log_S, ddof=1) - np.mean(polygamma(1, df_S / 2)))
    return min(2 * trigamma_inverse(excess), MOST_PRIOR_DF) if excess > 0 else MOST_PRIOR_DF


def trigamma_inverse(x: float) -> float:
    """The y > 0 with trigamma(y) = x, by Newton's method on 1 / trigamma (Smyth 2004, appendix)."""
    if x < 1e-6:
        return 1 / x
    y = 0.5 + 1 / x
    for _ in range(50):
        value = float(polygamma(1, y))
        step = value * (1 - value / x) / float(polygamma(2, y))
        y += step
        if -step / y < 1e-8:
            break
    return y


def _two_parts(variance_S: np.ndarray, room_S: np.ndarray) -> tuple[float, float]:
    """Least squares of variance = common + phi * room with common >= 0 and 0 <= phi <= 1."""
    room, level = float(room_S.mean()), float(variance_S.mean())
    square = float(((room_S - room) ** 2).sum())
    phi = float(((room_S - room) * (variance_S - level)).sum()) / square if square > 0 else 0.0
    if level - phi * room < 0:
        across = float((room_S * room_S).sum())
        phi = float((room_S * variance_S).sum()) / across if across > 0 else 0.0
        return 0.0, min(max(phi, 0.0), 1.0)
    phi = min(max(phi, 0.0), 1.0)
    return max(level - phi * room, 0.0), phi


def sums(values_R: np.ndarray, ends_S: np.ndarray) -> np.ndarray:
    """Sums over each subpopulation's slice of the R axis: int64 [subpopulations]; 0 where it has no rows."""
    running = np.concatenate([[0], np.cumsum(values_R, dtype=np.int64)])
    return np.diff(running[np.concatenate([[0], ends_S])])
