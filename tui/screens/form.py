"""The scenario form: starts from a preset or a file, judged by the engine at every key, saved as TOML, launched from here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.events import DescendantFocus
from textual.timer import Timer
from textual.widgets import Input

from engine.drafting.looks import Draft
from tui.presenters import fields, form
from tui.presenters.edited import Edited
from tui.screens.base import ModeScreen
from tui.screens.form_jumps import FormJumps
from tui.screens.verdict import Verdict, help_line, help_of
from tui.services.file_columns import FileColumns
from tui.widgets.choice import Choice
from tui.widgets.detail import Detail
from tui.widgets.field_row import FieldRow
from tui.widgets.lines import Lines
from tui.widgets.plain import Static

if TYPE_CHECKING:
    from engine.scenario.sections import Scenario

WAIT_S = 0.12  # after the last key before the engine is asked
DRAFTS = 8  # remembered at most


class FormScreen(FormJumps, ModeScreen):
    """Fields that matter, in sections; beside them the whole help of the focused one, and the engine's verdict on the scenario."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+l", "launch", "Launch", id="form.launch"),
        Binding("ctrl+k", "columns", "Columns", tooltip="the file's columns, what each is used as", id="form.columns", priority=True),
        Binding("ctrl+g", "go_to", "Go to", tooltip="go to a field or a section by its name", id="form.go-to"),
        Binding("ctrl+s", "save", "Save", id="form.save"),
        Binding("escape", "back", "Back", id="form.back"),
        Binding("ctrl+o", "preview", "Subpopulations", id="form.preview"),
        # before the scrolling container, which has a use for them too
        Binding("pagedown", "section(1)", "Section", tooltip="next section", id="form.next-section", priority=True),
        Binding("pageup", "section(-1)", "Section before", show=False, id="form.section-before", priority=True),
        Binding("ctrl+r", "revert", "Start anew", id="form.revert"),
        Binding("down,ctrl+n", "app.focus_next", "Next field", show=False, id="form.next"),
        Binding("up", "app.focus_previous", "Field before", show=False, id="form.before"),
    ]  # fmt: skip

    def __init__(
        self,
        text: str,
        name: str,
        *,
        path: Path | None = None,
        home: Path | None = None,
        cost: str = "",
        drafted: Draft | None = None,
        file: FileColumns | None = None,
    ) -> None:
        """path: of the scenario's own file. home: where relative paths are seen from, where it has none yet. cost: what a preset says.

        drafted: what the text was made of, with `file`, which knows its columns; the form then begins with these.
        """
        super().__init__()
        from engine.scenario.parse import schema

        self.sections = form.sections(schema())
        questions = {one.key: one for members in self.sections.values() for one in members}
        self.edited = Edited(text, name, questions, path=path, home=home)
        self.cost, self.drafted = cost, drafted
        self.start_with(file or FileColumns())
        self.timer: Timer | None = None
        self.row: FieldRow | None = None  # the focused field's

    def body(self) -> ComposeResult:
        remembered = self.host.settings.get("drafts", {}).get(self.remembered_as)
        if isinstance(remembered, str):
            self.edited.take_up(remembered)
        values = self.edited.values
        with Horizontal(classes="body"):
            with VerticalScroll(id="fields", can_focus=False):
                for section, members in self.sections.items():
                    yield Static(section, classes="section")
                    for one in members:
                        shown_field = one.field_in(values) or one.foreign
                        text = fields.to_text(self.edited.get(one.key), shown_field.takes)
                        yield FieldRow(shown_field, text, shown=one.matters_in(values))
            with VerticalScroll(classes="beside", can_focus=False):
                yield Detail(id="field-help")
                yield Detail(id="verdict-of-all")
        yield Static("", id="field-words")
        yield Lines(id="form-verdict")

    def on_mount(self) -> None:
        self.rows = {row.field.key: row for row in self.query(FieldRow)}
        self.complete_names()
        self._show_what_matters()
        self.rows["dataset.kind"].focus_field()
        self.judge()
        if self.drafted is not None and self.drafted.catalog is not None:
            self.call_after_refresh(self.action_columns)

    @property
    def remembered_as(self) -> str:
        """Under which name its draft is kept: a preset's, a scenario's file, or the file of data that it was made for."""
        path = self.edited.path or (Path(self.drafted.path) if self.drafted else None)
        return str(path.absolute()) if path else self.edited.name

    # ---- from fields to a scenario ----

    @on(Input.Changed)
    @on(Choice.Changed)
    def _changed(self, event: Input.Changed | Choice.Changed) -> None:
        event.stop()
        field = event.control.query_ancestor(FieldRow).field
        for key in self.edited.say(field.key, fields.to_value(event.value, field)):
            if key in self.rows:
                self._set(self.rows[key])
        if isinstance(event, Choice.Changed):
            self._show_what_matters()
            self.show_help()
        if self.timer is not None:
            self.timer.stop()
        self.timer = self.set_timer(WAIT_S, self.judge)

    def _set(self, row: FieldRow) -> None:
        """Put the scenario's value into a row without a Changed message."""
        with self.prevent(Input.Changed, Choice.Changed):
            row.set_value(fields.to_text(self.edited.get(row.field.key), row.field.takes))

    def show_values(self) -> None:
        """Show every value of the scenario, after it was changed from elsewhere."""
        self._show_what_matters()
        for row in self.rows.values():
            self._set(row)
        self.judge()

    def _show_what_matters(self) -> None:
        for key, row in self.rows.items():
            question = self.edited.questions[key]
            row.become(question.field_in(self.edited.values) or question.foreign)
            row.appear(question.matters_in(self.edited.values))

    def judge(self) -> None:
        """Ask the engine; put each of its complaints beside its field."""
        self.judged = self.edited.judge()
        for key in self.judged.words:
            self._set(self.rows[key])
        for key in self.judged.complaints:
            self.rows[key].appear(True)  # what has no meaning here but is set can only be put right where it is seen
        self._remember()
        self.say()
        self.look()

    def say(self) -> None:
        """Show what is known so far."""
        if not self.is_mounted or not self.is_attached:
            return
        verdict = self.verdict
        for key, row in self.rows.items():
            row.complain(verdict.wrong.get(key, ""))
        self.query_one("#form-verdict", Lines).show([Text(verdict.line, style="bold")])
        title = f"{self.edited.name}{' (changed)' if self.edited.changed else ''}"
        self.query_one("#verdict-of-all", Detail).show(title, verdict.facts(self.edited))
        self.show_help()
        self.refresh_bindings()
        self.say_to_columns()

    @property
    def scenario(self) -> Scenario | None:
        """As the engine parsed it; None where it is invalid."""
        return self.judged.scenario if hasattr(self, "judged") else None

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.judged, {**self.wrong_of_data, **self.judged.complaints}, self.others, self.looked, self.about_data)

    # ---- the focused field ----

    @on(DescendantFocus)
    def _on_another_field(self, event: DescendantFocus) -> None:
        self.row = next((node for node in event.widget.ancestors if isinstance(node, FieldRow)), None)
        self.show_help()

    def show_help(self) -> None:
        """Show the whole help of the focused field."""
        if self.row is None or not self.is_mounted:
            return
        field, wrong = self.row.field, self.row.wrong
        chosen = next((choice.value for choice in self.row.query(Choice)), "")
        self.query_one("#field-help", Detail).show(f"{field.label}  {field.key}", help_of(field, chosen, wrong))
        self.query_one("#field-words", Static).update(help_line(field, chosen, wrong))

    # ---- remembering ----

    def _remember(self) -> None:
        """Keep the draft as long as it differs from what it started from."""
        drafts = dict(self.host.settings.get("drafts", {}))
        drafts.pop(self.remembered_as, None)
        if self.edited.changed:
            drafts[self.remembered_as] = self.edited.text()
        self.host.settings.put("drafts", dict(list(drafts.items())[-DRAFTS:]))

    # ---- what can be done ----

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if not hasattr(self, "rows"):
            return action == "back"
        if action in ("launch", "preview"):
            return self.verdict.good
        if action == "columns":
            return self.file.catalog is not None or self.file.reading
        return self.edited.changed if action == "revert" else True

    def action_launch(self) -> None:
        from tui.dialogs.launch import LaunchDialog

        def launched(run_id: str | None) -> None:
            if run_id:
                self.dismiss(None)
                self.host.show_run(run_id)

        edited = self.edited
        preset_cost = "" if edited.changed else self.cost
        dialog = LaunchDialog(edited.text(), edited.run_called(), cost=preset_cost, folder=edited.folder, groups=self.groups)
        self.host.push_screen(dialog, launched)

    def action_preview(self) -> None:
        self.host.preview(self.edited.text(), self.edited.run_called(), self.edited.folder)

    def action_revert(self) -> None:
        """Back to what it was opened with."""
        self.edited.revert()
        self.show_values()

    def action_save(self) -> None:
        from tui.dialogs.ask_path import AskPath

        edited = self.edited
        default = str(edited.path or (edited.folder or Path()) / f"{edited.name}.toml")

        def named(path: str | None) -> None:
            if path:
                self._save(Path(path).expanduser().absolute())

        self.host.push_screen(AskPath("Save the scenario", "TOML file", default, must_exist=False), named)

    def _save(self, path: Path) -> None:
        self.edited.move_to(path)
        try:
            path.write_text(self.edited.text(), encoding="utf-8")
        except OSError as error:
            self.notify(f"{path}: {error}", severity="error", timeout=10)
            return
        self.host.settings.put("scenario_path", str(path))
        self.notify(f"saved to {path}; `subpop run {path}` runs it", timeout=6)
        self.show_values()

    def action_back(self) -> None:
        self.dismiss(None)
