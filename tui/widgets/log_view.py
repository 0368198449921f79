"""A run's log: follows its end until one scrolls up. Reads LogRow; knows no store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from textwrap import wrap
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from engine.rows import LogRow
from tui.presenters import format as fmt
from tui.widgets.styles import component_styles

KEPT = 5000  # lines; older ones are in the store
INDENT = 11  # cells before the words: the time and the sign
SIGNS = {"error": "✗", "warning": "!", "info": " "}


class LogView(ScrollView, can_focus=True):
    """A message: time of day, a sign for warnings (!) and errors (✗), the words, on as many lines as they need."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"log--time", "log--warning", "log--error"}
    DEFAULT_CSS = """
    LogView {
        height: 1fr; overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1; padding: 0 1;
        .log--time { color: $foreground-muted; }
        .log--warning { color: $text-warning; }
        .log--error { color: $text-error; text-style: bold; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll_down", "Down", show=False, id="log.down"),
        Binding("up,k", "scroll_up", "Up", show=False, id="log.up"),
        Binding("end,G", "tail", "Newest", show=False, id="log.newest"),
        Binding("home,g", "scroll_home", "Oldest", show=False, id="log.oldest"),
    ]

    def __init__(self, *, id: str | None = None, clock: str = "%H:%M:%S") -> None:
        super().__init__(id=id)
        self.clock = clock
        self.rows: list[LogRow] = []
        self._lines: list[tuple[LogRow, str, bool]] = []  # (message, what stands on the line, whether it is the message's first)
        self._wrapped_at = 0  # cells
        self._styles: dict[str, Style] = {}

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles = {}

    @property
    def last_id(self) -> int:
        return self.rows[-1].id if self.rows else 0

    def clear(self) -> None:
        self.rows, self._lines = [], []
        self.virtual_size = Size(0, 0)
        self.refresh()

    def add(self, rows: Sequence[LogRow]) -> None:
        if not rows:
            return
        at_end = self.scroll_y >= self.max_scroll_y - 1
        self.rows += rows
        self._lines += self._wrapped(rows)
        if len(self.rows) > KEPT:
            self.rows = self.rows[-KEPT:]
            self._lines = self._wrapped(self.rows)
        self._grown(at_end)

    def on_resize(self) -> None:
        if self._room != self._wrapped_at:
            at_end = not self._wrapped_at or self.scroll_y >= self.max_scroll_y - 1
            self._wrapped_at = self._room
            self._lines = self._wrapped(self.rows)
            self._grown(at_end)

    @property
    def _room(self) -> int:
        return max(8, self.size.width - 3 - INDENT)  # less its padding and the bar

    def _wrapped(self, rows: Sequence[LogRow]) -> list[tuple[LogRow, str, bool]]:
        lines = []
        for row in rows:
            parts = wrap(fmt.clean(row.message), self._wrapped_at or 80) or [""]
            lines += [(row, part, not i) for i, part in enumerate(parts)]
        return lines

    def _grown(self, at_end: bool) -> None:
        self.virtual_size = Size(self.size.width, len(self._lines))
        if at_end:
            self.scroll_end(animate=False, immediate=True)
        self.refresh()

    def action_tail(self) -> None:
        self.scroll_end(animate=False)

    def render_line(self, y: int) -> Strip:
        width, style = self.size.width, self.rich_style
        if not self._styles:
            self._styles = component_styles(self, "log", ("time", "warning", "error"))
        index = round(self.scroll_y) + y
        if index >= len(self._lines):
            return Strip.blank(width, style)
        row, words, first = self._lines[index]
        line_style = style
        if row.level in ("warning", "error"):
            line_style = style + self._styles[row.level]
        at = time.strftime(self.clock, time.localtime(row.at)) if first else ""
        sign = SIGNS.get(row.level, " ") if first else " "
        segments = [
            Segment(at.ljust(INDENT - 3), style + self._styles["time"]),
            Segment(f" {sign} ", line_style),
            Segment(words, line_style),
        ]
        return Strip(segments).adjust_cell_length(width, style)
