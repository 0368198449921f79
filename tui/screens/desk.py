"""The desk of one subpopulation of one run: its curve, trials, controls, members, poison, and what victims now predict for it."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.widget import Widget
from textual.worker import get_current_worker

from engine.rows import Table
from engine.tables.predicted import CLASSES, FLIPPED
from tui.messages import StoreMoved
from tui.presenters import desk as desk_rows
from tui.presenters import format as fmt
from tui.presenters import runs as run_words
from tui.screens.desk_looking import OF_ROWS, Data, DeskLooking
from tui.screens.looking import NO_MEMBERS
from tui.widgets.members_pane import MembersPane
from tui.widgets.pictures.grid import PictureGrid
from tui.widgets.pictures.pane import PicturePane
from tui.widgets.plot.view import PlotView
from tui.widgets.table.live import LiveTable
from tui.widgets.table.pane import TablePane
from tui.widgets.tabs import TabLine

if TYPE_CHECKING:
    from engine.plots import Plot
    from engine.store import StoredDiscovery
    from engine.tables.predicted import Predicted

PANES = ("curve", "trials", "controls", "predictions", "members", "poison")  # what needs the data last: loading them takes a while
READING = "reading what the victims predict"
AGAIN_S = 2.0  # a run at work is read anew at most this often


class DeskScreen(DeskLooking):
    """`others`: the subpopulations in the order they were shown in, which [ and ] turn through."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab,t", "pane(1)", "Next pane", id="desk.pane"),
        Binding("shift+tab,T", "pane(-1)", "Pane before", show=False, id="desk.pane-before"),
        Binding("a", "again", "Attack again", id="desk.again"),
        Binding("v", "split", "Which rows", id="desk.split"),
        Binding("n", "rate('alpha')", "Alpha", id="desk.alpha"),
        Binding("N", "rate('trial')", "Trial", id="desk.trial"),
        Binding("z", "size", "Size", id="desk.size"),
        Binding("i,enter", "row", "Row", id="desk.row"),
        Binding("right_square_bracket,space", "other(1)", "Next", tooltip="next subpopulation", id="desk.next"),
        Binding("left_square_bracket", "other(-1)", "Before", tooltip="subpopulation before", show=False, id="desk.before"),
        Binding("escape", "back", "Back", id="desk.back"),
    ]

    def __init__(self, run_id: str, index: int, others: Sequence[int] = ()) -> None:
        super().__init__()
        self.run_id, self.index = run_id, index
        self.others = tuple(others) if index in others else (index,)
        self.pane = PANES[0]
        self.tables: dict[str, Table] = {}
        self.made: Predicted | None = None
        self.discovery: StoredDiscovery | None = None
        self.data = Data()
        self.revision, self.read_at, self.marked = -1, 0.0, 0

    def body(self) -> ComposeResult:
        view = self.host.settings.view
        yield TabLine(id="desk-head")
        with Container(id="desk"):
            yield PlotView(empty="the curve comes with the first victims", opens=False, id="desk-plot")  # this is what it would open
            yield TablePane("By alpha", desk_rows.BY_ALPHA, empty="nothing yet", id="alphas")
            yield TablePane("Trials", desk_rows.BY_TRIAL, view=view("desk_trials"), empty=READING, id="trials")
            yield TablePane("Controls", desk_rows.CONTROLS, view=view("desk_controls"), empty="nothing yet", id="controls")
            yield MembersPane("Members", NO_MEMBERS, id="members")
            yield PicturePane(id="pictures")
            yield TablePane("Predicted", CLASSES, view=view("predicted_of_one"), empty=READING, id="classes")
            yield TablePane("Flipped", FLIPPED, view=view("flipped_of_one"), empty=READING, id="flipped")

    def on_mount(self) -> None:
        self.start_looking()
        self.table_wanted = self.host.settings.get("results_table", "")
        self.turn_to(self.host.settings.get("desk_pane", PANES[0]))
        self.read()
        self.set_interval(0.5, self.say_loading)

    def on_resize(self) -> None:
        if self.is_mounted:
            self.call_after_refresh(self._head)

    def on_screen_resume(self) -> None:
        """Another run, or a table, may have been asked for meanwhile: that is under this screen."""
        run = self.host.run_chosen
        if (run is not None and run.id != self.run_id) or self.host.settings.get("results_table", "") != self.table_wanted:
            self.call_later(self.action_back)

    def on_store_moved(self, event: StoreMoved) -> None:
        store = self.host.store
        if self.host.run_row(self.run_id) is None and self.is_current:
            self.action_back()
        elif store is not None and monotonic() - self.read_at > AGAIN_S and store.table_revision(self.run_id, "damage") != self.revision:
            self.read()

    # ---- what the store says ----

    @work(thread=True, exclusive=True, group="desk", exit_on_error=False)
    def read(self) -> None:
        """Read tables, then predictions, over a connection of its own: a large array would hold up whoever shares it."""
        from engine.errors import SubpopError
        from engine.plots import dose_response
        from engine.store import Store
        from engine.tables.predicted import predicted_of

        worker, index, self.read_at = get_current_worker(), self.index, monotonic()

        def tell(call: Any, *values: object) -> None:
            if not worker.is_cancelled and self.is_running:
                self.app.call_from_thread(call, index, *values)

        try:
            with Store.open(self.host.store_file, create=False, to_read=True) as store:
                row_counts = store.tables(self.run_id)
                tables = {name: store.table(self.run_id, name) for name in desk_rows.READ if name in row_counts}
                tell(self._take_tables, row_counts.get("damage", 0), tables, dose_response(tables, [index]))
                self.discovery = self.discovery or store.discovery(self.run_id)
                if self.discovery is not None and not worker.is_cancelled:
                    tell(self._take_predicted, predicted_of(self.discovery, store.victims(self.run_id, of=index), index))
        except SubpopError as error:
            tell(self._failed, str(error))

    def _failed(self, index: int, message: str) -> None:
        self.notify(message, severity="error", timeout=8)

    def _take_tables(self, index: int, revision: int, tables: dict[str, Table], plot: Plot | None) -> None:
        if index != self.index:
            return
        self.revision, self.tables = revision, tables
        self.query_one(PlotView).show(plot)
        self._table("alphas").load(desk_rows.alpha_rows(tables, index))
        self._table("controls").load(desk_rows.control_rows(tables, index))
        self._show_trials()
        if not self.look.alphas:
            self.look.alphas = desk_rows.alphas(tables)
            self.look.alpha = 1.0 if 1.0 in self.look.alphas else next(iter(self.look.alphas), None)
        self._head()

    def _take_predicted(self, index: int, made: Predicted) -> None:
        if index != self.index:
            return
        self.made = made
        self._show_trials()
        self._table("classes").load(made.classes.rows)
        self._table("flipped").load(made.flipped.rows)
        flipped = self.query_one("#flipped", TablePane)
        flipped.title = desk_rows.flips_title(len(made.flipped.rows), made.flipped_rows)
        none = "no victim of it is trained" if not made.trials.rows else "none of its test rows changed its class"
        for name in ("trials", "classes", "flipped"):
            self.query_one(f"#{name}", TablePane).say_empty(none)
        self._captions()

    def _show_trials(self) -> None:
        self._table("trials").load(desk_rows.trial_rows(self.tables, self.index, self.made.trials) if self.made else ())
        self._captions()

    def _captions(self) -> None:
        for pane in self.query(TablePane):
            pane.caption()
        self.say_state()

    def _table(self, name: str) -> LiveTable:
        return self.query_one(f"#{name}", TablePane).table

    def _head(self) -> None:
        run = self.host.run_row(self.run_id)
        place = f"{self.others.index(self.index) + 1} of {len(self.others)}" if len(self.others) > 1 else ""
        name = f"{run.name} {run.id}" if run else self.run_id
        described = desk_rows.described(self.tables, self.index)
        title = "  ".join(part for part in (f"#{self.index}", described, f"· {name}", place) if part)
        warning = run_words.warning(run.deviations, run.scenario_toml) if run and run.deviations else ""
        about = desk_rows.about(self.tables, self.index)
        if self.size.height < 30:  # one paragraph of few lines, and what it takes first
            lines = fmt.wrapped(" · ".join([*about[2:], *about[:2]]), self.size.width, 3)
        else:
            lines = [line for words in about for line in fmt.wrapped(words, self.size.width, 2)]
        self.query_one(TabLine).show(title, warning, PANES, self.pane, lines)

    # ---- turning ----

    def turn_to(self, pane: str) -> None:
        """Show a pane, with the keys in it."""
        self.pane = pane if pane in PANES else PANES[0]
        self.host.settings.put("desk_pane", self.pane)
        for name in PANES:
            self.set_class(name == self.pane, f"-on-{name}")
        if self.pane in OF_ROWS:
            self.turn_rows()
        self._head()
        self.call_after_refresh(self.focus_pane)

    def focus_pane(self) -> None:
        plot = self.query_one(PlotView)
        first: dict[str, Widget] = {"curve": plot if plot.display else self._table("alphas"), "predictions": self._table("classes")}
        rows = self.pictures.grid if self.has_class("-pictures") else self.members.table
        (rows if self.pane in OF_ROWS else first.get(self.pane) or self._table(self.pane)).focus()
        self.say_state()

    @on(TabLine.Picked)
    def _picked(self, event: TabLine.Picked) -> None:
        self.turn_to(event.name)

    def action_pane(self, by: int) -> None:
        self.turn_to(PANES[(PANES.index(self.pane) + by) % len(PANES)])

    def action_other(self, by: int) -> None:
        """The next subpopulation, or the one before, in the order of the table that this was opened from."""
        self.index = self.others[(self.others.index(self.index) + by) % len(self.others)]
        self.made = None
        for name in ("trials", "classes", "flipped"):
            self._table(name).load(())
            self.query_one(f"#{name}", TablePane).say_empty(READING)
        if self.pane in OF_ROWS:
            self.turn_rows()
        self._head()
        self.read()

    def action_back(self) -> None:
        if self.is_current:
            self.dismiss()

    @on(PictureGrid.Wanted)
    def _more_pictures(self, event: PictureGrid.Wanted) -> None:
        self.ask_members(event.first)

    # ---- what can be done ----

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if not hasattr(self, "process"):
            return False
        if action in ("split", "rate", "size"):
            on_its_pane = self.pane == ("poison" if action == "rate" else "members") or (action == "size" and self.pane in OF_ROWS)
            return on_its_pane and self.can_look(action, parameters, ready=self.data.stage == "ready")
        if action == "other":
            return len(self.others) > 1
        if action == "row":
            return isinstance(self.focused, LiveTable) and bool(self.focused.model.shown)
        return True

    @on(LiveTable.Chosen)
    def action_row(self) -> None:
        """All that the table says of the row under the cursor."""
        table = self.focused
        if isinstance(table, LiveTable) and table.cursor_key is not None:
            from tui.dialogs.row import RowDialog

            self.host.push_screen(RowDialog(table.spec, table.model.rows[table.cursor_key], list(table.model.rows.values())))

    def action_again(self) -> None:
        run = self.host.run_row(self.run_id)
        if run is not None:
            from tui.dialogs.again import AgainDialog

            about = desk_rows.described(self.tables, self.index)
            self.host.push_screen(AgainDialog(run, (self.index,), about), self.host.show_run)
