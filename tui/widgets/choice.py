"""One of a few words, all of them in sight: left and right turn to another, or a click."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget


class Choice(Widget, can_focus=True):
    """The word chosen stands in brackets; where not all fit, those around it are shown between arrows."""

    DEFAULT_CSS = """
    Choice { height: 1; width: 1fr; padding: 0 1; background: $boost; }
    Choice:focus { background: $primary 18%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "turn(-1)", "Before", show=False, id="choice.before"),
        Binding("right,l,space", "turn(1)", "Next", show=False, id="choice.next"),
    ]
    value: reactive[str] = reactive("", init=False)

    @dataclass
    class Changed(Message):
        choice: Choice
        value: str

        @property
        def control(self) -> Choice:
            return self.choice

    def __init__(self, options: Sequence[str], value: str, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.options = tuple(options)
        self.set_reactive(Choice.value, value)
        self._hits: list[tuple[int, int, str]] = []

    def render(self) -> Text:
        at = self.options.index(self.value) if self.value in self.options else -1
        shown = list(range(len(self.options)))
        room = self.size.width

        def width() -> int:
            return sum(len(self.options[i]) + 3 for i in shown) + 4 * (len(shown) < len(self.options))

        while width() > room and len(shown) > 1:
            shown.pop(0 if at - shown[0] > shown[-1] - at else -1)
        arrows = 2 * (bool(shown) and shown[0] > 0) + (bool(shown) and shown[-1] < len(self.options) - 1)
        most = max(2, room - 2 - arrows) if len(shown) == 1 else room  # of a word that is alone, and still too long

        def word(i: int) -> str:
            return self.options[i] if len(self.options[i]) <= most else self.options[i][: most - 1] + "…"

        line, self._hits = Text(no_wrap=True, overflow="ellipsis"), []
        if at < 0:
            line.append(f"[{self.value}] ", "bold reverse")
        if shown and shown[0] > 0:
            line.append("‹ ")
        for i in shown:
            start = len(line)
            text = f"[{word(i)}]" if i == at else f" {word(i)} "
            line.append(text if len(shown) == 1 and len(text) + arrows >= room else f"{text} ", "bold" if i == at else "")
            self._hits.append((start, len(line), self.options[i]))
        if shown and shown[-1] < len(self.options) - 1:
            line.append("›")
        return line

    def watch_value(self, value: str) -> None:
        self.post_message(self.Changed(self, value))

    def action_turn(self, by: int) -> None:
        at = self.options.index(self.value) if self.value in self.options else -1 if by > 0 else 0
        self.value = self.options[(at + by) % len(self.options)]

    def on_click(self, event: events.Click) -> None:
        for start, end, option in self._hits:
            if start <= event.x - 1 < end:
                self.value = option
