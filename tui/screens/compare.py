"""Compare: two runs or more held against the first of them, live: what differs, paired differences, each run's own worst k."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from engine.errors import SubpopError
from engine.rows import RunRow
from engine.tables.compare import COMPARISONS
from tui.messages import StoreMoved
from tui.presenters import compare as comparison
from tui.presenters import format as fmt
from tui.presenters.compare import Comparison
from tui.screens.base import ModeScreen
from tui.screens.run_keep import compare
from tui.themes import tones
from tui.widgets.lines import Lines
from tui.widgets.table.live import LiveTable
from tui.widgets.table.pane import TablePane
from tui.widgets.tabs import TabLine

AGAIN_S = 2.0  # a comparison is made again at most this often, however fast its runs move
NOTHING_CHOSEN = "nothing is compared yet: c chooses two runs; or in Runs (3) space marks them, then c"


class CompareScreen(ModeScreen):
    """The runs are those of the app's `compare_runs`, the baseline first; `t` turns from subpopulations to the worst k."""

    DEFAULT_CSS = """
    CompareScreen #compare-head { background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("b", "swap", "Swap baseline", tooltip="another baseline", id="compare.swap"),
        Binding("t,tab", "other_table", "Next table", id="compare.table"),
        Binding("enter", "row", "Row", id="compare.row"),
        Binding("c", "choose", "Runs", tooltip="compare another run with the baseline", id="compare.choose"),
        Binding("i", "notes", "Notes", tooltip="all that differs, and what cannot be paired", id="compare.notes"),
        Binding("x", "export", "Export", id="compare.export"),
        Binding("E", "everything", "Report", tooltip="report and all tables of these runs to a folder", id="compare.everything"),
    ]

    def body(self) -> ComposeResult:
        name = self.host.settings.get("compare_table", "compare")
        self.name_shown = name if name in COMPARISONS else "compare"
        spec = comparison.spec_of(self.name_shown, len(self.ids))
        yield TabLine(id="compare-head")
        yield Lines(id="compare-notes")
        yield TablePane(self.name_shown, spec, view=self.host.settings.view(spec.name), empty=NOTHING_CHOSEN, id="compared")

    def on_mount(self) -> None:
        self.pane = self.query_one("#compared", TablePane)
        self.compared = Comparison(())
        self.stamp: tuple[object, ...] | None = None  # of what is shown, or being made
        self.made_at = -AGAIN_S  # monotonic
        self.busy = False
        self.pane.table.focus()
        self.call_after_refresh(self._take)

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if hasattr(self, "compared"):
            self._take()

    def on_store_moved(self, event: StoreMoved) -> None:
        if hasattr(self, "compared"):
            self._take()

    def on_resize(self) -> None:
        if hasattr(self, "compared"):
            self.call_after_refresh(self._head)

    # ---- what is shown ----

    @property
    def ids(self) -> list[str]:
        """Ids of the runs chosen, the baseline first; remembered between sessions."""
        return [str(each) for each in self.host.settings.get("compared", [])]

    @property
    def runs_shown(self) -> list[RunRow]:
        """The baseline first; those that are gone left out."""
        rows = (self.host.run_row(run_id) for run_id in self.ids)
        return [run for run in rows if run is not None]

    def _take(self) -> None:
        """Bring the comparison up to date where its runs moved; what is shown stays until the new one is there."""
        runs, store = self.runs_shown, self.host.store
        if len(runs) < 2 or store is None:
            self.stamp, self.compared = None, Comparison(())
            self._show()
            return
        try:
            stamp = comparison.stamp(store, runs)
        except SubpopError as error:
            self.notify(str(error), severity="error")
            return
        ids = tuple(run.id for run in runs)
        moved = stamp != self.stamp
        soon = monotonic() - self.made_at < AGAIN_S and ids == self.compared.run_ids
        if moved and not soon and not self.busy:
            self.stamp, self.made_at, self.busy = stamp, monotonic(), True
            self._make(ids)
        self._show()

    @work(thread=True, group="compare", exit_on_error=False)
    def _make(self, ids: tuple[str, ...]) -> None:
        try:
            compared = comparison.compare(self.host.store_file, ids)
        except Exception as error:  # whatever it is, it must be said here
            compared = Comparison(ids, trouble=dict.fromkeys(COMPARISONS, str(error)))
        self.app.call_from_thread(self._made, compared)

    def _made(self, compared: Comparison) -> None:
        self.busy = False
        if not self.is_attached:
            return
        if compared.run_ids == tuple(run.id for run in self.runs_shown):
            self.compared = compared
            self._show()
        else:  # other runs were chosen meanwhile
            self._take()

    def _show(self) -> None:
        runs, name = self.runs_shown, self.name_shown
        spec = comparison.spec_of(name, len(runs))
        if spec.name != self.pane.table.spec.name:
            self.pane.setup(name, spec, self.host.settings.view(spec.name))
        self.pane.title = {"compare": "Damage, other minus baseline", "compare_worst": "Worst k, each run's own"}[name]
        ready = self.compared.run_ids == tuple(run.id for run in runs) and bool(runs)
        if len(runs) < 2:
            self.pane.say_empty(NOTHING_CHOSEN)
        elif not ready:
            self.pane.say_empty("counting the two runs' victims…" if len(runs) == 2 else "counting the runs' victims…")
        else:
            none = next((note for note in self.compared.notes if "no subpopulation can be matched" in note), "nothing to compare yet")
            self.pane.say_empty(self.compared.trouble.get(name, none))
        model = self.pane.table.model
        rows = {model.key_of(row): row for row in (self.compared.rows.get(name, ()) if ready else ())}
        gone = {key: None for key in model.rows if key not in rows}
        self.pane.table.apply({**rows, **gone}, list(rows))
        self.pane.caption()
        self._head()
        self.say_state()

    def _head(self) -> None:
        runs = self.runs_shown
        notes = self.query_one("#compare-notes", Lines)
        if len(runs) < 2:
            self.query_one(TabLine).show("Compare", "", (), "")
            notes.show([])
            return
        about, deviations = comparison.split_notes(self.compared.notes)
        which = deviations[0] if len(deviations) == 1 else f"{fmt.plural(len(deviations), 'deviation')}, i tells them"
        of_paper = any(" is not the paper's: " in note for note in deviations)
        warning = f"! {'not the published setting' if of_paper else 'to be known'}: {which}" if deviations else ""
        self.query_one(TabLine).show(comparison.title(runs, comparison.counted), warning, tuple(COMPARISONS), self.name_shown)
        tall = self.size.height >= 30
        most = 6 if tall else 2
        lines: list[Text] = []
        quiet = tones(self.app.theme_variables)["quiet"]
        for at, note in enumerate(self._without_ids(note, len(runs)) for note in about):
            words = fmt.clean(note, 2000)
            lines += [Text(line, quiet if at else "") for line in (fmt.wrapped(words, self.size.width, 3) if tall else [f" {words}"])]
        if len(lines) > most:
            lines = [*lines[: most - 1], Text(f" … i tells all {len(about) + len(deviations)} notes", quiet)]
        notes.show(lines)

    @staticmethod
    def _without_ids(note: str, count: int) -> str:
        """Without the ids: of two runs it is plain which is compared with which."""
        return note.partition(": ")[2] if count == 2 else note

    # ---- turning to others ----

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("swap", "other_table", "export", "everything", "notes"):
            return len(self.runs_shown) > 1
        if action == "row":
            return hasattr(self, "pane") and bool(self.pane.table.model.shown)
        return len(self.host.runs) > 1 if action == "choose" else True

    def action_swap(self) -> None:
        """The next run is the baseline of the others; of two they change places."""
        ids = self.ids
        self.host.compare_runs([*ids[1:], *ids[:1]])
        self._take()

    def action_other_table(self) -> None:
        names = list(COMPARISONS)
        self.show_table(names[(names.index(self.name_shown) + 1) % len(names)])

    @on(TabLine.Picked)
    def _picked(self, event: TabLine.Picked) -> None:
        self.show_table(event.name)

    def show_table(self, name: str) -> None:
        """Show `compare` or `compare_worst`, as it was last looked at."""
        if name in COMPARISONS:
            self.name_shown = name
            self.host.settings.put("compare_table", name)
            self._show()

    def action_choose(self) -> None:
        compare(self.host, self.runs_shown[:1])

    # ---- reading and writing ----

    @on(LiveTable.Chosen)
    def action_row(self) -> None:
        """All that the table says of the row under the cursor."""
        from tui.dialogs.row import row_under_cursor

        if dialog := row_under_cursor(self.pane.table):
            self.host.push_screen(dialog)

    def action_notes(self) -> None:
        from tui.dialogs.reader import Reader

        about, deviations = comparison.split_notes(self.compared.notes)
        names = [f"{'baseline' if not at else 'other':9}{run.name} ({run.id})" for at, run in enumerate(self.runs_shown)]
        text = [*names, "", *(f"- {note}" for note in (*about, *deviations))]
        self.host.push_screen(Reader("What differs, and what cannot be paired", "\n".join(fmt.clean(line, 2000) for line in text)))

    def action_export(self) -> None:
        from tui.dialogs.export import ExportDialog

        runs: Sequence[RunRow] = self.runs_shown
        if len(runs) > 1:
            rows = len(self.compared.rows.get(self.name_shown, ()))
            self.host.push_screen(ExportDialog(runs[0], self.name_shown, None, rows, others=runs[1:]))

    def action_everything(self) -> None:
        from tui.dialogs.everything import EverythingDialog

        if len(self.runs_shown) > 1:
            self.host.push_screen(EverythingDialog(self.runs_shown))
