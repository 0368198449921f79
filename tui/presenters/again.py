"""What attacking some subpopulations again costs, in victims: those to train, and those that the run has already. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.rows import VictimSpec

if TYPE_CHECKING:
    from engine.scenario.sections import Scenario

Key = tuple[int, str, int | None, float | None]  # trial, arm, subpopulation, alpha


@dataclass(frozen=True)
class Cost:
    """Victims of the new run: all, and those of them that are taken over."""

    total: int
    kept: int

    @property
    def to_train(self) -> int:
        return self.total - self.kept


def victims_of(scenario: Scenario, subpopulations: Sequence[int]) -> set[Key]:
    """Every victim that a run of these subpopulations has: of each trial a clean one, and each alpha's by every arm."""
    evaluation = scenario.evaluation
    arms = ["poisoned", *(arm for arm in ("true_label", "label_flip") if arm in evaluation.controls)]
    victims: set[Key] = {(trial, "clean", None, None) for trial in evaluation.trial_numbers}
    for trial in evaluation.trial_numbers:
        victims |= {(trial, arm, s, alpha) for s in subpopulations for alpha in scenario.attack.alphas for arm in arms}
    return victims


def cost(scenario: Scenario, subpopulations: Sequence[int], trained: Iterable[VictimSpec]) -> Cost:
    """trained: the victims that the run has committed. An optimised attack's points are its run's own, so only clean ones are kept then."""
    wanted = victims_of(scenario, subpopulations)
    committed = {(spec.trial, spec.arm, spec.subpopulation, spec.alpha) for spec in trained}
    if scenario.attack.kind != "label_flip":
        committed = {key for key in committed if key[1] == "clean"}
    return Cost(len(wanted), len(wanted & committed))
