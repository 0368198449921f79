"""Rows of the `distribution` table (paper, section 5.4): how damage is spread over subpopulations, as published and corrected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import fsum

import numpy as np

from engine.evaluation.deconvolve import Mixture
from engine.evaluation.prediction import Interval
from engine.tables.cells import Row, line, reading
from engine.tables.figures import Figures

THRESHOLDS = (0.0, 0.05, 0.1, 0.144, 0.147, 0.15, 0.2, 0.25)  # among them those that the paper gives shares of, and the system's own
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
PUBLISHED_ALPHA = 2.0


def rows(figures: Figures) -> list[Row]:
    """Of each alpha: shares above thresholds, quantiles, the mean."""
    corrected = figures.mixtures(figures.enough_test_rows)
    return [row for a in range(len(figures.world.facts.alphas)) for row in _of_alpha(figures, a, corrected[a])]


def _of_alpha(figures: Figures, a: int, mixture_of_alpha: tuple[np.ndarray, Mixture] | None) -> Iterator[Row]:
    alpha = figures.world.facts.alphas[a]
    seen, eligible = (_known(figures.damages.damage_AS[a][among]) for among in (figures.published_sizes, figures.enough_test_rows))
    mixture = None if mixture_of_alpha is None else mixture_of_alpha[1]
    copies = None if mixture is None or len(mixture.seen_SG) < 2 else mixture.copies()
    others = figures.replications[a]
    published = {}
    if figures.published is not None and alpha == PUBLISHED_ALPHA:
        published = {entry.value: (share, reading(entry)[1]) for share, entry in figures.published.shares}

    def row(
        group: str,
        at: float | None,
        of: Callable[[np.ndarray], float],
        value: float | None,
        interval: tuple[float, float] | None,
        other: Interval,
    ) -> Row:
        share, source = published.get(at, (None, None)) if group == "share" and at is not None else (None, None)
        return line(
            "distribution",
            alpha=alpha,
            group=group,
            at=at,
            as_published=of(seen) if len(seen) else None,
            as_published_n=len(seen),
            on_eligible=of(eligible) if len(eligible) else None,
            corrected=value,
            low=None if interval is None else interval[0],
            high=None if interval is None else interval[1],
            corrected_n=0 if mixture_of_alpha is None else len(mixture_of_alpha[0]),
            attacked=len(figures.attacked),
            published=share,
            published_as=source,
            predicted_low=other.low,
            predicted_high=other.high,
            outside=other.outside(share),
            note=_note(figures, mixture, len(seen)),
        )

    for at in sorted({*THRESHOLDS, *published}):
        value, interval = (None if mixture is None else mixture.share(at)), (None if copies is None else copies.share(at))
        yield row("share", at, partial(_reached, at), value, interval, others.share(at))
    for q in QUANTILES:
        value, interval = (None if mixture is None else mixture.quantile(q)), (None if copies is None else copies.quantile(q))
        yield row("quantile", q, partial(_quantile, q), value, interval, others.quantile(q))
    value, interval = (None if mixture is None else mixture.mean()), (None if copies is None else copies.mean())
    yield row("mean", None, lambda damage_S: fsum(damage_S) / len(damage_S), value, interval, others.mean())


def _known(damage_S: np.ndarray) -> np.ndarray:
    return damage_S[~np.isnan(damage_S)]


def _reached(at: float, damage_S: np.ndarray) -> float:
    """The share of damages that reach it; of 0, that are above."""
    return int((damage_S >= at if at > 0 else damage_S > 0).sum()) / len(damage_S)


def _quantile(q: float, damage_S: np.ndarray) -> float:
    return float(np.quantile(damage_S, q))


def _note(figures: Figures, mixture: Mixture | None, seen: int) -> str | None:
    if mixture is not None:
        return None
    if not figures.enough_test_rows.any():
        return "no attacked subpopulation has enough test rows; lower evaluation.min_test_rows"
    return "corrected needs two trials" if seen else "no victims yet"
