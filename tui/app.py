"""The terminal app: five modes over one results store. It reads, starts runs and asks; the engine does the work."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType

from engine.errors import SubpopError
from engine.rows import RunRow
from tui import themes
from tui.messages import StoreMoved, StoreTrouble
from tui.orderly import OrderlyApp
from tui.settings import Settings, config_dir
from tui.tight import tighten

if TYPE_CHECKING:
    from rich.console import RenderableType
    from textual.screen import Screen

    from engine.store import Store

POLL_S = 0.1  # how often the store is asked whether anything was committed: microseconds each
LOOK_S = 1.0  # how often runs are read anyway, for engines that died say nothing


def plan_mode() -> Screen[Any]:
    from tui.screens.plan import PlanScreen

    return PlanScreen()


def subpopulations_mode() -> Screen[Any]:
    from tui.screens.subpopulations import SubpopulationsScreen

    return SubpopulationsScreen()


def runs_mode() -> Screen[Any]:
    from tui.screens.runs import RunsScreen

    return RunsScreen()


def results_mode() -> Screen[Any]:
    from tui.screens.results import ResultsScreen

    return ResultsScreen()


def compare_mode() -> Screen[Any]:
    from tui.screens.compare import CompareScreen

    return CompareScreen()


@dataclass(frozen=True)
class PreviewWanted:
    """A scenario whose subpopulations are to be looked at. folder: what its relative paths are relative to."""

    name: str
    text: str
    folder: Path | None = None


class SubpopApp(OrderlyApp):
    """Holds what every screen needs: the store, where data are, what is remembered. Screens hold the rest."""

    TITLE = "subpop"
    CSS_PATH = Path(__file__).with_name("app.tcss")
    ENABLE_COMMAND_PALETTE = False  # ours lists every action: tui/screens/palette.py
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-narrow"), (100, "-wide"), (150, "-huge")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (18, "-low"), (30, "-tall")]  # noqa: RUF012
    MODE_TITLES: ClassVar = {
        "plan": "Plan", "subpopulations": "Subpopulations", "runs": "Runs", "results": "Results", "compare": "Compare",
    }  # fmt: skip
    MODES = dict(zip(MODE_TITLES, (plan_mode, subpopulations_mode, runs_mode, results_mode, compare_mode), strict=True))  # noqa: RUF012
    DEFAULT_MODE = "plan"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "switch_mode('plan')", "Plan", show=False, id="app.plan"),
        Binding("2", "switch_mode('subpopulations')", "Subpopulations", show=False, id="app.subpopulations"),
        Binding("3", "switch_mode('runs')", "Runs", show=False, id="app.runs"),
        Binding("4", "switch_mode('results')", "Results", show=False, id="app.results"),
        Binding("5", "switch_mode('compare')", "Compare", show=False, id="app.compare"),
        Binding("question_mark,f1", "help", "help", id="app.help"),
        Binding("colon,ctrl+p", "palette", "commands", id="app.palette"),
        Binding("q,ctrl+q", "quit", "quit", id="app.quit"),
        Binding("ctrl+t", "next_theme", "Next theme", show=False, id="app.theme"),
    ]

    def __init__(
        self,
        store_path: Path | None = None,
        data_dir: Path | None = None,
        *,
        config: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """config: where settings are remembered; clock: Unix seconds, for what is told as so long ago."""
        super().__init__(watch_css=False)
        self.clock = clock
        self.store_path = store_path
        self.given_data_dir = data_dir
        self.settings = Settings(config if config is not None else config_dir())
        self.preview_wanted: PreviewWanted | None = None
        self.run_wanted = True  # the Runs screen should put its cursor on chosen_run
        self.store: Store | None = None
        self.runs: tuple[RunRow, ...] = ()
        self.chosen_run: str | None = self.settings.get("run", "") or None  # the run that Runs and Results show
        self._version = -1
        self._looked_at = 0.0
        self._trouble = ""
        keymap, self._keymap_trouble = self.settings.keymap()
        self.set_keymap(keymap)
        for theme in (themes.DARK, themes.LIGHT):
            self.register_theme(theme)
        wanted = self.settings.get("theme", themes.DEFAULT)
        self.theme = wanted if wanted in self.available_themes else themes.DEFAULT

    # ---- life ----

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        super()._display(screen, tighten(renderable))

    def on_mount(self) -> None:
        self.theme_changed_signal.subscribe(self, lambda theme: self.settings.put("theme", theme.name))
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        """After the first paint: open the store and watch it."""
        self.open_store()
        self.set_interval(POLL_S, self.poll)
        self.set_interval(5.0, self.settings.save)
        if self._keymap_trouble:
            self.notify(self._keymap_trouble, severity="warning", timeout=10)

    def open_store(self) -> bool:
        """Open the results store; where that fails the reason is on screen and the rest of the app goes on."""
        from engine.store import Store

        try:
            self.store = Store.open(self.store_path)
        except SubpopError as error:
            self._say_trouble(str(error))
            return False
        self._trouble = ""
        self.poll(force=True)
        return True

    def on_unmount(self) -> None:
        self.settings.put("run", self.chosen_run or "")
        self.settings.save()
        if self.store is not None:
            self.store.close()

    @property
    def store_file(self) -> Path:
        """The store's file, once it is open."""
        assert self.store is not None
        return self.store.path

    @property
    def data_dir(self) -> Path:
        from engine.datasets import data_dir

        return data_dir(self.given_data_dir)

    # ---- watching the store ----

    def poll(self, force: bool = False) -> None:
        """Ask whether anything was committed; tell the screens if so, and once a second in any case."""
        if self.store is None or self.ending:
            return
        now = time.monotonic()
        try:
            version = self.store.data_version()
            if version == self._version and not force and now - self._looked_at < LOOK_S:
                return
            self._version, self._looked_at = version, now
            before, self.runs = self.runs, tuple(self.store.runs())
        except SubpopError as error:
            self._say_trouble(str(error))
            return
        self._trouble = ""
        self._tell_ends(before)
        for screen in self.in_sight():
            screen.post_message(StoreMoved(self.runs))

    def in_sight(self) -> list[Screen[Any]]:
        """The top screen, and those that show through dialogs over them. Others look at the store again when they come back.

        A screen below an opaque one must keep still: whatever it paints makes Textual (8.2) write the whole of the top one again.
        """
        from textual.screen import ModalScreen

        seen: list[Screen[Any]] = []
        for screen in reversed(self.screen_stack):
            seen.append(screen)
            if not isinstance(screen, ModalScreen):
                break
        return seen

    def _tell_ends(self, before: tuple[RunRow, ...]) -> None:
        """Say which runs came to an end since the last look, wherever one is."""
        worked = {run.id for run in before if run.alive}
        for run in self.runs:
            if run.id in worked and not run.alive:
                bad = run.lost or run.state == "failed"
                word = "lost its engine" if run.lost else {"done": "is done", "failed": "failed"}.get(run.state, f"is {run.state}")
                self.notify(f"{run.name} {word}", severity="error" if bad else "information", timeout=6)

    def _say_trouble(self, what: str) -> None:
        if what != self._trouble:
            self._trouble = what
            self.notify(what, title="results store", severity="error", timeout=15)
            for screen in self.screen_stack:
                screen.post_message(StoreTrouble(what))

    def choose_run(self, run_id: str) -> None:
        """Make this the run that Runs and Results show."""
        self.chosen_run, self.run_wanted = run_id, True

    def show_run(self, run_id: str | None) -> None:
        """Go and look at a run: what a dialog that started one gives (None: it was closed)."""
        if run_id:
            self.choose_run(run_id)
            self.poll(force=True)
            self.switch_mode("runs")

    def preview(self, text: str, name: str, folder: Path | None = None) -> None:
        """Go and look at a scenario's subpopulations."""
        self.preview_wanted = PreviewWanted(name, text, folder)
        self.switch_mode("subpopulations")

    def show_table(self, name: str) -> None:
        """Go and look at a table of the chosen run."""
        self.settings.put("results_table", name)
        self.switch_mode("results")

    def compare_runs(self, run_ids: Sequence[str]) -> None:
        """Go and hold runs against the first of them."""
        self.settings.put("compared", list(dict.fromkeys(run_ids)))
        self.switch_mode("compare")

    def run_row(self, run_id: str | None) -> RunRow | None:
        return next((run for run in self.runs if run.id == run_id), None)

    @property
    def run_chosen(self) -> RunRow | None:
        """The run that was chosen, else the newest."""
        return self.run_row(self.chosen_run) or (self.runs[0] if self.runs else None)

    def at_work(self) -> tuple[str, str]:
        """For the top line: what is at work, and the style it is said in."""
        if self._trouble:
            return "! store", "bad"
        lost = sum(run.lost for run in self.runs)
        busy = [run for run in self.runs if run.alive]
        if lost:
            return f"! {lost} engine{'s' if lost > 1 else ''} lost", "bad"
        if len(busy) == 1:
            run = busy[0]
            sign = "‖" if run.state == "paused" else "●"
            return f"{sign} {run.name[:18]} {run.victims_done}/{run.victims_total or '?'}", "good" if run.state != "paused" else "warn"
        if busy:
            return f"● {len(busy)} runs at work", "good"
        return "", ""

    # ---- actions ----

    def action_help(self) -> None:
        from tui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen))

    def action_palette(self) -> None:
        from tui.screens.palette import PaletteScreen

        if not isinstance(self.screen, PaletteScreen):
            self.push_screen(PaletteScreen(self.screen), lambda command: command and command())

    def action_next_theme(self) -> None:
        """Turn to the next theme, the app's own two first; it is remembered."""
        names = [themes.DARK.name, themes.LIGHT.name, *sorted(set(self.available_themes) - {themes.DARK.name, themes.LIGHT.name})]
        at = names.index(self.theme) if self.theme in names else -1
        self.theme = names[(at + 1) % len(names)]
        self.notify(f"theme {self.theme}", timeout=2)

    async def action_quit(self) -> None:
        self.exit(0)


def unfit_terminal() -> str:
    """Why the app cannot run here, or "" where it can."""
    if not sys.stdin.isatty() or not sys.stdout.isatty():
        return "the app needs a terminal and there is none here; `subpop --help` lists the commands that need none"
    if os.environ.get("TERM", "") in ("", "dumb", "unknown"):
        term = os.environ.get("TERM") or "unset"
        return f"the app cannot draw on TERM={term}; set TERM (xterm-256color, say) or use the commands in `subpop --help`"
    return ""


def main(store_path: Path | None = None, data_dir: Path | None = None) -> int:
    """Run the app until it is closed. Returns an exit status: 2 where this is no terminal to draw on."""
    if reason := unfit_terminal():
        print(f"subpop: {reason}", file=sys.stderr)  # noqa: T201
        return 2
    app = SubpopApp(store_path, data_dir)
    status = app.run()
    busy = [run for run in app.runs if run.alive]
    if busy:
        names = ", ".join(f"{run.name} ({run.id})" for run in busy)
        print(f"still at work: {names}. `subpop` shows it again, `subpop watch {busy[0].id}` follows it here.")  # noqa: T201
    return status if status is not None else (app.return_code or 0)
