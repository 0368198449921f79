"""What tables, plots and exports need of a store: tables that are made, and what others are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from engine.account.data import DataAccount
from engine.rows import RunRow, Table, VictimResult

if TYPE_CHECKING:
    from engine.tables.world import Discovered


class TableSource(Protocol):
    """tables: name -> revision, of those that a run has."""

    def table(self, run_id: str, name: str, /) -> Table: ...
    def tables(self, run_id: str, /) -> Mapping[str, int]: ...
    def provenance(self, run_id: str, /) -> Mapping[str, Any]: ...
    def account(self, run_id: str, /) -> DataAccount | None: ...


class Source(TableSource, Protocol):
    """discovery: None before there is any."""

    def run(self, run_id: str, /) -> RunRow: ...
    def discovery(self, run_id: str, /) -> Discovered | None: ...
    def victims(self, run_id: str, /, with_predictions: bool = True) -> list[VictimResult]: ...
