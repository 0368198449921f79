"""Shows a text: scrolls, copies, closes."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from tui.dialogs.base import Dialog
from tui.widgets.plain import Static


class Reader(Dialog[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss", "Close", id="reader.close"),
        Binding("y", "copy", "Copy", id="reader.copy"),
        Binding("j", "scroll(1)", "Down", show=False),
        Binding("k", "scroll(-1)", "Up", show=False),
    ]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self.heading, self.text = title, text

    def body(self) -> ComposeResult:
        with VerticalScroll(classes="reading"):
            yield Static(self.text)

    def on_mount(self) -> None:
        self.head(self.heading)
        self.query_one(VerticalScroll).focus()

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self.text)
        self.notify("copied (if your terminal takes OSC 52)", timeout=3)

    def action_scroll(self, by: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)

    async def action_dismiss(self, result: None = None) -> None:
        self.dismiss(None)
