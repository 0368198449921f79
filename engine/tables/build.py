"""Every table that a run materialises, from its world.

A table is a pure function of stored things (subpopulations, membership, predictions, the scenario) and can be built at any moment of a
run: what is not there yet is None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from engine.rows import Table
from engine.tables import (
    attributes,
    certificates,
    collateral,
    confidence,
    damage,
    defenses,
    distribution,
    dose,
    optimization,
    subpopulations,
    susceptibility,
    victims,
    worst,
)
from engine.tables.cells import Row
from engine.tables.columns import MATERIALISED, SPECS
from engine.tables.figures import Figures
from engine.tables.world import Facts, World

OPTIMISED_ATTACKS = ("gradient", "influence")

BUILDERS: dict[str, Callable[[Figures], list[Row]]] = {
    "subpopulations": subpopulations.rows,
    "victims": victims.rows,
    "damage": damage.rows,
    "worst": worst.rows,
    "collateral": collateral.rows,
    "confidence": confidence.rows,
    "distribution": distribution.rows,
    "dose": dose.rows,
    "attributes": attributes.rows,
    "optimization": optimization.rows,
    "defenses": defenses.rows,
    "certificates": certificates.rows,
    "susceptibility": susceptibility.rows,
}


def build(world: World, names: Sequence[str] | None = None) -> Mapping[str, Table]:
    """The named tables of a run (None: all that it has), finished or not, in stable order."""
    figures = Figures(world)
    available = (
        *materialised(world.facts),
        *(("susceptibility",) if world.foretold is not None else ()),
        *(("attributes",) if world.annotations.levels else ()),
    )
    return {name: Table(SPECS[name], tuple(BUILDERS[name](figures))) for name in (available if names is None else names)}


def materialised(facts: Facts) -> tuple[str, ...]:
    """The tables that such a run has: `optimization` where an optimised attack has label flipping beside it as a control, `defenses` where
    it has a defence, `certificates` where it has an ensemble.
    """
    compared = facts.attack in OPTIMISED_ATTACKS and "label_flip" in facts.controls
    has = {"optimization": compared, "defenses": facts.defense != "none", "certificates": facts.certificates is not None}
    return (*MATERIALISED, *(name for name, there in has.items() if there))
