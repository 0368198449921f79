"""One line of a form: label, field, and beside it the beginning of its help or what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widget import Widget

from tui.presenters.fields import Field
from tui.widgets.choice import Choice
from tui.widgets.line import Complete, Line
from tui.widgets.plain import Label, Static


class FieldRow(Horizontal):
    DEFAULT_CSS = """
    FieldRow { height: auto; min-height: 1; }
    FieldRow > .label { width: 14; color: $foreground-muted; padding: 0 1; }
    FieldRow > .field { width: 3fr; }
    FieldRow > .note { width: 2fr; height: 1; padding: 0 1; color: $foreground-muted; text-wrap: nowrap; text-overflow: ellipsis; }
    FieldRow:focus-within > .label { color: $foreground; text-style: bold; }
    FieldRow.-wrong > .note { color: $text-error; height: auto; text-wrap: wrap; }
    FieldRow.-wrong > .label { color: $text-error; }
    FieldRow.-wrong > Line { color: $text-error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "list", "List", tooltip="All choices, each with a line", id="field.list")]

    @dataclass
    class Listed(Message):
        """All that the field may say is to be shown."""

        row: FieldRow

    def __init__(self, field: Field, value: str, *, shown: bool = True) -> None:
        """shown: whether the field matters yet. Most fields of a form never do, so the widgets of a row are made when it first appears."""
        super().__init__()
        self.field, self.value = field, value
        self.wrong = ""
        self._complete: Complete | None = None
        self.display = shown

    def compose(self) -> ComposeResult:
        if self.display:
            yield from self._widgets()

    def _widgets(self) -> list[Widget]:
        if self.field.takes == "choice":
            field: Widget = Choice(self.field.options, self.value or self.field.default_text or "?", classes="field")
        else:
            field = Line(self.value, self.field.default_text, classes="field")
        return [Label(self.field.label, classes="label"), field, Static(self._note, classes="note")]

    @property
    def _note(self) -> str:
        return f"✗ {self.wrong}" if self.wrong else self.field.help

    def on_mount(self) -> None:
        self._completes()

    def appear(self, shown: bool) -> None:
        """Show or hide the row."""
        if shown and not self.children:
            self.mount_all(self._widgets())
            self._completes()
        self.display = shown

    def completes(self, complete: Complete | None) -> None:
        """What else its text may become, beside what the field itself suggests."""
        self._complete = complete
        self._completes()

    def _completes(self) -> None:
        known, more = self.field.suggests, self._complete

        async def complete(text: str) -> Sequence[str]:
            return [*(name for name in known if name.startswith(text)), *(await more(text) if more else ())]

        for line in self.query(Line):
            line.completes(complete if known or more else None, listed=self.field.takes == "texts")

    def become(self, field: Field) -> None:
        """The same key as another kind has it: its label, help and default may be others."""
        if field == self.field:
            return
        self.field = field
        for label in self.query(Label):
            label.update(field.label)
        for choice in self.query(Choice):
            choice.options = field.options
            choice.refresh()
        for line in self.query(Line):
            line.placeholder = field.default_text
        self._completes()
        self._say_note()

    def _say_note(self) -> None:
        for note in self.query(".note").results(Static):
            note.update(self._note)

    def focus_field(self) -> None:
        self.query(".field").first().focus()

    def set_value(self, value: str) -> None:
        self.value = value
        for choice in self.query(Choice):
            choice.value = value or self.field.default_text or "?"
        for line in self.query(Line):
            line.value = value

    def complain(self, what: str) -> None:
        """Say what is wrong with the field; "" where nothing is."""
        if what != self.wrong:
            self.wrong = what
            self.set_class(bool(what), "-wrong")
            self._say_note()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.field.takes == "choice" or self.field.names == "columns" if action == "list" else True

    def action_list(self) -> None:
        self.post_message(self.Listed(self))

    def on_input_submitted(self) -> None:  # an Input has a use for enter of its own, which comes first
        if self.check_action("list", ()):
            self.action_list()
