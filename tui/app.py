"""The terminal app: five modes over one results store. It reads, starts runs and asks; the engine does the work."""

from __future__ import annotations

import codecs
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType

from engine.printable import clean
from tui import themes
from tui.services.settings import KEYS
from tui.session import POLL_S, Session
from tui.tight import tighten

if TYPE_CHECKING:
    from rich.console import RenderableType
    from textual.screen import Screen
    from textual.theme import Theme


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


class SubpopApp(Session):
    """The session with its five modes, the keys that work everywhere, and the themes."""

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
        # A line of text takes digits for itself: there the function keys do it (f1 is help) and, where the terminal passes it, alt.
        Binding("1,alt+1", "switch_mode('plan')", "Plan", show=False, id="app.plan"),
        Binding("2,f2,alt+2", "switch_mode('subpopulations')", "Subpopulations", show=False, id="app.subpopulations"),
        Binding("3,f3,alt+3", "switch_mode('runs')", "Runs", show=False, id="app.runs"),
        Binding("4,f4,alt+4", "switch_mode('results')", "Results", show=False, id="app.results"),
        Binding("5,f5,alt+5", "switch_mode('compare')", "Compare", show=False, id="app.compare"),
        Binding("question_mark,f1", "help", "help", id="app.help"),
        Binding("colon,ctrl+p", "palette", "commands", id="app.palette"),
        Binding("q,ctrl+q", "quit", "quit", id="app.quit"),
        Binding("ctrl+z", "suspend_process", "To the shell, until fg", show=False, id="app.suspend"),
        Binding("ctrl+t", "next_theme", "Next theme", show=False, id="app.theme"),
    ]

    def __init__(
        self,
        store_path: Path | None = None,
        data_dir: Path | None = None,
        *,
        config: Path | None = None,
        clock: Callable[[], float] = time.time,
        opened: Path | None = None,
    ) -> None:
        """config: where settings are remembered; clock: Unix seconds, for what is told as so long ago; opened: the file to begin with."""
        super().__init__(store_path, data_dir, config=config, clock=clock)
        self.opened = opened
        keymap, self._keymap_trouble = self._keymap_of_file()
        self.set_keymap(keymap)
        for theme in themes.OWN:
            self.register_theme(theme)
        first = themes.default(self.console.color_system)
        wanted = self.settings.get("theme", first)
        self.theme = wanted if wanted in self.available_themes else first

    def _keymap_of_file(self) -> tuple[dict[str, str], str]:
        """What keys.toml may change, and what is wrong with it."""
        keymap, trouble = self.settings.keymap()
        if not keymap:
            return keymap, trouble
        from tui.screens.remapping import checked

        good, wrong = checked(keymap, type(self))
        refused = [f"{self.settings.folder / KEYS}: {'; '.join(wrong)}; these stay as they come"] if wrong else []
        return good, "\n".join([*([trouble] if trouble else []), *refused])

    # ---- life ----

    @property
    def available_themes(self) -> dict[str, Theme]:
        return themes.offered(super().available_themes)

    def get_theme(self, theme_name: str) -> Theme | None:
        theme = super().get_theme(theme_name)
        return None if theme is None else themes.legible(theme)

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
            self.notify(self._keymap_trouble, severity="warning", timeout=20, markup=False)
        if self.opened is not None:
            from tui.screens.opening import open_path

            open_path(self, self.opened)

    def on_unmount(self) -> None:
        self.settings.put("run", self.chosen_run or "")
        self.settings.save()
        self.run_data.close()
        if self.store is not None:
            self.store.close()

    # ---- actions ----

    def action_help(self) -> None:
        from tui.dialogs.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen))

    def action_palette(self) -> None:
        from tui.screens.palette import PaletteScreen

        if not isinstance(self.screen, PaletteScreen):
            self.push_screen(PaletteScreen(self.screen), lambda command: command and command())

    def action_next_theme(self) -> None:
        """Turn to the next theme, the app's own first; it is remembered."""
        names = list(self.available_themes)
        at = names.index(self.theme) if self.theme in names else -1
        self.theme = names[(at + 1) % len(names)]
        self.notify(f"theme {self.theme}", timeout=2)

    def action_help_quit(self) -> None:
        """ctrl+c, which Textual answers with markup of its own."""
        self.notify("q leaves, ctrl+q where one types; runs go on", timeout=4)

    async def action_quit(self) -> None:
        self.exit(0)


def unfit_terminal() -> str:
    """Why the app cannot run here, or "" where it can."""
    if not sys.stdin.isatty() or not sys.stdout.isatty():
        return "the app needs a terminal and there is none here; `subpop --help` lists the commands that need none"
    if os.environ.get("TERM", "") in ("", "dumb", "unknown"):
        term = os.environ.get("TERM") or "unset"
        return f"the app cannot draw on TERM={term}; set TERM (xterm-256color, say) or use the commands in `subpop --help`"
    for stream in (sys.stdout, sys.__stderr__):  # Textual draws on the second
        encoding = getattr(stream, "encoding", None) or "utf-8"
        if codecs.lookup(encoding).name != "utf-8":
            advice = "where the terminal shows UTF-8, set LC_ALL=C.UTF-8 (or PYTHONUTF8=1, and no PYTHONIOENCODING)"
            return f"the app draws in UTF-8, and this terminal's locale says {encoding}; {advice}, or use the commands in `subpop --help`"
    return ""


def main(path: Path | None = None, *, store_path: Path | None = None, data_dir: Path | None = None) -> int:
    """Run the app until it is closed. Returns an exit status: 2 where this is no terminal to draw on. path: the file to begin with."""
    if reason := unfit_terminal():
        print(f"subpop: {reason}", file=sys.stderr)  # noqa: T201
        return 2
    app = SubpopApp(store_path, data_dir, opened=path)
    status = app.run()
    busy = [run for run in app.runs if run.alive]
    if busy:
        names = clean(", ".join(f"{run.name} ({run.id})" for run in busy))
        print(f"still at work: {names}. `subpop` shows it again, `subpop watch {busy[0].id}` follows it here.")  # noqa: T201
    return status if status is not None else (app.return_code or 0)
