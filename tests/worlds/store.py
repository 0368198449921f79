"""Little worlds that the store's and the worker's tests share."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from engine.arrays import DiscoveryArrays
from engine.rows import Column, Membership, StackPlan, Subpopulation, Table, TableSpec, VictimResult, VictimSpec
from engine.store import Store
from engine.store.digests import COVERED

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


# what each migration brought, as it is taken out again
BROUGHT = {
    13: ("DROP TABLE parts",),
    12: ("DROP TABLE plans",),
    11: ("ALTER TABLE victims DROP COLUMN judged",),
    10: ("ALTER TABLE stacks DROP COLUMN too_many",),
    9: (
        *(f"DROP TRIGGER IF EXISTS run_{name}" for name in ("made", "changed", "deleted")),  # a bundle has none
        "DROP INDEX runs_at_work",
        "DROP TABLE run_changes",
    ),
    8: ("DROP TABLE milestone_arrays", "DROP TABLE milestones"),
    7: tuple(
        f"DROP TABLE {table}" if table == "array_parts" else f"ALTER TABLE {table} DROP COLUMN digest"
        for table in COVERED
        if table not in ("plans", "parts")
    ),
    6: ("ALTER TABLE discoveries DROP COLUMN account",),
    5: ("ALTER TABLE runs DROP COLUMN reading",),
    4: (
        *(f"ALTER TABLE {table} DROP COLUMN {name}" for table in ("runs", "leases") for name in ("boot", "pid_namespace")),
        "ALTER TABLE runs DROP COLUMN claim",
    ),
    3: ("ALTER TABLE runs DROP COLUMN schedule", "ALTER TABLE runs DROP COLUMN statistics"),
    2: ("ALTER TABLE runs DROP COLUMN parent",),
}


def as_of(path: Path, version: int) -> None:
    """Make a store or a bundle one of an earlier schema."""
    with closing(sqlite3.connect(path)) as db:
        for later, statements in BROUGHT.items():
            for statement in statements if later > version else ():
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {version}")
        db.commit()
