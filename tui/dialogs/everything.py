"""Everything of a run, or of several, into a folder: the report in words, every table, every plot. The same bytes as `subpop export`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from engine.rows import RunRow
from tui.dialogs.base import row
from tui.dialogs.writing import WritingDialog
from tui.presenters import format as fmt
from tui.widgets.lines import Lines
from tui.widgets.plain import Static

BAR = 32  # cells


class EverythingDialog(WritingDialog):
    """Asks for a folder and writes. Closing it while it writes leaves the writing to end by itself; how it ended is said then."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "write", "Write the folder", id="everything.write", priority=True),
        Binding("escape", "close", "Close", id="everything.close"),
    ]

    def __init__(self, runs: Sequence[RunRow]) -> None:
        """runs: the first is the baseline of the others."""
        super().__init__()
        self.runs = tuple(runs)
        self.since: float | None = None  # monotonic; None: not at it

    def body(self) -> ComposeResult:
        yield row("Folder", Input(str(self._default()), max_length=1000, compact=True))
        ids = " ".join(run.id for run in self.runs)
        what = "the report in words, every table as CSV, Parquet, Markdown and LaTeX, the plots, scenario and provenance"
        yield Static(f"{what}: what `subpop export {ids} --table all -o FOLDER` writes", classes="message")
        yield Lines(id="bar")
        yield Static("", id="outcome", classes="message")

    def _default(self) -> Path:
        folder, name = self.folder_and_name(self.runs[0])
        return folder / "-".join([name, *(run.id for run in self.runs[:4])])

    def on_mount(self) -> None:
        some = self.runs[0].name if len(self.runs) == 1 else fmt.plural(len(self.runs), "run")
        self.head(f"Report and all tables of {fmt.clean(some, 40)}")
        self.query_one(Input).focus()

    def action_close(self) -> None:
        if self.since is not None:
            self.app.notify("still writing; how it ends will be said", timeout=4)
        self.dismiss(None)

    def action_write(self) -> None:
        if self.query_one("#outcome").has_class("-written"):
            self.dismiss(None)
            return
        if self.since is not None:
            return
        folder = self.path_given(self.query_one(Input).value, "a folder to write to")
        if folder is None:
            return
        if folder.exists() and not folder.is_dir():
            self.say(f"{folder} is a file; name a folder", good=False)
            return
        self.host.settings.put("export_folder", str(folder.parent))
        self.since = monotonic()
        self.say("", good=None)
        self._progress("reading", 0.0)
        self._write(folder)

    @work(thread=True, exit_on_error=False)
    def _write(self, folder: Path) -> None:
        from engine.export.everything import export_all
        from engine.runs.rebuild import rebuild
        from engine.store import Store

        host = self.host  # a dialog that was closed meanwhile knows it no more, in a thread

        def progress(what: str, share: float) -> None:
            host.call_from_thread(self._progress, what, share)

        try:
            with Store.open(host.store_file, create=False, to_read=True) as store:  # its own connection: a long read holds up no screen
                rebuild(store, [run.id for run in self.runs])
                written = export_all(store, [run.id for run in self.runs], folder, progress=progress)
        except Exception as error:  # whatever it is, it must be said here
            outcome, good = f"✗ {error}", False
        else:
            outcome, good = f"✓ {fmt.plural(len(written), 'file')} written; read {folder / 'report.md'}", True
        host.call_from_thread(self.done, outcome, good)

    def _progress(self, what: str, share: float) -> None:
        if not self.is_attached or self.since is None:
            return
        spent = monotonic() - self.since
        left = f"  {fmt.duration(spent * (1 - share) / share)} left" if 0.05 < share < 1 else ""
        self.query_one(Lines).show([Text(f"{fmt.bar(share, BAR)} {int(share * 100):3d} %{left}  {what}")])

    def done(self, outcome: str, good: bool) -> None:
        self.since = None
        if self.is_attached:
            self.query_one(Lines).show([])
        super().done(outcome, good)
