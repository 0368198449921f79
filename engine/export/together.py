"""Tables that are made when they are exported, and one table of several runs: systems as rows, each behind its name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine.errors import RequestError
from engine.paper import system_of
from engine.rows import Column, RunRow, Table, TableSpec
from engine.tables.source import Source

if TYPE_CHECKING:
    from engine.tables.groups import Choice

Row = tuple[object, ...]
LEADING = (Column("system", "text", "the paper's system, or the run's name"), Column("run", "text", "its id"))


def groups(store: Source, run: RunRow, choice: Choice | None = None) -> Table:
    """The `groups` table of one chosen attack. RequestError before there is any."""
    from engine.scenario.parse import scenario_of
    from engine.tables import groups as tables_groups
    from engine.tables.world import Facts

    discovery = store.discovery(run.id)
    if discovery is None:
        raise RequestError("its subpopulations are not known yet", where=f"run {run.id}", next="wait for its discovery, or resume it")
    return tables_groups.groups(Facts.of(scenario_of(run)), discovery, store.victims(run.id), choice or tables_groups.Choice())


def matchers(store: Source, runs: Sequence[RunRow]) -> Table:
    """The `matchers` table of these runs."""
    from engine.scenario.parse import scenario_of
    from engine.tables.matchers import Side
    from engine.tables.matchers import matchers as made

    sides = []
    for run in runs:
        if "worst" not in store.tables(run.id):
            raise RequestError(f"it has no tables yet ({run.state})", where=f"run {run.id}", next="wait for its first victims")
        plain: dict[str, Any] = scenario_of(run).model_dump(mode="json")
        sides.append(Side(run.id, plain, store.table(run.id, "worst"), store.table(run.id, "damage")))
    return made(sides)


def together(parts: Iterable[tuple[RunRow, TableSpec, Iterable[Row]]]) -> tuple[TableSpec, Iterator[Row]]:
    """One table of several runs, in their order: the columns of the first's, what another does not have empty, behind the run's name."""
    parts = list(parts)
    spec = parts[0][1]
    joined = replace(spec, columns=(*LEADING, *spec.columns), key=("run", *spec.key))

    def rows() -> Iterator[Row]:
        names = [column.name for column in spec.columns]
        for run, own_spec, each in parts:
            at = {column.name: place for place, column in enumerate(own_spec.columns)}
            places = [at.get(name) for name in names]
            head = (system_of(run), run.id)
            for row in each:
                yield (*head, *(None if place is None else row[place] for place in places))

    return joined, rows()
