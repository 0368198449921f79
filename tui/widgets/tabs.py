"""A few lines over a table: what is shown, a warning where there is one, and the names of its siblings to turn to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text
from textual import events
from textual.message import Message

from tui.presenters.format import clean, wrapped
from tui.themes import tones
from tui.widgets.lines import Lines


class TabLine(Lines):
    """The sibling shown stands in brackets, so that no colour is needed to tell it."""

    @dataclass
    class Picked(Message):
        """A sibling was clicked."""

        name: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._hits: list[tuple[int, int, str]] = []

    def show(  # type: ignore[override]
        self, title: str, warning: str, names: tuple[str, ...], current: str, about: Sequence[str] = ()
    ) -> None:
        """about: lines under the title, as wide as there is room."""
        styles = tones(self.app.theme_variables)
        lines = [Text(f" {clean(title)}", style=styles["title"])]
        lines += [Text(clean(line), style=styles["text"]) for line in about]
        if warning:
            lines += [Text(line, style=styles["warn"]) for line in wrapped(clean(warning), self.size.width, 2)]
        if names:
            tabs, self._hits = Text(), []
            for name in names:
                start = len(tabs)
                tabs.append(f"[{name}]" if name == current else f" {name} ", "bold reverse" if name == current else "")
                self._hits.append((start, len(tabs), name))
            lines.append(tabs)
        super().show(lines)

    def on_click(self, event: events.Click) -> None:
        if event.y == len(self.lines) - 1:
            for start, end, name in self._hits:
                if start <= event.x < end:
                    self.post_message(self.Picked(name))
