"""What the tables of a run are made of: its facts, subpopulations and counted victims.

A table is a pure function of stored things (subpopulations, membership, predictions, the scenario) and can be built at any moment of a
run: what is not there yet is None.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from engine import paper
from engine.errors import BadData
from engine.rows import Membership, PartResult, Subpopulation, VictimResult

if TYPE_CHECKING:
    import numpy as np

    from engine.arrays import Annotations, DiscoveryArrays, Foretold
    from engine.evaluation.certificates import Ensemble
    from engine.evaluation.counts import Counts
    from engine.evaluation.optimised import Optimised
    from engine.evaluation.removals import Removals
    from engine.scenario.sections import Scenario


@dataclass(frozen=True)
class Facts:
    """What tables need to know of the scenario. Sizes are aux rows, inclusive.

    trials: one more than the number of its last own trial, those beyond are a search's; None: all. per: of which size alpha is a share.
    dose_level: the damage that `dose` asks for. finds: a search for its alpha goes on after the grid. features: those that FeatureMatch
    crosses. defense: its kind. certificates: parts of train whose models certify; None: no such table. system: what is run, of which
    alone published numbers are shown, whatever `reproduces` says.
    """

    seed: int
    alphas: tuple[float, ...]
    controls: tuple[str, ...]
    min_test_rows: int
    min_size: int
    max_size: int | None
    reproduces: str | None
    system: paper.System | None
    attack: str = "label_flip"
    trials: int | None = None
    per: str = "aux"
    dose_level: float = 0.2
    finds: bool = False
    features: tuple[str, ...] = ()
    defense: str = "none"
    certificates: int | None = None

    @classmethod
    def of(cls, scenario: Scenario) -> Facts:
        from engine.scenario.sections import FeatureMatchSection

        matched = scenario.subpopulations
        return cls(
            seed=scenario.seed,
            alphas=tuple(sorted(scenario.attack.alphas)),
            controls=tuple(scenario.evaluation.controls),
            min_test_rows=scenario.evaluation.min_test_rows,
            min_size=scenario.subpopulations.min_size,
            max_size=scenario.subpopulations.max_size,
            reproduces=scenario.reproduces,
            system=paper.System.of(scenario.model_dump()),
            attack=scenario.attack.kind,
            trials=scenario.evaluation.trial_numbers.stop,
            per=scenario.attack.per,
            dose_level=scenario.evaluation.find or scenario.evaluation.dose_level,
            finds=scenario.evaluation.find is not None,
            features=matched.features if isinstance(matched, FeatureMatchSection) else (),
            defense=scenario.defense.kind,
            certificates=scenario.evaluation.certificates,
        )


class Discovered(Protocol):
    """What tables need of a stored discovery (`store.discovery(run_id)`). y_test: int [test rows].

    arrays: annotations of the test rows, and what an optimised attack worked out, make tables of their own.
    """

    @property
    def subpopulations(self) -> tuple[Subpopulation, ...]: ...
    @property
    def membership(self) -> Membership: ...
    @property
    def y_test(self) -> np.ndarray: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def arrays(self) -> DiscoveryArrays: ...


@dataclass(frozen=True)
class World:
    """All that the tables are a function of. Keep one per run and `add` each stack's victims: they are counted once."""

    facts: Facts
    subpopulations: tuple[Subpopulation, ...]
    classes: tuple[str, ...]
    train_rows: int
    counts: Counts
    removals: Removals
    optimised: Optimised
    annotations: Annotations
    ensemble: Ensemble
    foretold: Foretold | None = None

    @classmethod
    def start(
        cls,
        scenario: Scenario | Facts,
        discovered: Discovered,
        victims: Iterable[VictimResult] = (),
        parts: Iterable[PartResult] = (),
    ) -> World:
        """A run's world with the victims and the models of its ensemble that it has so far. Raises BadData where what is stored does not
        fit together.
        """
        from engine.evaluation.certificates import Ensemble
        from engine.evaluation.counts import Counts
        from engine.evaluation.optimised import Optimised
        from engine.evaluation.removals import Removals

        facts = scenario if isinstance(scenario, Facts) else Facts.of(scenario)
        subpopulations = tuple(sorted(discovered.subpopulations, key=lambda s: s.index))
        counts = Counts.start(
            discovered.membership.test,
            discovered.y_test,
            classes=len(discovered.classes),
            subpopulations=1 + max((s.index for s in subpopulations), default=-1),
            seed=facts.seed,
        )
        optimised = Optimised.of(discovered.arrays, discovered.membership.aux)
        classes, train_rows = tuple(discovered.classes), len(discovered.membership.train)
        removals = Removals.start(discovered.membership.train, counts.subpopulations)
        ensemble = Ensemble(facts.certificates or 0, len(classes), discovered.y_test)
        foretold = _checked(discovered.arrays.foretold, counts.subpopulations)
        world = cls(
            facts, subpopulations, classes, train_rows, counts, removals, optimised, discovered.arrays.annotations, ensemble, foretold
        )
        world.add(victims)
        world.ensemble.add(parts)
        return world

    def add(self, victims: Iterable[VictimResult]) -> None:
        """Count further victims; those counted already are left out."""
        victims = list(victims)
        self.counts.add(victims)
        self.removals.add(victims)


def _checked(foretold: Foretold | None, subpopulations: int) -> Foretold | None:
    """BadData where what is foretold is not of these subpopulations."""
    if foretold is not None:
        shape = (len(foretold.alphas), subpopulations)
        if foretold.alphas.ndim != 1 or foretold.aux_AS.shape != shape or foretold.test_AS.shape != shape:
            raise BadData(
                f"what is foretold of damage is not of {subpopulations} subpopulations",
                where="arrays",
                next="delete the run and start it again",
            )
    return foretold
