"""Rows of the `susceptibility` table: what clean models foretell of each subpopulation, what was measured, and how that goes together.

One row a subpopulation at each alpha. Below them one row a ranking, over the attacked subpopulations with enough test rows: by prediction
on aux and on test rows, by confidence (the least sure first, and the surest first) and by size; what one victim of each would rank, and
the two halves of the trials each other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.arrays import Foretold
from engine.evaluation import susceptibility as of
from engine.tables.cells import Row, cell, line
from engine.tables.figures import Figures

NO_RANKING = "too few subpopulations, or all alike"
ONE = (
    "subpopulation",
    "description",
    "predicted",
    "predicted_on_test",
    "rank",
    "rank_on_test",
    "attacked",
    "damage",
    "low",
    "high",
    "trials",
    "ranked",
    "confidence",
    "aux_rows",
    "test_rows",
)
SUMMARY = (
    "subpopulations",
    "spearman",
    "spearman_low",
    "spearman_high",
    "worst",
    "recall_20",
    "recall_30",
    "recall_50",
    "mae",
    "mae_constant",
    "note",
)


def rows(figures: Figures) -> list[Row]:
    foretold = figures.world.foretold
    if foretold is None:
        return []
    place = {float(alpha): at for at, alpha in enumerate(foretold.alphas)}
    made: list[Row] = []
    for a, alpha in enumerate(figures.world.facts.alphas):
        if alpha in place:
            made += [*_each(figures, foretold, a, place[alpha]), *_rankings(figures, foretold, a, place[alpha])]
    return made


def ranks(predicted_S: np.ndarray) -> dict[int, int]:
    """Subpopulation -> its rank, the one of largest predicted damage first, ties by index; of those that have a prediction."""
    known = [s for s in np.argsort(-predicted_S, kind="stable").tolist() if np.isfinite(predicted_S[s])]
    return {s: place for place, s in enumerate(known, 1)}


def _each(figures: Figures, foretold: Foretold, a: int, at: int) -> Iterator[Row]:
    d, rank, among_S = figures.damages, ranks(foretold.aux_AS[at]), _among(figures, foretold, a, at)
    on_test = ranks(foretold.test_AS[at])
    for s in figures.world.subpopulations:
        if s.index not in rank:
            continue
        known = s.attacked and np.isfinite(d.damage_AS[a, s.index])
        yield line(
            "susceptibility",
            alpha=figures.world.facts.alphas[a],
            group="one",
            subpopulation=s.index,
            description=s.description,
            predicted=cell(foretold.aux_AS[at, s.index]),
            predicted_on_test=cell(foretold.test_AS[at, s.index]),
            rank=rank[s.index],
            rank_on_test=on_test.get(s.index),
            attacked=s.attacked,
            damage=cell(d.damage_AS[a, s.index]) if known else None,
            low=cell(d.low_AS[a, s.index]) if known else None,
            high=cell(d.high_AS[a, s.index]) if known else None,
            trials=int(d.trials_AS[a, s.index]) if known else None,
            ranked=bool(among_S[s.index]),
            confidence=s.confidence,
            aux_rows=s.aux_rows,
            test_rows=s.test_rows,
            **dict.fromkeys(SUMMARY),
        )


def _among(figures: Figures, foretold: Foretold, a: int, at: int) -> np.ndarray:
    """Which subpopulations the rankings order, bool [subpopulations]."""
    among_S: np.ndarray = figures.enough_test_rows & np.isfinite(figures.damages.damage_AS[a]) & np.isfinite(foretold.aux_AS[at])
    return among_S


def _rankings(figures: Figures, foretold: Foretold, a: int, at: int) -> Iterator[Row]:
    damage_S, layout = figures.damages.damage_AS[a], figures.layout
    confidence_S = np.full(len(damage_S), np.nan)
    size_S = np.zeros(len(damage_S))
    for s in figures.world.subpopulations:
        confidence_S[s.index] = np.nan if s.confidence is None else s.confidence
        size_S[s.index] = s.aux_rows
    aux_S, test_S = foretold.aux_AS[at], foretold.test_AS[at]
    among_S = _among(figures, foretold, a, at)
    if not among_S.any():
        return

    def summary(group: str, n: int, **cells: object) -> Row:
        alpha = figures.world.facts.alphas[a]
        return line("susceptibility", **{**dict.fromkeys((*ONE, *SUMMARY)), "alpha": alpha, "group": group, "subpopulations": n, **cells})

    scores = {
        "predicted": aux_S,
        "predicted_on_test": test_S,
        "least_confident": -confidence_S,
        "most_confident": confidence_S,
        "largest": size_S,
    }
    for group, score_S in scores.items():
        known_S = among_S & np.isfinite(score_S)
        ranking = of.ranking(score_S[known_S], damage_S[known_S])
        foretells = group.startswith("predicted")
        mae, constant = of.calibration(score_S[known_S], damage_S[known_S]) if foretells else (None, None)
        yield summary(
            group,
            ranking.n,
            spearman=ranking.spearman,
            spearman_low=ranking.interval.low,
            spearman_high=ranking.interval.high,
            worst=ranking.worst,
            recall_20=ranking.recall[0],
            recall_30=ranking.recall[1],
            recall_50=ranking.recall[2],
            mae=mae,
            mae_constant=constant,
            note=NO_RANKING if ranking.spearman is None else None,
        )
    by_trial = of.of_trials(layout, a, among_S)
    few = "takes two trials or more" if len(by_trial) < 2 else NO_RANKING
    n = int(among_S.sum())
    for group, rho in (("one_victim", of.one_victim(by_trial)), ("trial_halves", of.halves(by_trial, figures.world.facts.seed))):
        yield summary(group, n, spearman=rho, note=few if rho is None else None)
