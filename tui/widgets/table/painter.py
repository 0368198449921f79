"""Paints a live table's lines, and tells which stretches of which lines differ from what was painted before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip

from engine.rows import TableSpec
from tui.presenters import format as fmt
from tui.presenters.shorten import shortened
from tui.widgets.table.layout import GAP, Layout, Slot, arrange, cell_text, fit, value_text
from tui.widgets.table.looks import Look
from tui.widgets.table.model import Cells, View

ENDS = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)  # of a forest plot's axis
LOWEST = 0.25  # an axis goes no further below zero: one wild interval must not squeeze the others
WILD = 0.5  # an interval as wide as this does not move an axis of differences, only the difference itself does
CURSOR, MARK = "❯", "◆"
STATE_STYLES = {
    "running": "good",
    "done": "good",
    "failed": "bad",
    "lost": "bad",
    "paused": "warn",
    "stopped": "warn",
    "queued": "dim",
    "smoke": "warn",
    "deviates": "warn",
    "to know": "warn",
}


@dataclass(frozen=True)
class Line:
    """What one line on screen says; compared to decide what to repaint."""

    cursor: bool
    marked: bool
    texts: tuple[str, ...]
    tones: tuple[str, ...]


class Painter:
    """Widths that only ever grow, one shared axis for forest plots, and strips.

    Lines are made of `texts`, one per slot; slots left of `layout.pinned` stay, the others are shifted by `x_offset` cells.
    """

    def __init__(self, spec: TableSpec, looks: Sequence[Look]) -> None:
        self.spec = spec
        self.looks = looks
        self.index = {column.name: i for i, column in enumerate(spec.columns)}
        self.widest = [0] * len(looks)
        self.span = (0.0, 0.05)
        self.layout: Layout = arrange(spec, looks, self.widest, 80)
        self._beside = {i: tuple(self.index[name] for name in look.beside) for i, look in enumerate(looks) if look.beside}
        self._plots = {i: tuple(self.index[name] for name in look.of) for i, look in enumerate(looks) if look.of}
        self._values = [
            (i, self.index[look.column], spec.columns[self.index[look.column]].kind)
            for i, look in enumerate(looks)
            if not look.of and look.show == "value"
        ]
        self._slot_others: list[tuple[int, ...]] = []  # of each slot, the further columns that it shows
        self._apart = {i: self.index[look.column] for i, look in enumerate(looks) if look.apart}
        self._texts: dict[str, dict[str, None]] = {look.column: {} for look in looks if look.apart}  # all that the column says, in order
        self._short: dict[tuple[str, int], Mapping[str, str]] = {}  # of a column so wide, what is said instead

    def measure(self, rows: Sequence[Cells], *, all_rows: bool = False) -> None:
        """Take note of how wide these rows' cells are, how far their intervals reach and which texts must be told apart.

        all_rows: they are all that there are from here on.
        """
        for i, at in self._apart.items():
            known = self._texts[self.looks[i].column]
            before = tuple(known)
            if all_rows:
                known.clear()
            known.update(dict.fromkeys(fmt.cell(cells[at]) for cells in rows))
            if tuple(known) != before:
                self._short.clear()
        for cells in rows:
            for i, at, kind in self._values:
                text = value_text(self.looks[i], cells, at, kind, self._beside.get(i, ()))
                need = len(text) + (2 if self.looks[i].state else 0)
                if need > self.widest[i]:
                    self.widest[i] = need
            for i, places in self._plots.items():
                numbers = [cells[at] for at in places]
                reach = [float(n) for n in numbers if isinstance(n, (int, float))]
                lowest = 1.0 if self.looks[i].signed else LOWEST
                if self.looks[i].signed and reach and max(reach) - min(reach) > WILD:
                    reach = [float(numbers[1])] if isinstance(numbers[1], (int, float)) else []
                if reach:
                    low, high = self.span
                    high = next((end for end in ENDS if end >= min(max(reach), 1.0)), high) if max(reach) > high else high
                    low = -next((end for end in ENDS if end >= -min(reach)), lowest) if min(reach) < low else low
                    self.span = (max(low, -lowest), high)

    def arrange(self, available: int) -> bool:
        """Place the columns anew; True where anything moved."""
        layout = arrange(self.spec, self.looks, self.widest, available)
        moved = layout != self.layout
        self.layout = layout
        self._slot_others = [tuple(self.index[name] for name in slot.look.of or slot.look.beside) for slot in layout.slots]
        return moved

    def line(self, cells: Cells, *, cursor: bool, marked: bool) -> Line:
        slots = self.layout.slots
        texts = tuple(
            self._told_apart(slot, cells) if slot.look.apart else cell_text(slot, cells, self.span, others)
            for slot, others in zip(slots, self._slot_others, strict=True)
        )
        tones = tuple(self._tone(slot.at, slot.look, cells) for slot in slots)
        return Line(cursor, marked, texts, tones)

    def _told_apart(self, slot: Slot, cells: Cells) -> str:
        of_column = (slot.look.column, slot.width)
        if of_column not in self._short:
            self._short[of_column] = shortened(self._texts[slot.look.column], slot.width)
        text = fmt.cell(cells[slot.at])
        return fit(self._short[of_column].get(text, text), slot.width, slot.right)

    def _tone(self, at: int, look: Look, cells: Cells) -> str:
        if look.show != "value":
            return "plot"
        value = cells[at]
        if value is None:
            return "dim"
        if look.state:
            return STATE_STYLES.get(str(value), "")
        return "key" if look.pinned else ""

    def strip(self, line: Line, styles: dict[str, Style], width: int, x_offset: int) -> Strip:
        base = styles["row"]
        if line.marked:
            base += styles["mark"]
        if line.cursor:
            base += styles["cursor"]
        gutter = (CURSOR if line.cursor else " ") + (MARK if line.marked else " ")
        segments = [Segment(gutter, base + styles["sign"])]
        run, tone_of_run = "", ""  # neighbours of one tone are one segment: fewer escape sequences
        for text, tone in zip(line.texts, line.tones, strict=True):
            if tone != tone_of_run and run:
                segments.append(Segment(run, base + styles[tone_of_run] if tone_of_run else base))
                run = ""
            run += text + " " * GAP
            tone_of_run = tone
        segments.append(Segment(run, base + styles[tone_of_run] if tone_of_run else base))
        return self._window(segments, base, width, x_offset)

    def header(self, view: View, styles: dict[str, Style], width: int, x_offset: int, column: str | None) -> Strip:
        base = styles["header"]
        segments = [Segment("  ", base)]
        for slot in self.layout.slots:
            sign = ("▼" if view.descending else "▲") if view.sort == slot.look.column else ""
            style = base + styles["header-sorted"] if sign else base
            label = style + styles["header-column"] if slot.look.column == column else style
            text = fit(self._axis(slot.width) if slot.look.show == "interval" else slot.look.label, slot.width, slot.right)
            if sign and slot.right and text[0] != " ":
                segments[-1] = Segment(segments[-1].text[:-1] + sign, style)
            elif sign and slot.right:
                at = len(text) - len(text.lstrip(" "))
                text = text[: at - 1] + sign + text[at:]
            after = Segment((sign if sign and not slot.right else "").ljust(GAP), style)
            segments += [Segment(text, label), after]
        strip = self._window(segments, base, width, x_offset)
        left, right = x_offset > 0, self.layout.width - GAP - x_offset > width
        if right:
            strip = Strip.join([strip.crop(0, width - 1), Strip([Segment("›", base + styles["header-sorted"])], 1)])
        if left:
            at = max(0, self.layout.pinned_width - 1)
            strip = Strip.join([strip.crop(0, at), Strip([Segment("‹", base + styles["header-sorted"])], 1), strip.crop(at + 1, width)])
        return strip

    def notice(self, words: str, y: int, styles: dict[str, Style], width: int, rows: bool) -> Strip:
        """A line below the last row; where there are no rows at all, line y of `words`, wrapped."""
        lines = [] if rows else wrap(words, max(10, width - 4))
        if not 0 <= y < len(lines):
            return Strip.blank(width, styles["row"])
        return Strip([Segment("  " + lines[y], styles["row"] + styles["notice"])]).adjust_cell_length(width, styles["row"])

    def _axis(self, width: int) -> str:
        """The header of a forest plot: its two ends."""
        low, high = (f"{end:g}" for end in self.span)
        room = width - len(low) - len(high)
        return low + ("95 % interval" if room > 14 else "95 %").center(room) + high

    def _window(self, segments: list[Segment], base: Style, width: int, x_offset: int) -> Strip:
        strip = Strip(segments)
        if x_offset:
            pinned = self.layout.pinned_width
            strip = Strip.join([strip.crop(0, pinned), strip.crop(pinned + x_offset, strip.cell_length)])
        return strip.crop(0, self.layout.whole(width, x_offset)).adjust_cell_length(width, base)

    def differences(self, old: Line | None, new: Line | None, y: int, width: int, x_offset: int) -> list[Region]:
        """The stretches of screen line y that must be painted again."""
        if old is None or new is None or (old.cursor, old.marked) != (new.cursor, new.marked) or len(old.texts) != len(new.texts):
            return [] if old is new is None else [Region(0, y, width, 1)]
        regions = []
        for i, slot in enumerate(self.layout.slots):
            before, after = old.texts[i], new.texts[i]
            if before == after and old.tones[i] == new.tones[i]:
                continue
            first, last = 0, slot.width
            if old.tones[i] == new.tones[i] and len(before) == len(after) == slot.width:  # only the cells that differ
                while before[first] == after[first]:
                    first += 1
                while before[last - 1] == after[last - 1]:
                    last -= 1
            x = slot.x + first - (x_offset if i >= self.layout.pinned else 0)
            left = 0 if i < self.layout.pinned else self.layout.pinned_width
            start, end = max(left, x), min(width, x + last - first)
            if end > start:
                regions.append(Region(start, y, end - start, 1))
        return regions
