"""Following one table, or one log, of one run: what is new since the last look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import SubpopError
from engine.rows import TableSpec
from engine.tables.columns import SPECS

if TYPE_CHECKING:
    from engine.store import Store
    from tui.widgets.log_view import LogView
    from tui.widgets.table.live import LiveTable


class TableFeed:
    """Brings a LiveTable up to date with a run's table. `frozen` keeps the view as it is while the work goes on."""

    def __init__(self, table: LiveTable, name: str) -> None:
        self.table = table
        self.name = name
        self.run_id: str | None = None
        self.revision = 0
        self.frozen = False

    @property
    def spec(self) -> TableSpec:
        return SPECS[self.name]

    def follow(self, run_id: str | None) -> None:
        """Follow another run's table from its beginning."""
        if run_id != self.run_id:
            self.run_id, self.revision, self.frozen = run_id, 0, False
            self.table.load(())

    def update(self, store: Store) -> bool:
        """Take what changed; True where anything did."""
        if self.run_id is None or self.frozen:
            return False
        # by name: a run that another version wrote may have other columns
        columns = [column.name for column in self.spec.columns]
        revision, changes, order = store.table_changes(self.run_id, self.name, self.revision, columns)
        if revision == self.revision:
            return False
        self.revision = revision
        self.table.apply(changes, order)
        return True


def update_log(view: LogView, store: Store, run_id: str | None) -> None:
    """Append what the run's log has that the view has not."""
    if run_id is not None:
        view.add(store.log_rows(run_id, view.last_id))


def table_names(store: Store, run_id: str) -> list[str]:
    """The tables that a run has, in the order of the specs."""
    try:
        stored = store.tables(run_id)
    except SubpopError:
        return []
    return [name for name in SPECS if name in stored] + [name for name in stored if name not in SPECS]
