"""What all modes share: the top line, the key line, and a typed way to the app."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import on
from textual.app import ComposeResult

from tui.orderly import Leaving
from tui.widgets.bars import KeyBar, TopBar
from tui.widgets.table.live import LiveTable

if TYPE_CHECKING:
    from tui.session import Session


class ModeScreen(Leaving[None]):
    """A mode: body between the top line and the key line. Views of its tables are remembered by the table's name."""

    AUTO_FOCUS = ""

    def compose(self) -> ComposeResult:
        self.take_size_classes()
        yield TopBar()
        yield from self.body()
        yield KeyBar()

    def body(self) -> ComposeResult:
        raise NotImplementedError

    def on_screen_resume(self) -> None:
        # A mode switched to while the app is still starting may lose its first whole paint (seen with Textual 8.2): paint it again.
        self.call_after_refresh(self.refresh)
        self.set_timer(0.15, self.refresh)

    @property
    def host(self) -> Session:
        return cast("Session", self.app)

    def say_state(self) -> None:
        """Refresh the top line and the keys."""
        self.query_one(TopBar).update()
        self.query_one(KeyBar).update()

    @on(LiveTable.Looked)
    def _remember_view(self, event: LiveTable.Looked) -> None:
        self.host.settings.put_view(event.table.remembered_as or event.table.spec.name, event.table.model.view)
