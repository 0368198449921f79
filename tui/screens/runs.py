"""Runs: every run there is, and the one under the cursor live: damage, worst-k, log, progress, what it uses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from engine.errors import SubpopError
from engine.rows import RunRow
from engine.tables.columns import SPECS
from tui.messages import StoreMoved
from tui.presenters import runs as run_words
from tui.screens.run_actions import RunActions
from tui.screens.run_keep import KEEPING
from tui.services.devices import Meter, gpu_words
from tui.services.store import TableFeed, update_log
from tui.widgets.lines import Lines
from tui.widgets.log_view import LogView
from tui.widgets.table.live import LiveTable
from tui.widgets.table.model import Cells, Key, View
from tui.widgets.table.pane import TablePane

PANES = ("damage", "worst", "logs")
LIVE_DAMAGE = "damage while it fills"  # looked at otherwise than in Results, and remembered apart
NO_RUNS = "none yet: 1 opens the plan, enter launches from it"
NO_DAMAGE = "rows come when the first victims are trained"


class RunsScreen(RunActions):
    """The run under the cursor of the list is the one shown below it, and the one that Results opens. Marked runs are compared."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "results", "Results", id="runs.results"),
        *KEEPING[:1],
        Binding("p", "pause", "Pause", id="run.pause"),
        Binding("r", "resume", "Resume", id="run.resume"),
        Binding("x", "stop", "Stop", id="run.stop"),
        Binding("f", "failure", "Reason", id="run.failure"),
        Binding("w", "next_pane", "Next pane", id="runs.pane"),
        Binding("n", "launch_new", "New", id="runs.new"),
        Binding("v", "plots", "Plots", tooltip="plots of the run under the cursor", id="runs.plots"),
        Binding("z", "freeze", "Hold view", show=False, id="runs.freeze"),
        *KEEPING[1:],
        Binding("left_square_bracket", "other_run(-1)", "Run before", show=False, id="runs.previous"),
        Binding("right_square_bracket", "other_run(1)", "Next run", show=False, id="runs.next"),
    ]

    def body(self) -> ComposeResult:
        view = self.host.settings.view
        yield TablePane("Runs", run_words.SPEC, view=view("runs"), markable=True, empty=NO_RUNS, id="runs")
        yield Lines(id="summary")
        with Horizontal(id="panes"):
            worst_first = View(sort="damage", column="damage")
            damage = TablePane("Damage", SPECS["damage"], view=view(LIVE_DAMAGE, worst_first), empty=NO_DAMAGE, id="damage")
            damage.table.remembered_as = LIVE_DAMAGE
            yield damage
            with Vertical(id="side"):
                yield TablePane("Worst k", SPECS["worst"], view=view("worst"), empty="comes with the first trial", id="worst")
                with Vertical(id="logs"):
                    yield Lines(id="log-title")
                    yield LogView(id="log")

    def on_mount(self) -> None:
        self.list = self.query_one("#runs", TablePane)
        self.marked: list[str] = []  # in the order of marking
        self.taken: dict[str, RunRow] = {}  # the runs as the list shows them
        self.feeds = [TableFeed(self.query_one(f"#{name}", TablePane).table, name) for name in ("damage", "worst")]
        self.query_one("#log-title", Lines).show([Text(" Log", style="bold")])
        self.meter = Meter()
        self.use = ""
        self.gpu = ""
        self.pane = "damage"
        self._show_pane()
        self.list.table.focus()
        self.call_after_refresh(self._first)
        self.set_interval(2.0, self._measure)

    def _first(self) -> None:
        self._take(self.host.runs)

    def on_screen_resume(self) -> None:
        if getattr(self, "feeds", None):
            self._take(self.host.runs)

    # ---- following the store ----

    def on_store_moved(self, event: StoreMoved) -> None:
        if getattr(self, "feeds", None):
            self._take(event.runs)

    def _take(self, runs: tuple[RunRow, ...]) -> None:
        table = self.list.table
        fresh = not table.model.rows and bool(runs)
        # of thousands of runs few change between two looks; who did not is the same object
        changes: dict[Key, Cells | None] = {(run.id,): run_words.run_cells(run) for run in runs if self.taken.get(run.id) is not run}
        self.taken = {run.id: run for run in runs}
        gone = {key: None for key in table.model.rows if str(key[0]) not in self.taken}
        others = gone or any(key not in table.model.rows for key in changes)
        table.apply({**changes, **gone}, [(run.id,) for run in runs] if others else None)
        if fresh or (self.host.chosen_run and table.cursor_key != (self.host.chosen_run,) and self.host.run_wanted):
            at = table.model.position.get((self.host.chosen_run,), 0)
            table.move_to(at)
            self.host.run_wanted = False
        self.list.caption()
        low = self.size.height < 30  # the caption is left out there
        most = 2 if self.size.height < 18 else 4
        if not runs:  # room for the words that say what to do
            self.list.styles.height = 3 if low else 4
        else:
            self.list.styles.height = min(max(2, len(runs) + 1), most) if low else min(max(3, len(runs) + 2), 8)
        self._follow()

    def _follow(self) -> None:
        """Bring everything about the run under the cursor up to date."""
        run, store = self.run_shown, self.host.store
        run_id = run.id if run else None
        if run_id != self.feeds[0].run_id:
            self.host.chosen_run = run_id
            self.use = ""
            self.query_one(LogView).clear()
            for feed in self.feeds:
                feed.follow(run_id)
        if store is not None and run is not None:
            try:
                for feed in self.feeds:
                    feed.update(store)
                update_log(self.query_one(LogView), store, run_id)
            except SubpopError as error:
                self.host.say_unreadable(run, error)
        for name in ("damage", "worst"):
            pane = self.query_one(f"#{name}", TablePane)
            pane.remark = first_note(pane.table.model.rows.values(), pane.table.model.column_index("note"))
            pane.caption()
        self._summary()
        self.say_state()

    def _summary(self) -> None:
        run = self.run_shown
        self.query_one("#summary", Lines).show(
            run_words.summary(run, self.host.clock(), self.use, self.size.width, self.styles_by_name()) if run else []
        )

    @property
    def run_shown(self) -> RunRow | None:
        key = self.list.table.cursor_key if hasattr(self, "list") else None
        return self.host.run_row(str(key[0])) if key else None

    @on(LiveTable.Looked, "#runs LiveTable")
    def _marked(self) -> None:
        """The run marked first is the baseline; of those marked at once the oldest."""
        marks = {str(key[0]) for key in self.list.table.model.marks}
        old = [run_id for run_id in self.marked if run_id in marks]
        self.marked = [*old, *(run.id for run in reversed(self.host.runs) if run.id in marks and run.id not in old)]

    @property
    def runs_chosen(self) -> list[RunRow]:
        rows = (self.host.run_row(run_id) for run_id in self.marked)
        return [run for run in rows if run is not None] or [run for run in [self.run_shown] if run is not None]

    @on(LiveTable.Highlighted, "#runs LiveTable")
    def _another_run(self) -> None:
        self._follow()

    @on(LiveTable.Chosen, "#runs LiveTable")
    def action_results(self) -> None:
        if self.run_shown:
            self.host.switch_mode("results")

    def action_plots(self) -> None:
        if self.run_shown:
            from tui.screens.plots import open_plots

            open_plots(self.host)

    def _measure(self) -> None:
        if not self.is_current:
            return
        run = self.run_shown
        if run is not None and run.alive:
            if "cuda" in run.device:
                self._ask_gpu(run.device)
            self.use = self.meter.read(run.pid, self.gpu).words()
        else:
            self.use = ""
        self._summary()

    @work(thread=True, exclusive=True, group="gpu", exit_on_error=False)
    def _ask_gpu(self, device: str) -> None:
        self.gpu = gpu_words(device)

    # ---- panes ----

    def _show_pane(self) -> None:
        """In a narrow terminal one pane is shown at a time; in a wide one all of them."""
        for name in PANES:
            self.query_one(f"#{name}").set_class(name != self.pane, "-behind")
        self.query_one("#side").set_class(self.pane == "damage", "-behind")

    def _pane_target(self, name: str) -> Widget:
        return self.query_one(LogView) if name == "logs" else self.query_one(f"#{name}", TablePane).table

    def action_next_pane(self) -> None:
        """From the list to the damage, the worst-k, the log, and back to the list."""
        order = [self.list.table, *(self._pane_target(name) for name in PANES)]
        at = order.index(self.focused) if self.focused in order else 0
        to = (at + 1) % len(order)
        if to:
            self.pane = PANES[to - 1]
            self._show_pane()
        self.call_after_refresh(order[to].focus)

    def action_freeze(self) -> None:
        """Hold the tables as they are; the work goes on."""
        frozen = not self.feeds[0].frozen
        for feed in self.feeds:
            feed.frozen = frozen
        self.query_one("#damage", TablePane).title = "Damage (held, z goes on)" if frozen else "Damage"
        self.notify("the tables are held as they are; z goes on" if frozen else "the tables follow the run again", timeout=2)
        self._follow()

    def action_other_run(self, by: int) -> None:
        self.list.table.action_move(by)


def first_note(rows: Iterable[tuple[object, ...]], at: int | None) -> str:
    """Why values are missing, as the first row says that has a reason."""
    return next((str(row[at]) for row in rows if row[at]), "") if at is not None else ""
