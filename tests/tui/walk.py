"""Every way is walked: each key that the key line or the help offers, wherever one can be, does something that shows, and leads back.

uv run pytest tests/tui/walk.py      takes minutes, so the suite does not collect it
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from textual.binding import Binding
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from engine.runs import again
from engine.runs import start as engine_run
from engine.runs.worker import work
from engine.scenario.parse import parse
from engine.store import Store
from tests.runs.test_again import Fake
from tests.tui.conftest import NOW, running
from tests.worlds import app as worlds
from tests.worlds.fake_pipeline import SCENARIO
from tests.worlds.hands import settled, until
from tui.app import SubpopApp
from tui.screens.desk import PANES, DeskScreen
from tui.services.processes import PreviewProcess
from tui.widgets.table.live import LiveTable

NARROW = (80, 24)
LEAVES = {"app.quit"}  # ends the app: tests/tui/test_endings.py
CHARACTERS = {"slash": "/", "question_mark": "?", "colon": ":", "asterisk": "*", "left_square_bracket": "[", "right_square_bracket": "]"}


@pytest.fixture
def held_data(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A process that holds the data, without the process: it knows 12 subpopulations of 9 rows each. The questions it was asked."""
    questions: list[dict[str, Any]] = []

    async def ask(self: PreviewProcess, question: dict[str, Any]) -> None:
        questions.append(question)
        if "discover" in question:
            subpopulations = [{**asdict(s), "class_mix": dict(s.class_mix)} for s in worlds.subpopulations(12)]
            self.answered({"found": subpopulations, "deviations": [], "about": worlds.ABOUT})
        elif "run" in question:
            self.answered({"ready": True})
        elif "members" in question or "poison" in question:
            self.answered({"members": members_of(question)})

    async def listen(self: PreviewProcess) -> None:
        pass

    monkeypatch.setattr(PreviewProcess, "ask", ask)
    monkeypatch.setattr(PreviewProcess, "listen", listen)
    monkeypatch.setattr(PreviewProcess, "alive", True)
    return questions


def members_of(question: dict[str, Any]) -> dict[str, Any]:
    """The answer about nine rows; those of poison differ by alpha and trial."""
    poisoned = "poison" in question
    index = int(question["poison" if poisoned else "members"])
    rates = {"alphas": [0.5, 1.0, 2.0], "trials": 3, "first_trial": 0}
    shared = {"index": index, "total": 9, "first": 0, **rates}
    if poisoned:
        marks = {"split": "poison", "alpha": question["alpha"], "trial": question.get("trial", 0), "note": ""}
        cells = [[n, 10 * index + n, ">50K", "<=50K", 20 + n] for n in range(9)]
        return {**shared, **marks, "columns": ["point", "row", "given", "true", "age"], "rows": cells}
    cells = [[10 * index + n, "<=50K", 20 + n] for n in range(9)]
    return {**shared, "split": question.get("split", "aux"), "columns": ["row", "class", "age"], "rows": cells}


# ---- places ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Somewhere one can be. keys: from the mode to it; there: whether one is. idle: binding ids that have nothing to do just there."""

    name: str
    mode: str
    keys: tuple[str, ...] = ()
    state: str = "done"
    there: Callable[[SubpopApp], bool] = lambda app: True
    idle: frozenset[str] = frozenset()


def on_screen(name: str) -> Callable[[SubpopApp], bool]:
    return lambda app: type(app.screen).__name__ == name


def in_pane(pane: str) -> Callable[[SubpopApp], bool]:
    return lambda app: isinstance(app.screen, DeskScreen) and app.screen.made is not None and app.screen.has_class(f"-on-{pane}")


def with_rows(count: int = 1) -> Callable[[SubpopApp], bool]:
    return lambda app: isinstance(app.focused, LiveTable) and len(app.focused.model.shown) >= count


MIDDLE = ("down", "right")  # a cursor that can go both ways
PLACES = [
    *(Place(f"mode {mode}", mode) for mode in "12345"),
    Place("plan", "1", ("down",)),
    Place("plan, filter", "1", ("slash", "q")),
    Place("plan, launch", "1", ("enter",), there=on_screen("LaunchDialog")),
    Place("plan, open", "1", ("o",), there=on_screen("AskPath"), idle=frozenset({"ask.accept"})),
    Place("form", "1", ("e",), there=on_screen("FormScreen")),
    Place("form, save", "1", ("e", "ctrl+s"), there=on_screen("AskPath")),
    Place("preview", "1", ("p", *MIDDLE), there=with_rows(12)),
    Place("preview, launch", "1", ("p", "a"), there=on_screen("LaunchDialog")),
    Place("subpopulations of a run", "2", MIDDLE, there=with_rows(4)),
    Place("subpopulations, members", "2", ("m", "down"), there=with_rows(4)),
    Place("subpopulations, poison", "2", ("m", "v", "v", "v"), there=with_rows(4)),
    Place("runs", "3", ("down",), there=with_rows(2)),
    Place("runs, damage", "3", ("w", *MIDDLE), there=with_rows(4)),
    Place("runs, log", "3", ("w", "w", "w")),
    Place("runs, one at work", "3", state="running", there=with_rows()),
    Place("runs, one paused", "3", state="paused", there=with_rows()),
    Place("runs, one lost", "3", state="lost", there=with_rows()),
    Place("runs, one failed", "3", state="failed", there=with_rows()),
    Place("runs, compare", "3", ("c",), there=on_screen("ChooseRun")),
    Place("runs, report", "3", ("E",), there=on_screen("EverythingDialog")),
    Place("runs, note", "3", ("N",), there=on_screen("AskNote")),
    Place("runs, delete", "3", ("D",), there=on_screen("Confirm")),
    Place("results", "4", MIDDLE, there=with_rows(4)),
    Place("results, another table", "4", ("t", *MIDDLE), there=with_rows(2)),
    Place("results, row", "4", ("i",), there=on_screen("RowDialog")),
    Place("results, export", "4", ("x",), there=on_screen("ExportDialog")),
    Place("results, again", "4", ("space", "a"), there=on_screen("AgainDialog")),
    *(Place(f"desk, {pane}", "4", ("enter", *["t"] * at), there=in_pane(pane)) for at, pane in enumerate(PANES)),
    Place("plots", "4", ("v",), there=on_screen("PlotsScreen")),
    Place("plots, export", "4", ("v", "x"), there=on_screen("AskPlotFile")),
    Place("compare", "5", MIDDLE, there=with_rows(2)),
    Place("compare, row", "5", ("enter",), there=on_screen("RowDialog")),
    Place("compare, choose", "5", ("c",), there=on_screen("ChooseRun")),
    Place("help", "4", ("question_mark",), there=on_screen("HelpScreen")),
    Place("palette", "4", ("colon",), there=on_screen("PaletteScreen")),
]


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, list[str]]]:
    """Stores of two runs that can be compared, the newest in the state that is asked for: (file, ids from the newest). Made once."""
    folder, made = tmp_path_factory.mktemp("stores"), {}

    def of(state: str) -> tuple[Path, list[str]]:
        if state not in made:
            path = folder / f"{state}.db"
            with Store.open(path, clock=lambda: NOW) as store:
                made[state] = path, _write(store, state)
        return made[state]

    return of


def _write(store: Store, state: str) -> list[str]:
    first = engine_run.start(store, parse(SCENARIO), name="four groups", spawn=False).id
    assert work(store, first, pipeline=Fake()) == "done"
    if state == "done":
        last = again.start(store, first, [0, 1, 2, 3], ("evaluation.trials=4",), spawn=False).id
        assert work(store, last, pipeline=Fake()) == "done"
    elif state == "failed":
        last = worlds.make_run(store, state="failed", error="cluster 17 has 0 test rows; lower `clusters`\nand the rest of it")
    else:
        last = running(store)
        if state == "paused":
            store.update_run(last, state="paused")
        elif state == "lost":
            store.update_run(last, pid=4_000_001)
    return [last, first]


@pytest.fixture
def opened(tmp_path: Path, templates: Callable[[str], tuple[Path, list[str]]]) -> Callable[[str], SubpopApp]:
    """A new app over a new copy of a template, the newest run chosen."""
    numbers = itertools.count()

    def app(state: str) -> SubpopApp:
        template, runs = templates(state)
        folder = tmp_path / f"app-{next(numbers)}"
        folder.mkdir()
        shutil.copy(template, folder / "runs.db")
        made = SubpopApp(folder / "runs.db", tmp_path / "data", config=folder / "config", clock=lambda: NOW)
        made.chosen_run = runs[0]
        made.settings.put("compared", runs[::-1])
        return made

    return app


def offered(app: SubpopApp) -> dict[str, Binding]:
    """Binding id -> binding, of all that key line and help say does something here and now."""
    typing = isinstance(app.screen.focused, Input)
    found: dict[str, Binding] = {}
    for active in app.screen.active_bindings.values():
        binding = active.binding
        typed = typing and (len(binding.key) == 1 or binding.key in CHARACTERS)
        if active.enabled and binding.id and binding.description and not typed and binding.id not in LEAVES:
            found.setdefault(binding.id, binding)
    return found


MOVES = ("move", "page", "end", "column", "move_rows", "move_page", "move_to", "scroll", "scroll_up", "scroll_down", "scroll_home", "tail",
         "other_run", "other", "series", "focus_next", "focus_previous", "section")  # fmt: skip


def moves(binding: Binding) -> bool:
    """A key behind the key line that moves a cursor, which may stand at the end: tests/tui/test_table.py and the like tell how it moves."""
    return not binding.show and binding.action.removeprefix("app.").split("(")[0] in MOVES


def walked(place: Place, binding: Binding) -> bool:
    """The keys that work everywhere are walked from where each mode begins; the key of that mode itself has nothing to do."""
    everywhere = str(binding.id).startswith("app.")
    return not moves(binding) and not (everywhere and (place.keys or binding.key == place.mode))


def picture(app: SubpopApp) -> tuple[object, ...]:
    """What a person could notice: every character and colour on screen, which screens lie there, where the focus is, what was copied."""
    strips = app.screen._compositor.render_strips()
    cells = tuple((segment.text, segment.style) for strip in strips for segment in strip)
    return (tuple(map(id, app.screen_stack)), id(app.screen.focused), cells, len(app._notifications), app.clipboard, app.theme)


async def reach(pilot: Pilot[int], place: Place) -> None:
    app = pilot.app
    assert isinstance(app, SubpopApp)
    await settled(pilot, place.mode)
    if place.mode in "45" or place.mode == "2":
        await until(pilot, lambda: bool(app.screen.query(LiveTable)) and bool(app.screen.query(LiveTable).first().model.rows))
        await settled(pilot)
    for key in place.keys:
        await settled(pilot, key)
    await until(pilot, lambda: place.there(app))
    await settled(pilot)


Standing = tuple[list[Screen[Any]], Widget | None]  # the screens, and what has the focus


def standing(app: SubpopApp) -> Standing:
    return list(app.screen_stack), app.screen.focused


async def came_back(pilot: Pilot[int], stood: Standing) -> bool:
    """Whether `escape` leads back to where one stood. It leads at the least to a mode's own screen, from wherever one is."""
    app = pilot.app
    assert isinstance(app, SubpopApp)
    await pilot.pause()
    for _ in range(6):
        if standing(app) == stood:
            return True
        if len(app.screen_stack) == 1:
            return False
        await pilot.press("escape")
        await pilot.pause(0.05)
    raise AssertionError(f"escape does not lead out of {[type(screen).__name__ for screen in app.screen_stack]}")


async def noticed(pilot: Pilot[int], before: tuple[object, ...]) -> bool:
    """Whether anything that a person could notice has changed, half a second being long enough to notice."""
    app = pilot.app
    assert isinstance(app, SubpopApp)
    for _ in range(12):
        if picture(app) != before:
            return True
        await pilot.pause(0.04)
    return False


@pytest.mark.usefixtures("no_engine", "every_dataset", "held_data")
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
async def test_each_key_that_is_offered_does_something_and_leads_back(
    opened: Callable[[str], SubpopApp], place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    pressed: set[str] = set()
    silent: list[str] = []
    while True:  # an app for as many keys as lead back to the place; what leads on from it takes a new one
        app = opened(place.state)
        async with app.run_test(size=NARROW) as pilot:
            await reach(pilot, place)
            stood = standing(app)
            keys = {name: binding for name, binding in offered(app).items() if walked(place, binding)}
            assert keys
            todo = [binding for name, binding in keys.items() if name not in pressed]
            for binding in todo:
                if binding.id not in offered(app):  # an earlier key left nothing for it to do
                    break
                before = picture(app)
                await pilot.press(binding.key)
                if not await noticed(pilot, before) and binding.id not in place.idle:
                    silent.append(f"{binding.id} ({binding.key})")
                pressed.add(str(binding.id))
                if not await came_back(pilot, stood):
                    break
        if not todo:
            break
    assert not silent
