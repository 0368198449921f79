"""Getting about in the form: from section to section, to a field by its name, to the list of what a field may say. Mixed into it."""

from __future__ import annotations

from collections.abc import Mapping

from tui.dialogs.choose import ChooseDialog
from tui.presenters.form import Question
from tui.screens.form_data import FormData
from tui.widgets.choice import Choice
from tui.widgets.field_row import FieldRow
from tui.widgets.line import Line


class FormJumps(FormData):
    sections: Mapping[str, tuple[Question, ...]]
    row: FieldRow | None

    def action_section(self, by: int) -> None:
        """To the first field of the next section, or of the one before."""
        keys = [[one.key for one in members if self.rows[one.key].display] for members in self.sections.values()]
        keys = [members for members in keys if members]
        current_key = self.row.field.key if self.row else None
        at = next((i for i, members in enumerate(keys) if current_key in members), 0)
        to = max(0, min(at + by, len(keys) - 1))
        if by < 0 and current_key != keys[at][0]:
            to = at  # first to the top of its own
        self._go(keys[to][0])

    def action_go_to(self) -> None:
        """To a section or a field by its name."""
        rows, to = [], {}
        for section, members in self.sections.items():
            shown = [self.rows[one.key].field for one in members if self.rows[one.key].display]
            if shown:
                rows.append((f"[{section}]", f"section of {len(shown)} fields"))
                to[f"[{section}]"] = shown[0].key
        for field in (row.field for row in self.rows.values() if row.display):
            rows.append((field.key, f"{field.label}: {field.help}" if field.help else field.label))
            to[field.key] = field.key

        def chosen(name: str | None) -> None:
            if name:
                self._go(to[name])

        current_key = self.row.field.key if self.row else ""
        section = next((name for name, members in self.sections.items() if any(one.key == current_key for one in members)), "")
        self.host.push_screen(ChooseDialog("Go to", rows, f"[{section}]"), chosen)

    def _go(self, key: str) -> None:
        self.rows[key].focus_field()
        self.rows[key].scroll_visible(animate=False)

    def on_field_row_listed(self, event: FieldRow.Listed) -> None:
        """All that a field may say, each with a line."""
        event.stop()
        row, field = event.row, event.row.field
        if field.takes == "choice":
            rows = [(option, field.on(option)) for option in field.options]
            current = row.query_one(Choice).value
        elif field.takes == "texts":
            self.action_columns()
            return
        else:
            columns = self.file.catalog.columns if self.file.catalog else ()
            rows = [(column.name, f"{column.read_as}, as {column.example}" if column.example else column.read_as) for column in columns]
            current = row.query_one(Line).value
        if not rows:
            self.notify("its columns are not known: is the path right?", severity="warning", timeout=4)
            return

        def chosen(name: str | None) -> None:
            if name is not None:
                row.set_value(name)

        self.host.push_screen(ChooseDialog(field.label, rows, current), chosen)
