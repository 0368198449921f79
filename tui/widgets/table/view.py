"""A table that changes while one looks at it: rows by key, only changed cells repainted, the cursor stays on its row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import ClassVar

from rich.style import Style
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.timer import Timer

from engine.rows import TableSpec
from tui.widgets.styles import component_styles
from tui.widgets.table.looks import looks_for
from tui.widgets.table.model import Cells, Key, TableModel, View
from tui.widgets.table.painter import Line, Painter

STYLES = (
    "row",
    "header",
    "header-sorted",
    "header-column",
    "cursor",
    "cursor-blurred",
    "mark",
    "sign",
    "dim",
    "key",
    "plot",
    "good",
    "bad",
    "warn",
    "notice",
)
RESORT_S = 1.0  # rows that change move to their new places at most this often: five times a second nobody can read
NO_MATCH = "no row passes the filter: / changes it, esc there clears it"


class TableView(ScrollView, can_focus=True):
    """Shows a TableModel, one row a line under a header that stays. Changes come by key through `apply`."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"live-table--{name}" for name in STYLES}
    DEFAULT_CSS = """
    TableView {
        overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1; height: 1fr;
        .live-table--header { color: $foreground-muted; text-style: bold; background: $surface; }
        .live-table--header-sorted { color: $text-accent; }
        .live-table--header-column { text-style: bold underline; }
        .live-table--cursor { background: $primary-muted; text-style: bold; }
        .live-table--cursor-blurred { background: $panel; }
        .live-table--mark { text-style: italic; }
        .live-table--sign { color: $text-accent; }
        .live-table--dim { color: $foreground-muted; }
        .live-table--key { color: $text-primary; }
        .live-table--plot { color: $text-accent; }
        .live-table--good { color: $text-success; }
        .live-table--bad { color: $text-error; text-style: bold; }
        .live-table--notice { color: $foreground-muted; }
        .live-table--warn { color: $text-warning; }
    }
    """

    @dataclass
    class Highlighted(Message):
        """The cursor is on another row."""

        table: TableView
        key: Key | None

        @property
        def control(self) -> TableView:
            return self.table

    @dataclass
    class Chosen(Message):
        """A double click on a row. (Enter belongs to the screen, whose key line says what it does.)"""

        table: TableView
        key: Key

        @property
        def control(self) -> TableView:
            return self.table

    @dataclass
    class Looked(Message):
        """Sort, filter, marks, column cursor or the number of rows changed."""

        table: TableView

        @property
        def control(self) -> TableView:
            return self.table

    def __init__(
        self, spec: TableSpec, *, view: View | None = None, markable: bool = False, empty: str = "", id: str | None = None
    ) -> None:
        """empty: what stands in the table as long as it has no rows."""
        super().__init__(id=id)
        self.markable = markable
        self.empty = empty
        self.remembered_as = ""  # the name of its view in the settings, where it is not the table's
        self.setup(spec, view)

    def setup(self, spec: TableSpec, view: View | None = None) -> None:
        """Show another kind of table, empty as yet."""
        self.model = TableModel(spec, view or View())
        self.painter = Painter(spec, looks_for(spec))
        self.cursor_key: Key | None = None
        self.x_offset = 0
        self._moved = False  # a person has moved the cursor: keep it where they look
        self._painted: dict[int, Line] = {}
        self._style_cache: dict[str, Style] = {}
        self._sorted_at = 0.0
        self._resort: Timer | None = None
        if self.is_attached:
            self._settle(whole=True)

    # ---- data ----

    @property
    def spec(self) -> TableSpec:
        return self.model.spec

    def load(self, rows: Iterable[Cells]) -> None:
        """Replace all rows."""
        self.model.load(rows)
        self.painter.measure(list(self.model.rows.values()), all_rows=True)
        self._settle(whole=True)

    def apply(self, changes: Mapping[Key, Cells | None], order: Sequence[Key] | None = None) -> None:
        """Take rows that changed (None: gone); repaint what differs on screen."""
        before = self.model.position.get(self.cursor_key) if self.cursor_key else None
        span = self.painter.span
        now = monotonic()
        ordered = bool(self.model.view.sort or self.model.view.filter)
        resort = not ordered or now - self._sorted_at >= RESORT_S
        changed = self.model.apply(changes, order, resort=resort)
        if not self.model.stale:
            self._sorted_at = now
        elif self._resort is None and self.is_attached:
            self._resort = self.set_timer(self._sorted_at + RESORT_S - now, self.sort_now)
        if changed or order is not None:
            self.painter.measure([self.model.rows[key] for key in changed if key in self.model.rows])
            self._settle(before, whole=self.painter.span != span)

    def sort_now(self) -> None:
        """Put rows that changed where they belong, without waiting."""
        self._resort = None
        if self.model.stale:
            before = self.cursor
            self.model.refresh()
            self._sorted_at = monotonic()
            self._settle(before)

    def look(self, **changes: object) -> None:
        """Change sort or filter."""
        self.model.look(**changes)
        if not self._moved and self.model.shown:  # nobody chose a row: what is first is what one wants to see
            self._set_cursor(self.model.shown[0])
        self._settle(whole=True)
        self._keep_cursor_visible()
        self.post_message(self.Looked(self))

    @property
    def cursor(self) -> int | None:
        """The cursor's line among the rows shown."""
        return None if self.cursor_key is None else self.model.position.get(self.cursor_key)

    def marked_or_cursor(self) -> list[Key]:
        """The marked rows in the order shown, else the one under the cursor."""
        marked = [key for key in self.model.shown if key in self.model.marks]
        return marked or ([self.cursor_key] if self.cursor_key is not None else [])

    # ---- keeping the screen true ----

    @property
    def _wide(self) -> int:
        """Cells of a line, without the scrollbar's."""
        return self.scrollable_content_region.width

    def _settle(self, before: int | None = None, *, whole: bool = False) -> None:
        """After any change: place columns, keep the cursor on its row (and its row where it was), repaint what differs."""
        count = len(self.model.shown)
        height = max(0, self.size.height - 1)
        if self.cursor_key not in self.model.position:
            self._set_cursor(self.model.shown[min(before or 0, count - 1)] if count else None)
        if self.painter.arrange(self._wide):
            whole = True
        size = Size(self._wide, count + 1)
        if size != self.virtual_size:
            whole |= (size.height > self.size.height) != (self.virtual_size.height > self.size.height)
            self.virtual_size = size
        after = self.cursor
        if self._moved and before is not None and after is not None and after != before:
            top = round(self.scroll_y)
            if top <= before < top + height:
                self.scroll_to(y=max(0, min(top + after - before, count - height)), animate=False)
        if whole:
            self._repaint()
        else:
            self._repaint_differences()

    def _repaint(self) -> None:
        self._painted.clear()
        self.refresh()

    def _repaint_differences(self) -> None:
        if not self._painted:
            return
        top, width = round(self.scroll_y), self._wide
        regions: list[Region] = []
        for y in range(1, self.size.height):
            old, new = self._painted.get(y), self._line(top + y - 1)
            if old != new:
                regions += self.painter.differences(old, new, y, width, self.x_offset)
        if regions:
            self.refresh(*regions)

    def _line(self, index: int) -> Line | None:
        if not 0 <= index < len(self.model.shown):
            return None
        key = self.model.shown[index]
        return self.painter.line(self.model.rows[key], cursor=key == self.cursor_key, marked=key in self.model.marks)

    def render_line(self, y: int) -> Strip:
        width, styles = self._wide, self._styles()
        if y == 0:
            column = self.model.view.column if self.has_focus else None
            return self.painter.header(self.model.view, styles, width, self.x_offset, column)
        line = self._line(round(self.scroll_y) + y - 1)
        if line is None:
            self._painted.pop(y, None)
            return self.painter.notice(self.empty if not self.model.rows else NO_MATCH, y - 2, styles, width, bool(self.model.shown))
        self._painted[y] = line
        return self.painter.strip(line, styles, width, self.x_offset)

    def _styles(self) -> dict[str, Style]:
        if not self._style_cache:
            styles = component_styles(self, "live-table", STYLES)
            styles["row"] = self.rich_style
            if not self.has_focus:
                styles["cursor"] = styles["cursor-blurred"]
            self._style_cache = styles
        return self._style_cache

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._style_cache = {}
        self._painted = {}

    def on_focus(self) -> None:
        self._style_cache = {}
        self._repaint()

    on_blur = on_focus

    def on_resize(self) -> None:
        self._settle(whole=True)
        self._keep_cursor_visible()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        self._painted.clear()
        super().watch_scroll_y(old_value, new_value)

    # ---- moving ----

    def _set_cursor(self, key: Key | None) -> None:
        if key != self.cursor_key:
            self.cursor_key = key
            self.post_message(self.Highlighted(self, key))

    def move_to(self, index: int) -> None:
        """Put the cursor on a line of those shown."""
        if self.model.shown:
            self._moved = True
            self._set_cursor(self.model.shown[max(0, min(index, len(self.model.shown) - 1))])
            self._keep_cursor_visible()
            self._repaint_differences()

    def _keep_cursor_visible(self) -> None:
        at, height = self.cursor, max(1, self.size.height - 1)
        if at is None:
            return
        top = round(self.scroll_y)
        if at < top or at >= top + height:
            self.scroll_to(y=at if at < top else at - height + 1, animate=False)
