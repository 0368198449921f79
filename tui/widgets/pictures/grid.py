"""Thumbnails side by side, two pixels a cell: the upper half block in the upper pixel's colour on the lower one's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import set_cell_size
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import App
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.presenters.members import Card
from tui.widgets.styles import component_styles

HALF = "▀"
NARROWEST = 14  # cells of a card: its caption must be readable under the smallest picture
KEPT_LINES = 400  # painted lines remembered


def shows_pictures(app: App[object]) -> bool:
    """Whether this terminal can: 256 colours or more, and colours wanted at all."""
    return not app.no_color and app.console.color_system in ("256", "truecolor")


class PictureGrid(ScrollView, can_focus=True):
    """Cards in rows as wide as the widget. More of them are asked for (Wanted) when the last ones come near."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"grid--first", "grid--rest", "grid--cursor", "grid--notice"}
    DEFAULT_CSS = """
    PictureGrid {
        height: 1fr; overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1; padding: 0 0 0 1;
        .grid--first { text-style: bold; }
        .grid--rest { color: $foreground-muted; }
        .grid--cursor { background: $primary-muted; }
        .grid--notice { color: $text-warning; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "move(-1)", "Before", show=False, id="pictures.before"),
        Binding("right,l", "move(1)", "Next", show=False, id="pictures.next"),
        Binding("down,j", "move_rows(1)", "Row below", show=False, id="pictures.down"),
        Binding("up,k", "move_rows(-1)", "Row above", show=False, id="pictures.up"),
        Binding("pagedown", "move_page(1)", "Page down", show=False, id="pictures.page-down"),
        Binding("pageup", "move_page(-1)", "Page up", show=False, id="pictures.page-up"),
        Binding("home,g", "move_to(0)", "First", show=False, id="pictures.first"),
        Binding("end,G", "move_to(-1)", "Last", show=False, id="pictures.last"),
    ]

    @dataclass
    class Wanted(Message):
        """There are more pictures than are here, and the last ones come into sight."""

        first: int

    @dataclass
    class Highlighted(Message):
        """The cursor is on another picture."""

        index: int | None

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.cards: list[Card] = []
        self.total = 0
        self.cursor = 0
        self.empty = ""
        self._asked = 0
        self._styles: dict[str, Style] = {}
        self._strips: dict[int, Strip] = {}
        self._paints: dict[bytes, Style] = {}

    # ---- data ----

    def show(self, cards: Sequence[Card], total: int, *, empty: str = "") -> None:
        """Replace all pictures by the first of `total`."""
        self.cards, self.total, self.cursor, self.empty = list(cards), total, 0, empty
        self._asked = len(self.cards)
        self._paints.clear()
        self._laid_out()
        self.scroll_to(y=0, animate=False)
        self.post_message(self.Highlighted(0 if self.cards else None))

    def add(self, cards: Sequence[Card]) -> None:
        """The next ones."""
        self.cards += cards
        self._asked = len(self.cards)
        self._laid_out()

    # ---- places ----

    @property
    def pictured(self) -> bool:
        return shows_pictures(self.app)

    @property
    def _card_width(self) -> int:
        return max(NARROWEST, self.cards[0].side if self.cards else 0)

    @property
    def _picture_lines(self) -> int:
        return (self.cards[0].side + 1) // 2 if self.cards and self.pictured else 0

    @property
    def _caption_lines(self) -> int:
        return max((len(card.captions) for card in self.cards[:50]), default=0)

    @property
    def columns(self) -> int:
        return max(1, self.scrollable_content_region.width // (self._card_width + 1))

    @property
    def row_height(self) -> int:
        """Lines of one row of cards; the blank one between rows is given up where only one row fits."""
        bare = self._picture_lines + self._caption_lines
        return bare + 1 if self.size.height > 2 * bare else max(1, bare)

    @property
    def _head(self) -> int:
        """Lines above the first row: the notice that there are no colours for pictures."""
        return 0 if self.pictured or not self.cards else 1

    def _laid_out(self) -> None:
        rows = -(-len(self.cards) // self.columns)
        self.virtual_size = Size(self.scrollable_content_region.width, self._head + rows * self.row_height)
        self._strips.clear()
        self.refresh()

    def on_resize(self) -> None:
        self._laid_out()
        self._keep_visible()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles = {}
        self._strips.clear()

    def on_focus(self) -> None:
        self._strips.clear()
        self.refresh()

    on_blur = on_focus

    # ---- painting ----

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        line = round(self.scroll_y) + y
        if not self._styles:
            styles = component_styles(self, "grid", ("first", "rest", "cursor", "notice"))
            self._styles = {"ground": self.rich_style, **{name: self.rich_style + style for name, style in styles.items()}}
        if line not in self._strips:
            if len(self._strips) >= KEPT_LINES:
                self._strips.clear()
            self._strips[line] = Strip(self._segments(line)).adjust_cell_length(width, self._styles["ground"])
        return self._strips[line]

    def _segments(self, line: int) -> list[Segment]:
        if not self.cards:
            return [Segment(f" {self.empty}" if line == 1 else "", self._styles["rest"])]
        if line < self._head:
            return [Segment("! pictures need 256 colours, and this terminal says it has fewer", self._styles["notice"])]
        row, within = divmod(line - self._head, self.row_height)
        first = row * self.columns
        ground, segments = self._styles["ground"], []
        for at in range(first, min(first + self.columns, len(self.cards))):
            segments += self._of_card(at, within)
            segments.append(Segment(" ", ground))
        return segments

    def _of_card(self, at: int, within: int) -> list[Segment]:
        card, width = self.cards[at], self._card_width
        if within < self._picture_lines:
            return [*self._pixels(card, 2 * within), Segment(" " * (width - card.side), self._styles["ground"])]
        line = within - self._picture_lines
        words = card.captions[line] if line < len(card.captions) else ""
        style = self._styles["first" if line == 0 else "rest"]
        if at == self.cursor and self.has_focus and line < self._caption_lines:
            style += Style(bgcolor=self._styles["cursor"].bgcolor)
        return [Segment(set_cell_size(words if len(words) <= width else words[: width - 1] + "…", width), style)]

    def _pixels(self, card: Card, y: int) -> list[Segment]:
        """One line of cells: pixel rows y and y + 1. Neighbours of equal colours are one segment."""
        side, bytes_a_row = card.side, 3 * card.side
        upper = card.pixels[y * bytes_a_row : (y + 1) * bytes_a_row]
        lower = card.pixels[(y + 1) * bytes_a_row : (y + 2) * bytes_a_row] or upper
        segments: list[Segment] = []
        pair, run = b"", 0
        for x in range(side):
            colours = upper[3 * x : 3 * x + 3] + lower[3 * x : 3 * x + 3]
            if colours != pair and run:
                segments.append(Segment(HALF * run, self._paint(pair)))
                run = 0
            pair, run = colours, run + 1
        segments.append(Segment(HALF * run, self._paint(pair)))
        return segments

    def _paint(self, pair: bytes) -> Style:
        if pair not in self._paints:
            if len(self._paints) > 20_000:
                self._paints.clear()
            self._paints[pair] = Style(color=Color.from_rgb(*pair[:3]), bgcolor=Color.from_rgb(*pair[3:]))
        return self._paints[pair]

    # ---- moving ----

    def action_move(self, by: int) -> None:
        self._put(self.cursor + by)

    def action_move_rows(self, by: int) -> None:
        to = self.cursor + by * self.columns
        if 0 <= to < len(self.cards):
            self._put(to)
        elif by > 0:
            self._put(len(self.cards) - 1 if self.cursor // self.columns < (len(self.cards) - 1) // self.columns else self.cursor)

    def action_move_page(self, by: int) -> None:
        self._put(self.cursor + by * self.columns * max(1, self.size.height // self.row_height))

    def action_move_to(self, index: int) -> None:
        self._put(index if index >= 0 else len(self.cards) - 1)

    def on_click(self, event: events.Click) -> None:
        self.focus()
        line = round(self.scroll_y) + event.y - self._head
        at = line // self.row_height * self.columns + min(self.columns - 1, max(0, event.x - 1) // (self._card_width + 1))
        if line >= 0 and at < len(self.cards):
            self._put(at)

    def _put(self, index: int) -> None:
        if not self.cards:
            return
        index = max(0, min(index, len(self.cards) - 1))
        if index != self.cursor:
            self.cursor = index
            self._strips.clear()
            self.refresh()
            self.post_message(self.Highlighted(index))
        self._keep_visible()
        self._ask_on()

    def _keep_visible(self) -> None:
        top = self._head + self.cursor // self.columns * self.row_height
        if self.cursor < self.columns:
            top = 0
        bottom, shown = top + self.row_height, round(self.scroll_y)
        if top < shown:
            self.scroll_to(y=top, animate=False)
        elif bottom > shown + self.size.height:
            alone = self.size.height < 2 * self.row_height  # one row in sight: from its first line on
            self.scroll_to(y=top if alone else bottom - self.size.height, animate=False)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._ask_on()

    def _ask_on(self) -> None:
        """Ask for the next pictures two screens before they are needed."""
        if not self.cards or self._asked >= self.total or self._asked > len(self.cards):
            return
        last = (round(self.scroll_y) + 3 * self.size.height) // self.row_height * self.columns
        if last >= len(self.cards) or self.cursor >= len(self.cards) - self.columns:
            self._asked = len(self.cards) + 1
            self.post_message(self.Wanted(len(self.cards)))
