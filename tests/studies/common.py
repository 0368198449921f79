"""What the studies share: a scenario discovered in memory, and its tables without a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engine.datasets import data_dir
from engine.pipeline import order as pipeline
from engine.pipeline.discovery import Discovery
from engine.rows import Table, VictimResult
from engine.scenario.parse import load
from engine.scenario.sections import Scenario
from engine.store import StoredDiscovery
from engine.tables import build
from engine.tables import world as tables


def quiet(*_: object) -> None:
    """Nothing is said."""


def discovered(preset: str, *overrides: str) -> tuple[Scenario, Discovery]:
    given = load(preset, overrides)
    return given, pipeline.discover(given, Path(data_dir()), log=quiet, progress=quiet)


def only(found: Discovery, count: int, min_test_rows: int) -> Discovery:
    """The first `count` attacked subpopulations with enough test rows, nothing else attacked."""
    chosen = [s.index for s in found.subpopulations if s.attacked and s.test_rows >= min_test_rows][:count]
    return replace(found, subpopulations=tuple(replace(s, attacked=s.index in chosen) for s in found.subpopulations))


def trained(given: Scenario, found: Discovery) -> list[VictimResult]:
    plan = pipeline.plan(given, found, "cpu", log=quiet)
    return [result for stack in plan for result in pipeline.train_stack(pipeline.StackJob(given, found, stack, "cpu"))]


def world_of(given: Scenario, found: Discovery, results: Sequence[VictimResult]) -> tables.World:
    stored = StoredDiscovery(found.subpopulations, found.membership, found.dataset.test.y, found.dataset.classes, {}, found.arrays)
    return tables.World.start(given, stored, results)


def tables_of(given: Scenario, found: Discovery, results: Sequence[VictimResult]) -> dict[str, Table]:
    return dict(build.build(world_of(given, found, results)))


def records(table: Table) -> list[dict[str, object]]:
    names = [column.name for column in table.spec.columns]
    return [dict(zip(names, row, strict=True)) for row in table.rows]
