"""One line of a form: label, field, and beside it its help or what is wrong with it."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.suggester import SuggestFromList
from textual.widgets import Input

from tui.presenters.form import Field, to_text
from tui.widgets.choice import Choice
from tui.widgets.plain import Label, Static

LIMIT = 1000  # characters of one field, however much is pasted


class FieldRow(Horizontal):
    DEFAULT_CSS = """
    FieldRow { height: auto; min-height: 1; }
    FieldRow > .label { width: 14; color: $foreground-muted; padding: 0 1; }
    FieldRow > .field { width: 3fr; }
    FieldRow > .note { width: 2fr; height: 1; padding: 0 1; color: $foreground-muted; text-wrap: nowrap; text-overflow: ellipsis; }
    FieldRow:focus-within > .label { color: $foreground; text-style: bold; }
    FieldRow:focus-within > .note { color: $foreground-muted; height: auto; text-wrap: wrap; }
    FieldRow.-wrong > .note { color: $text-error; height: auto; text-wrap: wrap; }
    FieldRow.-wrong > .label { color: $text-error; }
    """

    def __init__(self, field: Field, value: str) -> None:
        super().__init__()
        self.field, self.value = field, value
        self._said = ""

    @property
    def default(self) -> str:
        return to_text(self.field.default, self.field.takes)

    def compose(self) -> ComposeResult:
        yield Label(self.field.label, classes="label")
        if self.field.takes == "choice":
            choice = Choice(self.field.options, self.value or self.default or "?")
            choice.add_class("field")
            yield choice
        else:
            line = Input(
                self.value, placeholder=self.default, max_length=LIMIT, compact=True, select_on_focus=False, suggester=self._known()
            )
            line.add_class("field")
            yield line
        yield Static(self.field.help, classes="note")

    def _known(self) -> SuggestFromList | None:
        return SuggestFromList(self.field.suggests) if self.field.suggests else None

    def become(self, field: Field) -> None:
        """The same key as another kind has it: its label, help and default may be others."""
        if field == self.field:
            return
        self.field = field
        self.query_one(".label", Label).update(field.label)
        for choice in self.query(Choice):
            choice.options = field.options
            choice.refresh()
        for line in self.query(Input):
            line.placeholder, line.suggester = self.default, self._known()
        if not self._said:
            self.query_one(".note", Static).update(field.help)

    def focus_field(self) -> None:
        self.query(".field").first().focus()

    def set_value(self, value: str) -> None:
        for choice in self.query(Choice):
            choice.value = value or self.default or "?"
        for line in self.query(Input):
            line.value = value

    def complain(self, what: str) -> None:
        """Say what is wrong with the field; "" where nothing is."""
        if what != self._said:
            self._said = what
            self.set_class(bool(what), "-wrong")
            self.query_one(".note", Static).update(f"✗ {what}" if what else self.field.help)
