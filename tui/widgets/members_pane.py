"""The rows of a subpopulation as a table; where they are texts, enter or a double click opens one to read in full."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.message import Message

from engine.rows import TableSpec
from tui.presenters import members
from tui.widgets.table.live import LiveTable
from tui.widgets.table.model import Key
from tui.widgets.table.pane import TablePane


class MembersPane(TablePane):
    """Shows answers to `members` and `poison`; keeps their texts, of which the table's cells show only the beginning."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "read", "Read", id="members.read")]

    @dataclass
    class Read(Message):
        """A text is to be read in full."""

        title: str
        text: str

    answer: dict[str, Any] | None = None
    places: dict[Key, int]  # of each row in the answer

    def setup(self, title: str, spec: TableSpec, view: Any = None) -> None:
        self.answer = None
        super().setup(title, spec, view)

    def show(self, answer: dict[str, Any]) -> None:
        """Show an answer of the process that holds the data."""
        names, rows = members.with_texts(answer)
        key = "point" if answer["split"] == "poison" else "row"
        spec = TableSpec("members", tuple(members.columns_of(names, rows)), (key,))
        self.say_empty("none in this split")
        title = members.title(answer, len(rows))
        if self.table.spec != spec:
            self.setup(title, spec)
        self.title, self.answer = title, answer
        at = names.index(key)
        self.places = {(row[at],): place for place, row in enumerate(rows)}
        self.table.load([tuple(row) for row in rows])
        self.caption()
        self.screen.refresh_bindings()

    @property
    def readable(self) -> bool:
        """Whether the row under the cursor is a text."""
        return self.answer is not None and "texts" in self.answer and self.table.cursor_key in self.places

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.readable if action == "read" else True

    def action_read(self) -> None:
        """The text under the cursor in full."""
        key = self.table.cursor_key
        if self.readable and self.answer is not None and key is not None:
            self.post_message(self.Read(*members.reading(self.answer, self.places[key])))

    @on(LiveTable.Chosen)
    def _twice(self, event: LiveTable.Chosen) -> None:
        if self.readable:
            event.stop()
            self.action_read()
