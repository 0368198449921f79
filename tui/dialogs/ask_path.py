"""One line of text asked for: a name, or the path of a file."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from engine.printable import fault
from tui.dialogs.base import Dialog, row
from tui.widgets.plain import Static


class AskText(Dialog[str]):
    """Returns the text, or None after escape."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "accept", "OK", id="ask.accept", priority=True),
        Binding("escape", "cancel", "Cancel", id="ask.cancel"),
    ]

    def __init__(self, title: str, label: str, value: str) -> None:
        super().__init__()
        self.heading, self.label, self.value = title, label, value

    def body(self) -> ComposeResult:
        yield row(self.label, Input(self.value, max_length=1000, compact=True))
        yield Static("", classes="bad")

    def on_mount(self) -> None:
        self.head(self.heading)
        self.query_one(Input).focus()

    def complaint(self, value: str) -> str:
        """What is wrong with the text; "" where it is accepted."""
        return fault(value) if value.strip() else "something must be said here"

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self.query_one(".bad", Static).update(self.complaint(event.value))

    def action_accept(self) -> None:
        value = self.query_one(Input).value
        if complaint := self.complaint(value):
            self.query_one(".bad", Static).update(complaint)
        else:
            self.dismiss(value)

    def action_cancel(self) -> None:
        self.dismiss(None)


class AskPath(AskText):
    """The path of a file. must_exist: a file to read; else one to write, whose folder must be there."""

    def __init__(self, title: str, label: str, value: str, *, must_exist: bool) -> None:
        super().__init__(title, label, value)
        self.must_exist = must_exist

    def complaint(self, value: str) -> str:
        if not value.strip():
            return "name a file"
        path = Path(value.strip()).expanduser()
        if path.is_dir():
            return f"{path} is a folder; name a file in it"
        if self.must_exist:
            return "" if path.is_file() else f"there is no file {path}"
        return "" if path.absolute().parent.is_dir() else f"there is no folder {path.absolute().parent}"
