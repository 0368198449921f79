"""A question with two answers. Enter is yes, as in every dialog; what cannot be undone says so in its question."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui.dialogs.base import Dialog
from tui.widgets.plain import Static


class Confirm(Dialog[bool]):
    """True where `y` or enter is pressed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,y", "answer(True)", "Yes", id="confirm.yes"),
        Binding("n,escape,q", "answer(False)", "No", id="confirm.no"),
    ]

    def __init__(self, title: str, question: str, yes: str) -> None:
        super().__init__()
        self.heading, self.question, self.yes = title, question, yes

    def body(self) -> ComposeResult:
        yield Static(self.question)

    def on_mount(self) -> None:
        self.head(self.heading)

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)
