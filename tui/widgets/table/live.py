"""An interactive table: a TableView that keys and mouse move, sort and mark."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType

from tui.widgets.table.layout import Slot
from tui.widgets.table.view import TableView


class LiveTable(TableView):
    """Left and right move a column cursor, which brings its column into sight; `s` or a click on a header sorts."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False, id="table.down"),
        Binding("up,k", "move(-1)", "Up", show=False, id="table.up"),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False, id="table.page-down"),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False, id="table.page-up"),
        Binding("home,g", "end(-1)", "First row", show=False, id="table.first"),
        Binding("end,G", "end(1)", "Last row", show=False, id="table.last"),
        Binding("left,h", "column(-1)", "Column left", show=False, id="table.column-left"),
        Binding("right,l", "column(1)", "Column right", show=False, id="table.column-right"),
        Binding("s", "sort", "Sort", tooltip="Sort by column", id="table.sort"),
        Binding("space", "mark", "Mark", id="table.mark"),
        Binding("asterisk", "mark_all", "Mark all shown", show=False, id="table.mark-all"),
    ]

    def action_move(self, by: int) -> None:
        self.move_to((self.cursor or 0) + by)

    def action_page(self, by: int) -> None:
        self.move_to((self.cursor or 0) + by * max(1, self.size.height - 2))

    def action_end(self, to: int) -> None:
        self.move_to(0 if to < 0 else len(self.model.shown) - 1)

    def action_column(self, by: int) -> None:
        """Move the column cursor, bringing its column into sight."""
        slots = self.painter.layout.slots
        names = [slot.look.column for slot in slots]
        at = names.index(self.model.view.column) if self.model.view.column in names else (-1 if by > 0 else len(names))
        slot = slots[max(0, min(at + by, len(slots) - 1))]
        self.model.view = replace(self.model.view, column=slot.look.column)
        self._bring(slot)
        self.post_message(self.Looked(self))

    def _bring(self, slot: Slot) -> None:
        """Scroll sideways until the column is in sight."""
        if not slot.look.pinned:
            left, right = self.painter.layout.pinned_width, self._wide - 1
            if slot.x - self.x_offset + slot.width > right:
                self.x_offset = slot.x + slot.width - right
            if slot.x - self.x_offset < left:
                self.x_offset = max(0, slot.x - left)
        self._repaint()

    def rank_by(self, name: str) -> None:
        """Sort by a column, the largest first, and bring it into sight: not as a choice of the person's, so nothing remembers it."""
        self.model.look(sort=name, descending=True, column=name)
        self._moved = False
        self._set_cursor(self.model.shown[0] if self.model.shown else None)
        self._settle(whole=True)
        self._keep_cursor_visible()
        # not before the table is laid out anew: rows that have just come may bring a scrollbar, and it takes room
        self.call_after_refresh(self._bring_column, name)

    def _bring_column(self, name: str) -> None:
        self._bring(next(slot for slot in self.painter.layout.slots if slot.look.column == name))

    # ---- sorting and marking ----

    def sort_by(self, name: str | None) -> None:
        """Numbers from the largest, text from the first; the same column again turns it round, a third time undoes it."""
        at = self.model.column_index(name)
        if name is None or at is None:
            return
        first = self.model.columns[at].kind in ("int", "float", "fraction", "bool")
        view = self.model.view
        if view.sort != name:
            self.look(sort=name, descending=first, column=name)
        elif view.descending == first:
            self.look(descending=not first, column=name)
        else:
            self.look(sort=None, column=name)

    def action_sort(self) -> None:
        slots = [slot.look for slot in self.painter.layout.slots]
        look = next((look for look in slots if look.column == self.model.view.column), slots[0])
        self.sort_by(look.of[1] if look.of else look.column)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.markable if action in ("mark", "mark_all") else True

    def action_mark(self) -> None:
        if self.cursor_key is not None:
            at = self.cursor or 0
            to = self.model.next_unseen(at)
            self.model.toggle_mark(self.cursor_key)
            # Where the filter is `marked`, a row that is unmarked has left: what was below it stands in its place
            self.move_to(to if self.cursor_key in self.model.position else at)
            self._settle(self.cursor)
            self.post_message(self.Looked(self))

    def action_mark_all(self) -> None:
        self.model.toggle_shown()
        self._settle()
        self.post_message(self.Looked(self))

    def on_click(self, event: events.Click) -> None:
        event.stop()
        if event.y == 0:
            pinned = self.painter.layout.pinned_width
            x = event.x if event.x < pinned else event.x + self.x_offset
            for slot in self.painter.layout.slots:
                if slot.x <= x < slot.x + slot.width:
                    self.sort_by(slot.look.of[1] if slot.look.of else slot.look.column)
            return
        index = round(self.scroll_y) + event.y - 1
        if index < len(self.model.shown):
            again = index == self.cursor and event.chain > 1
            self.move_to(index)
            if again and self.cursor_key is not None:
                self.post_message(self.Chosen(self, self.cursor_key))
            elif self.markable and event.x < 2:
                self.action_mark()
