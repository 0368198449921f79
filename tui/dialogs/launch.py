"""Launch: the last look before a run of a scenario starts: whole or smoke, on which device, under which name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.widgets import Input

from engine.printable import name_of
from engine.rows import RunRow
from tui.dialogs.base import row
from tui.dialogs.starting import StartDialog, StartVerdict, refused
from tui.presenters import format as fmt
from tui.presenters import launching
from tui.services import devices, places
from tui.widgets.choice import Choice

if TYPE_CHECKING:
    from engine.scenario.sections import Scenario
    from engine.store import Store

WHOLE, SMOKE = "whole", "smoke"
CLUSTER = "cluster"  # the device whose address is asked for


class LaunchDialog(StartDialog):
    """Starts a run of a scenario's text, of all its subpopulations or `only` some."""

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
        predict: bool = False,
        predicted: int = 0,
    ) -> None:
        """cost: what a preset says of itself. stored: the text is a run's, which may be of an older version's writing.
        predict: damage is foretold as well, whatever the text says. predicted: so many of those predicted worst are attacked.

        groups: how many subpopulations FeatureMatch may form at most, where that is known.
        """
        super().__init__(f"Launch {name_of(name)}", name_of(name))
        self.text, self.cost, self.only, self.folder = text, cost, tuple(only), folder
        self.stored, self.groups, self.predict, self.predicted = stored, groups, predict, predicted

    def fields(self) -> ComposeResult:
        if not self.only and not self.predicted:
            yield row("Run", Choice((WHOLE, SMOKE), WHOLE, id="extent"))
        offered = ("auto", "cpu", *(("cuda", "cuda:all") if devices.has_gpu() else ()), CLUSTER)
        last = self.host.settings.get("device", "auto")
        chosen = last if last in offered else "auto"
        yield row("Device", Choice(offered, chosen, id="device"))
        known = self.host.settings.get("cluster", "") or devices.known_cluster()
        field = Input(known, placeholder="ray://HOST:PORT", max_length=260, compact=True, select_on_focus=False, id="cluster")
        address = row("Address", field)
        address.display = chosen == CLUSTER
        yield address

    @on(Choice.Changed, "#device")
    def _another_device(self, event: Choice.Changed) -> None:
        address = self.query_one("#cluster", Input).parent
        assert address is not None
        address.display = event.value == CLUSTER

    @property
    def device(self) -> str:
        """As `compute.device` has it: a cluster is its address."""
        chosen = self.query_one("#device", Choice).value
        return self.query_one("#cluster", Input).value.strip() if chosen == CLUSTER else chosen

    def question(self) -> Callable[[], StartVerdict]:
        smoke = not self.only and not self.predicted and self.query_one("#extent", Choice).value == SMOKE
        if self.query_one("#device", Choice).value == CLUSTER and (why := devices.no_cluster(self.device)):
            return lambda: refused(why)
        overrides = [f"compute.device={self.device}"]
        if self.only:
            overrides.append(f"subpopulations.only={list(self.only)}")
        if self.predicted:
            overrides += ['subpopulations.select="predicted"', f"subpopulations.select_count={self.predicted}"]
        if self.predict:
            overrides.append("triage.predict=true")
        return lambda: self._judge(overrides, smoke)

    def _judge(self, overrides: Sequence[str], smoke: bool) -> StartVerdict:
        """By the engine's own rules, as it would be run."""
        from engine.scenario.parse import parse

        notes: list[str] = []  # of what the scenario calls itself
        scenario = parse(
            self.text,
            where=self.run_name,
            overrides=overrides,
            smoke=smoke,
            folder=self.folder,
            say=notes.append,
            stored=self.stored,
        )
        located = places.places_of(scenario, self.host.data_dir, self.folder)
        if not located.data.present:
            return refused(f"its data are not here: {located.data.detail}\n{_way_to_data(scenario)}")
        total, counted = launching.victims(scenario, launching.most_subpopulations(scenario, self.groups))
        preset_cost = "" if smoke or self.only or self.predicted else self.cost
        price = f"victims  {counted}\ntakes    {launching.cost(scenario, total, self.host.runs, preset_cost)}"
        whom = f"{fmt.plural(len(self.only), 'marked subpopulation')}" if self.only else "all chosen subpopulations"
        whom = f"the {self.predicted} predicted worst" if self.predicted else whom
        above = f"{launching.headline(scenario, whom, fmt.plural(scenario.evaluation.trials, 'trial'))}\n{price}"
        below = "\n".join([*_warnings(located, notes, smoke=smoke), "It goes on when the app is closed."])
        gpu = devices.has_gpu()
        return StartVerdict(scenario, lambda: f"{above}\nqueue    {launching.queue(scenario.device, self.host.runs, gpu)}\n{below}")

    def starter(self, store: Store, scenario: Scenario, name: str) -> Callable[[], RunRow]:
        from engine.runs import start as engine_run

        chosen = self.query_one("#device", Choice).value
        self.host.settings.put("device", chosen)
        if chosen == CLUSTER:
            self.host.settings.put("cluster", self.device)
        data_dir = self.host.given_data_dir

        def start() -> RunRow:
            if chosen == CLUSTER:  # one that is not there, or not as it must be, is refused before there is a run
                from engine.runs.executors import nodes

                nodes.apart(scenario, scenario.compute.device)
            return engine_run.start(store, scenario, name=name, data_dir=data_dir)

        return start


def _way_to_data(scenario: Scenario) -> str:
    from engine.scenario.sections import FileKeys

    return "esc, then put its path right" if isinstance(scenario.dataset, FileKeys) else "esc, then d in the plan gets them"


def _warnings(located: places.Places, notes: Sequence[str], *, smoke: bool) -> list[str]:
    lines = ["! smoke: the same way on a sliver of the data, for trying it out; its numbers mean little"] if smoke else []
    lines += [f"! {fmt.clean(note)}" for note in notes]
    if located.weights is not None and not located.weights.present:
        missing = f"! its weights are not here: {located.weights.detail}."
        lines.append(f"{missing} They are fetched where the network allows; else e, Weights random")
    return lines
