"""Attack again: some subpopulations of a run once more, with other trials or alphas, as a run of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.widgets import Input

from engine.printable import name_of
from engine.rows import RunRow, VictimSpec
from tui.dialogs.base import row
from tui.dialogs.starting import StartDialog, StartVerdict, refused
from tui.presenters import desk as desk_rows
from tui.presenters import format as fmt
from tui.presenters import launching
from tui.widgets.choice import Choice
from tui.widgets.plain import Static

if TYPE_CHECKING:
    from engine.scenario.sections import Scenario
    from engine.store import Store

ALL, FRESH = "all trials", "fresh trials alone"
WHY = (
    "Who marks what looked worst and counts the trials that were looked at overstates its damage: part of what stood out was chance. "
    "Fresh trials had no part in the choice."
)


class AgainDialog(StartDialog):
    """Starts a run that attacks `subpopulations` of `run` again. about: the description of the subpopulation, where it is one alone."""

    def __init__(self, run: RunRow, subpopulations: Sequence[int], about: str = "") -> None:
        super().__init__("Attack again", name_of(f"{run.name.removesuffix(' again')[:54]} again"))
        self.run, self.subpopulations, self.about = run, tuple(sorted(subpopulations)), about
        self.trained: tuple[VictimSpec, ...] | None = None

    def fields(self) -> ComposeResult:
        yield Static(self._which())
        yield row("Trials", Input(max_length=9, compact=True, select_on_focus=False, id="trials"))
        yield row("Alphas", Input(max_length=200, compact=True, select_on_focus=False, id="alphas"))
        yield row("Count", Choice((FRESH, ALL), FRESH, id="fresh"))
        yield Static(WHY, classes="message")

    def _which(self) -> str:
        if len(self.subpopulations) == 1:
            return fmt.clean(f"Subpopulation {self.subpopulations[0]} of {self.run.name}" + (f": {self.about}" if self.about else ""))
        return f"{len(self.subpopulations)} marked subpopulations of {self.run.name}: {desk_rows.marked_words(self.subpopulations)}"

    def fill(self) -> None:
        from engine.scenario.parse import scenario_of

        run_scenario = scenario_of(self.run)
        self.query_one("#trials", Input).value = str(run_scenario.evaluation.trials)
        self.query_one("#alphas", Input).value = ", ".join(f"{alpha:g}" for alpha in run_scenario.attack.alphas)

    def _overrides(self) -> list[str]:
        trials, alphas = (self.query_one(f"#{name}", Input).value.strip() for name in ("trials", "alphas"))
        return [f"evaluation.trials={trials}", f"attack.alphas=[{alphas.strip('[]')}]"]

    def _fresh(self) -> bool:
        return self.query_one("#fresh", Choice).value == FRESH

    def question(self) -> Callable[[], StartVerdict]:
        store, overrides, fresh = self.host.store, self._overrides(), self._fresh()
        return lambda: self._judge(store, overrides, fresh) if store is not None else refused("the store of runs is not open")

    def _judge(self, store: Store, overrides: list[str], fresh: bool) -> StartVerdict:
        from engine import datasets
        from engine.runs import again

        scenario = again.scenario_of(store, self.run.id, self.subpopulations, overrides, fresh=fresh)
        state = datasets.state(scenario.dataset, store.data_dir(self.run.id) or self.host.data_dir)
        if not state.present:
            return refused(f"its data are not here: {state.detail}")
        if self.trained is None:
            done, plan = store.stacks_done(self.run.id), store.plan(self.run.id) or ()
            self.trained = tuple(spec for stack in plan if stack.index in done for spec in stack.victims)
        words = self._what(scenario, self.trained)
        return StartVerdict(scenario, lambda: words)

    def _what(self, scenario: Scenario, trained: Sequence[VictimSpec]) -> str:
        """What would be run, and what it costs."""
        reuse, numbers = launching.reuse(scenario, self.subpopulations, trained), scenario.evaluation.trial_numbers
        which = f"trial {numbers[0]}" if len(numbers) == 1 else f"trials {numbers[0]} to {numbers[-1]}"
        trains = f"{fmt.plural(reuse.to_train, 'victim')} to train" if reuse.to_train else "nothing to train"
        kept = f", {reuse.kept:,} taken over from {self.run.id}" if reuse.kept else ""
        kept += "" if reuse.to_train else ": ask for more trials, other alphas, or fresh trials"
        whom = fmt.plural(len(self.subpopulations), "subpopulation")
        return f"{launching.headline(scenario, whom, which)}\n{trains}{kept}"

    def starter(self, store: Store, scenario: Scenario, name: str) -> Callable[[], RunRow]:
        from engine.runs import again

        overrides, fresh, data_dir = self._overrides(), self._fresh(), self.host.given_data_dir
        return lambda: again.start(store, self.run.id, self.subpopulations, overrides, fresh=fresh, name=name, data_dir=data_dir)
