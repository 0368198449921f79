"""What all modes share: the top line, the key line, and a typed way to the app."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from textual import on
from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen, Screen

from tui.format import clean
from tui.widgets.bars import KeyBar, TopBar
from tui.widgets.live_table import LiveTable
from tui.widgets.plain import Box

if TYPE_CHECKING:
    from tui.app import SubpopApp


Result = TypeVar("Result")


class Leaving(Screen[Result]):
    """Takes itself off the screen, and nothing else.

    Textual (8.2) takes off whatever is in front in the mode that is shown, whoever asks, and does so before the callback of the screen
    that left is called. So a screen only ever says its result; where to go from there is the callback's: SubpopApp.show_run.
    """

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """Where something else is in front, or this has left already, nothing."""
        return super().dismiss(result) if self.app.screen is self else AwaitComplete.nothing()


class ModeScreen(Leaving[None]):
    """A mode: body between the top line and the key line. Views of its tables are remembered by the table's name."""

    AUTO_FOCUS = ""

    def compose(self) -> ComposeResult:
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
    def host(self) -> SubpopApp:
        return cast("SubpopApp", self.app)

    def say_state(self) -> None:
        """The top line and the keys may say something else now."""
        self.query_one(TopBar).update()
        self.query_one(KeyBar).update()

    @on(LiveTable.Looked)
    def _remember_view(self, event: LiveTable.Looked) -> None:
        self.host.settings.put_view(event.table.remembered_as or event.table.spec.name, event.table.model.view)


class Dialog(Leaving[Result], ModalScreen[Result]):
    """A box over a mode, with the keys that do something in it underneath."""

    def compose(self) -> ComposeResult:
        with Box(classes="dialog"):
            yield from self.body()
            yield KeyBar()

    def head(self, words: str) -> None:
        """Say in the border what this is."""
        self.query_one(Box).border_title = clean(words)

    def body(self) -> ComposeResult:
        raise NotImplementedError

    @property
    def host(self) -> SubpopApp:
        return cast("SubpopApp", self.app)
