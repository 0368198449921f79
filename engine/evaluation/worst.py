"""The worst k subpopulations of an alpha, as published and corrected.

As published: chosen by their mean damage over all trials and test rows, and scored on the same. It overstates: among many, the worst
are also the luckiest.

Corrected: every (trial, test-row fold) is scored on the k worst by the **other** trials and folds. Its estimand: the expected damage of an
adversary who picks k targets from past trials, given this split and clustering. Precisely, the mean over subpopulations so picked of
their true damage (expected over initial weights, batch order, poison draws and test rows), expected over independent draws of past
data of the amount that each pick here saw: one trial fewer than there are, four fifths of the test rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

import numpy as np

from engine.evaluation import interval
from engine.evaluation.folds import FOLDS
from engine.evaluation.layout import Layout
from engine.evaluation.spread import components, fit, pooled_rows
from engine.evaluation.vulnerable import LEAST_TRIALS


@dataclass(frozen=True)
class Worst:
    """The worst k of one alpha. picks: indices, worst first. None: could not be said.

    eligible: subpopulations that the corrected value may pick, in order of index; trials: those that it rests on. on_eligible: as
    published, but picked among the eligible: published less on_eligible is who may be picked, on_eligible less corrected is luck.
    """

    alpha: float
    k: int
    published_picks: tuple[int, ...]
    published: float | None
    on_eligible: float | None
    picks: tuple[int, ...]
    corrected: float | None
    low: float | None
    high: float | None
    eligible: tuple[int, ...]
    trials: int
    note: str

    @property
    def k_used(self) -> int:
        return len(self.picks)


def worst_of(
    layout: Layout, alpha: int, damage_S: np.ndarray, published_sizes_S: np.ndarray, enough_rows_S: np.ndarray, ks: Sequence[int]
) -> list[Worst]:
    """The worst k of the alpha at that place, both ways, for each k.

    damage_S: float64, mean damages, nan where unknown; published_sizes_S, enough_rows_S: bool, which the one and the other may pick.
    """
    eligible_S = enough_rows_S & (layout.n_SF > 0).all(axis=1)  # a row in every fold, for each must be scored
    scored = score(layout, alpha, eligible_S)
    order = worst_first(damage_S, eligible_S)
    limits = {} if scored is None else intervals(scored, ks)
    worst = []
    for k in ks:
        published_picks, published = as_published(damage_S, published_sizes_S, k)
        low, high = limits.get(k, (None, None))
        worst.append(
            Worst(
                alpha=layout.alphas[alpha],
                k=k,
                published_picks=published_picks,
                published=published,
                on_eligible=as_published(damage_S, eligible_S, k)[1],
                picks=order[:k],
                corrected=None if scored is None else corrected(scored, k),
                low=low,
                high=high,
                eligible=tuple(np.flatnonzero(eligible_S).tolist()),
                trials=0 if scored is None else len(scored.lost_TEF),
                note=why_not(scored, eligible_S) or selects_nothing(k, int(eligible_S.sum())),
            )
        )
    return worst


def intervals(scored: Scored, ks: Sequence[int]) -> dict[int, tuple[float, float]]:
    """95 % intervals of the corrected values, by k; empty below three trials. See `interval.py`."""
    trials, size, _ = scored.lost_TEF.shape
    if trials < LEAST_TRIALS:
        return {}
    n_E = scored.n_EF.sum(axis=1)
    part = components(scored.diff_TR, np.ones((trials, size), dtype=bool), n_E)
    spread, part = fit(part), pooled_rows(part)
    common = interval.common(scored.lost_TEF.sum(axis=2) / n_E, spread.at(part.damage_S))
    errors = interval.errors(spread, part, scored.n_EF, common, tuple(ks))
    by_k = {}
    for k in ks:
        picks_FM = scored.order_TFE[:, :, :k].transpose(1, 0, 2).reshape(FOLDS, -1)
        share_EF = np.stack([np.bincount(picks_M, minlength=size) for picks_M in picks_FM], axis=1) / trials
        by_k[k] = interval.limits(corrected(scored, k), errors[k], spread, part, share_EF, common, trials - 1 + spread.prior_df)
    return by_k


def why_not(scored: Scored | None, eligible_S: np.ndarray) -> str:
    """Why the corrected value or its interval is missing, in words; empty where neither is."""
    if not eligible_S.any():
        return "no attacked subpopulation has enough test rows; lower evaluation.min_test_rows"
    if scored is None:
        return "corrected needs two complete trials"
    return "an interval needs three complete trials" if len(scored.lost_TEF) < LEAST_TRIALS else ""


def selects_nothing(k: int, eligible: int) -> str:
    """Where the worst k are all that there are; empty where they are a choice."""
    return f"all {eligible} that are eligible: nothing is selected" if eligible <= k else ""


def as_published(damage_S: np.ndarray, eligible_S: np.ndarray, k: int) -> tuple[tuple[int, ...], float | None]:
    """The k of largest damage, worst first (ties: the lowest index), and their mean. damage_S: float64, nan where unknown."""
    picks = worst_first(damage_S, eligible_S)[:k]
    return picks, fsum(damage_S[list(picks)]) / len(picks) if picks else None


def worst_first(damage_S: np.ndarray, eligible_S: np.ndarray) -> tuple[int, ...]:
    """Eligible subpopulations with a known damage, largest first, ties by index."""
    order = np.argsort(-np.where(np.isnan(damage_S), -np.inf, damage_S), kind="stable")
    return tuple(int(s) for s in order if eligible_S[s] and not np.isnan(damage_S[s]))


@dataclass(frozen=True)
class Scored:
    """Every cell of the corrected estimate. members_E: the subpopulations it is made over.

    lost_TEF      int64, clean right - poisoned right
    damage_TEF    float64, the same over rows
    order_TFE     int64, places in members_E by the other trials' and folds' mean damage, largest first
    diff_TR       int8, the rows of the members alone, fold by fold;  n_EF: int64, how many they are
    """

    members_E: np.ndarray
    lost_TEF: np.ndarray
    damage_TEF: np.ndarray
    order_TFE: np.ndarray
    diff_TR: np.ndarray
    n_EF: np.ndarray


def score(layout: Layout, alpha: int, eligible_S: np.ndarray) -> Scored | None:
    """Cells over the complete trials: those in which every eligible subpopulation has a victim. None with fewer than two of them."""
    members_E = np.flatnonzero(eligible_S)
    complete_T = layout.have_ATS[alpha][:, members_E].all(axis=1)
    if complete_T.sum() < 2 or not len(members_E):
        return None
    rows = np.repeat(np.isin(np.arange(len(layout.n_S)), members_E), layout.n_S)
    return choose(members_E, layout.diff_ATR[alpha][complete_T][:, rows], layout.n_SF[members_E])


def choose(members_E: np.ndarray, diff_TR: np.ndarray, n_EF: np.ndarray) -> Scored:
    """Order every cell's subpopulations by what the other trials and folds say: integers and one division, ties by index."""
    trials, lost_TEF = len(diff_TR), fold_sums(diff_TR, n_EF)
    by_fold_EF, by_trial_TE = lost_TEF.sum(axis=0), lost_TEF.sum(axis=2)
    past_TEF = by_fold_EF.sum(axis=1)[None, :, None] - by_trial_TE[:, :, None] - by_fold_EF[None] + lost_TEF
    past_TEF = past_TEF / ((trials - 1) * (n_EF.sum(axis=1, keepdims=True) - n_EF))
    order_TFE = np.argsort(-past_TEF.transpose(0, 2, 1), axis=2, kind="stable")
    return Scored(members_E, lost_TEF, lost_TEF / n_EF, order_TFE, diff_TR, n_EF)


def cells(scored: Scored, k: int) -> np.ndarray:
    """Mean damage of each cell's k picks: float64 [trials, folds]."""
    trials, _, folds = scored.damage_TEF.shape
    picks_TFK = scored.order_TFE[:, :, :k]
    damage_TFE = scored.damage_TEF.transpose(0, 2, 1)
    taken = np.take_along_axis(damage_TFE, picks_TFK, axis=2)
    return np.array([[fsum(taken[t, f]) / taken.shape[2] for f in range(folds)] for t in range(trials)])


def corrected(scored: Scored, k: int) -> float:
    """The corrected worst-k damage: the mean over (trial, fold) cells."""
    cells_TF = cells(scored, k)
    return fsum(cells_TF.ravel()) / cells_TF.size


def fold_sums(diff_TR: np.ndarray, n_SF: np.ndarray) -> np.ndarray:
    """Sums over each (subpopulation, fold)'s slice of the R axis: int64 [trials, subpopulations, folds]."""
    ends = np.concatenate([[0], np.cumsum(n_SF.ravel())])
    running = np.zeros((len(diff_TR), int(ends[-1]) + 1), dtype=np.int64)
    np.cumsum(diff_TR, axis=1, dtype=np.int64, out=running[:, 1:])
    return np.diff(running[:, ends], axis=1).reshape(len(diff_TR), -1, FOLDS)
