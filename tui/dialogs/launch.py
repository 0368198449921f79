"""Launch: the last look before a run starts: its name, device, whole or smoke; what is wrong with it, if anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input

from engine.errors import SubpopError
from engine.printable import name_of
from tui.dialogs.starting import StartDialog
from tui.presenters import format as fmt
from tui.services import devices
from tui.widgets.choice import Choice
from tui.widgets.plain import Label, Static

if TYPE_CHECKING:
    from engine.scenario.sections import Scenario

WHOLE, SMOKE = "whole", "smoke"


class LaunchDialog(StartDialog):
    """Starts a run of a scenario's text, of all its subpopulations or `only` some. Gives the run's id, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "launch", "Launch", id="launch.go", priority=True),
        Binding("tab", "app.focus_next", "Next field", id="launch.field"),
        Binding("escape", "cancel", "Cancel", id="launch.cancel"),
    ]

    def __init__(
        self, text: str, name: str, *, cost: str = "", only: Sequence[int] = (), folder: Path | None = None, stored: bool = False
    ) -> None:
        """stored: the text is a run's, which may be of an older version's writing."""
        super().__init__()
        self.text, self.run_name, self.cost, self.only, self.folder = text, name_of(name), cost, tuple(only), folder
        self.stored = stored
        self.notes: list[str] = []  # of the engine's, of what the scenario calls itself

    def body(self) -> ComposeResult:
        if not self.only:
            with Horizontal(classes="row"):
                yield Label("Run", classes="label")
                yield Choice((WHOLE, SMOKE), WHOLE, id="extent")
        with Horizontal(classes="row"):
            yield Label("Device", classes="label")
            offered = ("auto", "cpu", "cuda") if devices.has_gpu() else ("auto", "cpu")
            last = self.host.settings.get("device", "auto")
            yield Choice(offered, last if last in offered else "auto", id="device")
        with Horizontal(classes="row"):
            yield Label("Name", classes="label")
            yield Input(self.run_name, max_length=60, compact=True, select_on_focus=False)
        yield Static("", id="verdict", classes="said")

    def on_mount(self) -> None:
        self.head(f"Launch {self.run_name}")
        self.query(Choice).first().focus()
        self._check()

    @on(Choice.Changed)
    def _check(self) -> None:
        """Validate as it would be run, by the engine's own rules."""
        from engine.scenario.parse import parse

        device = self.query_one("#device", Choice).value
        extent = self.query("#extent").first(Choice).value if not self.only else WHOLE
        overrides = [f"compute.device={device}"]
        if self.only:
            overrides.append(f"subpopulations.only={list(self.only)}")
        self.scenario = None
        self.notes.clear()
        try:
            found = parse(
                self.text,
                where=self.run_name,
                overrides=overrides,
                smoke=extent == SMOKE,
                folder=self.folder,
                say=self.notes.append,
                stored=self.stored,
            )
        except SubpopError as error:
            self._say(f"✗ {error}", good=False)
            return
        here, detail = self._data(found)
        if not here:
            self._say(f"✗ its data are not here: {detail}\nesc, then d in the plan gets them", good=False)
            return
        self.scenario = found
        self._say(self._what(found, extent), good=True)

    def _data(self, found: Scenario) -> tuple[bool, str]:
        from engine import datasets

        try:
            state = datasets.state(found.dataset, self.host.data_dir)
        except SubpopError as error:
            return False, str(error)
        return state.here, state.detail

    def _what(self, found: Scenario, extent: str) -> str:
        whom = f"{fmt.plural(len(self.only), 'marked subpopulation')}" if self.only else "all chosen subpopulations"
        alphas = ", ".join(f"{alpha:g}" for alpha in found.attack.alphas)
        lines = [f"✓ {found.attack.kind} on {whom}, alpha {alphas}, {fmt.plural(found.evaluation.trials, 'trial')}"]
        if extent == SMOKE:
            lines.append("! smoke: the same way on a sliver of the data, for trying it out; its numbers mean little")
        elif self.cost and not self.only:
            lines.append(f"takes {self.cost}")
        lines += [f"! {fmt.clean(note)}" for note in self.notes]
        if missing := self._weights(found):
            lines.append(f"! its weights are not here: {missing}. They are fetched where the network allows; else e, Weights random")
        lines.append("It goes on when the app is closed.")
        return "\n".join(lines)

    def _weights(self, found: Scenario) -> str:
        """What is missing of the weights that its network starts from; "" where nothing is."""
        from engine.scenario import weights as weights_place
        from engine.scenario.sections import NetworkKeys

        if not isinstance(found.model, NetworkKeys):
            return ""
        state = weights_place.state(found.model.model_dump(), folder=self.folder)
        return "" if state.here else state.detail

    def action_launch(self) -> None:
        found, store = self.scenario, self.host.store
        if found is None or store is None or self.starting:
            return
        from engine.runs import start as engine_run

        device = self.query_one("#device", Choice).value
        self.host.settings.put("device", device)
        name, data_dir = self.query_one(Input).value.strip() or self.run_name, self.host.given_data_dir
        self.start(lambda: engine_run.start(store, found, name=name, data_dir=data_dir))
