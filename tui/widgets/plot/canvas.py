"""A canvas of cells: fine dots (braille, two by four a cell) under whole characters. Pure; styles are names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, zip_longest

Cell = tuple[str, str]  # a character and the name of its style
BLANK: Cell = (" ", "")
BRAILLE = 0x2800
BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # [x within a cell][y within a cell]
Dash = tuple[int, int]  # dots drawn, dots left out
SOLID: Dash = (1, 0)


class Canvas:
    """Shares run from 0 at the left and bottom to 1 at the right and top."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._dots: dict[tuple[int, int], tuple[int, str]] = {}
        self._signs: dict[tuple[int, int], Cell] = {}

    # ---- where things lie ----

    def column(self, x: float) -> int:
        return round(x * (self.width - 1))

    def row(self, y: float) -> int:
        """Counted from the top."""
        return round((1 - y) * (self.height - 1))

    # ---- dots ----

    def dot(self, px: int, py: int, style: str) -> None:
        """px to 2 width - 1 from the left, py to 4 height - 1 from the top."""
        at = (px // 2, py // 4)
        self._dots[at] = (self._dots.get(at, (0, ""))[0] | BITS[px % 2][py % 4], style)

    def pixel(self, x: float, y: float) -> tuple[int, int]:
        """The dot nearest; 0 and 1 lie in the middle of the outermost cells, as whole characters do."""
        return round(x * 2 * (self.width - 1) + 0.5), round((1 - y) * 4 * (self.height - 1) + 1.5)

    def line(self, points: Sequence[tuple[float, float]], style: str, dash: Dash = SOLID) -> None:
        """Straight pieces from point to point; the dashes run on over the corners."""
        on, off = dash
        for count, (px, py) in enumerate(self._trail(points)):
            if count % (on + off) < on:
                self.dot(px, py, style)

    def _trail(self, points: Sequence[tuple[float, float]]) -> Iterator[tuple[int, int]]:
        pixels = [self.pixel(x, y) for x, y in points]
        if len(pixels) == 1:
            yield pixels[0]
        for (x0, y0), (x1, y1) in pairwise(pixels):
            steps = max(abs(x1 - x0), abs(y1 - y0), 1)
            for step in range(steps):
                yield round(x0 + (x1 - x0) * step / steps), round(y0 + (y1 - y0) * step / steps)
        if len(pixels) > 1:
            yield pixels[-1]

    def band(self, edges: Sequence[tuple[float, float, float]], style: str) -> None:
        """Shaded with every fourth dot between (x, low, high), straight from one to the next."""
        for (x0, low0, high0), (x1, low1, high1) in pairwise(edges):
            first, last = self.pixel(x0, 0)[0], self.pixel(x1, 0)[0]
            for px in range(first, last + 1):
                share = (px - first) / max(1, last - first)
                top, bottom = (self.pixel(0, a + (b - a) * share)[1] for a, b in ((high0, high1), (low0, low1)))
                for py in range(top, bottom + 1):
                    if px % 2 == 0 and (py + px) % 4 == 0:
                        self.dot(px, py, style)

    # ---- characters ----

    def sign(self, column: int, row: int, char: str, style: str) -> None:
        if 0 <= column < self.width and 0 <= row < self.height:
            self._signs[column, row] = (char, style)

    def bar(self, column: int, low: float, high: float, style: str) -> None:
        """An upright interval with a cap at each end, where it is longer than a cell."""
        top, bottom = self.row(high), self.row(low)
        if top == bottom:
            return
        for row in range(top + 1, bottom):
            self.sign(column, row, "│", style)
        self.sign(column, top, "┬", style)
        self.sign(column, bottom, "┴", style)

    def fence(self, column: int, char: str, style: str) -> None:
        """An upright line, where nothing else is."""
        for row in range(self.height):
            if (column, row) not in self._signs and (column, row) not in self._dots:
                self._signs[column, row] = (char, style)

    def rule(self, y: float, char: str, style: str) -> None:
        """A level line across, where nothing else is."""
        row = self.row(y)
        for column in range(self.width):
            if (column, row) not in self._signs and (column, row) not in self._dots:
                self._signs[column, row] = (char, style)

    def rows(self) -> list[list[Cell]]:
        """[height][width] cells."""
        made = [[BLANK] * self.width for _ in range(self.height)]
        for (column, row), (bits, style) in self._dots.items():
            made[row][column] = (chr(BRAILLE + bits), style)
        for (column, row), cell in self._signs.items():
            made[row][column] = cell
        return made


def differences(before: Sequence[Sequence[Cell]], after: Sequence[Sequence[Cell]]) -> list[tuple[int, int, int]]:
    """(line, first cell that differs, end) of every line that differs; cells beyond a line's end are blank."""
    changed = []
    for y, (old, new) in enumerate(zip_longest(before, after, fillvalue=())):
        differ = [x for x, (was, now) in enumerate(zip_longest(old, new, fillvalue=BLANK)) if was != now]
        if differ:
            changed.append((y, differ[0], differ[-1] + 1))
    return changed
