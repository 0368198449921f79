"""Asks where a column of numbers is cut into groups, and shows the groups as one types."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from engine.drafting.looks import ColumnLook
from tui.dialogs.base import Dialog, row
from tui.presenters import catalogue
from tui.presenters import format as fmt
from tui.widgets.plain import Static


class BinsDialog(Dialog[tuple[float, ...]]):
    """Returns the cuts, an empty tuple for none, or None after escape."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "accept", "Cut there", id="bins.accept", priority=True),
        Binding("escape", "cancel", "Cancel", id="bins.cancel"),
    ]

    def __init__(self, column: ColumnLook, cuts: tuple[float, ...]) -> None:
        super().__init__()
        self.column, self.cuts = column, cuts

    def body(self) -> ComposeResult:
        if self.column.span is not None:
            low, median, high = (fmt.cell(value) for value in self.column.span)
            yield Static(f"min {low}   median {median}   max {high}")
        yield row(
            "Cut at", Input(catalogue.cuts_text(self.cuts), placeholder="30, 45, 60", max_length=400, compact=True, select_on_focus=False)
        )
        yield Static("", id="groups", classes="message")

    def on_mount(self) -> None:
        self.head(f"Groups of {self.column.name}")
        line = self.query_one(Input)
        line.focus()
        line.cursor_position = len(line.value)
        self._say(line.value)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._say(event.value)

    def _say(self, text: str) -> None:
        cuts, wrong = catalogue.cuts_read(text)
        groups_line = self.query_one("#groups", Static)
        groups_line.update(f"✗ {wrong}" if wrong else catalogue.groups_text(cuts))
        groups_line.set_class(bool(wrong), "bad")

    def action_accept(self) -> None:
        cuts, wrong = catalogue.cuts_read(self.query_one(Input).value)
        if not wrong:
            self.dismiss(cuts)

    def action_cancel(self) -> None:
        self.dismiss(None)
