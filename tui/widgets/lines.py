"""Some lines of styled text of which only those that changed are painted again."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


class Lines(Widget):
    """Lines cut to the width; `show` replaces them. Height follows the number of lines where `grow`."""

    DEFAULT_CSS = "Lines { height: auto; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: list[Text] = []

    def show(self, lines: Sequence[Text]) -> None:
        lines = list(lines)
        if len(lines) != len(self.lines):
            self.lines = lines
            self.refresh(layout=True)
            return
        changed = [y for y, (old, new) in enumerate(zip(self.lines, lines, strict=True)) if old != new or old.style != new.style]
        self.lines = lines
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        return len(self.lines)

    def render_line(self, y: int) -> Strip:
        width, style = self.size.width, self.rich_style
        if y >= len(self.lines):
            return Strip.blank(width, style)
        text = self.lines[y].copy()
        text.truncate(width, overflow="ellipsis")
        text.stylize_before(text.style)  # Rich leaves out the style of a whole text where it has no spans
        segments = text.render(self.app.console, end="")
        return Strip(segments).apply_style(style).adjust_cell_length(width, style)
