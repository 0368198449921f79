"""Following the plots of one run: its tables are read again where their revision moved, and only plots asked for are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engine.plots import Plot
    from engine.rows import Table
    from engine.store import Store

CURVE = "worst_trials"  # made of every victim's predictions, not of stored tables


class PlotFeed:
    """The tables of the run that is followed, as they were at the last look."""

    def __init__(self) -> None:
        self.run_id: str | None = None
        self._tables: dict[str, Table] = {}
        self._revisions: dict[str, int] = {}
        self._there: tuple[str, ...] = ()
        self._curves: dict[float, tuple[int, Table]] = {}  # alpha -> revision of the table `worst` it was worked out beside, the curves

    def follow(self, run_id: str | None) -> bool:
        """Follow another run from its beginning; True where it is another."""
        if run_id == self.run_id:
            return False
        self.run_id, self._tables, self._revisions, self._there, self._curves = run_id, {}, {}, (), {}
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

    def plots(self, names: Sequence[str], alpha: float | None = None) -> dict[str, Plot]:
        """Those of the named plots that have data. KeyError for a column that a run of another version lacks.

        alpha: which one those show that show one at a time; None: the largest.
        """
        from engine.plots import ONE_ALPHA, plots_of
        from engine.tables.worst_over_trials import NAME

        made: dict[str, Plot] = {}
        for name in names:
            shown = self.alpha_shown(name, alpha) if name in ONE_ALPHA else None
            curves = {NAME: self._curves[shown][1]} if name == CURVE and shown in self._curves else {}
            made |= plots_of({**self._tables, **curves}, (name,), alpha=shown)
        return made

    def plots_offered(self) -> tuple[str, ...]:
        """The plots that have data, or that can be worked out, in their order. Looked for until all have: what is there stays."""
        from engine.plots import PLOTS, possible

        if len(self._there) < len(possible(self._tables)):
            self._there = (*self.plots(PLOTS), *((CURVE,) if self.alphas(CURVE) else ()))
        return self._there

    def alphas(self, name: str) -> tuple[float, ...]:
        """The alphas that a plot can show alone; empty for one that shows them together."""
        from engine.plots import ONE_ALPHA, alphas_of

        return alphas_of(self._tables, name) if name in ONE_ALPHA else ()

    def alpha_shown(self, name: str, wanted: float | None) -> float | None:
        """The alpha wanted, where the plot has it, else its largest."""
        alphas = self.alphas(name)
        return wanted if wanted in alphas else alphas[-1] if alphas else None

    def curve_wanted(self, alpha: float | None) -> tuple[float, int] | None:
        """(alpha, revision) for which the curve over trials must be worked out; None where it is there and true."""
        shown, revision = self.alpha_shown(CURVE, alpha), self._revisions.get("worst", 0)
        if shown is None or self._curves.get(shown, (0, None))[0] == revision:
            return None
        return shown, revision

    def take_curve(self, alpha: float, revision: int, table: Table) -> None:
        self._curves[alpha] = (revision, table)

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
