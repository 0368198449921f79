"""Plots: those of the chosen run, one after the other, live while it is at work; two side by side where there is room; to a file."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.timer import Timer

from engine.errors import SubpopError
from engine.rows import RunRow
from tui.dialogs.ask_path import AskPath
from tui.messages import StoreMoved
from tui.presenters import format as fmt
from tui.presenters import runs as run_words
from tui.screens.plot_curves import WORKING, PlotCurves
from tui.services.plots import CURVE, PlotFeed
from tui.widgets.plot.view import PlotView
from tui.widgets.tabs import TabLine

if TYPE_CHECKING:
    from tui.session import Session

SHORT = {  # for the line of tabs; a plot that is not here stands under its own name
    "dose_response": "dose–response",
    "damage_confidence": "confidence",
    "damage_size": "size",
    "distribution": "distribution",
    "published_corrected": "worst",
    "removals": "removals",
    "worst_trials": "trials",
    "predicted_measured": "predicted",
    "predicted_recall": "recall",
}
REDRAW_S = 0.5  # a live plot moves at most this often
TWO_FROM = 120  # columns that two plots side by side need
SUFFIXES = (".png", ".svg")


class PlotsScreen(PlotCurves):
    """Over Runs or Results. The plot at the right, where there is one, is the next; it shows the same subpopulation."""

    DEFAULT_CSS = """
    PlotsScreen #plots { height: 1fr; }
    PlotsScreen #plots-head { background: $surface; }
    PlotsScreen #first { padding: 0 1; }
    PlotsScreen #second { display: none; padding: 0 1; border-left: vkey $panel; }
    PlotsScreen.-two #second { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t,tab", "other_plot(1)", "Next plot", id="plots.plot"),
        Binding("T,shift+tab", "other_plot(-1)", "Plot before", show=False, id="plots.plot-before"),
        Binding("x", "export", "Export", tooltip="export this plot as PNG or SVG", id="plots.export"),
        Binding("a", "alpha(1)", "Alpha", tooltip="the next alpha, of plots that show one at a time", id="plots.alpha"),
        Binding("A", "alpha(-1)", "Alpha before", show=False, id="plots.alpha-before"),
        Binding("n", "notes", "Notes", tooltip="all that must be said of this plot", id="plots.notes"),
        Binding("w", "two", "One/two", tooltip="one plot, or two side by side", id="plots.two"),
        Binding("right_square_bracket", "other_run(1)", "Next run", id="plots.run"),
        Binding("left_square_bracket", "other_run(-1)", "Run before", show=False, id="plots.run-before"),
        Binding("escape,v", "back", "Back", id="plots.back"),
    ]

    def body(self) -> ComposeResult:
        yield TabLine(id="plots-head")
        with Horizontal(id="plots"):
            yield PlotView(id="first")
            yield PlotView(id="second")

    def on_mount(self) -> None:
        self.feed = PlotFeed()
        self.first, self.second = self.query_one("#first", PlotView), self.query_one("#second", PlotView)
        self.second.can_focus = False
        self.plots_offered: tuple[str, ...] = ()
        self.name_shown = str(self.host.settings.get("plot", "dose_response"))
        self.start_curves()
        self._drawn_at = 0.0
        self._later: Timer | None = None
        self.first.focus()
        self.call_after_refresh(self._take)

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if hasattr(self, "feed"):
            self._take()

    def on_store_moved(self, event: StoreMoved) -> None:
        if hasattr(self, "feed") and self.is_current:
            self._take(soon=False)

    def on_resize(self) -> None:
        if hasattr(self, "feed"):
            self._draw()

    @property
    def run_shown(self) -> RunRow | None:
        return self.host.run_chosen

    # ---- following the run ----

    def _take(self, *, soon: bool = True) -> None:
        """Look at the run. soon: draw at once, else at most so often."""
        run = self.run_shown
        if self.feed.follow(run.id if run else None):
            self.plots_offered = ()
            self.start_curves()
            self.first.show(None)
            soon = True
        wait = self._drawn_at + REDRAW_S - monotonic()
        if soon or wait <= 0:
            self._read()
        elif self._later is None:
            self._later = self.set_timer(wait, self._read)
        self._head(run)

    def _read(self) -> None:
        """Read what changed, and draw where anything did."""
        if self._later is not None:
            self._later.stop()
            self._later = None
        run, store = self.run_shown, self.host.store
        self._drawn_at = monotonic()
        try:
            changed = store is not None and self.feed.update(store)
            if changed:
                self.plots_offered = self.feed.plots_offered()
        except SubpopError as error:
            if run is not None:
                self.host.say_unreadable(run, error)
            return
        except KeyError as error:
            self.first.say_empty(f"this run's tables have no column {error}: another version wrote them")
            return
        if changed or not self.first.plot:
            self._say_empty(run)
            self._draw()
        self._head(run)

    def _say_empty(self, run: RunRow | None) -> None:
        alive = "nothing to draw yet: plots come as victims are trained"
        self.first.say_empty("no run yet: 1 opens the plan" if run is None else alive if run.alive else "nothing to draw was stored")

    def _draw(self) -> None:
        """The plots that are in sight, from the tables as they were last read. What must be worked out first comes when it is there."""
        shown = self._names_shown()
        two = len(shown) > 1
        self.set_class(two, "-two")
        if CURVE in shown:
            self.want_curve()
        plots = self.feed.plots(shown, self.alpha)
        names = self.feed.descriptions()
        for view, name in zip((self.first, self.second), shown, strict=False):
            if name == CURVE:
                view.say_empty(WORKING if self.feed.curve_wanted(self.alpha) else "no alpha has two complete trials")
        self.first.show(plots.get(shown[0]) if shown else None, names=names)
        self.second.show(plots.get(shown[1]) if two else None, cursor=self.first.subpopulation, names=names)

    def _names_shown(self) -> list[str]:
        if self.plots_offered and self.name_shown not in self.plots_offered:
            shown = [self.plots_offered[0]]
        else:
            shown = [self.name_shown] if self.plots_offered else []
        if self.size.width >= TWO_FROM and len(self.plots_offered) > 1 and not self.host.settings.get("one_plot", False):
            shown.append(self.plots_offered[(self.plots_offered.index(shown[0]) + 1) % len(self.plots_offered)])
        return shown

    def curve_came(self) -> None:
        self._draw()
        self._head(self.run_shown)

    def _head(self, run: RunRow | None) -> None:
        head = self.query_one(TabLine)
        if run is None:
            head.show("no run", "", (), "")
        else:
            state = f"{run_words.state_word(run)} · {fmt.plural(run.victims_done, 'victim')} of {run.victims_total:,}"
            warning = run_words.warning(run.deviations, run.scenario_toml) if run.deviations else ""
            drawn = (self._names_shown() or [""])[0]
            tabs = tuple(SHORT.get(name, name) for name in self.plots_offered)
            head.show(f"Plots of {run.name}  {run.id}  {state}", warning, tabs, SHORT.get(drawn, drawn))
        self.say_state()

    # ---- turning to others ----

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if not hasattr(self, "feed"):
            return action == "back"
        if action == "other_run":
            return len(self.host.runs) > 1
        if action == "alpha":
            return any(len(self.feed.alphas(name)) > 1 for name in self._names_shown())
        if action == "two":
            return self.size.width >= TWO_FROM and len(self.plots_offered) > 1
        if action == "notes":
            return self.first.plot is not None and bool(self.first.plot.notes)
        return len(self.plots_offered) > 1 if action == "other_plot" else bool(self.plots_offered) if action == "export" else True

    def show_plot(self, name: str) -> None:
        self.name_shown = name
        self.host.settings.put("plot", name)
        self._draw()
        self._head(self.run_shown)

    def action_other_plot(self, by: int) -> None:
        drawn = self._names_shown()[0]
        self.show_plot(self.plots_offered[(self.plots_offered.index(drawn) + by) % len(self.plots_offered)])

    @on(TabLine.Picked)
    def _picked(self, event: TabLine.Picked) -> None:
        self.show_plot(next(name for name in self.plots_offered if SHORT.get(name, name) == event.name))

    def action_alpha(self, by: int) -> None:
        """Another alpha, of the first plot that shows one alone."""
        name = next(name for name in self._names_shown() if self.feed.alphas(name))
        alphas, shown = self.feed.alphas(name), self.feed.alpha_shown(name, self.alpha)
        assert shown is not None
        self.alpha = alphas[(alphas.index(shown) + by) % len(alphas)]
        self._draw()
        self._head(self.run_shown)

    def action_two(self) -> None:
        self.host.settings.put("one_plot", not self.host.settings.get("one_plot", False))
        self._draw()

    def action_other_run(self, by: int) -> None:
        if self.host.choose_other_run(by):
            self._take()

    def action_notes(self) -> None:
        """Every note in full: under the plot there is room for a few lines."""
        if plot := self.first.plot:
            from tui.dialogs.reader import Reader

            self.host.push_screen(Reader(f"{plot.title}: notes", "\n\n".join(fmt.clean(note, 2000) for note in plot.notes)))

    def action_back(self) -> None:
        self.dismiss(None)

    # ---- the point under the cursor ----

    @on(PlotView.Moved)
    def _moved(self, event: PlotView.Moved) -> None:
        """Both plots show the same subpopulation."""
        other = self.second if event.view is self.first else self.first
        if event.subpopulation is not None and other.plot is not None and self.has_class("-two"):
            other.show(other.plot, cursor=event.subpopulation)

    @on(PlotView.Chosen)
    def _chosen(self, event: PlotView.Chosen) -> None:
        """The subpopulation's desk; [ and ] there turn through the others from left to right."""
        if self.feed.run_id is not None:
            from tui.screens.desk import DeskScreen

            self.host.push_screen(DeskScreen(self.feed.run_id, event.subpopulation, event.view.in_order()))

    # ---- to a file ----

    def action_export(self) -> None:
        run, plot = self.run_shown, self.first.plot
        if run is not None and plot is not None:
            name = "".join(char if char.isalnum() or char in "-_." else "-" for char in run.name)[:40].strip("-.") or "run"
            folder = Path(self.host.settings.get("export_folder", "") or ".")
            suffix = self.host.settings.get("plot_format", SUFFIXES[0])
            path = folder / f"{name}-{run.id}-{plot.name}{suffix if suffix in SUFFIXES else SUFFIXES[0]}"

            def accept(text: str | None) -> None:
                if text:
                    self._export(run, plot.name, alpha, Path(text.strip()).expanduser().absolute())

            alpha = self.feed.alpha_shown(plot.name, self.alpha)

            self.host.push_screen(AskPlotFile(f"Export the plot: {plot.title}", "File", str(path)), accept)

    def _export(self, run: RunRow, name: str, alpha: float | None, path: Path) -> None:
        self.host.settings.put("export_folder", str(path.parent))
        self.host.settings.put("plot_format", path.suffix.lower())
        self._write(run, name, alpha, path)

    @work(thread=True, group="export", exit_on_error=False)
    def _write(self, run: RunRow, name: str, alpha: float | None, path: Path) -> None:
        from engine.plots import files as plots_files
        from engine.plots import plots_of_run
        from engine.store import Store

        host = self.host  # a screen that was closed meanwhile knows it no more, in a thread
        try:
            with Store.open(host.store_file, create=False, to_read=True) as store:  # its own connection: it holds up no screen
                plots_files.write(plots_of_run(store, run, [name], alpha=alpha)[name], path)
        except Exception as error:  # whatever it is, it must be said here
            message, severity = str(error), "error"
        else:
            message, severity = f"plot written to {path}", "information"
        host.call_from_thread(host.notify, message, severity=severity, timeout=10)


class AskPlotFile(AskPath):
    """A file to write whose ending says the format."""

    def __init__(self, title: str, label: str, value: str) -> None:
        super().__init__(title, label, value, must_exist=False)

    def complaint(self, value: str) -> str:
        suffix = Path(value.strip()).suffix.lower()
        return super().complaint(value) or ("" if suffix in SUFFIXES else "end the name with .png or .svg")


def open_plots(host: Session, name: str = "") -> None:
    """Show the chosen run's plots over what is on screen. name: the plot to begin with; "" the one last looked at."""
    if name:
        host.settings.put("plot", name)
    if not isinstance(host.screen, PlotsScreen):
        host.push_screen(PlotsScreen())
    elif name:
        host.screen.show_plot(name)
