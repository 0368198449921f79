"""What all dialogs share: the box, the key line, and a typed way to the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.screen import ModalScreen
from textual.widget import Widget

from tui.orderly import Leaving
from tui.presenters.format import clean
from tui.widgets.bars import KeyBar
from tui.widgets.plain import Box, Label

if TYPE_CHECKING:
    from tui.session import Session


Result = TypeVar("Result")


class Dialog(Leaving[Result], ModalScreen[Result]):
    """A box over a mode; its last line shows the keys that work in it."""

    def compose(self) -> ComposeResult:
        self.take_size_classes()
        with Box(classes="dialog"):
            yield from self.body()
            yield KeyBar()

    def head(self, words: str) -> None:
        """Set the title in the border."""
        self.query_one(Box).border_title = clean(words)

    def body(self) -> ComposeResult:
        raise NotImplementedError

    @property
    def host(self) -> Session:
        return cast("Session", self.app)


def row(label: str, field: Widget) -> Horizontal:
    """A line of a dialog: what is asked for, and the field."""
    return Horizontal(Label(label, classes="label"), field, classes="row")
