"""Launch: the last look before a run starts: its name, device, whole or smoke; what is wrong with it, if anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input
from textual.worker import get_current_worker

from engine.errors import SubpopError
from engine.printable import name_of
from tui.dialogs.starting import StartDialog
from tui.presenters import format as fmt
from tui.presenters import launching
from tui.services import devices, places
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
        self,
        text: str,
        name: str,
        *,
        cost: str = "",
        only: Sequence[int] = (),
        folder: Path | None = None,
        stored: bool = False,
        groups: int | None = None,
    ) -> None:
        """cost: what a preset says of itself. stored: the text is a run's, which may be of an older version's writing.

        groups: how many subpopulations FeatureMatch may form at most, where that is known.
        """
        super().__init__()
        self.text, self.run_name, self.cost, self.only, self.folder = text, name_of(name), cost, tuple(only), folder
        self.stored, self.groups = stored, groups
        self.notes: list[str] = []  # of the engine's, of what the scenario calls itself
        self.verdict: Callable[[], str] | None = None  # the verdict, which may change as runs go on

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
        yield Static("", id="verdict", classes="message")

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
        self.scenario = self.verdict = None
        self.notes.clear()
        try:
            scenario = parse(
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
        self._say("looking for its data…", good=True)
        self._look(scenario, extent)

    @work(thread=True, exclusive=True, group="places", exit_on_error=False)
    def _look(self, scenario: Scenario, extent: str) -> None:
        worker = get_current_worker()
        try:
            located = places.places_of(scenario, self.host.data_dir, self.folder)
        except Exception as error:  # whatever it is, it must be said here
            located = places.Places(places.Presence(False, str(error)), None)
        total, counted = launching.victims(scenario, launching.most_subpopulations(scenario, self.groups))
        preset_cost = self.cost if extent == WHOLE and not self.only else ""
        price = f"victims  {counted}\ntakes    {launching.cost(scenario, total, self.host.runs, preset_cost)}"
        if not worker.is_cancelled and self.is_running:
            self.app.call_from_thread(self._looked, scenario, extent, located, price)

    def _looked(self, scenario: Scenario, extent: str, located: places.Places, price: str) -> None:
        if self.starting:
            return
        if not located.data.present:
            self._say(f"✗ its data are not here: {located.data.detail}\n{self._way_to_data(scenario)}", good=False)
            return
        self.scenario, self.verdict = scenario, lambda: self._what(scenario, extent, located, price)
        self._say(self.verdict(), good=True)

    def _way_to_data(self, scenario: Scenario) -> str:
        from engine.scenario.sections import FileKeys

        return "esc, then put its path right" if isinstance(scenario.dataset, FileKeys) else "esc, then d in the plan gets them"

    def on_store_moved(self) -> None:
        """The queue may be another."""
        if self.verdict is not None and self.scenario is not None and not self.starting:
            self._say(self.verdict(), good=True)

    def _what(self, scenario: Scenario, extent: str, located: places.Places, price: str) -> str:
        whom = f"{fmt.plural(len(self.only), 'marked subpopulation')}" if self.only else "all chosen subpopulations"
        alphas = ", ".join(f"{alpha:g}" for alpha in scenario.attack.alphas)
        lines = [f"✓ {scenario.attack.kind} on {whom}, alpha {alphas}, {fmt.plural(scenario.evaluation.trials, 'trial')}"]
        lines += [price, f"queue    {launching.queue(scenario.device, self.host.runs, devices.has_gpu())}"]
        if extent == SMOKE:
            lines.append("! smoke: the same way on a sliver of the data, for trying it out; its numbers mean little")
        lines += [f"! {fmt.clean(note)}" for note in self.notes]
        if located.weights is not None and not located.weights.present:
            lines.append(
                f"! its weights are not here: {located.weights.detail}. They are fetched where the network allows; else e, Weights random"
            )
        lines.append("It goes on when the app is closed.")
        return "\n".join(lines)

    def action_launch(self) -> None:
        scenario, store = self.scenario, self.host.store
        if scenario is None or store is None or self.starting:
            return
        from engine.runs import start as engine_run

        device = self.query_one("#device", Choice).value
        self.host.settings.put("device", device)
        name, data_dir = self.query_one(Input).value.strip() or self.run_name, self.host.given_data_dir
        self.start(lambda: engine_run.start(store, scenario, name=name, data_dir=data_dir))
