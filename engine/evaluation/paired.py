"""Two attacks on the same subpopulations, alphas and trials: their damages and the difference, paired within a trial.

The clean victims cancel in the difference: it is the label-flipped victims' accuracy less that of the attack's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from engine.evaluation.damage import LEVEL, errors_of_difference, ratio
from engine.evaluation.layout import Layout
from engine.evaluation.spread import components


@dataclass(frozen=True)
class Paired:
    """Float64 [alphas, subpopulations] over the trials that have both, nan where there are none.

    control, attack       the layouts, left with those trials alone
    trials_AS             int64;  control_AS, attack_AS: target damages
    difference_AS         attack minus control;  low_AS, high_AS: its 95 % interval, moderated as a damage's is (two trials or more)
    """

    control: Layout
    attack: Layout
    trials_AS: np.ndarray
    control_AS: np.ndarray
    attack_AS: np.ndarray
    difference_AS: np.ndarray
    low_AS: np.ndarray
    high_AS: np.ndarray


def paired(control: Layout, attack: Layout) -> Paired:
    """control, attack: two arms of the same counts."""
    both_ATS = control.have_ATS & attack.have_ATS
    control, attack = _left(control, both_ATS), _left(attack, both_ATS)
    rows_AS = both_ATS.sum(axis=1) * attack.n_S
    clean_AS = (both_ATS * attack.clean_TS).sum(axis=1)
    difference_AS = ratio((control.right_ATS - attack.right_ATS).sum(axis=1), rows_AS)
    se_AS, df_AS = errors_of_difference(replace(attack, diff_ATR=attack.diff_ATR - control.diff_ATR), difference_AS)
    reach_AS = stdtrit(df_AS, (1 + LEVEL) / 2) * se_AS
    return Paired(
        control=control,
        attack=attack,
        trials_AS=both_ATS.sum(axis=1),
        control_AS=ratio(clean_AS - control.right_ATS.sum(axis=1), rows_AS),
        attack_AS=ratio(clean_AS - attack.right_ATS.sum(axis=1), rows_AS),
        difference_AS=difference_AS,
        low_AS=np.maximum(difference_AS - reach_AS, -1.0),
        high_AS=np.minimum(difference_AS + reach_AS, 1.0),
    )


def _left(layout: Layout, have_ATS: np.ndarray) -> Layout:
    """The layout with these victims alone."""
    return replace(
        layout,
        have_ATS=have_ATS,
        diff_ATR=np.where(np.repeat(have_ATS, layout.n_S, axis=2), layout.diff_ATR, np.int8(0)),
        right_ATS=layout.right_ATS * have_ATS,
        points_ATS=layout.points_ATS * have_ATS,
    )


@dataclass(frozen=True)
class MeanDifference:
    """Of a group: 95 % interval of the mean difference, and the complete trials that it rests on. None below two."""

    low: float | None
    high: float | None
    trials: int


def mean_difference(pair: Paired, alpha: int, members: Sequence[int]) -> MeanDifference:
    """The mean over members, by trial: subpopulations of a trial share its clean victim and batch order, so trials are what is independent.

    The variance is that of the trials' means, and beside it the sampling of test rows, which trials share.
    """
    if not len(members):
        return MeanDifference(None, None, 0)
    picks = np.asarray(members)
    told_T = pair.attack.have_ATS[alpha][:, picks].all(axis=1)
    lost_TS = (pair.control.right_ATS[alpha] - pair.attack.right_ATS[alpha])[told_T][:, picks]
    per_T = (lost_TS / pair.attack.n_S[picks]).mean(axis=1)
    trials = len(per_T)
    if trials < 2:
        return MeanDifference(None, None, trials)
    part = components((pair.attack.diff_ATR - pair.control.diff_ATR)[alpha], pair.attack.have_ATS[alpha], pair.attack.n_S).take(picks)
    trials2, rows2 = float(per_T.var(ddof=1)) / trials, float((part.row_S / part.n_S).sum()) / len(picks) ** 2
    if not trials2 + rows2:  # every trial's mean is the same, and rows differ no more than rows by trials would have them: that is left
        rows2 = float((part.cell_S / part.n_S).sum()) / (len(picks) ** 2 * trials)
    # Satterthwaite: the degrees of freedom of a sum of two variances
    df = (trials2 + rows2) ** 2 / (trials2**2 / (trials - 1) + rows2**2 / max(int(part.n_S.sum()) - len(picks), 1))
    reach, centre = float(stdtrit(df, (1 + LEVEL) / 2)) * (trials2 + rows2) ** 0.5, float(per_T.mean())
    return MeanDifference(max(centre - reach, -1.0), min(centre + reach, 1.0), trials)
