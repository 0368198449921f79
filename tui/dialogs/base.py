"""What all dialogs share: the box, the key line, and a typed way to the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from textual.app import ComposeResult
from textual.screen import ModalScreen

from tui.widgets.bars import KeyBar

if TYPE_CHECKING:
    from tui.session import Session


Result = TypeVar("Result")


class Dialog(ModalScreen[Result]):
    """A box over a mode, with the keys that do something in it underneath."""

    def compose(self) -> ComposeResult:
        from textual.containers import Vertical

        with Vertical(classes="dialog"):
            yield from self.body()
            yield KeyBar()

    def body(self) -> ComposeResult:
        raise NotImplementedError

    @property
    def host(self) -> Session:
        return cast("Session", self.app)
