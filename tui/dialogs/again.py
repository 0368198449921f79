"""Attack again: some subpopulations of a run once more, with other trials or alphas, as a run of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input
from textual.worker import get_current_worker

from engine.errors import SubpopError
from engine.printable import name_of
from engine.rows import RunRow, VictimSpec
from tui.dialogs.starting import StartDialog
from tui.presenters import desk as desk_rows
from tui.presenters import format as fmt
from tui.presenters.again import cost
from tui.widgets.choice import Choice
from tui.widgets.plain import Label, Static

if TYPE_CHECKING:
    from engine.scenario.sections import Scenario

ALL, FRESH = "all trials", "fresh trials alone"
WHY = (
    "Who marks what looked worst and counts the trials that were looked at overstates its damage: part of what stood out was chance. "
    "Fresh trials had no part in the choice."
)


class AgainDialog(StartDialog):
    """Starts a run of `subpopulations` of a run. Gives the new run's id, or None. about: what they are, where it is one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "launch", "Attack", id="again.go", priority=True),
        Binding("tab,down", "app.focus_next", "Next field", id="again.field"),
        Binding("shift+tab,up", "app.focus_previous", "Field before", show=False, id="again.field-before"),
        Binding("escape", "cancel", "Cancel", id="again.cancel"),
    ]

    def __init__(self, run: RunRow, subpopulations: Sequence[int], about: str = "") -> None:
        super().__init__()
        self.run, self.subpopulations, self.about = run, tuple(sorted(subpopulations)), about
        self.trained: tuple[VictimSpec, ...] | None = None

    def body(self) -> ComposeResult:
        yield Static(self._which())
        with Horizontal(classes="row"):
            yield Label("Trials", classes="label")
            yield Input(max_length=9, compact=True, select_on_focus=False, id="trials")
        with Horizontal(classes="row"):
            yield Label("Alphas", classes="label")
            yield Input(max_length=200, compact=True, select_on_focus=False, id="alphas")
        with Horizontal(classes="row"):
            yield Label("Count", classes="label")
            yield Choice((FRESH, ALL), FRESH, id="fresh")
        yield Static(WHY, classes="message")
        with Horizontal(classes="row"):
            yield Label("Name", classes="label")
            yield Input(self._called(), max_length=60, compact=True, select_on_focus=False, id="name")
        yield Static("", id="verdict", classes="message")

    def _which(self) -> str:
        if len(self.subpopulations) == 1:
            return fmt.clean(f"Subpopulation {self.subpopulations[0]} of {self.run.name}" + (f": {self.about}" if self.about else ""))
        return f"{len(self.subpopulations)} marked subpopulations of {self.run.name}: {desk_rows.marked_words(self.subpopulations)}"

    def _called(self) -> str:
        return name_of(f"{self.run.name.removesuffix(' again')[:54]} again")

    def on_mount(self) -> None:
        from engine.scenario.parse import scenario_of

        self.head("Attack again")
        self.query_one("#trials", Input).focus()
        try:
            run_scenario = scenario_of(self.run)
        except SubpopError as error:
            self._say(f"✗ {error}", good=False)
            return
        with self.prevent(Input.Changed):
            self.query_one("#trials", Input).value = str(run_scenario.evaluation.trials)
            self.query_one("#alphas", Input).value = ", ".join(f"{alpha:g}" for alpha in run_scenario.attack.alphas)
        self.check()

    # ---- judged by the engine ----

    @on(Choice.Changed)
    @on(Input.Changed, "#trials")
    @on(Input.Changed, "#alphas")
    def check(self) -> None:
        """Ask the engine what it would be, off the screen's thread: it reads the run's plan."""
        self.scenario = None
        self.refresh_bindings()
        self._check(self._overrides(), self._fresh())

    def _overrides(self) -> list[str]:
        trials, alphas = (self.query_one(f"#{name}", Input).value.strip() for name in ("trials", "alphas"))
        return [f"evaluation.trials={trials}", f"attack.alphas=[{alphas.strip('[]')}]"]

    def _fresh(self) -> bool:
        return self.query_one("#fresh", Choice).value == FRESH

    @work(thread=True, exclusive=True, group="check", exit_on_error=False)
    def _check(self, overrides: list[str], fresh: bool) -> None:
        from engine import datasets
        from engine.runs import again

        worker, store = get_current_worker(), self.host.store
        if store is None:
            return
        good = True
        try:
            scenario = again.scenario_of(store, self.run.id, self.subpopulations, overrides, fresh=fresh)
            state = datasets.state(scenario.dataset, store.data_dir(self.run.id) or self.host.data_dir)
            if self.trained is None:
                done, plan = store.stacks_done(self.run.id), store.plan(self.run.id) or ()
                self.trained = tuple(spec for stack in plan if stack.index in done for spec in stack.victims)
            if state.present:
                message = self._what(scenario, self.trained)
            else:
                message, good = f"✗ its data are not here: {state.detail}", False
        except Exception as error:  # whatever it is, it must be said here
            scenario, message, good = None, f"✗ {error}", False
        if not worker.is_cancelled and self.is_running:
            self.app.call_from_thread(self._judged, scenario if good else None, message)

    def _what(self, scenario: Scenario, trained: Sequence[VictimSpec]) -> str:
        """What would be run, and what it costs."""
        evaluation, price = scenario.evaluation, cost(scenario, self.subpopulations, trained)
        numbers = evaluation.trial_numbers
        which = f"trial {numbers[0]}" if len(numbers) == 1 else f"trials {numbers[0]} to {numbers[-1]}"
        alphas = ", ".join(f"{alpha:g}" for alpha in scenario.attack.alphas)
        trains = f"{fmt.plural(price.to_train, 'victim')} to train" if price.to_train else "nothing to train"
        kept = f", {price.kept:,} taken over from {self.run.id}" if price.kept else ""
        kept += "" if price.to_train else ": ask for more trials, other alphas, or fresh trials"
        whom = fmt.plural(len(self.subpopulations), "subpopulation")
        return f"✓ {scenario.attack.kind} on {whom}, alpha {alphas}, {which}\n{trains}{kept}"

    def _judged(self, scenario: Scenario | None, message: str) -> None:
        if not self.starting:
            self.scenario = scenario
            self._say(message, good=scenario is not None)

    # ---- what can be done ----

    def action_launch(self) -> None:
        store = self.host.store
        if self.scenario is None or store is None or self.starting:
            return
        from engine.runs import again

        name = self.query_one("#name", Input).value.strip() or self._called()
        overrides, fresh, data_dir = self._overrides(), self._fresh(), self.host.given_data_dir
        self.start(lambda: again.start(store, self.run.id, self.subpopulations, overrides, fresh=fresh, name=name, data_dir=data_dir))
