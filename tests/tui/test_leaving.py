"""From the form to Runs, and what is left on screen where something closes while something else is in front."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from engine.runs import start as engine_run
from engine.scenario import presets as catalog
from engine.store import Store
from tests.tui.conftest import another_app, running
from tests.worlds import app as worlds
from tests.worlds.hands import field_of, opened_form, settled, until
from tui.app import SubpopApp
from tui.dialogs.again import AgainDialog
from tui.dialogs.help import HelpScreen
from tui.dialogs.launch import LaunchDialog
from tui.presenters import presets
from tui.screens.desk import DeskScreen
from tui.screens.form import FormScreen
from tui.screens.plan import PlanScreen
from tui.screens.results import ResultsScreen
from tui.screens.runs import RunsScreen
from tui.widgets.choice import Choice
from tui.widgets.table.live import LiveTable

SIZE = (120, 36)
LAUNCHED = ("quickstart", "adult-clustermatch")


@pytest.fixture
def real_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that ship with subpop, instead of the two that pictures are taken of."""
    files = catalog.presets()
    listing = tuple(catalog.describe(name, files[name]) for name in LAUNCHED)
    monkeypatch.setattr(presets, "catalog", lambda: listing)
    monkeypatch.setattr(presets, "data_state", lambda kind, folder: (True, "here"))


@pytest.fixture
def no_worker_outlives(store: Store) -> Iterator[None]:
    yield
    for run in store.runs():
        if run.alive and run.pid and run.pid != os.getpid():
            os.kill(run.pid, signal.SIGKILL)


async def ready_to_launch(pilot: Pilot[int], preset: str) -> None:
    """From the plan through the form, one of its keys changed, to a launch dialog that would launch."""
    app = pilot.app
    assert isinstance(app, SubpopApp)
    await settled(pilot)
    table = app.screen.query_one(LiveTable)
    await until(pilot, lambda: (preset,) in table.model.position)
    table.move_to(table.model.position[(preset,)])
    await opened_form(pilot)
    row = field_of(app, "evaluation.trials")
    row.focus_field()
    row.query_one(Input).value = ""
    await settled(pilot, "3")
    form = app.screen
    assert isinstance(form, FormScreen)
    await until(pilot, lambda: form.scenario is not None and form.scenario.evaluation.trials == 3)
    await settled(pilot, "ctrl+l")
    await until(pilot, lambda: isinstance(app.screen, LaunchDialog) and app.screen.scenario is not None)


async def launched_from_the_form(pilot: Pilot[int], store: Store, preset: str, *, smoke: bool = False) -> str:
    """Launch what `ready_to_launch` leaves; Runs shows it, and the plan is as it was before the form. The run's id."""
    app = pilot.app
    assert isinstance(app, SubpopApp)
    await ready_to_launch(pilot, preset)
    if smoke:
        app.screen.query_one("#extent", Choice).value = "smoke"
        await until(pilot, lambda: "smoke" in str(app.screen.query_one("#verdict").render()))
    await settled(pilot, "enter")
    await until(pilot, lambda: isinstance(app.screen, RunsScreen) and bool(store.runs()))
    (run,) = store.runs()
    await until(pilot, lambda: app.screen.query_one("#runs LiveTable", LiveTable).cursor_key == (run.id,))
    assert [type(screen) for screen in app.screen_stack] == [RunsScreen]
    await settled(pilot, "1")
    assert [type(screen) for screen in app.screen_stack] == [PlanScreen]
    await settled(pilot, "3")
    assert isinstance(app.screen, RunsScreen)
    return run.id


@pytest.mark.usefixtures("real_presets", "no_worker_outlives")
@pytest.mark.parametrize("preset", LAUNCHED)
async def test_a_key_changed_in_the_form_is_run_by_a_real_engine(
    tmp_path: Path, store: Store, preset: str, request: pytest.FixtureRequest
) -> None:
    data = request.getfixturevalue("shared_data") if preset.startswith("adult") else tmp_path / "data"
    app = SubpopApp(tmp_path / "runs.db", data, config=tmp_path / "config")
    async with app.run_test(size=SIZE) as pilot:
        run_id = await launched_from_the_form(pilot, store, preset, smoke=True)
        await until(pilot, lambda: store.run(run_id).state in ("done", "failed"), seconds=120)
        run = store.run(run_id)
        assert (run.state, run.error) == ("done", "")
        await settled(pilot, "enter")
        assert isinstance(app.screen, ResultsScreen)
        await until(pilot, lambda: bool(app.screen.query_one("#result LiveTable", LiveTable).model.rows))


@pytest.fixture
def slow_start(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Engines start when the event is set."""
    go = threading.Event()
    start = engine_run.start

    def late(*given: Any, **options: Any) -> Any:
        assert go.wait(20)
        return start(*given, **options)

    monkeypatch.setattr(engine_run, "start", late)
    yield go
    go.set()


@pytest.mark.usefixtures("no_engine", "every_dataset")
@pytest.mark.parametrize("form", [True, False])
async def test_a_launch_dialog_closed_while_its_engine_starts_closes_nothing_else_and_the_run_is_told(
    app: SubpopApp, store: Store, slow_start: threading.Event, form: bool
) -> None:
    async with app.run_test(size=SIZE) as pilot:
        if form:
            await ready_to_launch(pilot, "quickstart")
        else:
            await settled(pilot, "enter")
            await until(pilot, lambda: isinstance(app.screen, LaunchDialog) and app.screen.scenario is not None)
        await settled(pilot, "enter", "escape")
        before = list(app.screen_stack)
        slow_start.set()
        await until(pilot, lambda: bool(store.runs()) and any(store.runs()[0].id in note.message for note in app._notifications))
        assert app.screen_stack == before
        assert app.chosen_run == store.runs()[0].id


@pytest.mark.usefixtures("no_engine", "every_dataset")
async def test_a_launch_dialog_closed_while_its_engine_fails_to_start_says_so(app: SubpopApp, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    def failing(*_: Any, **__: Any) -> None:
        go.wait(20)
        raise OSError("no room")

    monkeypatch.setattr(engine_run, "start", failing)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, LaunchDialog) and app.screen.scenario is not None)
        await settled(pilot, "enter", "escape")
        go.set()
        await until(pilot, lambda: any("no room" in note.message for note in app._notifications))
        assert [type(screen) for screen in app.screen_stack] == [PlanScreen]


async def test_the_desk_of_a_deleted_run_closes_itself_and_not_the_dialog_over_it(app: SubpopApp, store: Store) -> None:
    run_id = worlds.make_run(store)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "4")
        await until(pilot, lambda: bool(app.screen.query_one("#result LiveTable", LiveTable).model.rows))
        await settled(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, DeskScreen))
        await settled(pilot, "question_mark")
        assert isinstance(app.screen, HelpScreen)
        store.delete_run(run_id)
        await until(pilot, lambda: not app.runs)
        await settled(pilot)
        assert [type(screen) for screen in app.screen_stack] == [ResultsScreen, DeskScreen, HelpScreen]
        await settled(pilot, "escape")
        await until(pilot, lambda: [type(screen) for screen in app.screen_stack] == [ResultsScreen])


async def to_the_plan(pilot: Pilot[int]) -> None:
    await settled(pilot)


async def to_the_launch(pilot: Pilot[int]) -> None:
    await settled(pilot, "enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, LaunchDialog) and pilot.app.screen.scenario is not None)


@pytest.mark.usefixtures("no_engine", "every_dataset")
@pytest.mark.parametrize("way", [to_the_plan, to_the_launch])  # the form: test_walk.py
async def test_every_key_that_is_offered_works_from_a_cold_start(
    tmp_path: Path, store: Store, way: Callable[[Pilot[int]], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.dialogs.fetch.FetchDialog._run", lambda self: None)  # nothing is downloaded here
    monkeypatch.chdir(tmp_path)
    first = another_app(tmp_path, "config-of-nobody")
    async with first.run_test(size=SIZE) as pilot:
        await way(pilot)
        bindings = first.screen.active_bindings.values()
        offered = sorted({active.binding.key for active in bindings if active.enabled and active.binding.show})
    assert {"escape", "enter", "e"} & set(offered)
    for number, key in enumerate(offered):
        app = another_app(tmp_path, f"config-{number}")
        async with app.run_test(size=SIZE) as pilot:  # raises what is raised in the app
            await way(pilot)
            await settled(pilot, key)
            await settled(pilot, "enter")
            await settled(pilot, "escape")


async def test_attacking_again_from_a_desk_shows_the_run_and_leaves_the_desk_where_it_was(app: SubpopApp, store: Store) -> None:
    run_id = running(store, subpops=6)
    new = worlds.make_run(store, name="adult-clustermatch again")
    async with app.run_test(size=SIZE) as pilot:
        app.choose_run(run_id)
        await settled(pilot, "4", "enter")
        await until(pilot, lambda: isinstance(app.screen, DeskScreen))
        await settled(pilot, "a")
        dialog = app.screen
        assert isinstance(dialog, AgainDialog)
        dialog.start(lambda: store.run(new))
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        assert [type(screen) for screen in app.screen_stack] == [RunsScreen]
        assert app.chosen_run == new


@pytest.mark.parametrize(("key", "writes"), [("E", "engine.export.everything.export_all"), ("x", "engine.export.export.export")])
async def test_an_export_closed_while_it_writes_says_how_it_ended(
    app: SubpopApp, store: Store, key: str, writes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worlds.make_run(store)
    go, begun = threading.Event(), threading.Event()

    def writing(*_: Any, **__: Any) -> None:
        begun.set()
        go.wait(20)
        raise OSError("the disk is full")

    monkeypatch.setattr(writes, writing)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "4")
        await until(pilot, lambda: bool(app.screen.query_one("#result LiveTable", LiveTable).model.rows))
        await settled(pilot, key, "enter")
        await until(pilot, begun.is_set)
        await settled(pilot, "escape")
        assert [type(screen) for screen in app.screen_stack] == [ResultsScreen]
        go.set()
        await until(pilot, lambda: any("the disk is full" in note.message for note in app._notifications))
