"""Little worlds that the store's and the worker's tests share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.arrays import DiscoveryArrays
from engine.rows import Column, Membership, StackPlan, Subpopulation, Table, TableSpec, VictimResult, VictimSpec
from engine.store import Store

SPEC = TableSpec("damage", (Column("group", "int", "its number"), Column("text", "text"), Column("mean", "fraction")), ("group",), "help")


def table(*rows: tuple[object, ...]) -> Table:
    return Table(SPEC, rows)


def new_run(store: Store, name: str = "a run") -> str:
    return store.create_run(name=name, title="a title", scenario_toml="x = 1", scenario_hash="0" * 16).id


def victim(index: int, stack: int = 0) -> VictimResult:
    spec = VictimSpec(index, stack, "clean") if index % 2 == 0 else VictimSpec(index, stack, "poisoned", 3, 0.5)
    return VictimResult(spec, (np.arange(50) * (index + 7) % 5).astype(np.uint8), index, 0, 12, 0.1 + index)


def plan(stacks: int = 2) -> tuple[StackPlan, ...]:
    return tuple(StackPlan(s, s, (victim(2 * s, s).spec, victim(2 * s + 1, s).spec)) for s in range(stacks))


def stack_victims(stack: int) -> list[VictimResult]:
    return [victim(2 * stack, stack), victim(2 * stack + 1, stack)]


def discovered(store: Store, run_id: str) -> tuple[Sequence[Subpopulation], Membership]:
    found = [
        Subpopulation(0, "education 13+", 5, 6, 7, {"no": 0.25, "yes": 0.75}, 0.1 + 0.2, None, 1.0, "no", True),
        Subpopulation(1, "größer", 1, 0, 0, {}, None, None, None, None, False, "0 aux rows"),
    ]
    members = Membership(*(np.arange(n, dtype=np.int32) - 1 for n in (3, 4, 5)))
    store.save_discovery(
        run_id,
        subpopulations=found,
        membership=members,
        y_test=np.array([1, 0, 1], np.int64),
        classes=["no", "yes"],
        provenance={"device": "cpu", "data": {"a": "md5:1"}},
        arrays=DiscoveryArrays(np.array([[0.1, 0.9]], np.float32)),
    )
    return found, members
