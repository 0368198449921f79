"""Every way is walked: each key that the key line or the help offers, wherever one can be, does something that shows, and leads back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from textual.binding import Binding
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from tests.worlds import walking
from tests.worlds.hands import settled, until
from tests.worlds.loans import write
from tests.worlds.walking import Counting, Templates, Walked
from tui.app import SubpopApp
from tui.screens.columns import ColumnsScreen
from tui.screens.desk import PANES, DeskScreen
from tui.widgets.table.live import LiveTable

NARROW = (80, 24)
MODES = dict(zip("12345", SubpopApp.MODE_TITLES, strict=True))  # key -> mode
OUT = ("enter", "escape")  # lead out of where one is, mostly; these are pressed last
LEAVES = {"app.quit", "app.suspend"}  # ends the app, stops its process: tests/tui/test_endings.py and test_terminals.py
CHARACTERS = {"slash": "/", "question_mark": "?", "colon": ":", "asterisk": "*", "left_square_bracket": "[", "right_square_bracket": "]"}


# ---- places ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Somewhere one can be. keys: from the mode to it; there: whether one is."""

    name: str
    mode: str
    keys: tuple[str, ...] = ()
    state: str = "done"
    there: Callable[[SubpopApp], bool] = lambda app: True


def on_screen(name: str) -> Callable[[SubpopApp], bool]:
    return lambda app: type(app.screen).__name__ == name


def in_pane(pane: str) -> Callable[[SubpopApp], bool]:
    return lambda app: isinstance(app.screen, DeskScreen) and app.screen.made is not None and app.screen.has_class(f"-on-{pane}")


def with_rows(count: int = 1) -> Callable[[SubpopApp], bool]:
    return lambda app: isinstance(app.focused, LiveTable) and len(app.focused.model.shown) >= count


def on_columns(app: SubpopApp) -> bool:
    """The columns are in front, with what each tells of the label, and the keys are theirs."""
    screen = app.screen
    return isinstance(screen, ColumnsScreen) and isinstance(screen.focused, LiveTable) and bool(screen.file.leaks)


def typing(app: SubpopApp) -> bool:
    return isinstance(app.focused, Input)


MIDDLE = ("down", "right")  # a cursor that can go both ways
COLUMNS = ("o", "enter")  # of the file that was opened last
PLACES: dict[str, list[Place]] = {  # walked by one app, a list each
    "plan": [
        Place("mode 1", "1"),
        Place("plan", "1", ("down",), there=with_rows(2)),
        Place("plan, filter", "1", ("slash", "q")),
        Place("plan, launch", "1", ("enter",), there=on_screen("LaunchDialog")),
        Place("plan, get data", "1", ("down", "d"), there=on_screen("FetchDialog")),
        Place("plan, open", "1", ("o",), there=on_screen("OpenFile")),
        Place("preview", "1", ("p", *MIDDLE), there=with_rows(12)),
        Place("preview, launch", "1", ("p", "a"), there=on_screen("LaunchDialog")),
    ],
    "form": [
        Place("form, list", "1", ("e", "enter"), there=on_screen("ChooseDialog")),
        Place("form, go to", "1", ("e", "ctrl+g"), there=on_screen("ChooseDialog")),
        Place("form, save", "1", ("e", "ctrl+s"), there=on_screen("AskPath")),
        Place("form, launch", "1", ("e", "ctrl+l"), there=on_screen("LaunchDialog")),
        Place("form", "1", ("e",), there=on_screen("FormScreen")),
        Place("form, a line", "1", ("e", "ctrl+g", *"hidden", "enter"), there=typing),
    ],
    "own file": [
        Place("columns", "1", (*COLUMNS, "down", "down"), there=on_columns),
        Place("columns, a number", "1", (*COLUMNS, "slash", *"dti", "enter"), there=on_columns),
        Place("columns, bins", "1", (*COLUMNS, "slash", *"dti", "enter", "g"), there=on_screen("BinsDialog")),
        Place("columns, launch", "1", (*COLUMNS, "ctrl+l"), there=on_screen("LaunchDialog")),
        Place("form of a file", "1", (*COLUMNS, "escape"), there=on_screen("FormScreen")),
    ],
    "subpopulations": [
        Place("mode 2", "2"),
        Place("subpopulations of a run", "2", MIDDLE, there=with_rows(4)),
        Place("subpopulations, members", "2", ("m", "down"), there=with_rows(4)),
        Place("subpopulations, poison", "2", ("m", "v", "v", "v"), there=with_rows(4)),
        Place("subpopulations, rows", "2", ("m", "tab", "down"), there=with_rows(9)),
        Place("subpopulations, data", "2", ("m", "d"), there=on_screen("Reader")),
    ],
    "runs": [
        Place("mode 3", "3"),
        Place("runs", "3", ("down",), there=with_rows(2)),
        Place("runs, damage", "3", ("w", *MIDDLE), there=with_rows(4)),
        Place("runs, worst", "3", ("w", "w"), there=with_rows(2)),
        Place("runs, log", "3", ("w", "w", "w")),
        Place("runs, one at work", "3", state="running", there=with_rows()),
        Place("runs, one paused", "3", state="paused", there=with_rows()),
        Place("runs, one lost", "3", state="lost", there=with_rows()),
        Place("runs, one failed", "3", state="failed", there=with_rows()),
    ],
    "asked of runs": [
        Place("runs, compare", "3", ("c",), there=on_screen("ChooseRun")),
        Place("runs, report", "3", ("E",), there=on_screen("EverythingDialog")),
        Place("runs, note", "3", ("N",), there=on_screen("AskNote")),
        Place("runs, name", "3", ("R",), there=on_screen("AskText")),
        Place("runs, bundle", "3", ("B",), there=on_screen("AskPath")),
        Place("runs, delete", "3", ("D",), there=on_screen("Confirm")),
        Place("runs, reason", "3", ("f",), state="failed", there=on_screen("Reader")),
        Place("help", "3", ("question_mark",), there=on_screen("HelpScreen")),
        Place("palette", "3", ("colon",), there=on_screen("PaletteScreen")),
    ],
    "results": [
        Place("mode 4", "4"),
        Place("results", "4", MIDDLE, there=with_rows(4)),
        Place("results, another table", "4", ("t", *MIDDLE), there=with_rows(2)),
        Place("results, row", "4", ("i",), there=on_screen("RowDialog")),
        Place("results, export", "4", ("x",), there=on_screen("ExportDialog")),
        Place("results, again", "4", ("space", "a"), there=on_screen("AgainDialog")),
        Place("plots", "4", ("v",), there=on_screen("PlotsScreen")),
        Place("plots, export", "4", ("v", "x"), there=on_screen("AskPlotFile")),
    ],
    "desk": [Place(f"desk, {pane}", "4", ("enter", *["t"] * at), there=in_pane(pane)) for at, pane in enumerate(PANES)],
    "compare": [
        Place("mode 5", "5"),
        Place("compare", "5", MIDDLE, there=with_rows(2)),
        Place("compare, worst", "5", ("t",), there=with_rows(2)),
        Place("compare, row", "5", ("enter",), there=on_screen("RowDialog")),
        Place("compare, notes", "5", ("i",), there=on_screen("Reader")),
        Place("compare, choose", "5", ("c",), there=on_screen("ChooseRun")),
        Place("compare, export", "5", ("x",), there=on_screen("ExportDialog")),
        Place("compare, report", "5", ("E",), there=on_screen("EverythingDialog")),
    ],
}


def offered(app: SubpopApp) -> dict[str, Binding]:
    """Binding id -> binding, of all that key line and help say does something here and now."""
    found: dict[str, Binding] = {}
    for active in app.screen.active_bindings.values():
        binding = active.binding
        typed = typing(app) and (len(binding.key) == 1 or binding.key in CHARACTERS)
        if active.enabled and binding.id and binding.description and not typed and binding.id not in LEAVES:
            found.setdefault(binding.id, binding)
    return found


MOVES = ("move", "page", "end", "column", "move_rows", "move_page", "move_to", "scroll", "scroll_up", "scroll_down", "scroll_home", "tail",
         "other_run", "other", "series", "focus_next", "focus_previous", "section")  # fmt: skip


def moves(binding: Binding) -> bool:
    """A key behind the key line that moves a cursor, which may stand at the end: tests/tui/test_table.py and the like tell how it moves."""
    return not binding.show and binding.action.removeprefix("app.").split("(")[0] in MOVES


def when(binding: Binding) -> tuple[int, str]:
    """In which order keys are pressed."""
    return OUT.index(binding.key) if binding.key in OUT else -1, str(binding.id)


def walked(place: Place, binding: Binding) -> bool:
    """The keys that work everywhere are walked from where each mode begins; the key of that mode itself has nothing to do."""
    everywhere = str(binding.id).startswith("app.")
    return not moves(binding) and not (everywhere and (place.name != f"mode {place.mode}" or binding.key == place.mode))


@dataclass(frozen=True)
class Picture:
    """What a person could notice: every character and colour on screen, which screens lie there, where the focus is, what was copied."""

    cells: tuple[object, ...]
    screens: tuple[int, ...]
    focus: int
    notes: int
    clipboard: str
    theme: str


def picture(app: Counting) -> Picture:
    strips = app.screen._compositor.render_strips()
    cells = tuple((segment.text, segment.style) for strip in strips for segment in strip)
    screens = tuple(map(id, app.screen_stack))
    return Picture(cells, screens, id(app.screen.focused), len(app._notifications), app.clipboard, app.theme)


async def still(pilot: Pilot[int]) -> Picture:
    """The picture, once nothing is painted any more."""
    app = of(pilot)
    app.clear_notifications()  # one that goes away by itself must not look as if a key had done it
    last = -1
    while app.painted != last:
        last = app.painted
        await pilot.pause()
        await asyncio.sleep(0.05)
    return picture(app)


def of(pilot: Pilot[int]) -> Counting:
    assert isinstance(pilot.app, Counting)
    return pilot.app


Standing = tuple[list[Screen[Any]], Widget | None]  # the screens, and what has the focus


def standing(app: SubpopApp) -> Standing:
    return list(app.screen_stack), app.screen.focused


async def came_back(pilot: Pilot[int], stood: Standing, mode: str) -> bool:
    """Whether `escape`, or the mode's own key, leads back to where one stood. At the least `escape` leads to a mode's own screen."""
    app = of(pilot)
    await pilot.pause()
    for _ in range(6):
        if standing(app) == stood:
            return True
        if len(app.screen_stack) == 1:
            break
        await pilot.press("escape")
        await pilot.pause(0.05)
    else:
        raise AssertionError(f"escape does not lead out of {[type(screen).__name__ for screen in app.screen_stack]}")
    if app.current_mode != MODES[mode]:
        await pilot.press(mode)
        await pilot.pause(0.05)
    return standing(app) == stood


async def noticed(pilot: Pilot[int], before: Picture) -> bool:
    """Whether anything that a person could notice has changed."""
    app, painted = of(pilot), -1
    for _ in range(100):
        if app.painted != painted or app.clipboard != before.clipboard:
            painted = app.painted
            if picture(app) != before:
                return True
        await asyncio.sleep(0.03)
    return picture(app) != before


class Walk:
    """From place to place in one app. pressed: binding ids, by place; silent: the keys that did nothing that shows."""

    def __init__(self, pilot: Pilot[int], world: Walked) -> None:
        self.pilot, self.world, self.app = pilot, world, world.app
        self.pressed: dict[str, set[str]] = {}
        self.silent: list[str] = []
        self.of_runs: set[tuple[str, str]] = set()  # (state, binding id): what is done to a run is pressed once for each state of it
        self.seen: dict[tuple[str, ...], Picture] = {}  # by the keys that led there, since everything was put back
        self.last = "nothing"

    async def to(self, place: Place) -> Standing:
        """Go there: from where one is, if that is on the way and looks as it did then, else with everything put back."""
        on = await still(self.pilot)
        known = [at for at in range(len(place.keys), -1, -1) if self.seen.get((place.mode, *place.keys[:at])) == on]
        if known and self.world.as_it_was(place.state):
            done = known[0]
            if not done:
                self.world.remember()
        else:
            await self.world.afresh(self.pilot, place.state)
            self.seen, done = {}, 0
            await settled(self.pilot, place.mode)
            await until(self.pilot, lambda: self.app.screen.is_mounted and self.app.current_mode == MODES[place.mode], 30)
            if place.mode in "245":
                await until(self.pilot, lambda: bool(self.app.screen.query_one(LiveTable).model.rows), 30)
            self.seen[(place.mode,)] = await still(self.pilot)
        for at in range(done, len(place.keys)):
            await settled(self.pilot, place.keys[at])
            self.seen[(place.mode, *place.keys[: at + 1])] = await still(self.pilot)
        await until(self.pilot, lambda: place.there(self.app), 30)
        self.seen[(place.mode, *place.keys)] = await still(self.pilot)
        return standing(self.app)

    async def every_key(self, place: Place) -> None:
        """Press each key that the place offers; those that lead out of it last."""
        pressed = self.pressed[place.name] = set()
        stood = await self.to(place)
        first = set(self.due(place))
        assert first, place.name
        while True:
            keys = self.due(place)
            todo = sorted(
                (keys[name] for name in keys.keys() - pressed),
                key=lambda binding: (OUT.index(binding.key) if binding.key in OUT else -1, str(binding.id)),
            )
            if todo:
                back = await self.press(place, todo[0], stood)
                pressed.add(str(todo[0].id))
                self.of_runs.add((place.state, str(todo[0].id)))
                if back:
                    continue
            if first | keys.keys() <= pressed:
                return
            if not todo:  # an earlier key left nothing for one of them to do
                self.seen = {}
            stood = await self.to(place)
            assert self.due(place).keys() - pressed, f"{place.name}: {first - pressed} were offered once"

    def due(self, place: Place) -> dict[str, Binding]:
        """Binding id -> binding, of what is offered here and to be pressed here; what was pressed here already is among it."""
        done = {name for state, name in self.of_runs if state == place.state and name.startswith("run.")} - self.pressed[place.name]
        return {name: binding for name, binding in offered(self.app).items() if walked(place, binding) and name not in done}

    async def press(self, place: Place, binding: Binding, stood: Standing) -> bool:
        """Press a key and look what it does; whether one stands there still, or again."""
        self.last = f"{place.name}: {binding.key} ({binding.id})"
        before = await still(self.pilot)
        await self.pilot.press(binding.key)
        if not await noticed(self.pilot, before):
            self.silent.append(self.last)
        return await came_back(self.pilot, stood, place.mode)


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    return Templates(tmp_path_factory.mktemp("stores"))


@pytest.fixture(scope="session")
def loans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of one's own, always of the same place: what reads it is asked once."""
    return write(tmp_path_factory.mktemp("own") / "loans.csv")


@pytest.mark.usefixtures("no_engine", "every_dataset")
@pytest.mark.parametrize("part", PLACES)
async def test_each_key_that_is_offered_does_something_and_leads_back(
    part: str, tmp_path: Path, templates: Templates, loans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walking.no_processes(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tui.session.LOOK_S", 3600.0)  # what is committed is seen at once all the same
    world = Walked(tmp_path, templates, {"scenario_path": str(loans)})
    async with world.app.run_test(size=NARROW) as pilot:
        way = Walk(pilot, world)
        try:
            for place in PLACES[part]:
                await way.every_key(place)
        except BaseException as error:
            error.add_note(f"the last key pressed: {way.last}")
            raise
    print(*(f"{name}: {len(keys)} keys: {', '.join(sorted(keys))}" for name, keys in way.pressed.items()), sep="\n")
    assert not way.silent
