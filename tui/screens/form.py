"""The scenario form: starts from a preset or a file, judged by the engine at every key, saved as TOML, launched from here."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.timer import Timer
from textual.widgets import Input

from engine.errors import RequestError, ScenarioError, SubpopError
from tui.presenters import form as fields
from tui.screens.base import ModeScreen
from tui.widgets.choice import Choice
from tui.widgets.detail import Detail, Fact
from tui.widgets.field_row import FieldRow
from tui.widgets.lines import Lines
from tui.widgets.plain import Static

if TYPE_CHECKING:
    from engine.scenario.sections import Scenario

WORDS = ("title", "reproduces")
WAIT_S = 0.12  # after the last key before the engine is asked
DRAFTS = 8  # remembered at most


class FormScreen(ModeScreen):
    """Fields that matter, in sections; what the engine says of each beside it; all of it, and the data's state, at the right.

    The text that it was opened with is kept as a tree; `[smoke]`, which has no field, stays as it is. Where a kind is turned to another,
    what the new one has no use for is taken out, and is back when it is turned back.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+l", "launch", "Launch", id="form.launch"),
        Binding("ctrl+s", "save", "Save", id="form.save"),
        Binding("ctrl+o", "preview", "Subpopulations", id="form.preview"),
        Binding("ctrl+r", "revert", "Start anew", id="form.revert"),
        Binding("escape", "back", "Back", id="form.back"),
        Binding("down,ctrl+n", "app.focus_next", "Next field", show=False, id="form.next"),
        Binding("up", "app.focus_previous", "Field before", show=False, id="form.before"),
        Binding("pagedown", "section(1)", "Next section", show=False, id="form.next-section"),
        Binding("pageup", "section(-1)", "Section before", show=False, id="form.section-before"),
    ]

    def __init__(self, text: str, name: str, *, path: Path | None = None) -> None:
        super().__init__()
        from engine.scenario.parse import schema

        self.original, self.scenario_name, self.path = text, name, path
        self.sections = fields.sections(schema())
        self.asked = {one.key: one for members in self.sections.values() for one in members}
        self.scenario: Scenario | None = None
        self.timer: Timer | None = None
        self.broken = ""
        self.values: dict[str, Any] = {}
        self.notes: list[str] = []
        self.turned: dict[str, str] = {}  # key of a kind -> what went when it was turned, in words
        self.put_aside: dict[tuple[str, str], dict[str, Any]] = {}  # (key of a kind, a kind) -> what went with it, by key
        self.put_by: dict[str, tuple[str | None, Any]] = {}  # key of WORDS -> what stands there now, and what it was

    def body(self) -> ComposeResult:
        draft = self.host.settings.get("drafts", {}).get(self.scenario_name)
        self.values = self._read(draft if isinstance(draft, str) else self.original)
        with Horizontal(classes="body"):
            with VerticalScroll(id="fields", can_focus=False):
                for section, members in self.sections.items():
                    yield Static(section, classes="section")
                    for one in members:
                        own = one.field_in(self.values) or one.foreign
                        yield FieldRow(own, fields.to_text(fields.get(self.values, one.key), own.takes))
            with VerticalScroll(classes="beside", can_focus=False):
                yield Detail(id="verdict-of-all")
        yield Lines(id="form-verdict")

    def _read(self, text: str) -> dict[str, Any]:
        try:
            return tomllib.loads(text)
        except ValueError as error:
            self.broken = f"this is not TOML ({error}); the form starts blank"
            return {}

    def on_mount(self) -> None:
        self._show_what_matters()
        first = next(row for row in self.query(FieldRow) if row.field.key == "dataset.kind")
        first.focus_field()
        self._judge()

    # ---- from fields to a scenario ----

    @on(Input.Changed)
    @on(Choice.Changed)
    def _changed(self, event: Input.Changed | Choice.Changed) -> None:
        event.stop()
        field = event.control.query_ancestor(FieldRow).field
        value = fields.to_value(event.value, field)
        if field.key.endswith(".kind"):
            self._turn(field.key, value)
        else:
            fields.put(self.values, field.key, value)
        if isinstance(event, Choice.Changed):
            self._show_what_matters()
        if self.timer is not None:
            self.timer.stop()
        self.timer = self.set_timer(WAIT_S, self._judge)

    def _turn(self, key: str, kind: str | None) -> None:
        """Another kind of a section (None: no such section). What the new kind has no use for goes; what went from it before is back."""
        was = str(fields.get(self.values, key) or self.asked[key].first.default or "")
        if was == str(kind or self.asked[key].first.default or ""):
            return
        gone = fields.turned(self.values, key, kind, self.asked)
        back = self.put_aside.pop((key, kind or ""), {})
        self.put_aside[key, was] = gone
        for each, value in back.items():
            if fields.get(self.values, each) is None:
                fields.put(self.values, each, value)
        section = key.removesuffix(".kind")
        names = [name.removeprefix(f"{section}.") for name in gone if name.startswith(f"{section}.") and kind is not None]
        self.turned[key] = f'{key} is now "{kind}", which has no {", ".join(names)}: taken out of [{section}]' if names else ""
        rows = {row.field.key: row for row in self.query(FieldRow)}
        for each in {*gone, *back} & rows.keys():
            self._set(rows[each])

    def _set(self, row: FieldRow) -> None:
        """What the tree says, into a row, without being told that it changed."""
        with self.prevent(Input.Changed, Choice.Changed):
            row.set_value(fields.to_text(fields.get(self.values, row.field.key), row.field.takes))

    def _show_what_matters(self) -> None:
        for row in self.query(FieldRow):
            asked = self.asked[row.field.key]
            row.become(asked.field_in(self.values) or asked.foreign)
            row.display = asked.matters_in(self.values)

    def text(self) -> str:
        """The scenario as TOML: what is said in the form, and what it came with."""
        from engine.scenario import toml as toml_text

        tree = {name: value for name, value in self.values.items() if value != {}}
        return toml_text.write(tree)

    def _judge(self) -> None:
        """Ask the engine; put each of its complaints beside its field."""
        from engine.scenario.parse import parse

        rows = {row.field.key: row for row in self.query(FieldRow)}
        complaints: dict[str, str] = {}
        others: list[str] = []
        self.scenario = None
        self.notes.clear()
        # What nobody has written over since goes back; the engine takes it out again where it must.
        back = {key: own for key, (said, own) in self.put_by.items() if fields.get(self.values, key) == said}
        for key, own in back.items():
            fields.put(self.values, key, own)
        try:
            folder = self.path.parent if self.path else None
            self.scenario = parse(self.text(), where=self.scenario_name, folder=folder, say=self.notes.append)
        except ScenarioError as error:
            for mistake in error.mistakes:
                key = next(
                    (k for k in sorted(rows, key=len, reverse=True) if mistake.key == k or mistake.key.startswith((f"{k}.", f"{k}["))), ""
                )
                if key and key not in complaints:
                    complaints[key] = mistake.what
                    rows[key].display = True  # what has no meaning here but is set can only be put right where it is seen
                else:
                    others.append(f"{mistake.key}: {mistake.what}" if mistake.key else mistake.what)
        except SubpopError as error:
            others.append(str(error))
        self._words(self.scenario, back)
        for key, row in rows.items():
            row.complain(complaints.get(key, ""))
        self._say(complaints, others)
        self._remember()
        self.refresh_bindings()

    def _words(self, found: Scenario | None, back: Mapping[str, Any]) -> None:
        """Title and claim as the engine leaves them: what is of another system goes, and comes back where the form is turned back."""
        self.put_by.clear()
        for key in WORDS if found is not None else ():
            said, own = getattr(found, key), fields.get(self.values, key)
            if said != own:
                self.put_by[key] = (said, own)
                fields.put(self.values, key, said)
        for row in self.query(FieldRow):
            if row.field.key in {*back, *self.put_by}:
                self._set(row)

    def _say(self, complaints: dict[str, str], others: list[str]) -> None:
        facts = [Fact("", f"! {self.broken}", "warn")] if self.broken else []
        if self.scenario is not None:
            facts.append(Fact("", "✓ valid: ctrl+l launches it", "good"))
            facts += [Fact("", f"! {note}", "warn") for note in (*filter(None, self.turned.values()), *self.notes)]
            facts += self._data_facts(self.scenario)
        else:
            count = len(complaints) + len(others)
            facts.append(Fact("", f"✗ {count} thing{'s' if count != 1 else ''} to put right", "bad"))
            facts += [Fact("", f"{key}: {what}") for key, what in complaints.items()]
            facts += [Fact("", what) for what in others]
        first = next(fact for fact in facts if fact.value)
        self.query_one("#form-verdict", Lines).show([Text(" · ".join([first.value, *others[:1]]), style="bold")])
        facts.append(Fact("As TOML"))
        facts += [Fact("", line, "code") for line in self.text().strip().splitlines()]
        self.query_one(Detail).show(f"{self.scenario_name}{' (changed)' if self.changed else ''}", facts)

    def _data_facts(self, found: Scenario) -> list[Fact]:
        from engine import datasets
        from engine.scenario import weights as weights_place
        from engine.scenario.sections import NetworkKeys

        try:
            state = datasets.state(found.dataset, self.host.data_dir)
        except RequestError as error:
            return [Fact("Data", f"✗ {error}", "bad")]
        facts = [Fact("Data", ("✓ " if state.here else "✗ ") + state.detail, "good" if state.here else "warn")]
        model, folder = found.model, self.path.parent if self.path else None
        if isinstance(model, NetworkKeys) and model.weights != weights_place.RANDOM:
            held = weights_place.state(model.model_dump(), folder=folder)
            facts.append(Fact("Weights", ("✓ " if held.here else "✗ ") + held.detail, "good" if held.here else "warn"))
            if not held.here:
                facts.append(Fact("", "Weights random starts from nothing, and says so beside every number", "quiet"))
        return facts

    # ---- remembering ----

    @property
    def changed(self) -> bool:
        return self.values != self._original_tree()

    def _original_tree(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self.original)
        except ValueError:
            return {}

    def _remember(self) -> None:
        """Keep the draft as long as it differs from what it started from."""
        drafts = dict(self.host.settings.get("drafts", {}))
        drafts.pop(self.scenario_name, None)
        if self.changed:
            drafts[self.scenario_name] = self.text()
        self.host.settings.put("drafts", dict(list(drafts.items())[-DRAFTS:]))

    # ---- what can be done ----

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("launch", "preview"):
            return self.scenario is not None
        return self.changed if action == "revert" else True

    def action_launch(self) -> None:
        from tui.dialogs.launch import LaunchDialog

        def launched(run_id: str | None) -> None:
            if run_id:
                self.dismiss(None)
                self.host.show_run(run_id)

        self.host.push_screen(LaunchDialog(self.text(), self.run_called(), folder=self.path.parent if self.path else None), launched)

    def run_called(self) -> str:
        """What a run of it is called: after what the form was opened with, or after its data where it was turned to others."""
        from engine.scenario import naming

        return naming.run_name(self.scenario_name, self.original, tomllib.loads(self.text()))

    def action_preview(self) -> None:
        self.host.preview(self.text(), self.run_called(), self.path.parent if self.path else None)

    def action_revert(self) -> None:
        """Back to what it was opened with."""
        self.values = self._original_tree()
        self.turned.clear()
        self.put_aside.clear()
        for row in self.query(FieldRow):
            self._set(row)
        self._show_what_matters()
        self._judge()

    def action_save(self) -> None:
        from tui.dialogs.ask_path import AskPath

        default = str(self.path) if self.path else f"{self.scenario_name}.toml"

        def named(path: str | None) -> None:
            if path:
                self._save(Path(path).expanduser())

        self.host.push_screen(AskPath("Save the scenario", "TOML file", default, must_exist=False), named)

    def _save(self, path: Path) -> None:
        try:
            path.write_text(self.text(), encoding="utf-8")
        except OSError as error:
            self.notify(f"{path}: {error}", severity="error", timeout=10)
            return
        self.path = path.absolute()
        self.host.settings.put("scenario_path", str(self.path))
        self.notify(f"saved to {self.path}; `subpop run {path}` runs it", timeout=6)

    def action_section(self, by: int) -> None:
        """To the first field of the next section, or of the one before."""
        keys = [{one.key for one in members} for members in self.sections.values()]
        here = self.focused.query_ancestor(FieldRow).field.key if self.focused else None
        at = next((i for i, members in enumerate(keys) if here in members), 0)
        to = keys[max(0, min(at + by, len(keys) - 1))]
        for row in self.query(FieldRow):
            if row.field.key in to and row.display:
                row.focus_field()
                return

    def action_back(self) -> None:
        self.dismiss(None)
