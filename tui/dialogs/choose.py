"""Choose one of a list, each with a line on what it is: typing filters, enter chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from engine.rows import Column, TableSpec
from tui.dialogs.base import Dialog
from tui.widgets.plain import Static
from tui.widgets.table.live import LiveTable

SPEC = TableSpec("choices", (Column("choice", "text"), Column("what", "text")), ("choice",))
LIMIT = 100  # characters of what is looked for
TALLEST = 14  # lines of the list


class ChooseDialog(Dialog[str]):
    """Returns the first cell of the row chosen, or None after escape. current: that cell of the row where the cursor begins."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Choose", id="choose.go", priority=True),
        Binding("down", "move(1)", "Down", show=False, priority=True),
        Binding("up", "move(-1)", "Up", show=False, priority=True),
        Binding("pagedown", "move(10)", "Ten down", show=False, priority=True),
        Binding("pageup", "move(-10)", "Ten up", show=False, priority=True),
        Binding("escape", "cancel", "Cancel", id="choose.escape"),
    ]

    def __init__(self, title: str, rows: Sequence[tuple[str, str]], current: str = "") -> None:
        super().__init__()
        self.heading, self.rows, self.current = title, rows, current

    def body(self) -> ComposeResult:
        yield Input(placeholder="type to find", max_length=LIMIT, compact=True)
        yield LiveTable(SPEC)
        yield Static("", classes="message")

    def on_mount(self) -> None:
        self.head(self.heading)
        table = self.query_one(LiveTable)
        table.load(self.rows)
        table.styles.height = max(2, min(len(self.rows), TALLEST)) + 1
        table.move_to(table.model.position.get((self.current,), 0))
        self.query_one(Input).focus()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        table = self.query_one(LiveTable)
        table.look(filter=event.value)
        table.action_end(-1)

    @on(LiveTable.Highlighted)
    def _on_another(self, event: LiveTable.Highlighted) -> None:
        what = dict(self.rows).get(str(event.key[0]), "") if event.key else ""
        self.query_one(".message", Static).update(what)

    def action_move(self, by: int) -> None:
        self.query_one(LiveTable).action_move(by)

    @on(LiveTable.Chosen)
    def action_choose(self) -> None:
        key = self.query_one(LiveTable).cursor_key
        if key is not None:
            self.dismiss(str(key[0]))

    def action_cancel(self) -> None:
        self.dismiss(None)
