"""Shown while a file of one's own is read: what is being done, or what went wrong."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from engine.drafting.looks import Draft
from tui.dialogs.base import Dialog
from tui.presenters import format as fmt
from tui.services.file_columns import FileColumns
from tui.widgets.plain import Static

STEPS = ((0.0, "opening it"), (0.5, "reading its columns"), (3.0, "reading its columns: a large file takes a while"))


class ReadingDialog(Dialog[Draft]):
    """Returns the draft of a scenario for the file, or None where there is none."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "cancel", "Cancel", id="reading.cancel")]

    def __init__(self, file: FileColumns, path: Path) -> None:
        super().__init__()
        self.file, self.path, self.since = file, path, monotonic()
        self.failed = False

    def body(self) -> ComposeResult:
        yield Static("", id="reading")

    def on_mount(self) -> None:
        self.head(fmt.clean(self.path.name or str(self.path)))
        self.file.drafted = self._drafted
        self._say()
        self.set_interval(0.25, self._say)
        self._ask()

    @work(exit_on_error=False)
    async def _ask(self) -> None:
        await self.file.draft(self.path)

    def _say(self) -> None:
        if self.failed:
            return
        spent = monotonic() - self.since
        step = next(words for after, words in reversed(STEPS) if spent >= after)
        self.query_one("#reading", Static).update(f"{step} · {fmt.duration(spent)}")

    def _drafted(self, draft: Draft | None) -> None:
        if draft is not None:
            self.dismiss(draft)
            return
        self.failed = True
        reading_line = self.query_one("#reading", Static)
        reading_line.update(f"✗ {self.file.error}")
        reading_line.add_class("bad")

    def action_cancel(self) -> None:
        self.dismiss(None)
