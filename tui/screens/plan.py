"""Plan: which preset, what it does, whether it can run here; launch it, change it, look at its subpopulations."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll

from engine.scenario.presets import Preset
from tui.messages import StoreMoved
from tui.presenters import format as fmt
from tui.presenters import presets
from tui.screens.base import ModeScreen
from tui.services import devices
from tui.widgets.detail import Detail, Fact
from tui.widgets.table.live import LiveTable
from tui.widgets.table.pane import TablePane


class PlanScreen(ModeScreen):
    """The list of presets, and what the one under the cursor says of itself."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "launch", "Launch", id="plan.launch"),
        Binding("e", "edit", "Edit", id="plan.edit"),
        Binding("p", "preview", "Subpopulations", id="plan.preview"),
        Binding("d", "fetch", "Get data", id="plan.fetch"),
        Binding("o", "open", "Open file", id="plan.open"),
        Binding("r", "reload", "Reload", show=False, id="plan.reload"),
    ]

    def body(self) -> ComposeResult:
        settings = self.host.settings
        with Horizontal(classes="body"):
            yield TablePane(
                "Presets", presets.SPEC, view=settings.view("presets"), empty="no presets: this copy of subpop is incomplete", id="presets"
            )
            with VerticalScroll(classes="beside", can_focus=False):
                yield Detail(id="preset")

    def on_mount(self) -> None:
        self.listed: dict[str, presets.Listed] = {}
        self.table = self.query_one(LiveTable)
        self.table.focus()
        self.call_after_refresh(self._list)

    def on_screen_resume(self) -> None:
        if self.is_mounted and getattr(self, "listed", None):
            self._list()

    def action_reload(self) -> None:
        """Read the presets and the state of their data again, and say so: what is read may look as it did."""
        self._list()
        self.notify("presets and their data looked at again", timeout=2)

    def _list(self) -> None:
        self.listed = {item.preset.name: item for item in presets.listed(self.host.data_dir, self.host.settings.get("drafts", {}))}
        spec, rows = presets.table_of(self.listed.values())
        if spec is not self.table.spec:
            at = self.table.cursor_key
            self.table.setup(spec, self.table.model.view)
            self.table.load(rows)
            self.table.move_to(self.table.model.position.get(at or (), 0))
        elif self.table.model.rows:
            self.table.apply({(row[0],): row for row in rows}, [(row[0],) for row in rows])
        else:
            self.table.load(rows)
            last = self.host.settings.get("preset", "")
            if (last,) in self.table.model.position:
                self.table.move_to(self.table.model.position[(last,)])
        self.query_one(TablePane).caption()
        self._describe()

    @property
    def chosen(self) -> presets.Listed | None:
        key = self.table.cursor_key
        return self.listed.get(str(key[0])) if key else None

    @on(LiveTable.Highlighted)
    def _highlighted(self) -> None:
        self._describe()
        self.refresh_bindings()

    def on_store_moved(self, event: StoreMoved) -> None:
        self.say_state()

    def _describe(self) -> None:
        item = self.chosen
        if item is None:
            self.query_one(Detail).show("No preset", [Fact("", "nothing matches the filter; esc in it clears it")])
            return
        preset = item.preset
        facts = (
            [Fact("", "✎ you changed it in the form: e goes on with that; enter launches the preset as it ships", "warn")]
            if item.drafted
            else []
        )
        facts += [
            Fact("", presets.remarks(preset.path), "quiet"),
            Fact("Data", ("✓ " if item.data_present else "✗ ") + item.detail, "good" if item.data_present else "warn"),
        ]
        facts += [weights_fact(preset), Fact("Cost", f"{preset.cost or 'not said'}; here: {devices.machine()}")]
        facts += scenario_facts(presets.raw(preset.path))
        if preset.reproduces:
            facts += [Fact("Sets out to reproduce"), Fact("", preset.reproduces)]
            facts += [Fact(label, value, "code" if label else "quiet") for label, value in presets.published(preset.reproduces)]
        self.query_one(Detail).show(preset.title, facts)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "fetch":
            item = self.chosen if getattr(self, "listed", None) else None
            return bool(item and not item.data_present)
        return True

    # ---- what can be done ----

    @on(LiveTable.Chosen)
    def action_launch(self) -> None:
        if item := self.chosen:
            from tui.dialogs.launch import LaunchDialog

            self.host.settings.put("preset", item.preset.name)
            text = item.preset.path.read_text(encoding="utf-8")
            self.host.push_screen(LaunchDialog(text, item.preset.name, cost=item.preset.cost), self.host.show_run)

    def action_edit(self) -> None:
        if item := self.chosen:
            from tui.screens.form import FormScreen

            text = item.preset.path.read_text(encoding="utf-8")
            self.host.push_screen(FormScreen(text, item.preset.name, cost=item.preset.cost))

    def action_preview(self) -> None:
        if item := self.chosen:
            self.host.preview(item.preset.path.read_text(encoding="utf-8"), item.preset.name)

    def action_open(self) -> None:
        from tui.screens import opening

        opening.ask(self.host)

    def action_fetch(self) -> None:
        if item := self.chosen:
            from tui.dialogs.fetch import FetchDialog

            self.host.push_screen(FetchDialog(item.preset.dataset), lambda _: self._list())


def weights_fact(preset: Preset) -> Fact:
    """Whether what a network starts from is here, and what to do where it is not."""
    if preset.weights == "random":
        return Fact("Weights", preset.weights)
    state = preset.weights_state
    if state.present:
        return Fact("Weights", f"✓ {preset.weights}, {state.detail}", "good")
    return Fact("Weights", f"✗ {state.detail}. A run fetches them where the network allows; e and Weights random (model.weights=random) "
                "starts from nothing, and says so beside every number", "warn")  # fmt: skip


def scenario_facts(raw: dict[str, Any]) -> list[Fact]:
    """What a scenario's TOML states, section by section, as facts."""
    labels = {
        "dataset": "Dataset",
        "model": "Model",
        "subpopulations": "Subpops",
        "attack": "Attack",
        "adversary": "Adversary",
        "evaluation": "Evaluation",
        "compute": "Compute",
    }
    facts = []
    for section, label in labels.items():
        values = raw.get(section)
        if not isinstance(values, dict):
            continue
        kind = [str(values["kind"])] if "kind" in values else []
        rest = [f"{name.replace('_', ' ')} {_words(value)}" for name, value in values.items() if name != "kind"]
        facts.append(Fact(label, ", ".join(kind + rest)))
    return facts


def _words(value: object) -> str:
    if isinstance(value, list):
        return " ".join(_words(item) for item in value)
    if isinstance(value, float):
        return f"{value:g}"
    return fmt.cell(value)
