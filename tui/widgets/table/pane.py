"""A live table with a line that says what is shown, and a filter that opens at `/`."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input

from engine.rows import TableSpec
from tui.presenters import format as fmt
from tui.widgets.plain import Static
from tui.widgets.table import filtering
from tui.widgets.table.live import LiveTable
from tui.widgets.table.model import View


class FilterInput(Input):
    """One line, at most `filtering.LIMIT` characters of it however much is pasted."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Clear filter", id="filter.clear"),
        Binding("enter,down", "keep", "To the table", id="filter.keep"),
    ]

    def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        line = fmt.clean(event.text[: filtering.LIMIT], filtering.LIMIT).strip()
        room = filtering.LIMIT - len(self.value)
        if room > 0:
            self.insert_text_at_cursor(line[:room])

    def action_close(self) -> None:
        self.value = ""
        self.action_keep()

    def action_keep(self) -> None:
        pane = self.query_ancestor(TablePane)
        pane.table.focus()
        pane.show_filter(bool(self.value))


class TablePane(Vertical):
    """`title`, a LiveTable, and its filter. What a table is looked at is told by LiveTable.Looked."""

    DEFAULT_CSS = """
    TablePane { height: 1fr; }
    TablePane > .caption { height: 1; color: $foreground-muted; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    TablePane > FilterInput { display: none; height: 1; border: none; padding: 0 1; background: $boost; }
    TablePane.-filtering > FilterInput { display: block; }
    TablePane:focus-within > .caption { color: $foreground; }
    """
    TABLE: ClassVar[type[LiveTable]] = LiveTable
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", id="table.filter"),
        Binding("y", "copy", "Copy row", show=False, id="table.copy"),
        Binding("Y", "copy_all", "Copy table", show=False, id="table.copy-all"),
    ]

    def __init__(
        self, title: str, spec: TableSpec, *, view: View | None = None, markable: bool = False, empty: str = "", id: str | None = None
    ) -> None:
        super().__init__(id=id)
        self.title = title
        self.table = self.TABLE(spec, view=view, markable=markable, empty=empty)
        self.remark = ""
        self._said = ""

    def compose(self) -> ComposeResult:
        yield Static(classes="caption")
        yield self.table
        yield FilterInput(
            value=self.table.model.view.filter, placeholder=filtering.HELP, max_length=filtering.LIMIT, compact=True, select_on_focus=False
        )

    def on_mount(self) -> None:
        self.show_filter(bool(self.table.model.view.filter))
        self.caption()

    def setup(self, title: str, spec: TableSpec, view: View | None = None) -> None:
        """Show another kind of table."""
        self.title = title
        self.table.setup(spec, view)
        self.query_one(FilterInput).value = self.table.model.view.filter
        self.show_filter(bool(self.table.model.view.filter))
        self.caption()

    def say_empty(self, words: str) -> None:
        """What stands in the table as long as it has no rows."""
        if words != self.table.empty:
            self.table.empty = words
            self.table.refresh()

    def caption(self) -> None:
        """Say what is shown: how many rows of how many, in which order, how many marked."""
        model, view = self.table.model, self.table.model.view
        shown, all_rows = len(model.shown), len(model.rows)
        parts = [fmt.plural(all_rows, "row") if shown == all_rows else f"{shown:,} of {fmt.plural(all_rows, 'row')} (filtered)"]
        if not all_rows:
            parts = []
        if view.sort:
            parts.append(f"by {view.sort.replace('_', ' ')} {'▼' if view.descending else '▲'}")
        if model.marked:
            parts.append(f"{model.marked} marked")
        if self.remark:
            parts.append(self.remark)
        column = model.column_index(view.column)
        if column is not None and self.table.has_focus and model.columns[column].help:
            parts.append(f"{model.columns[column].name}: {model.columns[column].help}")
        text_after = " · ".join(parts)
        if (self.title + text_after) != self._said and self.is_attached:
            self._said = self.title + text_after
            text = Text(no_wrap=True, overflow="ellipsis")
            text.append(self.title, "bold")
            text.append(f"  {text_after}")
            self.query_one(".caption", Static).update(text)

    def show_filter(self, shown: bool) -> None:
        self.set_class(shown, "-filtering")

    def action_filter(self) -> None:
        self.show_filter(True)
        self.query_one(FilterInput).focus()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if event.value != self.table.model.view.filter:
            # From the table's own queue: a message that its parent's handler makes it post would not bubble past that parent.
            self.table.call_later(self.table.look, filter=event.value)

    @on(LiveTable.Looked)
    def _looked(self) -> None:
        self.caption()

    def on_descendant_focus(self) -> None:
        self.caption()

    def action_copy(self) -> None:
        """The rows marked, or the one under the cursor, as tab-separated text by OSC 52."""
        keys = self.table.marked_or_cursor()
        if keys:
            self._copy([self.table.model.rows[key] for key in keys])

    def action_copy_all(self) -> None:
        self._copy(list(self.table.model.visible_rows()))

    def _copy(self, rows: list[tuple[object, ...]]) -> None:
        names = [column.name for column in self.table.model.columns]
        lines = ["\t".join(names)] + ["\t".join("" if cell is None else fmt.clean(cell) for cell in row) for row in rows]
        self.app.copy_to_clipboard("\n".join(lines))
        self.notify(f"{fmt.plural(len(rows), 'row')} copied (if your terminal takes OSC 52)", timeout=3)
