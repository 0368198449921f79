"""Every alpha that was tried on each subpopulation, those that a search added among them, and the fresh trials at the alpha it found.

A search tries other alphas on each subpopulation. They are laid out by place, the first added one of each, the second, ...: an alpha of
its own for each would leave nothing to moderate variances across.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.evaluation.counts import Counts
from engine.evaluation.damage import Damages, damages
from engine.evaluation.layout import Layout, lay_out
from engine.rows import VictimSpec


@dataclass(frozen=True)
class Tried:
    """layout and damages with the alpha axis as places: the grid's, then the added ones. alpha_JS: float64, nan where there is none."""

    layout: Layout
    damages: Damages
    alpha_JS: np.ndarray


def tried(counts: Counts, grid: Sequence[float], trials: int | None) -> Tried:
    """Of the poisoned victims of the scenario's own trials."""
    added: dict[int, list[float]] = {}
    for victim in counts.in_order():
        spec = victim.spec
        if _of_search(spec, trials) or spec.alpha in grid or spec.subpopulation is None or spec.alpha is None:
            continue
        alphas = added.setdefault(spec.subpopulation, [])
        if spec.alpha not in alphas:
            alphas.append(spec.alpha)
    places = len(grid) + max((len(alphas) for alphas in added.values()), default=0)
    alpha_JS = np.full((places, counts.subpopulations), np.nan)
    alpha_JS[: len(grid)] = np.array(grid, dtype=float)[:, None]
    place = {}
    for s, alphas in added.items():
        for j, alpha in enumerate(sorted(alphas), start=len(grid)):
            alpha_JS[j, s], place[s, alpha] = alpha, float(j)
    for s in range(counts.subpopulations):
        place |= {(s, alpha): float(j) for j, alpha in enumerate(grid)}

    def place_of(spec: VictimSpec) -> float | None:
        if spec.subpopulation is None or spec.alpha is None or _of_search(spec, trials):
            return None
        return place.get((spec.subpopulation, spec.alpha))

    return _laid_out(counts, places, alpha_JS, place_of)


def fresh(counts: Counts, trials: int | None) -> Tried | None:
    """Of the trials beyond the scenario's own, one place: the alpha found for each subpopulation; None where there are none."""
    specs = [v.spec for v in counts.in_order() if _of_search(v.spec, trials) and v.spec.subpopulation is not None]
    if not specs:
        return None
    alpha_JS = np.full((1, counts.subpopulations), np.nan)
    for spec in specs:
        alpha_JS[0, spec.subpopulation] = spec.alpha

    def keep(spec: VictimSpec) -> bool:
        return _of_search(spec, trials)

    return _laid_out(counts, 1, alpha_JS, lambda spec: 0.0 if keep(spec) else None, keep)


def _of_search(spec: VictimSpec, trials: int | None) -> bool:
    return trials is not None and spec.trial >= trials


def _laid_out(
    counts: Counts,
    places: int,
    alpha_JS: np.ndarray,
    place_of: Callable[[VictimSpec], float | None],
    keep: Callable[[VictimSpec], bool] = lambda spec: True,
) -> Tried:
    """With each poisoned victim's alpha replaced by its place; victims without one are left out."""
    victims = {}
    for index, victim in counts.victims.items():
        place = None if victim.spec.arm == "clean" else place_of(victim.spec)
        if (victim.spec.arm == "clean" and keep(victim.spec)) or place is not None:
            victims[index] = replace(victim, spec=replace(victim.spec, alpha=place))
    layout = lay_out(replace(counts, victims=victims), [float(j) for j in range(places)], [None] * counts.subpopulations)
    layout = replace(layout, crossed=None)  # victims of one place may have different alphas
    return Tried(layout, damages(layout), alpha_JS)
