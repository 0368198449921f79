"""What can be done in other places than where one is: every screen's commands, and how to get there and carry one out."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from textual.actions import parse
from textual.binding import Binding
from textual.screen import Screen

if TYPE_CHECKING:
    from tui.session import Session

PATIENCE_S = 1.5  # a screen that has just opened reads the store before it knows what it can do
LOOK_S = 0.03


@dataclass(frozen=True)
class Place:
    """A kind of screen. way: the screens to go through, and the action of each that leads on; mode: where that begins."""

    title: str
    mode: str
    screen: type[Screen[Any]]
    way: tuple[tuple[type[Screen[Any]], str], ...] = ()
    by: str = ""  # keys that lead there


def places() -> tuple[Place, ...]:
    from tui.screens.columns import ColumnsScreen
    from tui.screens.compare import CompareScreen
    from tui.screens.desk import DeskScreen
    from tui.screens.form import FormScreen
    from tui.screens.plan import PlanScreen
    from tui.screens.plots import PlotsScreen
    from tui.screens.results import ResultsScreen
    from tui.screens.runs import RunsScreen
    from tui.screens.subpopulations import SubpopulationsScreen

    return (
        Place("Plan", "plan", PlanScreen, by="1"),
        Place("Subpopulations", "subpopulations", SubpopulationsScreen, by="2"),
        Place("Runs", "runs", RunsScreen, by="3"),
        Place("Results", "results", ResultsScreen, by="4"),
        Place("Compare", "compare", CompareScreen, by="5"),
        Place("Form", "plan", FormScreen, ((PlanScreen, "edit"),), by="1 e"),
        Place("Columns", "plan", ColumnsScreen, ((PlanScreen, "open"),), by="1 o"),
        Place("Plots", "results", PlotsScreen, ((ResultsScreen, "plots"),), by="4 v"),
        Place("Desk", "results", DeskScreen, ((ResultsScreen, "open"),), by="4 ⏎"),
    )


def commands(host: Session, here: Collection[str]) -> Iterator[tuple[str, str, str, Place, str]]:
    """(words, keys, binding id, place, action) of what the screens can do. here: ids of bindings that work where one is."""
    keymap = host.settings.keymap()[0]
    for place in places():
        bindings = [binding for key_bindings in place.screen._merged_bindings.key_to_bindings.values() for binding in key_bindings]  # type: ignore[union-attr]
        named: dict[str, Binding] = {}
        for binding in bindings:
            if binding.id and binding.description and binding.id not in here and not binding.action.startswith("app."):
                named.setdefault(binding.id, binding)
        for name, binding in named.items():
            said = binding.tooltip or binding.description
            key = host.get_key_display(replace(binding, key=keymap.get(name, binding.key).partition(",")[0]))
            yield f"{place.title}: {said[0].upper()}{said[1:]}", f"{place.by} {key}", name, place, binding.action


async def carry_out(host: Session, place: Place, action: str, words: str) -> None:
    """Go there and do it; where that cannot be, say so."""
    if not isinstance(host.screen, place.screen):
        host.switch_mode(place.mode)
        for screen, leads_on in () if await _is_there(host, place.screen, 0) else place.way:
            if not await _is_there(host, screen) or not await _done(host, leads_on):
                host.notify(f"{words}: it is in {place.title}, which cannot be opened now ({place.by})", severity="warning")
                return
    if not await _is_there(host, place.screen):
        host.notify(f"{words}: {place.by} leads there; close what is open over it first", severity="warning")
    elif not await _done(host, action):
        host.notify(f"{words}: nothing to do it with now", severity="warning")


async def _is_there(host: Session, screen: type[Screen[Any]], patience_s: float = PATIENCE_S) -> bool:
    """Whether a screen of that kind is on top, soon."""
    for _ in range(1 + round(patience_s / LOOK_S)):
        if isinstance(host.screen, screen) and host.screen.is_mounted:
            return True
        await asyncio.sleep(LOOK_S)
    return False


async def _done(host: Session, action: str) -> bool:
    """Carry out an action of the screen on top, once it can."""
    _, name, parameters = parse(action)
    for _ in range(1 + round(PATIENCE_S / LOOK_S)):
        if host.screen.check_action(name, parameters):
            await host.run_action(action, host.screen)
            return True
        await asyncio.sleep(LOOK_S)
    return False
