"""A plot in the terminal, a cursor that walks its points, and a line that tells what is under it. Only changed cells are painted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.presenters import format as fmt
from tui.widgets.plot.canvas import Cell, differences
from tui.widgets.plot.legend import readout
from tui.widgets.plot.painter import Painter, Place
from tui.widgets.styles import component_styles

if TYPE_CHECKING:
    from engine.plots import Plot

STYLES = (
    *(f"s{number}" for number in range(1, 7)),
    *("title", "label", "axis", "tick", "faint", "level", "same", "cursor", "cursor-line", "cursor-mark", "notice", "readout"),
)
NOTES = 3  # lines of notes at most


class PlotView(Widget, can_focus=True):
    """Shows a Plot (engine.plots). Readable from 40 x 12 cells on; text and braille alone, nothing asked of the terminal."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l", "move(1)", "Point", tooltip="next point of the series", id="plot.next"),
        Binding("left,h", "move(-1)", "Point before", show=False, id="plot.previous"),
        Binding("down,j", "series(1)", "Series", tooltip="next series", id="plot.series"),
        Binding("up,k", "series(-1)", "Series before", show=False, id="plot.series-before"),
        Binding("home", "end(0)", "First point", show=False, id="plot.first"),
        Binding("end", "end(-1)", "Last point", show=False, id="plot.last"),
        Binding("enter", "choose", "Open", tooltip="open the subpopulation under the cursor", id="plot.choose"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"plot--{name}" for name in STYLES}
    DEFAULT_CSS = """
    PlotView {
        width: 1fr; height: 1fr;
        .plot--s1 { color: $text-primary; }
        .plot--s2 { color: $text-accent; }
        .plot--s3 { color: $text-success; }
        .plot--s4 { color: $text-error; }
        .plot--s5 { color: $foreground; }
        .plot--s6 { color: $text-secondary; }
        .plot--title { text-style: bold; }
        .plot--label { color: $foreground-muted; text-style: italic; }
        .plot--axis { color: $foreground-muted; }
        .plot--tick { color: $foreground-muted; }
        .plot--faint { color: $foreground 45%; }
        .plot--level { color: $text-warning; }
        .plot--same { text-style: bold underline; background: $primary-muted; }
        .plot--cursor { text-style: bold reverse; }
        .plot--cursor-line { color: $foreground; text-style: bold; }
        .plot--cursor-mark { color: $text-accent; text-style: bold; }
        .plot--notice { color: $foreground-muted; }
        .plot--readout { text-style: bold; }
    }
    """

    @dataclass
    class Chosen(Message):
        """Enter, or a second click, on a point that is a subpopulation's."""

        view: PlotView
        subpopulation: int

        @property
        def control(self) -> PlotView:
            return self.view

    @dataclass
    class Moved(Message):
        """The cursor is on another point. subpopulation: whose it is, None where it is nobody's."""

        view: PlotView
        subpopulation: int | None

        @property
        def control(self) -> PlotView:
            return self.view

    def __init__(self, *, empty: str = "nothing to draw yet", notes: bool = True, opens: bool = True, id: str | None = None) -> None:
        """empty: what stands here while there is no plot; notes: whether the plot's notes stand under it; opens: whether enter does."""
        super().__init__(id=id)
        self.empty, self.notes, self.opens = empty, notes, opens
        self.plot: Plot | None = None
        self.names: Mapping[int, str] = {}
        self.cursor: Place | None = None
        self._painter: Painter | None = None
        self._rows: list[list[Cell]] = []
        self._strips: dict[int, Strip] = {}
        self._style_cache: dict[str, Style] = {}

    # ---- what is shown ----

    def show(self, plot: Plot | None, cursor: int | None = None, names: Mapping[int, str] | None = None) -> None:
        """Show a plot, or the newer state of the one shown: the cursor stays on its point.

        cursor: a subpopulation to put it on; names: subpopulation -> description, written under the plot.
        """
        if names is not None:
            self.names = names
        stay = self._subpopulation() if cursor is None else cursor
        before, self.plot = self.plot, plot
        if plot is None or before is None or before.name != plot.name:
            self.cursor = None
        if plot is not None and (cursor is not None or self.cursor is not None):
            self.cursor = self._find(plot, stay)
        if plot != before or cursor is not None or names is not None:
            self._repaint()
            self.refresh_bindings()

    def say_empty(self, words: str) -> None:
        if words != self.empty:
            self.empty = words
            self._repaint()

    def _find(self, plot: Plot, key: int | None) -> Place | None:
        """The point of a subpopulation, in the cursor's own series if it is there; else where the cursor was."""
        at = self.cursor[0] if self.cursor else 0
        if key is not None:
            for series in sorted(range(len(plot.series)), key=lambda one: (one != at, one)):
                if key in plot.series[series].keys:
                    keys, was = plot.series[series].keys, self.cursor[1] if self.cursor else 0
                    return series, was if was < len(keys) and keys[was] == key else keys.index(key)
        if self.cursor and at < len(plot.series) and plot.series[at].x:
            return at, min(self.cursor[1], len(plot.series[at].x) - 1)
        return None

    def _subpopulation(self, place: Place | None = None) -> int | None:
        place = place or self.cursor
        if self.plot is None or place is None:
            return None
        keys = self.plot.series[place[0]].keys
        return keys[place[1]] if place[1] < len(keys) else None

    @property
    def subpopulation(self) -> int | None:
        """The one under the cursor."""
        return self._subpopulation()

    # ---- painting ----

    def _layout(self) -> list[list[Cell]]:
        width, height = self.size
        if not width or not height:
            return []
        if self.plot is None or not any(one.x for one in self.plot.series):
            self._painter = None
            return [
                *([[]] * min(2, height - 1)),
                *(self._text(line, "notice") for line in fmt.wrapped(fmt.clean(self.empty, 2000), width)),
            ][:height]
        notes = [line for note in self.plot.notes for line in fmt.wrapped(fmt.clean(note, 600), width, 3)] if self.notes else []
        if len(notes) > (most := NOTES if height >= 24 else 2 if height >= 18 else 1 if height >= 14 else 0):
            notes = [*notes[: most - 1], notes[most - 1][: width - 2].rstrip() + " …"] if most else []
        readout = 1 if height >= 7 else 0
        self._painter = Painter(self.plot, width, height - readout - len(notes), self.cursor)
        lines = self._painter.cells + ([self._readout()] if readout else [])
        return lines + [self._text(line, "notice") for line in notes]

    def _text(self, words: str, style: str) -> list[Cell]:
        words = words if len(words) <= self.size.width else words[: self.size.width - 1] + "…"
        return [(char, style) for char in words]

    def _readout(self) -> list[Cell]:
        """The point under the cursor in words."""
        if self.plot is None or self.cursor is None:
            return self._text(" ←→ walks the points, ↑↓ the series" if self.has_focus else "", "notice")
        return self._text(f" ▸ {readout(self.plot, *self.cursor, self.names, self.size.width - 3)}", "readout")

    def _repaint(self) -> None:
        """Work the lines out again and paint the cells that differ."""
        if not self.is_attached:
            return
        before, self._rows = self._rows, self._layout()
        if spans := differences(before, self._rows):
            for y, _, _ in spans:
                self._strips.pop(y, None)
            self.refresh(*(Region(x, y, min(end, self.size.width) - x, 1) for y, x, end in spans))

    def render_line(self, y: int) -> Strip:
        if y not in self._strips:
            width, base, styles = self.size.width, self.rich_style, self._styles()
            cells = self._rows[y] if y < len(self._rows) else []
            groups = groupby(cells, key=lambda cell: cell[1])
            segments = [Segment("".join(char for char, _ in run), base + styles[name] if name else base) for name, run in groups]
            self._strips[y] = Strip(segments).adjust_cell_length(width, base)
        return self._strips[y]

    def _styles(self) -> dict[str, Style]:
        if not self._style_cache:
            self._style_cache = component_styles(self, "plot", STYLES)
        return self._style_cache

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._style_cache, self._strips = {}, {}

    def on_resize(self) -> None:
        self._strips.clear()
        self._rows = self._layout()
        self.refresh()

    def on_focus(self) -> None:
        self._repaint()

    on_blur = on_focus

    # ---- the cursor ----

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "choose":
            return self.opens and self._subpopulation() is not None
        if action == "series":
            return self.plot is not None and len(self._walkable()) > 1
        return self._painter is not None if action in ("move", "end") else True

    def _walkable(self) -> list[int]:
        """Series with points that can be walked: a band, or a line through another's points, has none of its own."""
        return (
            [at for at, one in enumerate(self.plot.series) if one.x and one.style != "band" and not (one.of and one.style != "points")]
            if self.plot
            else []
        )

    def _order(self, series: int) -> list[int]:
        """The series' points from left to right."""
        assert self.plot is not None
        one = self.plot.series[series]
        return sorted(range(len(one.x)), key=lambda i: (one.x[i], one.y[i]))

    def in_order(self) -> list[int]:
        """The subpopulations of the series under the cursor, from left to right, each once."""
        if self.plot is None or self.cursor is None:
            return []
        keys = self.plot.series[self.cursor[0]].keys
        return list(dict.fromkeys(keys[i] for i in self._order(self.cursor[0]) if i < len(keys)))

    def _put(self, place: Place | None) -> None:
        if place != self.cursor:
            self.cursor = place
            self._repaint()
            self.refresh_bindings()
            self.post_message(self.Moved(self, self._subpopulation()))

    def action_move(self, by: int) -> None:
        walkable = self._walkable()
        if self.cursor is None:
            if walkable:
                order = self._order(walkable[0])
                self._put((walkable[0], order[0 if by > 0 else -1]))
            return
        order = self._order(self.cursor[0])
        self._put((self.cursor[0], order[max(0, min(order.index(self.cursor[1]) + by, len(order) - 1))]))

    def action_end(self, at: int) -> None:
        if walkable := self._walkable():
            series = self.cursor[0] if self.cursor else walkable[0]
            self._put((series, self._order(series)[at]))

    def action_series(self, by: int) -> None:
        """The same subpopulation in the next series, else its point nearest across."""
        walkable = self._walkable()
        if self.cursor is None or self.plot is None or self.cursor[0] not in walkable:
            self.action_move(1)
            return
        key, cursor_x = self._subpopulation(), self.plot.series[self.cursor[0]].x[self.cursor[1]]
        at = walkable[(walkable.index(self.cursor[0]) + by) % len(walkable)]
        one = self.plot.series[at]
        near = min(range(len(one.x)), key=lambda i: abs(one.x[i] - cursor_x))
        same = [i for i, other in enumerate(one.keys) if other == key]
        self._put((at, min(same, key=lambda i: abs(one.x[i] - cursor_x)) if key is not None and same else near))

    def action_choose(self) -> None:
        key = self._subpopulation()
        if key is not None and self.opens:
            self.post_message(self.Chosen(self, key))

    def on_click(self, event: events.Click) -> None:
        """The nearest point, a row being as far as two columns; a second click opens it."""
        place = self._painter.nearest(event.x, event.y) if self._painter else None
        if place == self.cursor and event.chain > 1:
            self.action_choose()
        else:
            self._put(place)
