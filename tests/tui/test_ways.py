"""Whole ways through the app, each to the run at its end: every preset through its form, previews, files of one's own of every format."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from textual.pilot import Pilot
from textual.widgets import Input

from engine.scenario import presets as catalog
from engine.scenario.parse import load, parse
from engine.scenario.sections import Scenario
from engine.store import Store
from tests.worlds import walking
from tests.worlds.hands import field_of, settled, until
from tui.app import SubpopApp
from tui.dialogs.launch import LaunchDialog
from tui.dialogs.open_file import OpenFile
from tui.presenters import presets
from tui.screens.columns import ColumnsScreen
from tui.screens.form import FormScreen
from tui.screens.plan import PlanScreen
from tui.screens.runs import RunsScreen
from tui.screens.subpopulations import SubpopulationsScreen
from tui.widgets.choice import Choice
from tui.widgets.table.live import LiveTable

SIZE = (120, 40)
ROWS = 240


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch, no_engine: list[str], every_dataset: None) -> list[str]:
    """The runs for which a worker would have been started; nothing beside the app is."""
    monkeypatch.setattr("tui.session.LOOK_S", 3600.0)
    walking.no_processes(monkeypatch)
    return no_engine


def form_of(app: SubpopApp) -> FormScreen:
    screen = app.screen
    assert isinstance(screen, FormScreen)
    return screen


async def launched(pilot: Pilot[int], store: Store, spawned: list[str]) -> str:
    """From a launch dialog to the run that Runs shows, and back to a plan with nothing over it: the run's id."""
    app = pilot.app
    assert isinstance(app, SubpopApp)
    before = len(spawned)
    await until(pilot, lambda: isinstance(app.screen, LaunchDialog) and app.screen.scenario is not None, 30)
    await settled(pilot, "enter")
    await until(pilot, lambda: isinstance(app.screen, RunsScreen) and len(spawned) == before + 1, 30)
    runs = app.screen.query_one("#runs LiveTable", LiveTable)
    await until(pilot, lambda: runs.cursor_key == (spawned[-1],), 30)
    assert [type(screen) for screen in app.screen_stack] == [RunsScreen]
    await settled(pilot, "1")
    assert [type(screen) for screen in app.screen_stack] == [PlanScreen]
    return spawned[-1]


def scenario_of(store: Store, run_id: str) -> Scenario:
    return parse(store.run(run_id).scenario_toml)


# ---- presets --------------------------------------------------------------------------------------------------------


async def test_every_preset_from_its_form_as_it_ships_and_with_a_key_changed_to_runs(
    app: SubpopApp, store: Store, spawned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = catalog.presets()
    listing = tuple(catalog.describe(name, path) for name, path in files.items())
    monkeypatch.setattr(presets, "catalog", lambda: listing)
    monkeypatch.setattr(presets, "data_state", lambda kind, folder: (True, "here"))
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        table = app.screen.query_one(LiveTable)
        await until(pilot, lambda: len(table.model.rows) == len(files))
        for name in files:
            table.move_to(table.model.position[(name,)])
            await pilot.press("e")
            await until(pilot, lambda: isinstance(app.screen, FormScreen) and app.screen.scenario is not None, 30)
            form, shipped = form_of(app), load(name)
            assert (form.scenario, form.edited.changed, form.edited.name) == (shipped, False, name)
            assert parse(form.edited.text()) == shipped
            trials = field_of(app, "evaluation.trials")
            trials.focus_field()
            trials.query_one(Input).value = ""
            await settled(pilot, "3")
            await until(pilot, lambda form=form: form.scenario is not None and form.scenario.evaluation.trials == 3)  # type: ignore[misc]
            await pilot.press("ctrl+l")
            run_id = await launched(pilot, store, spawned)
            made = scenario_of(store, run_id)
            wanted = load(name, ["evaluation.trials=3"])
            assert made.model_copy(update={"compute": wanted.compute}) == wanted
            assert (store.run(run_id).name, store.run(run_id).title) == (name, shipped.title)
    assert len(spawned) == len(files)


async def test_from_a_preview_to_a_run_of_it_from_the_plan_and_from_a_form_with_a_key_changed(
    app: SubpopApp, store: Store, spawned: list[str]
) -> None:
    async def previewed() -> None:
        await until(pilot, lambda: isinstance(app.screen, SubpopulationsScreen) and app.screen.subject.stage == "ready", 30)
        await until(pilot, lambda: len(app.screen.query_one("#subpopulations LiveTable", LiveTable).model.rows) == 12)

    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "p")
        await previewed()
        await settled(pilot, "a")
        first = await launched(pilot, store, spawned)
        assert scenario_of(store, first).evaluation.trials == 3
        await settled(pilot, "e")
        await until(pilot, lambda: isinstance(app.screen, FormScreen) and app.screen.scenario is not None, 30)
        form = form_of(app)
        field_of(app, "evaluation.trials").query_one(Input).value = "7"
        await until(pilot, lambda: form.scenario is not None and form.scenario.evaluation.trials == 7)
        await settled(pilot, "ctrl+o")
        await previewed()
        await settled(pilot, "space", "a")  # one alone
        await until(pilot, lambda: isinstance(app.screen, LaunchDialog) and app.screen.scenario is not None, 30)
        await settled(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and len(spawned) == 2, 30)
        made = scenario_of(store, spawned[1])
        assert made.evaluation.trials == 7
        assert len(made.subpopulations.only) == 1
        await settled(pilot, "1")
        assert app.screen is form  # as it was left


# ---- files of one's own ---------------------------------------------------------------------------------------------


def people() -> pd.DataFrame:
    frame = pd.DataFrame({"age": range(20, 20 + ROWS), "town": ["Ulm", "Bonn", "Kiel"] * (ROWS // 3)})
    frame["bad"] = ["yes" if (7 * i) % 11 < 3 else "no" for i in range(ROWS)]
    return frame.assign(age=frame["age"] % 57)


def texts() -> pd.DataFrame:
    words = ("the", "film", "was", "long", "and", "slow", "but", "its", "music", "light", "made", "me", "stay", "until", "very", "end")
    said = [" ".join(words[(i * k) % len(words)] for k in range(3, 15)) + f" {i}" for i in range(ROWS)]
    return pd.DataFrame({"review": said, "sentiment": ["good" if i % 3 else "bad" for i in range(ROWS)]})


def folder(path: Path) -> None:
    for name, shade in (("dark", 40), ("light", 200)):
        (path / name).mkdir(parents=True)
        for i in range(30):
            Image.new("RGB", (16, 16), (shade + i, shade, i)).save(path / name / f"{i}.png")


OWN: dict[str, tuple[str, Callable[[Path], object]]] = {  # file -> the kind of dataset it becomes, and how it is written
    "people.csv": ("table", lambda path: people().to_csv(path, index=False)),
    "people.tsv": ("table", lambda path: people().to_csv(path, index=False, sep="\t")),
    "people.parquet": ("table", lambda path: people().to_parquet(path)),
    "people.jsonl": ("table", lambda path: people().to_json(path, orient="records", lines=True)),
    "reviews.csv": ("text_table", lambda path: texts().to_csv(path, index=False)),
    "shapes": ("image_folder", folder),
}


async def test_every_format_is_opened_in_the_app_and_launched_from_its_columns_or_its_form(
    app: SubpopApp, store: Store, spawned: list[str], tmp_path: Path
) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        for name, (kind, write) in OWN.items():
            write(tmp_path / name)
            await settled(pilot, "o")
            await until(pilot, lambda: isinstance(app.screen, OpenFile))
            app.screen.query_one(Input).value = str(tmp_path / name)
            await settled(pilot, "enter")
            front = FormScreen if kind == "image_folder" else ColumnsScreen
            await until(pilot, lambda front=front: isinstance(app.screen, front), 30)  # type: ignore[misc]
            forms = [screen for screen in app.screen_stack if isinstance(screen, FormScreen)]
            await until(pilot, lambda form=forms[0]: form.verdict.good, 30)  # type: ignore[misc]
            await settled(pilot, "ctrl+l")
            run_id = await launched(pilot, store, spawned)
            dataset = tomllib.loads(store.run(run_id).scenario_toml)["dataset"]
            assert (dataset["kind"], dataset["path"]) == (kind, str(tmp_path / name))
            assert store.run(run_id).name == name.partition(".")[0]
            if kind != "image_folder":
                assert dataset["label"] == ("bad" if kind == "table" else "sentiment")
            if kind == "text_table":
                assert dataset["text"] == "review"


async def test_a_draft_is_launched_as_a_smoke_run_by_its_own_smoke_section(
    app: SubpopApp, store: Store, spawned: list[str], tmp_path: Path
) -> None:
    people().to_csv(tmp_path / "people.csv", index=False)
    app.opened = tmp_path / "people.csv"
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ColumnsScreen) and app.screen.verdict().good, 30)
        await settled(pilot, "ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, LaunchDialog) and app.screen.scenario is not None, 30)
        app.screen.query_one("#extent", Choice).value = "smoke"
        await until(pilot, lambda: "smoke" in str(app.screen.query_one("#verdict").render()), 30)
        run_id = await launched(pilot, store, spawned)
        assert scenario_of(store, run_id).evaluation.trials < form_trials(tmp_path / "people.csv")


def form_trials(path: Path) -> int:
    from engine.drafting.draft import draft

    return parse(draft(path).toml, folder=path.parent).evaluation.trials
