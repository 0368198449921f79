"""Results: every table of a run, finished or not; export and copy of what is on screen."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from engine.errors import SubpopError
from engine.rows import RunRow
from tui.messages import StoreMoved
from tui.presenters import format as fmt
from tui.presenters import runs as run_words
from tui.presenters import side_by_side
from tui.screens.run_keep import KEEPING, RunKeeping
from tui.services.store import feed_of, is_shown, spec_of, table_names
from tui.widgets.table.live import LiveTable
from tui.widgets.table.model import View
from tui.widgets.table.pane import TablePane
from tui.widgets.tabs import TabLine

WHOLE = "predictions"  # made at export, never shown
ABOUT = "subpopulation"  # the column of tables whose rows are about one: they are opened and marked by it

WORST_FIRST = {name: View(sort="damage") for name in ("damage", side_by_side.NAME)}  # until a person sorts otherwise


class ResultsScreen(RunKeeping):
    """One table at a time, of the run chosen in Runs; `[` and `]` turn to another run, `t` to another table.

    Marks are of the run's subpopulations, whatever table they were set in.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "export", "Export", id="results.export"),
        Binding("enter", "open", "Open", tooltip="open the subpopulation", id="results.open"),
        Binding("enter", "only_row", "Row", tooltip="the row in full", id="results.only-row"),
        Binding("i", "row", "Row", show=False, tooltip="the row in full", id="results.row"),
        Binding("a", "again", "Attack again", tooltip="attack the marked subpopulations again", id="results.again"),
        Binding("t,tab", "other_table(1)", "Next table", id="results.table"),
        Binding("T,shift+tab", "other_table(-1)", "Table before", show=False, id="results.table-before"),
        Binding("right_square_bracket", "other_run(1)", "Next run", id="results.run"),
        Binding("left_square_bracket", "other_run(-1)", "Run before", show=False, id="results.run-before"),
        Binding("v", "plots", "Plots", tooltip="plots of this run", id="results.plots"),
        *KEEPING,
    ]

    def body(self) -> ComposeResult:
        name = self.host.settings.get("results_table", "damage")
        self.name_shown = name if is_shown(name) and name != WHOLE else "damage"
        yield TabLine(id="results-head")
        yield TablePane(self.name_shown, spec_of(self.name_shown), view=self._view(self.name_shown), empty="nothing yet", id="result")

    def on_mount(self) -> None:
        self.pane = self.query_one("#result", TablePane)
        self.feed = feed_of(self.pane.table, self.name_shown)
        self.marked: set[object] = set()
        self.marks_of: str | None = None
        self._mark_by()
        self.pane.table.focus()
        self.call_after_refresh(self._take)

    def on_screen_resume(self) -> None:
        if hasattr(self, "feed"):
            self.show_table(self.host.settings.get("results_table", self.feed.name))
            self._take()

    def on_store_moved(self, event: StoreMoved) -> None:
        if hasattr(self, "feed"):
            self._take()

    @property
    def run_shown(self) -> RunRow | None:
        return self.host.run_chosen

    def _view(self, name: str) -> View:
        return self.host.settings.view(name, WORST_FIRST.get(name))

    def _take(self) -> None:
        run, store = self.run_shown, self.host.store
        if (run.id if run else None) != self.marks_of:  # another run's subpopulations are others
            self.marks_of = run.id if run else None
            self.marked.clear()
        self.feed.follow(run.id if run else None)
        names: list[str] = []
        if run is not None and store is not None:
            try:
                if self.feed.update(store):
                    self._mark_by()  # the table may be another: one of alphas side by side has them for columns
                names = [*table_names(store, run.id), WHOLE]
            except SubpopError as error:
                self.host.say_unreadable(run, error)
        alive = "nothing yet: rows come as victims are trained"
        self.pane.say_empty("no run yet: 1 opens the plan" if run is None else alive if run.alive else "nothing was stored")
        self.pane.caption()
        self._head(run, names)
        self.say_state()

    def _head(self, run: RunRow | None, names: list[str]) -> None:
        if run is None:
            self.query_one(TabLine).show("no run", "", (), "")
            return
        state = f"{run_words.state_word(run)} · {fmt.plural(run.victims_done, 'victim')} of {run.victims_total:,}"
        warning = run_words.warning(run.deviations, run.scenario_toml) if run.deviations else ""
        note = [f" note: {run.note}"] if run.note else []
        self.query_one(TabLine).show(f"{run.name}  {run.id}  {state}", warning, tuple(names), self.feed.name, about=note)

    # ---- subpopulations: marked, opened, attacked again ----

    def _mark_by(self) -> None:
        """Let rows about a subpopulation be marked by it."""
        table = self.pane.table
        table.markable = table.model.column_index(ABOUT) is not None
        if table.markable:
            table.model.mark_by(ABOUT, self.marked)

    @property
    def under_cursor(self) -> int | None:
        """The subpopulation that the row under the cursor is about."""
        table = self.pane.table
        at = table.model.column_index(ABOUT)
        cells = table.model.rows.get(table.cursor_key) if table.cursor_key is not None else None
        value = None if at is None or cells is None else cells[at]
        return value if isinstance(value, int) else None

    def action_open(self) -> None:
        """The subpopulation under the cursor, with those shown beside it to turn to."""
        run, index = self.run_shown, self.under_cursor
        if run is None or index is None:
            return
        from tui.screens.desk import DeskScreen

        at = self.pane.table.model.column_index(ABOUT)
        assert at is not None
        shown = dict.fromkeys(cells[at] for cells in self.pane.table.model.visible_rows())
        self.host.push_screen(DeskScreen(run.id, index, [value for value in shown if isinstance(value, int)]))

    def action_again(self) -> None:
        run, index = self.run_shown, self.under_cursor
        chosen = [value for value in self.marked if isinstance(value, int)] or ([] if index is None else [index])
        if run is None or not chosen:
            return
        from tui.dialogs.again import AgainDialog

        self.host.push_screen(AgainDialog(run, chosen), self.host.show_run)

    # ---- turning to others ----

    def show_table(self, name: str) -> None:
        """Show another table of the run, as it was last looked at."""
        if name == WHOLE:
            self.action_export(WHOLE)
            return
        if not is_shown(name) or name == self.feed.name:
            return
        self.host.settings.put("results_table", name)
        self.pane.setup(name, spec_of(name), self._view(name))
        self.feed = feed_of(self.pane.table, name)
        self._mark_by()
        self._take()

    @on(TabLine.Picked)
    def _picked(self, event: TabLine.Picked) -> None:
        self.show_table(event.name)

    def action_other_table(self, by: int) -> None:
        run, store = self.run_shown, self.host.store
        names = table_names(store, run.id) if run and store else []
        if names:
            at = names.index(self.feed.name) if self.feed.name in names else 0
            self.show_table(names[(at + by) % len(names)])

    def action_other_run(self, by: int) -> None:
        if self.host.choose_other_run(by):
            self._take()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "other_run":
            return len(self.host.runs) > 1
        if action in ("row", "only_row", "open", "again"):
            return hasattr(self, "marked") and self._can(action)
        return self.run_shown is not None if action in ("export", "other_table", "plots") else super().check_action(action, parameters)

    def _can(self, action: str) -> bool:
        """Whether there is a row to show, a subpopulation to open, or some to attack again."""
        has_rows, about = bool(self.pane.table.model.shown), self.under_cursor is not None
        return {"row": has_rows, "only_row": has_rows and not about, "open": about, "again": about or bool(self.marked)}[action]

    def action_plots(self) -> None:
        from tui.screens.plots import open_plots

        open_plots(self.host)

    def action_export(self, name: str = "") -> None:
        """Export the table as the screen shows it: its filter, and its order where a person has chosen one."""
        run = self.run_shown
        if run is None:
            return
        from tui.dialogs.export import ExportDialog

        self.pane.table.sort_now()
        model = self.pane.table.model
        opened, view = WORST_FIRST.get(self.feed.name, View()), model.view
        nobody_sorted = (view.sort, view.descending) == (opened.sort, opened.descending) and len(model.shown) == len(model.rows)
        whole = name == WHOLE or model.shown == model.order or nobody_sorted
        only = None if whole else self.feed.stored_keys(model.shown)
        self.host.push_screen(ExportDialog(run, name or self.feed.reads, only, self.feed.rows))

    @on(LiveTable.Chosen)
    def _twice(self) -> None:
        self.action_open() if self.under_cursor is not None else self.action_row()

    def action_only_row(self) -> None:
        self.action_row()

    @on(LiveTable.Highlighted)
    def _other_row(self) -> None:
        self.refresh_bindings()

    def action_row(self) -> None:
        """All that the table says of the row under the cursor."""
        from tui.dialogs.row import row_under_cursor

        if dialog := row_under_cursor(self.pane.table):
            self.host.push_screen(dialog)
