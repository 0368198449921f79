"""Following the plots of one run: its tables are read again where their revision moved, and only plots asked for are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engine.plots import Plot
    from engine.rows import Table
    from engine.store import Store


class PlotFeed:
    """The tables of the run that is followed, as they were at the last look."""

    def __init__(self) -> None:
        self.run_id: str | None = None
        self._tables: dict[str, Table] = {}
        self._revisions: dict[str, int] = {}
        self._there: tuple[str, ...] = ()

    def follow(self, run_id: str | None) -> bool:
        """Follow another run from its beginning; True where it is another."""
        if run_id == self.run_id:
            return False
        self.run_id, self._tables, self._revisions, self._there = run_id, {}, {}, ()
        return True

    def update(self, store: Store) -> bool:
        """Read tables that changed; True where any did."""
        from engine.plots import NEEDED

        if self.run_id is None:
            return False
        now = {name: revision for name, revision in store.tables(self.run_id).items() if name in NEEDED}
        moved = [name for name, revision in now.items() if self._revisions.get(name) != revision]
        for name in moved:
            self._tables[name] = store.table(self.run_id, name)
        self._revisions = now
        return bool(moved)

    def plots(self, names: Sequence[str]) -> dict[str, Plot]:
        """Those of the named plots that have data. KeyError for a column that a run of another version lacks."""
        from engine.plots import plots_of

        return plots_of(self._tables, names)

    def plots_offered(self) -> tuple[str, ...]:
        """The plots that have data, in their order. Looked for until all have: what is there stays."""
        from engine.plots import PLOTS

        if len(self._there) < len(PLOTS):
            self._there = tuple(self.plots(PLOTS))
        return self._there

    def table(self, name: str) -> Table | None:
        return self._tables.get(name)

    def descriptions(self) -> Mapping[int, str]:
        """Subpopulation -> what it is, in words."""
        table = self._tables.get("subpopulations")
        names = [column.name for column in table.spec.columns] if table else []
        if table is None or "description" not in names or "subpopulation" not in names:
            return {}
        index, words = names.index("subpopulation"), names.index("description")
        return {int(str(row[index])): str(row[words] or "") for row in table.rows}
