"""What one attack did to every annotated group of test rows (paper, section 5.5), corrected for how many were looked at.

Groups overlap (each row is in one level of every attribute), so they are laid side by side, each with its own copy of its rows, and go
through the same intervals as subpopulations do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from engine.evaluation import vulnerable
from engine.evaluation.damage import LEVEL, moderated, ratio
from engine.evaluation.spread import components, fit, sums


@dataclass(frozen=True)
class Groups:
    """Float64 [groups]; nan where there is nothing to say it from.

    low, high          95 % interval of the damage of one group, were it the only one looked at
    low_all, high_all  wide enough that all `looked_at` hold at once (Bonferroni)
    p, q               one-sided p of damage > 0, and Benjamini-Hochberg's adjustment over those looked at (three trials or more)
    """

    rows: np.ndarray
    clean: np.ndarray
    poisoned: np.ndarray
    damage: np.ndarray
    low: np.ndarray
    high: np.ndarray
    low_all: np.ndarray
    high_all: np.ndarray
    p: np.ndarray
    q: np.ndarray
    looked_at: int


def groups(clean_TR: np.ndarray, poisoned_TR: np.ndarray, members: Sequence[np.ndarray], least_rows: int) -> Groups:
    """clean_TR, poisoned_TR: bool [trials, test rows], right or not; members: int64 [rows], the test rows of each group.

    Groups with fewer than `least_rows` rows are told but not looked at: they have no p and do not count among those corrected for.
    """
    trials = len(clean_TR)
    n_G = np.array([len(rows) for rows in members])
    each = np.concatenate([*members, np.empty(0, np.int64)]).astype(np.int64)
    diff_TR = clean_TR.astype(np.int8)[:, each] - poisoned_TR.astype(np.int8)[:, each]
    ends_G = np.cumsum(n_G)
    clean_G = ratio(sums(clean_TR[:, each].sum(axis=0), ends_G), trials * n_G)
    poisoned_G = ratio(sums(poisoned_TR[:, each].sum(axis=0), ends_G), trials * n_G)
    damage_G = ratio(sums(diff_TR.sum(axis=0, dtype=np.int64), ends_G), trials * n_G)
    se_G, df_G = np.full(len(n_G), np.nan), np.full(len(n_G), np.nan)
    judged = np.flatnonzero(n_G >= 2)
    if trials >= 2 and len(judged):
        part = components(diff_TR, np.ones((trials, len(n_G)), dtype=bool), n_G).take(judged)
        variance, trials_df = moderated(fit(part), part)
        trials2, rows2 = variance / part.trials_S, part.row_S / part.n_S
        se_G[judged] = np.sqrt(trials2 + rows2)
        df_G[judged] = (trials2 + rows2) ** 2 / (trials2**2 / trials_df + rows2**2 / (part.n_S - 1))
    looked = (n_G >= least_rows) & ~np.isnan(se_G)
    many = max(int(looked.sum()), 1)
    p_G, q_G = np.full(len(n_G), np.nan), np.full(len(n_G), np.nan)
    if trials >= vulnerable.LEAST_TRIALS:
        p_G = np.where(looked, stdtr(df_G, -damage_G / se_G), np.nan)
        q_G[looked] = vulnerable.adjusted(p_G[looked])
    reach_G, reach_all_G = stdtrit(df_G, (1 + LEVEL) / 2) * se_G, stdtrit(df_G, 1 - (1 - LEVEL) / 2 / many) * se_G
    reach_all_G = np.where(looked, reach_all_G, np.nan)
    return Groups(
        rows=n_G,
        clean=clean_G,
        poisoned=poisoned_G,
        damage=damage_G,
        low=np.maximum(damage_G - reach_G, -1.0),
        high=np.minimum(damage_G + reach_G, 1.0),
        low_all=np.maximum(damage_G - reach_all_G, -1.0),
        high_all=np.minimum(damage_G + reach_all_G, 1.0),
        p=p_G,
        q=q_G,
        looked_at=int(looked.sum()),
    )
