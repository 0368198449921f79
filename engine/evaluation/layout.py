"""Counts laid out by (alpha, trial, subpopulation): every poisoned victim beside the clean one of its trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.evaluation.counts import Counts
from engine.rows import Arm


@dataclass(frozen=True)
class Crossed:
    """What every victim did to every subpopulation that is aimed at.

    aimed_V      int64, the subpopulations that victims are aimed at, ascending
    right_ATVV   int32 [alphas, trials, victims, subpopulations], test rows of the last that the victim aimed at the one before got right;
                 0 where there is no such victim
    """

    aimed_V: np.ndarray
    right_ATVV: np.ndarray


@dataclass(frozen=True)
class Layout:
    """One arm against the clean arm. A trial is here when its clean victim is. Integers throughout, zero where there is no victim.

    have_ATS      bool, is there such a victim
    diff_ATR      int8, clean right - victim right (-1, 0, 1) on the row, of the victim aimed at the row's own subpopulation
    right_ATS     int64, test rows of s that the victim aimed at s got right
    all_ATS       int64, test rows, everywhere, that it got right
    label_ATS     int64, test rows of s that it gave the target label (0 where s has none)
    points_ATS    int64, poison points;  already_ATS: those that bore the target label before
    sum_ATS       int64, test rows of s that all victims of (alpha, trial) together got right, whatever they aimed at
    aimed_AT      int64, how many victims that is
    clean_TS, clean_all_T, clean_label_TS     the same of the clean victims
    n_S, n_SF     int64, test rows, slice by slice of the R axis;  n_all: of the whole test set
    crossed       the victims of an alpha on each other's subpopulations; None where not all that stand under an alpha have that alpha
    """

    alphas: tuple[float, ...]
    trials: tuple[int, ...]
    have_ATS: np.ndarray
    diff_ATR: np.ndarray
    right_ATS: np.ndarray
    all_ATS: np.ndarray
    label_ATS: np.ndarray
    points_ATS: np.ndarray
    already_ATS: np.ndarray
    sum_ATS: np.ndarray
    aimed_AT: np.ndarray
    clean_TS: np.ndarray
    clean_all_T: np.ndarray
    clean_label_TS: np.ndarray
    n_S: np.ndarray
    n_SF: np.ndarray
    n_all: int
    crossed: Crossed | None = None


def lay_out(
    counts: Counts, alphas: Sequence[float], labels: Sequence[int | None], *, arm: Arm = "poisoned", trials: int | None = None
) -> Layout:
    """The victims of one arm, paired with the clean victim of their trial (the first, should there be two).

    labels: for each subpopulation the class index its poison is given, or None. Victims of an alpha not in `alphas` are left out, and so
    are trials from number `trials` on: those that a search for the alpha needed trained beyond the scenario's.
    """
    S, rows = counts.subpopulations, int(counts.ends_S[-2]) if counts.subpopulations else 0
    victims = counts.in_order()
    clean = {v.spec.trial: v for v in reversed(victims) if v.spec.arm == "clean"}
    trial_numbers = tuple(sorted(t for t in clean if trials is None or t < trials))
    trial_at, alpha_at = {t: i for i, t in enumerate(trial_numbers)}, {a: i for i, a in enumerate(alphas)}
    label_S = np.array([-1 if label is None else label for label in labels], dtype=np.int64)
    ATS = (len(alphas), len(trial_numbers), S)
    have_ATS = np.zeros(ATS, dtype=bool)
    right_ATS, all_ATS, label_ATS, points_ATS, already_ATS, sum_ATS = (np.zeros(ATS, dtype=np.int64) for _ in range(6))
    aimed_AT = np.zeros(ATS[:2], dtype=np.int64)
    clean_TR = np.zeros((len(trial_numbers), rows), dtype=np.int8)
    clean_TS, clean_label_TS = (np.zeros((len(trial_numbers), S), dtype=np.int64) for _ in range(2))
    clean_all_T = np.zeros(len(trial_numbers), dtype=np.int64)
    for t, trial in enumerate(trial_numbers):
        victim = clean[trial]
        clean_TR[t] = victim.right_rows[:rows]
        clean_TS[t], clean_all_T[t] = victim.right_S[:S], victim.right_S.sum()
        clean_label_TS[t] = np.where(label_S < 0, 0, victim.given_SC[np.arange(S), label_S])
    diff_ATR = np.zeros((len(alphas), len(trial_numbers), rows), dtype=np.int8)
    aimed_V = np.unique([v.spec.subpopulation for v in victims if v.spec.arm == arm and v.spec.subpopulation is not None]).astype(np.int64)
    right_ATVV = np.zeros((*ATS[:2], len(aimed_V), len(aimed_V)), dtype=np.int32)
    for victim in victims:
        spec = victim.spec
        a, t, s = alpha_at.get(spec.alpha, -1) if spec.alpha is not None else -1, trial_at.get(spec.trial, -1), spec.subpopulation
        if spec.arm != arm or a < 0 or t < 0 or s is None or have_ATS[a, t, s]:
            continue
        start = 0 if s == 0 else int(counts.ends_S[s - 1])
        rows_of_s = slice(start, int(counts.ends_S[s]))
        have_ATS[a, t, s] = True
        diff_ATR[a, t, rows_of_s] = clean_TR[t, rows_of_s] - victim.right_rows
        right_ATS[a, t, s], all_ATS[a, t, s] = victim.right_S[s], victim.right_S.sum()
        label_ATS[a, t, s] = victim.given_SC[s, label_S[s]] if label_S[s] >= 0 else 0
        points_ATS[a, t, s], already_ATS[a, t, s] = victim.poison_points, victim.already_target
        sum_ATS[a, t] += victim.right_S[:S]
        right_ATVV[a, t, np.searchsorted(aimed_V, s)] = victim.right_S[aimed_V]
        aimed_AT[a, t] += 1
    return Layout(
        alphas=tuple(alphas),
        trials=trial_numbers,
        have_ATS=have_ATS,
        diff_ATR=diff_ATR,
        right_ATS=right_ATS,
        all_ATS=all_ATS,
        label_ATS=label_ATS,
        points_ATS=points_ATS,
        already_ATS=already_ATS,
        sum_ATS=sum_ATS,
        aimed_AT=aimed_AT,
        clean_TS=clean_TS,
        clean_all_T=clean_all_T,
        clean_label_TS=clean_label_TS,
        n_S=counts.total_SF[:S].sum(axis=1),
        n_SF=counts.total_SF[:S],
        n_all=len(counts.y_R),
        crossed=Crossed(aimed_V, right_ATVV),
    )
