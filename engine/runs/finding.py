"""The search for the alpha that does a chosen damage (`subpop run ... --find 0.2`): what to train once the grid is trained.

Three plans, each a pure function of the plan so far and of its victims: the scenario's grid; then, once, alphas between the two at which
each subpopulation's curve crosses the level; then fresh trials at the alpha found, with clean victims of their own, which had no part in
finding it. Where the largest alpha does not reach the level there is nothing to look for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

from engine.errors import RequestError
from engine.rates import count, exact, points_of
from engine.rows import StackPlan, Subpopulation, VictimSpec

if TYPE_CHECKING:
    from engine.evaluation.dose import Needed
    from engine.scenario.sections import Scenario
    from engine.tables.world import World

INSIDE = (0.25, 0.5, 0.75)  # where between the two alphas the refinement looks


def check(scenario: Scenario) -> None:
    """Refuse what cannot be searched: optimised points are made before the plan, for the scenario's trials and alphas alone."""
    if scenario.evaluation.find is not None and scenario.attack.kind != "label_flip":
        raise RequestError(
            f"the alpha cannot be searched with attack.kind = {scenario.attack.kind!r}, whose points are made before any victim is trained",
            where="evaluation.find",
            next='use attack.kind = "label_flip", or take it out and read the table `dose`',
        )


def further(scenario: Scenario, stacks: Sequence[StackPlan], world: World) -> tuple[StackPlan, ...]:
    """What to train next, all of `stacks` being trained; nothing where the search is over, or the scenario asks for none."""
    if scenario.evaluation.find is None:
        return ()
    own_trials, grid = scenario.evaluation.trial_numbers, set(scenario.attack.alphas)
    poisoned = [v for stack in stacks for v in stack.victims if v.alpha is not None]
    if any(v.trial >= own_trials.stop for v in poisoned):
        return ()
    first, size = 1 + max(v.index for stack in stacks for v in stack.victims), max(len(stack.victims) for stack in stacks)
    if all(v.alpha in grid for v in poisoned) and (inside := _inside(scenario, world)):
        specs = [VictimSpec(0, trial, "poisoned", s, alpha) for trial in own_trials for s, alpha in inside]
        return _stacked(specs, first, size, len(stacks))
    alphas_by_subpopulation = _needed_alphas(scenario, world)
    specs = []
    for trial in range(own_trials.stop, own_trials.stop + len(own_trials)) if alphas_by_subpopulation else ():
        specs += [VictimSpec(0, trial, "clean"), *(VictimSpec(0, trial, "poisoned", s, alpha) for s, alpha in alphas_by_subpopulation)]
    return _stacked(specs, first, size, len(stacks))


def in_words(scenario: Scenario, stacks: Sequence[StackPlan]) -> str:
    """A plan in words, for the log."""
    victims = [v for stack in stacks for v in stack.victims]
    targets = len({v.subpopulation for v in victims if v.subpopulation is not None})
    many = f"{len(victims)} victims in {len(stacks)} stacks"
    if victims[0].trial >= scenario.evaluation.trial_numbers.stop:
        return f"found the alpha that does {scenario.evaluation.find:g} to {targets} subpopulations; fresh trials there: {many}"
    return f"looking closer at where {targets} subpopulations lose {scenario.evaluation.find:g}: {many}"


def _inside(scenario: Scenario, world: World) -> list[tuple[int, float]]:
    """(subpopulation, alpha) to look at between the alphas where each curve crosses, each with another number of points."""
    pairs: list[tuple[int, float]] = []
    for s, needed, size in _curves(scenario, world):
        at = next(i for i, damage in enumerate(needed.fitted) if damage >= scenario.evaluation.find)
        low, high = (float(needed.alphas[at - 1]) if at else 0.0), float(needed.alphas[at])
        between = {points_of(low + share * (high - low), size) for share in INSIDE}
        between = {m for m in between if count(low, size) < m < count(high, size)}
        pairs += [(s.index, exact(points, size)) for points in sorted(between)]
    return pairs


def _needed_alphas(scenario: Scenario, world: World) -> list[tuple[int, float]]:
    return [(s.index, exact(points_of(needed.alpha, size), size)) for s, needed, size in _curves(scenario, world)]


def _curves(scenario: Scenario, world: World) -> list[tuple[Subpopulation, Needed, int]]:
    """(subpopulation, its curve, the size that alpha is a share of) of those that the level is reached on."""
    from engine.evaluation.tried import tried
    from engine.tables.dose import needed_of, size_of

    level, seen = scenario.evaluation.find, tried(world.counts, world.facts.alphas, world.facts.trials)
    assert level is not None
    curves = [(s, needed_of(seen, s.index, level), size_of(s, scenario.attack.per)) for s in world.subpopulations if s.attacked]
    return [(s, needed, size) for s, needed, size in curves if needed is not None and needed.alpha < inf and size > 0]


def _stacked(specs: Sequence[VictimSpec], first: int, size: int, stacks: int) -> tuple[StackPlan, ...]:
    """Stacks of at most `size`, each of one trial, victims and stacks numbered on."""
    numbered = [replace(spec, index=first + i) for i, spec in enumerate(specs)]
    regrouped: list[StackPlan] = []
    for trial in sorted({spec.trial for spec in numbered}):
        of_trial = [spec for spec in numbered if spec.trial == trial]
        next_one = stacks + len(regrouped)
        regrouped += [StackPlan(next_one + i, trial, tuple(of_trial[lo : lo + size])) for i, lo in enumerate(range(0, len(of_trial), size))]
    return tuple(regrouped)
