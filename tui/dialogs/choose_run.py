"""Choose a run to compare with another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from engine.rows import Column, RunRow, TableSpec
from tui.dialogs.base import Dialog
from tui.presenters import runs as run_words
from tui.widgets.plain import Static
from tui.widgets.table.live import LiveTable

SPEC = TableSpec(
    "choose_run",
    (
        Column("id", "text"),
        Column("name", "text"),
        Column("caution", "text"),
        Column("state", "text"),
        Column("victims", "text"),
        Column("started", "text"),
    ),
    ("id",),
)


class ChooseRun(Dialog[str]):
    """Returns the id of the run chosen. first: the id where the cursor begins, if it is in the list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Choose", id="choose.run", priority=True),
        Binding("escape,q", "cancel", "Cancel", id="choose.cancel"),
    ]

    def __init__(self, title: str, question: str, runs: Sequence[RunRow], first: str = "") -> None:
        super().__init__()
        self.heading, self.question, self.runs, self.first = title, question, runs, first

    def body(self) -> ComposeResult:
        yield Static(self.question)
        yield LiveTable(SPEC)

    def on_mount(self) -> None:
        self.head(self.heading)
        table = self.query_one(LiveTable)
        cells = [dict(zip((c.name for c in run_words.SPEC.columns), run_words.run_cells(run), strict=True)) for run in self.runs]
        table.load([tuple(row[column.name] for column in SPEC.columns) for row in cells])
        table.styles.height = max(3, min(len(cells) + 1, 12))
        table.move_to(table.model.position.get((self.first,), 0))
        table.focus()

    @on(LiveTable.Chosen)
    def action_choose(self) -> None:
        key = self.query_one(LiveTable).cursor_key
        if key is not None:
            self.dismiss(str(key[0]))

    def action_cancel(self) -> None:
        self.dismiss(None)
