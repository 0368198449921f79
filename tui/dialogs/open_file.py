"""Asks which file to open: its path is completed as one types; of a file that is missing the nearest name is suggested."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input
from textual.worker import get_current_worker

from tui.dialogs.base import Dialog, row
from tui.services import places
from tui.services.file_columns import FileColumns
from tui.widgets.line import Line
from tui.widgets.plain import Static

WHAT = "a table (CSV, TSV, Parquet, JSON Lines), texts, a folder of pictures, a scenario (TOML), or a bundled run"


class OpenFile(Dialog[str]):
    """Returns the path as it was typed, or None after escape."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "accept", "Open", id="open.accept", priority=True),
        Binding("escape", "cancel", "Cancel", id="open.cancel"),
    ]

    def __init__(self, value: str) -> None:
        super().__init__()
        self.value, self.file = value, FileColumns()

    def body(self) -> ComposeResult:
        yield row("File", Line(self.value, "~/data/loans.csv"))
        yield Static(WHAT, classes="message")
        yield Static("", classes="bad")

    def on_mount(self) -> None:
        self.head("Open")
        line = self.query_one(Line)
        line.completes(self._paths_that_begin)
        line.focus()
        line.cursor_position = len(line.value)

    async def _paths_that_begin(self, start: str) -> Sequence[str]:
        return await self.file.complete(start, None)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._look(event.value)

    @work(thread=True, exclusive=True, group="look", exit_on_error=False)
    def _look(self, value: str) -> None:
        worker = get_current_worker()
        wrong = places.trouble(value.strip(), Path.cwd()) if value.strip() else ""
        if not worker.is_cancelled and self.is_running:
            self.app.call_from_thread(self._say, wrong)

    def _say(self, wrong: str) -> None:
        if self.is_attached:
            self.query_one(".bad", Static).update(f"✗ {wrong}" if wrong else "")

    def action_accept(self) -> None:
        value = self.query_one(Line).value.strip()
        if value:
            self.dismiss(value)
        else:
            self._say("name a file")

    def action_cancel(self) -> None:
        self.dismiss(None)

    def on_unmount(self) -> None:
        self.file.close()
