"""Some lines of styled text of which only those that changed are painted again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.themes import tones


def recoloured(text: Text, turned: Mapping[str, str]) -> Text:
    """The text with other styles, by name, for those there are."""
    text = text.copy()
    text.style = turned.get(str(text.style), text.style)
    text.spans = [span._replace(style=turned.get(str(span.style), span.style)) for span in text.spans]
    return text


class Lines(Widget):
    """Lines cut to the width; `show` replaces them. Height follows the number of lines where `grow`."""

    DEFAULT_CSS = "Lines { height: auto; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: list[Text] = []
        self._tones: dict[str, str] = {}  # of the theme that the lines were written in

    def show(self, lines: Sequence[Text]) -> None:
        lines, self._tones = list(lines), tones(self.app.theme_variables)
        if len(lines) != len(self.lines):
            self.lines = lines
            self.refresh(layout=True)
            return
        changed = [y for y, (old, new) in enumerate(zip(self.lines, lines, strict=True)) if old != new or old.style != new.style]
        self.lines = lines
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def notify_style_update(self) -> None:
        """In another theme what was said in a tone of the old one is said in the new one's."""
        super().notify_style_update()
        now = tones(self.app.theme_variables)
        if now != self._tones:
            turned = {style: now[name] for name, style in self._tones.items()}
            self.lines, self._tones = [recoloured(line, turned) for line in self.lines], now

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
