"""What every screen may ask of the app: the store, its runs, which is chosen, where data are, what is remembered. Knows no screen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import SubpopError
from engine.rows import RunRow
from engine.runs.rebuild import is_old
from tui.messages import StoreMoved, StoreTrouble
from tui.orderly import OrderlyApp
from tui.services.rebuilding import Rebuilding
from tui.services.run_data import RunData
from tui.services.settings import Settings, config_dir

if TYPE_CHECKING:
    from textual.screen import Screen

    from engine.store import Store
    from engine.store.runs import RunList

POLL_S = 0.1  # how often the store is asked whether anything was committed: microseconds each
COPY_S = 60.0  # a copy of a store that cannot be written is made anew so often, where the store has changed
LOOK_S = 1.0  # how often runs are read anyway, for engines that died say nothing


@dataclass(frozen=True)
class PreviewWanted:
    """A scenario whose subpopulations are to be looked at. folder: what its relative paths are relative to."""

    name: str
    text: str
    folder: Path | None = None


class Session(OrderlyApp):
    """The app below its screens: Textual gives a screen nothing but `app`, so this is one. `app.SubpopApp` adds modes and keys."""

    def __init__(self, store_path: Path | None, data_dir: Path | None, *, config: Path | None, clock: Callable[[], float]) -> None:
        super().__init__(watch_css=False)
        self.clock = clock
        self.store_path = store_path
        self.given_data_dir = data_dir
        self.settings = Settings(config if config is not None else config_dir())
        self.preview_wanted: PreviewWanted | None = None
        self.run_wanted = True  # the Runs screen should put its cursor on chosen_run
        self.store: Store | None = None
        self.runs: tuple[RunRow, ...] = ()
        self._run_list: RunList | None = None
        self._by_id: dict[str, RunRow] = {}
        self.chosen_run: str | None = self.settings.get("run", "") or None  # the run that Runs and Results show
        self.rebuilding = Rebuilding(self._not_rebuilt)
        self.run_data = RunData()
        self._version = -1
        self._looked_at = 0.0
        self._trouble = ""
        self._unreadable: set[str] = set()  # runs and why they could not be shown
        self._read_only = False
        self._opened_at = 0.0

    def open_store(self) -> bool:
        """Open the results store; where that fails the reason is on screen and the rest of the app goes on."""
        from engine.store import Store

        try:
            self.store = Store.open(self.store_path, to_read=True)
            if self.store.read_only and any(is_old(run) for run in self.store.runs()):
                self.store.work_on_copy()  # where their tables are made anew
        except SubpopError as error:
            self._say_trouble(str(error))
            return False
        self._trouble, self._opened_at = "", time.monotonic()
        if self.store.read_only and not self._read_only:
            self.notify(f"{self.store.read_only}: runs can be looked at and exported, not started or changed", timeout=10, markup=False)
        self._read_only = bool(self.store.read_only)
        self.poll(force=True)
        return True

    @property
    def store_file(self) -> Path:
        """The file for other connections to the store, once it is open. What writes asks `store.check_writable` first: it may be a copy."""
        assert self.store is not None
        return self.store.file

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
        if now - self._opened_at >= COPY_S and self.store.outdated:
            self.store.close()
            self.rebuilding.tried.clear()
            self.open_store()
            return
        try:
            version = self.store.data_version()
            if version == self._version and not force and now - self._looked_at < LOOK_S:
                return
            self._version, self._looked_at = version, now
            self._run_list = self.store.runs_since(self._run_list)
            before, self.runs = self.runs, self._run_list.newest_first
        except SubpopError as error:
            self._say_trouble(str(error))
            return
        self._trouble = ""
        if self.runs is not before:
            self._by_id = {run.id: run for run in self.runs}
            self._tell_ends(before)
        self.renew_tables([run for run in (self.run_chosen,) if run is not None])
        for screen in self.in_sight():
            screen.post_message(StoreMoved(self.runs))

    def renew_tables(self, runs: Iterable[RunRow]) -> None:
        """Have the tables of these runs made anew where older statistics made them; they show when they are there."""
        for run in self.rebuilding.want(self.store_file, runs):
            self.notify(f"{run.name}: tables of older statistics are being made anew from its predictions", timeout=6)

    def say_unreadable(self, run: RunRow, error: SubpopError) -> None:
        """Say, once, that what is stored of a run cannot be read. Its tables are made anew: what they are made of may be whole."""
        words = f"{run.id} {error}"
        if words not in self._unreadable:
            self._unreadable.add(words)
            self.notify(str(error), title=f"{run.name} cannot be shown", severity="error", timeout=15)
            if not run.may_live:
                self.rebuilding.want(self.store_file, [run], damaged=True)

    def _not_rebuilt(self, why: str) -> None:
        if self.ending or not self.is_running:  # it was given up with the app, and its copy of the store with it
            return
        self.call_from_thread(self.notify, why, title="tables could not be made anew", severity="error", timeout=15)

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
        for was in before:
            if was.alive and (run := self.run_row(was.id)) is not None and not run.alive:
                bad = run.lost or run.state == "failed"
                word = "lost its engine" if run.lost else {"done": "is done", "failed": "failed"}.get(run.state, f"is {run.state}")
                self.notify(f"{run.name} {word}", severity="error" if bad else "information", timeout=6)

    def _say_trouble(self, what: str) -> None:
        if what != self._trouble:
            self._trouble = what
            self.notify(what, title="results store", severity="error", timeout=15)
            for screen in self.screen_stack:
                screen.post_message(StoreTrouble(what))

    # ---- what is looked at ----

    def choose_run(self, run_id: str) -> None:
        """Make this the run that Runs and Results show."""
        self.chosen_run, self.run_wanted = run_id, True

    def choose_other_run(self, by: int) -> bool:
        """Choose the run `by` places further in the list, wrapping round its end. False where there is no run."""
        ids, run = [run.id for run in self.runs], self.run_chosen
        if run is None or run.id not in ids:
            return False
        self.choose_run(ids[(ids.index(run.id) + by) % len(ids)])
        return True

    def show_run(self, run_id: str | None) -> None:
        """Show a run in Runs. None, which a closed dialog returns, does nothing."""
        if run_id:
            self.choose_run(run_id)
            self.poll(force=True)
            self.switch_mode("runs")

    def preview(self, text: str, name: str, folder: Path | None = None) -> None:
        """Show a scenario's subpopulations."""
        self.preview_wanted = PreviewWanted(name, text, folder)
        self.switch_mode("subpopulations")

    def show_table(self, name: str) -> None:
        """Show a table of the chosen run."""
        self.settings.put("results_table", name)
        self.switch_mode("results")

    def compare_runs(self, run_ids: Sequence[str]) -> None:
        """Compare runs with the first of them."""
        self.settings.put("compared", list(dict.fromkeys(run_ids)))
        self.switch_mode("compare")

    def run_row(self, run_id: str | None) -> RunRow | None:
        return self._by_id.get(run_id) if run_id else None

    @property
    def run_chosen(self) -> RunRow | None:
        """The run that was chosen, else the newest."""
        return self.run_row(self.chosen_run) or (self.runs[0] if self.runs else None)

    def at_work(self) -> tuple[str, str]:
        """For the top line: what is at work, and the style it is said in."""
        if self._trouble:
            return "! store", "bad"
        if self._read_only:
            alive = sum(run.alive for run in self.runs)
            return f"! read-only{f', {alive} at work' if alive else ''}", "warn"
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
