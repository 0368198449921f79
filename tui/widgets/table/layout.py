"""Where a table's columns stand, in cells, for the width there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from engine.rows import TableSpec
from tui.presenters import format as fmt
from tui.widgets.table.looks import Look

GUTTER = 2  # cells before the first column: the cursor's and the mark's sign
GAP = 2
PLOT_WIDTH = 19


@dataclass(frozen=True)
class Slot:
    """One column as placed: x counts from the table's left edge before scrolling."""

    look: Look
    at: int  # index of the column in the spec, -1 for a drawn one
    kind: str
    x: int
    width: int
    right: bool


@dataclass(frozen=True)
class Layout:
    slots: tuple[Slot, ...]
    pinned: int  # how many slots never scroll
    width: int

    def whole(self, width: int, x_offset: int) -> int:
        """How many cells of a window are painted: a number or an interval that its right edge would cut is left out, for half of a
        number is another number; so is a word of which little would be left. The first column after the pinned ones stays."""
        if self.width - GAP - x_offset <= width:
            return width
        for i, slot in enumerate(self.slots[self.pinned :]):
            x = slot.x - x_offset
            little = slot.right or slot.look.show == "interval" or (slot.look.show == "value" and width - x < min(slot.width + 1, 10))
            if x < width <= x + slot.width and little and i and x > self.pinned_width:
                return x
        return width

    @property
    def pinned_width(self) -> int:
        """Cells taken by the gutter and the pinned slots."""
        return GUTTER if not self.pinned else self.slots[self.pinned - 1].x + self.slots[self.pinned - 1].width + GAP


def natural(look: Look, kind: str) -> int:
    """The width a column starts from, before its cells are seen. The sign of sorting stands in the gap beside it."""
    if look.show == "interval":
        return PLOT_WIDTH
    if look.show == "bar":
        return max(look.min_width, 14)
    return max(cell_len(look.label), look.min_width, 6 if kind == "fraction" else 3)


def arrange(spec: TableSpec, looks: Sequence[Look], widest: Sequence[int], available: int) -> Layout:
    """Place the columns: each as wide as its widest cell so far; flexible ones give way until what is needed fits."""
    kinds = {column.name: column.kind for column in spec.columns}
    index = {column.name: i for i, column in enumerate(spec.columns)}
    widths = [
        min(max(wide, natural(look, kinds.get(look.column, "float"))), look.max_width) for look, wide in zip(looks, widest, strict=True)
    ]
    total = GUTTER + sum(widths) + GAP * len(widths)
    for i, look in reversed(list(enumerate(looks))):
        if total > available and look.flex:
            least = min(widths[i], max(look.min_width, int(available * look.share), cell_len(look.label)))
            give = min(total - available, widths[i] - least)
            widths[i] -= give
            total -= give
    ordered = sorted(range(len(looks)), key=lambda i: not looks[i].pinned)
    if total > available:  # what the first column that is cut off leaves free goes to those that gave way
        end, whole, cut_off = GUTTER, [], None
        for i in ordered:
            if end + widths[i] >= available:  # the last cell is for the sign that there is more
                cut_off = looks[i]
                break
            whole.append(i)
            end += widths[i] + GAP
        free = available - 1 - (end - GAP) if cut_off is None or cut_off.show != "bar" else 0  # part of a bar tells something
        for i in whole:
            wanted = min(max(widest[i], widths[i]), looks[i].max_width) - widths[i] if looks[i].flex else 0
            more = max(0, min(free, wanted))
            widths[i] += more
            free -= more
    slots, x, pinned = [], GUTTER, 0
    for i in ordered:
        look = looks[i]
        kind = kinds.get(look.column, "float")
        right = look.show == "value" and kind in ("int", "float", "fraction") and not look.pinned
        slots.append(Slot(look, index.get(look.column, -1), kind, x, widths[i], right))
        x += widths[i] + GAP
        pinned += look.pinned
    return Layout(tuple(slots), pinned, x)


def fit(text: str, width: int, right: bool) -> str:
    """Text cut or padded to exactly `width` cells."""
    length = cell_len(text)
    if length > width:
        if len(text) == length:
            text = text[: max(0, width - 1)] + "…"
        else:
            kept = ""
            for char in text:
                if cell_len(kept + char) > width - 1:
                    break
                kept += char
            text = kept + "…"
        length = cell_len(text)
    pad = " " * (width - length)
    return pad + text if right else text + pad


def value_text(look: Look, cells: Sequence[object], at: int, kind: str, beside: Sequence[int]) -> str:
    """A value, and after it what it must not stand without; nothing after a missing one."""
    text = worded(fmt.cell(cells[at], kind), look.words)
    if not beside or cells[at] is None:
        return text
    return f"{text} {look.beside_as.format(*(fmt.cell(cells[i], 'int') for i in beside))}"


def worded(text: str, words: bool) -> str:
    """A text of the program's own as people write it."""
    return text.replace("_", " ") if words else text


STATE_SIGNS = {
    "running": "●",
    "paused": "‖",
    "queued": "○",
    "done": "✓",
    "stopped": "■",
    "failed": "✗",
    "lost": "!",
    "waiting": "○",
    "smoke": "!",
    "deviates": "!",
    "to know": "!",
}


def cell_text(slot: Slot, cells: Sequence[object], span: tuple[float, float], at_of: Sequence[int]) -> str:
    """What one slot says of a row, exactly as wide as the slot. span: the shared axis of forest plots; at_of: further columns it shows."""
    if slot.look.show == "interval":
        low, mid, high = (cells[i] for i in at_of)
        return fmt.interval(low, mid, high, span, slot.width)
    value = cells[slot.at]
    if slot.look.show == "bar":
        share = value if isinstance(value, (int, float)) else None
        return fmt.bar(share, slot.width - 5) + (f"{int(share * 100):4d}%" if share is not None else "   –")[:5].rjust(5)
    text = value_text(slot.look, cells, slot.at, slot.kind, at_of)
    if slot.look.state and text in STATE_SIGNS:
        text = f"{STATE_SIGNS[text]} {text}"
    return fit(text, slot.width, slot.right)
