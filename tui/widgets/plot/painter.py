"""A plot as lines of cells: title, legend, axes, drawing. Each series has its mark and dash: no colour is needed to tell it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from tui.presenters.format import clean
from tui.widgets.plot.axes import Tick, axis_over, upright
from tui.widgets.plot.canvas import BLANK, SOLID, Canvas, Cell
from tui.widgets.plot.legend import ink, interval, legend, looks_of

if TYPE_CHECKING:
    from engine.plots import Plot, Series

BARS_UP_TO = 40  # points of a series whose intervals can be told apart
ROOMY = 20  # lines from which the axis at the bottom has a line for what it is
FEW = 8  # values of x or fewer: points stand in columns, and are spread so that they do not hide each other
Place = tuple[int, int]  # series and point


class Painter:
    """Draws one plot at one size. `cells` are the lines; `spots` say in which cell each point lies."""

    def __init__(self, plot: Plot, width: int, height: int, cursor: Place | None = None) -> None:
        self.plot, self.width, self.height, self.cursor = plot, width, height, cursor
        self.looks = looks_of(plot)
        xs = [x for s in plot.series for x in s.x]
        self.x = axis_over(xs, log=plot.x_log, names=plot.ticks)
        if not plot.ticks and any(s.style == "points" and len(set(s.x)) <= FEW < len(s.x) for s in plot.series):
            self.x = replace(self.x, high=self.x.high + 0.06 * (self.x.high - self.x.low))  # columns of points spread to both sides
        self.spots: dict[Place, tuple[int, int]] = {}
        self.left, self.top = 7, 0  # where the drawing begins among the cells
        self.cells = self._all()

    def nearest(self, x: int, y: int) -> Place | None:
        """The point nearest to a cell, a row being as far as two columns; None where there is none."""

        def far(place: Place) -> int:
            column, row = self.spots[place]
            return (column + self.left - x) ** 2 + 4 * (row + self.top - y) ** 2

        return min(self.spots, key=far, default=None)

    # ---- lines over and under the drawing ----

    def _all(self) -> list[list[Cell]]:
        plot = self.plot
        title, label = clean(plot.title), f"↑ {clean(plot.y_label)}"
        beside = len(title) + 3 + len(label) <= self.width and self.height >= 8
        head = [self._words(title, "title", ("   " + label, "label") if beside else ("", ""))] if self.height >= 8 else []
        head += legend(plot, self.looks, self.width, max(1, min(5, self.height // 5)), "" if beside else label)
        if self.height - len(head) < 6 or self.width < 24:
            return [self._words("too small here for a plot", "notice")][: self.height]
        lines = len(self._under(Canvas(self.width - 8, 1)))
        inside = self.height - len(head) - 1 - lines
        self.y, rungs = upright(self._reach(), inside)
        left = max(len(words) for _, words in rungs) + 1
        self.left, self.top = left + 1, len(head)
        canvas = Canvas(self.width - left - 2, inside)
        self._draw(canvas)
        body = self._body(canvas, rungs, left)
        return [*head, *body, self._axis_line(canvas), *self._under(canvas)]

    def _reach(self) -> list[float]:
        """What the upright axis must hold: the points, the intervals drawn, the level, and zero."""
        values = [0.0] if self.plot.level is None else [0.0, self.plot.level]
        for one in self.plot.series:
            values += one.y
            if len(one.x) <= BARS_UP_TO or one.style == "band":
                values += [v for v in (*one.low, *one.high) if v is not None]
        return values

    def _words(self, words: str, style: str, *more: tuple[str, str]) -> list[Cell]:
        cells = [(char, style) for char in clean(words)] + [(char, ink) for text, ink in more for char in text]
        if len(cells) > self.width:
            cells = [*cells[: self.width - 1], ("…", style)]
        return cells + [BLANK] * (self.width - len(cells))

    def _body(self, canvas: Canvas, rungs: Sequence[Tick], left: int) -> list[list[Cell]]:
        at = {canvas.row(self.y.share(value)): words for value, words in rungs}
        cursor_spot = self.spots.get(self.cursor) if self.cursor else None
        body = []
        for row, cells in enumerate(canvas.rows()):
            words = at.get(row, "")
            edge = ("▸", "cursor-mark") if cursor_spot and cursor_spot[1] == row else ("┤" if words else "│", "axis")
            body.append([*((char, "tick") for char in f"{words:>{left}}"), edge, *cells, BLANK])
        return body

    def _axis_line(self, canvas: Canvas) -> list[Cell]:
        line: list[Cell] = [BLANK] * (self.left - 1) + [("└", "axis")] + [("─", "axis")] * canvas.width + [BLANK]
        for value, _ in self.x.ticks(canvas.width):
            line[self.left + canvas.column(self.x.share(value))] = ("┬", "axis")
        if self.height < ROOMY and not self.x.names:  # no line of its own for what the axis is
            label = clean(self.plot.x_label)
            label = label if len(label) < self.width * 0.65 else label.partition(" (")[0]
            words = ink(f" {label[: self.width * 2 // 3]} →", "label")
            line[-len(words) :] = words
        if self.cursor and (cursor_spot := self.spots.get(self.cursor)):
            line[self.left + cursor_spot[0]] = ("▴", "cursor-mark")
        return line

    def _under(self, canvas: Canvas) -> list[list[Cell]]:
        """Words under the axis: of values, or of categories on as many lines as they need, and what the axis is."""
        slot = canvas.width // max(1, len(self.x.names))
        if not self.x.names:
            lines = [self._spread(canvas, self.x.ticks(canvas.width))]
        else:
            head, *rows = category_lines(self.x.names, slot)
            lines = [self._spread(canvas, row) for row in rows]
            lines[0][: self.left] = ink(f"{head:>{self.left}}"[: self.left], "tick")
        label = clean(self.plot.x_label)
        if self.x.names:
            return lines  # they say themselves what they are
        if self.height >= ROOMY:
            lines.append(self._words(" " * max(0, self.left + (canvas.width - len(label)) // 2) + label, "label"))
        return lines

    def _spread(self, canvas: Canvas, ticks: Sequence[Tick]) -> list[Cell]:
        """Words centred under their values; those that would touch the one before are left out."""
        line: list[Cell] = [BLANK] * self.width
        free = 0
        for value, words in ticks:
            start = self.left + round(self.x.share(value) * (canvas.width - 1)) - (len(words) - 1) // 2
            start = max(0, min(self.width - len(words), start))
            if start >= free:
                line[start : start + len(words)] = ink(words, "tick")
                free = start + len(words) + 1
        return line

    # ---- the drawing ----

    def _draw(self, canvas: Canvas) -> None:
        plot = self.plot
        cursor_key = self._key(self.cursor)
        pairs = list(enumerate(zip(plot.series, self.looks, strict=True)))
        for at, (one, look) in sorted(pairs, key=lambda pair: (pair[1][0].style != "band", not pair[1][1].faint)):
            chosen = self.cursor is not None and self.cursor[0] == at and look.faint
            if one.style == "band":
                edges = [(self.x.share(x), *interval(one, i)) for i, x in enumerate(one.x)]
                whole = [(x, self.y.share(lo), self.y.share(hi)) for x, lo, hi in edges if lo is not None and hi is not None]
                canvas.band(whole, "faint")
            if one.style in ("line", "steps"):
                canvas.line(self._corners(one), "cursor-line" if chosen else look.ink, SOLID if chosen else look.dash)
        for at, (one, look) in pairs:
            self._place(canvas, at, one)
            if len(one.x) <= BARS_UP_TO and one.style != "band" and not look.faint:
                self._bars(canvas, at, one, look.ink, range(len(one.x)))
        for at, (one, look) in pairs:
            if one.style != "band" and not look.faint:
                for i in self._marked(at, one):
                    canvas.sign(*self.spots[at, i], look.mark, look.ink)
        for at, (one, look) in pairs:  # the same subpopulation elsewhere, and the point under the cursor
            for i, key in enumerate(one.keys):
                if cursor_key is not None and key == cursor_key and (at, i) in self.spots and not look.faint:
                    canvas.sign(*self.spots[at, i], look.mark, "same")
        if self.cursor in self.spots and self.cursor is not None:
            at, i = self.cursor
            self._bars(canvas, at, plot.series[at], "cursor-line", (i,))
            canvas.sign(*self.spots[self.cursor], self.looks[at].mark if not self.looks[at].faint else "●", "cursor")
        groups = [name.partition(", ")[2] for name in self.x.names]
        for at, (one_name, next_name) in enumerate(pairwise(groups)):
            if one_name != next_name:
                canvas.fence(canvas.column(self.x.share(at + 0.5)), "┊", "axis")
        if plot.level is not None:
            canvas.rule(self.y.share(plot.level), "┄", "level")
        if self.y.low < 0 < self.y.high:
            canvas.rule(self.y.share(0.0), "┈", "axis")

    def _key(self, place: Place | None) -> int | None:
        if place is None or place[0] >= len(self.plot.series):
            return None
        keys = self.plot.series[place[0]].keys
        return keys[place[1]] if place[1] < len(keys) else None

    def _corners(self, one: Series) -> list[tuple[float, float]]:
        points = [(self.x.share(x), self.y.share(y)) for x, y in zip(one.x, one.y, strict=True) if math.isfinite(x) and math.isfinite(y)]
        if one.style != "steps":
            return points
        stairs = points[:1]
        for (_, before), (x, y) in pairwise(points):
            stairs += [(x, before), (x, y)]
        return stairs

    def _place(self, canvas: Canvas, at: int, one: Series) -> None:
        """Where each point lies; of several series over the same category, side by side."""
        shift = 0
        if self.x.names:
            beside = [i for i, s in enumerate(self.plot.series) if s.style == "points"]
            if at in beside and len(beside) > 1:
                slot = canvas.width / len(self.x.names)
                step = max(1, min(5, int(slot * 0.7 / len(beside))))
                shift = beside.index(at) * step - (len(beside) - 1) * step // 2
        for i, (x, y) in enumerate(zip(one.x, one.y, strict=True)):
            if math.isfinite(x) and math.isfinite(y) and (x > 0 or not self.x.log):
                column = max(0, min(canvas.width - 1, canvas.column(self.x.share(x)) + shift))
                self.spots[at, i] = (column, canvas.row(self.y.share(y)))
        if one.style == "points" and not self.x.names and len(set(one.x)) <= FEW < len(one.x):
            self._swarm(canvas, at, one)

    def _swarm(self, canvas: Canvas, at: int, one: Series) -> None:
        """Points of equal x that would hide each other move sideways, as far as there is room."""
        columns = sorted({self.spots[at, i][0] for i in range(len(one.x)) if (at, i) in self.spots})
        reach = min((b - a for a, b in pairwise(columns)), default=canvas.width) // 2 - 1
        taken: set[tuple[int, int]] = set()
        for i in range(len(one.x)):
            if (at, i) in self.spots:
                column, row = self.spots[at, i]
                tries = (column + side * step for step in range(max(1, reach)) for side in (1, -1))
                free = next((c for c in tries if 0 <= c < canvas.width and (c, row) not in taken), column)
                taken.add((free, row))
                self.spots[at, i] = (free, row)

    def _marked(self, at: int, one: Series) -> list[int]:
        """Which points carry the series' mark: all, or of a long line a few, at other places than its neighbours'."""
        if one.style != "points" and (one.of or any(s.of == one.name and s.style == "points" for s in self.plot.series)):
            return []  # the points it goes with carry the mark
        visible = [i for i in range(len(one.x)) if (at, i) in self.spots]
        if one.style == "points" or len(visible) <= 12:
            return visible
        every = max(1, len(visible) // 4)
        return visible[(at * every // 3) % every :: every]

    def _bars(self, canvas: Canvas, at: int, one: Series, ink: str, points: Sequence[int]) -> None:
        for i in points:
            low, high = interval(one, i)
            if low is not None and high is not None and (at, i) in self.spots:
                canvas.bar(self.spots[at, i][0], self.y.share(low), self.y.share(high), ink)


def category_lines(names: Sequence[str], slot: int) -> tuple[str, *tuple[list[Tick], ...]]:
    """Names of categories in slots so many cells wide: a word common to all ("" none) to be said once, then lines of ticks.

    "worst 1, alpha 2" becomes two lines where it does not fit: what stands behind the comma is said once for neighbours that share it.
    """
    names = [clean(name) for name in names]
    firsts, commas, seconds = zip(*(name.partition(", ") for name in names), strict=True)
    if max(map(len, names)) < slot or not all(commas):
        return "", [(float(at), name if len(name) < slot else name[: max(1, slot - 2)] + "…") for at, name in enumerate(names)]
    words = {first.partition(" ")[0] for first in firsts}
    common = words.pop() if len(words) == 1 and max(map(len, firsts)) >= slot else ""
    upper = [(float(at), first[len(common) :].strip()) for at, first in enumerate(firsts)]
    lower = []
    for second, group in groupby(range(len(names)), key=lambda at: seconds[at]):
        members = list(group)
        lower.append(((members[0] + members[-1]) / 2, second))
    return common, upper, lower
