"""A line of text that knows what it may name: the rest of a name stands behind the cursor, right or tab takes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.suggester import Suggester
from textual.widgets import Input

LIMIT = 1000  # characters of one line, however much is pasted
Complete = Callable[[str], Awaitable[Sequence[str]]]  # what an unfinished name may become, the likeliest first


class Completing(Suggester):
    """Completes the text, or of a list the last of its names."""

    def __init__(self, complete: Complete, *, listed: bool) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.complete, self.listed = complete, listed

    async def get_suggestion(self, value: str) -> str | None:
        before, last = split_last(value) if self.listed else ("", value)
        if not last:
            return None
        names = await self.complete(last)
        if last in names:  # it is one: tab goes on to the next field
            return None
        # The text stays as it was typed, else Input would not show what comes after it
        return next((f"{before}{last}{name[len(last) :]}" for name in names if name.lower().startswith(last.lower())), None)


def split_last(value: str) -> tuple[str, str]:
    """A list's text up to its last name, and that name, which is still typed."""
    head, comma, last = value.rpartition(",")
    blanks = len(last) - len(last.lstrip())
    return f"{head}{comma}{last[:blanks]}", last[blanks:]


class Line(Input):
    """An Input whose completion is taken by tab too, but only of what one has typed since one came: else tab goes to the next field."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "take", "Complete", show=False, id="line.complete"),
    ]

    def __init__(self, value: str, placeholder: str, *, classes: str | None = None) -> None:
        super().__init__(value, placeholder=placeholder, max_length=LIMIT, compact=True, select_on_focus=False, classes=classes)
        self._typed = False

    def completes(self, complete: Complete | None, *, listed: bool = False) -> None:
        self.suggester = Completing(complete, listed=listed) if complete is not None else None

    def on_focus(self) -> None:
        self._typed = False

    def on_key(self, event: events.Key) -> None:
        self._typed |= event.is_printable or event.key == "backspace"

    def on_paste(self) -> None:
        self._typed = True

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "take":
            return self._typed and self.cursor_at_end and len(self._suggestion) > len(self.value)
        return super().check_action(action, parameters)

    def action_take(self) -> None:
        self.action_cursor_right()
