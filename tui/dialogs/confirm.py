"""A question with two answers. Enter is yes, as in every dialog; what cannot be undone says so in its question.

A yes that comes before anybody can have read the question is none: where a terminal pastes text as keys, "Dyslexia.csv" would delete a run.
Nor is one out of a stream of other keys, as a long paste over a slow line is.
"""

from __future__ import annotations

import time
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui.dialogs.base import Dialog
from tui.widgets.plain import Static

READING_S = 0.4  # from the question, and from the last key that says nothing here, to a yes that counts


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
        self.asked_at = time.monotonic()

    def on_key(self, event: events.Key) -> None:
        if event.key not in self.active_bindings:
            self.asked_at = time.monotonic()

    def action_answer(self, yes: bool) -> None:
        if yes and time.monotonic() - self.asked_at < READING_S:
            self.asked_at = time.monotonic()
            self.notify("too fast to be an answer (a paste?): press it again", severity="warning", timeout=3)
        else:
            self.dismiss(yes)
