"""Following one table, or one log, of one run: what is new since the last look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import SubpopError
from engine.rows import TableSpec
from engine.tables.columns import SPECS
from tui.presenters import side_by_side

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engine.store import Store
    from tui.widgets.log_view import LogView
    from tui.widgets.table.live import LiveTable
    from tui.widgets.table.model import Cells, Key


class TableFeed:
    """Brings a LiveTable up to date with a run's table. `frozen` keeps the view as it is while the work goes on."""

    def __init__(self, table: LiveTable, name: str) -> None:
        self.table = table
        self.name = name
        self.run_id: str | None = None
        self.revision = 0
        self.frozen = False

    @property
    def reads(self) -> str:
        """The stored table that it is made of."""
        return self.name

    @property
    def spec(self) -> TableSpec:
        return spec_of(self.name)

    @property
    def rows(self) -> int:
        """How many the stored table has."""
        return len(self.table.model.rows)

    def stored_keys(self, keys: Sequence[Key]) -> tuple[Key, ...]:
        """The stored table's rows that rows of the screen are made of."""
        return tuple(keys)

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
        columns = [column.name for column in SPECS[self.reads].columns]
        revision, changes, order = store.table_changes(self.run_id, self.reads, self.revision, columns)
        if revision == self.revision:
            return False
        self.revision = revision
        self.take(changes, order)
        return True

    def take(self, changes: Mapping[Key, Cells | None], order: Sequence[Key] | None) -> None:
        self.table.apply(changes, order)


class SideBySideFeed(TableFeed):
    """The damage table turned: a subpopulation a row. Its columns are the alphas that there are."""

    def __init__(self, table: LiveTable) -> None:
        super().__init__(table, side_by_side.NAME)
        self._stored: dict[Key, Cells] = {}

    @property
    def reads(self) -> str:
        return "damage"

    @property
    def rows(self) -> int:
        return len(self._stored)

    def stored_keys(self, keys: Sequence[Key]) -> tuple[Key, ...]:
        at, wanted = self._names.index("subpopulation"), {key[0]: place for place, key in enumerate(keys)}
        of_them = [key for key, cells in self._stored.items() if cells[at] in wanted]
        return tuple(sorted(of_them, key=lambda key: wanted[self._stored[key][at]]))

    @property
    def _names(self) -> list[str]:
        return [column.name for column in SPECS[self.reads].columns]

    def follow(self, run_id: str | None) -> None:
        if run_id != self.run_id:
            self._stored = {}
        super().follow(run_id)

    def take(self, changes: Mapping[Key, Cells | None], order: Sequence[Key] | None) -> None:
        for key, cells in changes.items():
            if cells is None:
                self._stored.pop(key, None)
            else:
                self._stored[key] = cells
        if order is not None:
            self._stored = {key: self._stored[key] for key in order if key in self._stored}
        spec, rows = side_by_side.turned(dict(zip(self._names, cells, strict=True)) for cells in self._stored.values())
        if spec != self.table.spec:
            self.table.setup(spec, self.table.model.view)
        turned: dict[Key, Cells | None] = {(row[0],): row for row in rows}
        gone = [key for key in self.table.model.rows if key not in turned]
        self.table.apply(turned | dict.fromkeys(gone), list(turned))


def feed_of(table: LiveTable, name: str) -> TableFeed:
    return SideBySideFeed(table) if name == side_by_side.NAME else TableFeed(table, name)


def spec_of(name: str) -> TableSpec:
    """The columns of a table that a screen shows. Raises KeyError for one that there is not."""
    return side_by_side.spec_of(()) if name == side_by_side.NAME else SPECS[name]


def is_shown(name: str) -> bool:
    """Whether there is such a table."""
    return name in SPECS or name == side_by_side.NAME


def update_log(view: LogView, store: Store, run_id: str | None) -> None:
    """Append what the run's log has that the view has not."""
    if run_id is not None:
        view.add(store.log_rows(run_id, view.last_id))


def table_names(store: Store, run_id: str) -> list[str]:
    """The tables that a run has, in the order of the specs, and the one that is the damage table turned."""
    try:
        stored = store.tables(run_id)
    except SubpopError:
        return []
    names = [name for name in SPECS if name in stored] + [name for name in stored if name not in SPECS]
    return [shown for name in names for shown in ((side_by_side.NAME, name) if name == "damage" else (name,))]
