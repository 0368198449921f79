"""What can be done with a run that is there, on every screen that shows one: name, note, delete, hand on, report, compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work
from textual.binding import Binding

from engine.printable import fault
from engine.rows import RunRow
from tui.dialogs.ask_path import AskPath, AskText
from tui.screens import opening
from tui.screens.base import ModeScreen
from tui.screens.opening import WHAT

if TYPE_CHECKING:
    from tui.session import Session

SUFFIX = ".subpop"
NOTE = 400  # characters
KEEPING = (
    Binding("c", "compare", "Compare", tooltip="compare runs", id="run.compare"),
    Binding("E", "everything", "Report", tooltip="report and all tables to a folder", id="run.everything"),
    Binding("N", "note", "Note", show=False, tooltip="a note on the run", id="run.note"),
    Binding("B", "bundle", "Bundle", show=False, tooltip="the run as one file to hand on", id="run.bundle"),
    Binding("o", "open", "Open", show=False, tooltip=WHAT, id="run.open"),
    Binding("R", "rename", "Rename", show=False, tooltip="rename the run", id="run.rename"),
    Binding("D", "delete", "Delete", show=False, tooltip="delete the run", id="run.delete"),
)


class AskNote(AskText):
    """An empty text removes the note."""

    def complaint(self, value: str) -> str:
        return fault(value) if len(value) <= NOTE else f"{len(value) - NOTE} characters too many"


class RunKeeping(ModeScreen):
    """A screen that shows a run; `KEEPING` are the keys."""

    @property
    def run_shown(self) -> RunRow | None:
        raise NotImplementedError

    @property
    def runs_chosen(self) -> Sequence[RunRow]:
        """Those marked, the baseline first; else the one shown."""
        return [run for run in [self.run_shown] if run is not None]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys are offered only where they do something."""
        run = self.run_shown
        if action == "compare":
            return run is not None and len(self.host.runs) > 1
        if action == "delete":
            return bool(run and not run.alive)
        if action == "open":
            return self.host.store is not None
        return run is not None if action in ("rename", "note", "bundle", "everything") else True

    @work(thread=True, group="requests", exit_on_error=False)
    def _ask(self, what: str, run_id: str, call: Callable[[], object], confirmation: str) -> None:
        """Carry out a request off the screen's thread and say how it went."""
        try:
            call()
        except Exception as error:  # whatever it is, it must be said here
            self.app.call_from_thread(self.notify, str(error), title=f"{what} {run_id}", severity="error", timeout=10)
        else:
            self.app.call_from_thread(self.notify, confirmation, timeout=3)

    def action_compare(self) -> None:
        compare(self.host, self.runs_chosen)

    def action_everything(self) -> None:
        from tui.dialogs.everything import EverythingDialog

        if runs := self.runs_chosen:
            self.host.push_screen(EverythingDialog(runs))

    def action_rename(self) -> None:
        run, store = self.run_shown, self.host.store
        if run is None or store is None:
            return

        def named(name: str | None) -> None:
            if name and name.strip():
                words = " ".join(name.split())[:60]
                self._ask("rename", run.id, lambda: store.rename(run.id, words), f"now called {words}")

        self.host.push_screen(AskText("Rename the run", "Name", run.name), named)

    def action_note(self) -> None:
        run, store = self.run_shown, self.host.store
        if run is None or store is None:
            return

        def noted(text: str | None) -> None:
            if text is not None:
                words = " ".join(text.split())
                confirmation = f"noted on {run.name}" if words else f"{run.name} has no note now"
                self._ask("note", run.id, lambda: store.annotate(run.id, words), confirmation)

        self.host.push_screen(AskNote(f"A note on {run.name}; its report carries it", "Note", run.note), noted)

    def action_delete(self) -> None:
        run, store = self.run_shown, self.host.store
        if run is None or store is None:
            return
        from engine.runs.start import delete
        from tui.dialogs.confirm import Confirm

        def sure(yes: bool | None) -> None:
            if yes:
                self._ask("delete", run.id, lambda: delete(store, run.id), f"deleted {run.name}")

        question = f"Delete {run.name} ({run.id}) with its {run.victims_done:,} victims and all its tables? This cannot be undone."
        self.host.push_screen(Confirm("Delete the run", question, "Delete"), sure)

    def action_bundle(self) -> None:
        run, store = self.run_shown, self.host.store
        if run is None or store is None:
            return
        from engine.store.bundle import bundle

        name = "".join(char if char.isalnum() or char in "-_." else "-" for char in run.name)[:40].strip("-.") or "run"
        folder = Path(self.host.settings.get("export_folder", "") or ".")

        def written(text: str | None) -> None:
            if text:
                path = Path(text.strip()).expanduser().absolute()
                self.host.settings.put("export_folder", str(path.parent))
                self.notify(f"bundling {run.name}…", timeout=2)
                self._ask("bundle", run.id, lambda: bundle(store, run.id, path), f"{run.name} is in {path}; `subpop open` takes it in")

        dialog = AskPath("The run as one file", "File", str(folder / f"{name}-{run.id}{SUFFIX}"), must_exist=False)
        self.host.push_screen(dialog, written)

    def action_open(self) -> None:
        opening.ask(self.host)


def compare(host: Session, runs: Sequence[RunRow]) -> None:
    """Compare these runs; where it is only one, ask which other. The older is then the baseline."""
    if len(runs) > 1:
        host.compare_runs([run.id for run in runs])
        return
    run = runs[0] if runs else host.run_chosen
    others = [other for other in host.runs if run is not None and other.id != run.id]
    if run is None or not others:
        host.notify("a comparison needs two runs: 1 opens the plan, enter launches from it", severity="warning", timeout=6)
        return
    from tui.dialogs.choose_run import ChooseRun

    def chosen(other: str | None) -> None:
        if other is not None:
            age = [each.id for each in reversed(host.runs)]
            host.compare_runs(sorted([run.id, other], key=age.index))

    question = f"Compare {run.name} ({run.id}) with which run? The older one is the baseline; b swaps."
    host.push_screen(ChooseRun("Compare", question, others, run.parent), chosen)
