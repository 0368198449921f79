"""Rows of the `dose` table: per subpopulation how much poison reaches the chosen damage, and what fresh trials did there."""

from __future__ import annotations

from math import inf

import numpy as np

from engine.evaluation import dose
from engine.evaluation.dose import Needed
from engine.evaluation.tried import Tried, fresh, tried
from engine.rates import count, points_of
from engine.rows import Subpopulation
from engine.tables.cells import Row, cell, line
from engine.tables.figures import Figures


def rows(figures: Figures) -> list[Row]:
    """One row for each attacked subpopulation."""
    facts = figures.world.facts
    seen, later = tried(figures.world.counts, facts.alphas, facts.trials), fresh(figures.world.counts, facts.trials)
    return [_row(figures, s, seen, later) for s in figures.attacked]


def needed_of(seen: Tried, s: int, level: float) -> Needed | None:
    """The curve of one subpopulation and where it reaches the level; None before its first damage."""
    alpha_J, damage_J = seen.alpha_JS[:, s], seen.damages.damage_AS[:, s]
    measured = np.flatnonzero(~np.isnan(damage_J) & ~np.isnan(alpha_J))
    measured = measured[np.argsort(alpha_J[measured], kind="stable")]
    df_J, se_J = _df(seen, s), seen.damages.se_AS[:, s]
    return dose.needed(alpha_J[measured], damage_J[measured], seen.damages.trials_AS[measured, s], se_J[measured], df_J[measured], level)


def _df(seen: Tried, s: int) -> np.ndarray:
    """At least those of its own trials: float64 [places]. The moderated variance rests on more, which makes the interval no narrower."""
    return np.maximum(seen.damages.trials_AS[:, s] - 1.0, 1.0) + 2.0


def size_of(s: Subpopulation, per: str) -> int:
    """The size that alpha is a share of."""
    return s.train_rows if per == "train" else s.aux_rows


def _row(figures: Figures, s: Subpopulation, seen: Tried, later: Tried | None) -> Row:
    facts, at = figures.world.facts, s.index
    needed, size = needed_of(seen, at, facts.dose_level), size_of(s, facts.per)
    beyond = needed is None or needed.alpha == inf
    largest = None if needed is None else float(needed.alphas[-1])
    points = None if needed is None or beyond else points_of(needed.alpha, size)
    trials = int(seen.damages.trials_AS[:, at].max(initial=0))

    def alpha_in_words(alpha: float | None) -> str | None:
        if alpha is None or needed is None:
            return None
        return f"> {largest:g}" if alpha == inf else f"{alpha:.3g}"

    later_alpha = None if later is None else cell(later.alpha_JS[0, at])
    return line(
        "dose",
        subpopulation=at,
        description=s.description,
        level=facts.dose_level,
        needed=None if needed is None else alpha_in_words(needed.alpha),
        alpha=None if needed is None else _finite(needed.alpha),
        low=None if needed is None else _finite(needed.low),
        high=None if needed is None else _finite(needed.high),
        interval=None if needed is None or needed.low is None else f"{alpha_in_words(needed.low)} to {alpha_in_words(needed.high)}",
        points=points,
        points_needed=None if needed is None or largest is None else str(points) if points is not None else f"> {int(largest * size)}",
        poison_share=points / figures.world.train_rows if points is not None and figures.world.train_rows else None,
        largest=largest,
        damage_at_largest=None if needed is None else float(needed.fitted[-1]),
        curve=None
        if needed is None
        else " ".join(f"{a:.6g}:{d:.6g}" for a, d in zip([0, *needed.alphas], [0, *needed.fitted], strict=True)),
        trials=trials,
        test_rows=s.test_rows,
        found_alpha=later_alpha,
        found_points=None if later_alpha is None else count(later_alpha, size),
        fresh_damage=None if later is None else cell(later.damages.damage_AS[0, at]),
        fresh_low=None if later is None else cell(later.damages.low_AS[0, at]),
        fresh_high=None if later is None else cell(later.damages.high_AS[0, at]),
        fresh_trials=0 if later is None else int(later.damages.trials_AS[0, at]),
        published=None,
        published_as=None,
        note=_note(needed, trials, later_alpha, facts.finds),
    )


def _note(needed: Needed | None, trials: int, later: float | None, finds: bool) -> str | None:
    if needed is None:
        return "no victims yet"
    if trials < 2:
        return "an interval needs two trials"
    if later is not None:
        return None
    if needed.alpha == inf:
        return "not reached by the largest alpha tried"
    return "its fresh trials are to come" if finds else None


def _finite(value: float | None) -> float | None:
    return None if value is None or value == inf else value
