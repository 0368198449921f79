"""Every screen, pictured. The SVGs under __snapshots__ are the pictures in the README."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from engine.store import Store
from tests.tui.conftest import running
from tests.worlds import app as worlds
from tests.worlds import app_pictures as picture_world
from tests.worlds.hands import field_of, opened_form, settled, until
from tui.app import SubpopApp
from tui.dialogs.fetch import FetchDialog
from tui.dialogs.launch import LaunchDialog

Snap = Callable[..., bool]
WIDE, NARROW = (120, 36), (80, 24)


def pressing(*keys: str) -> Callable[[Pilot[int]], object]:
    async def run(pilot: Pilot[int]) -> None:
        await settled(pilot, *keys)

    return run


def three_runs(store: Store) -> None:
    worlds.make_run(store, name="adult-clustermatch")
    worlds.make_run(
        store,
        name="adult smoke",
        state="failed",
        trials=1,
        ready=0.4,
        error="cluster 17 has 0 test rows; lower `clusters` or set `min_test_rows`",
        deviations=("1,500 of 7,841 train rows",),
    )
    running(store, name="adult again", trials=2, ready=0.6)


def plan_at(app: SubpopApp, snap_compare: Snap, size: tuple[int, int]) -> None:
    assert snap_compare(app, terminal_size=size, run_before=pressing())


def test_plan(app: SubpopApp, snap_compare: Snap) -> None:
    plan_at(app, snap_compare, WIDE)


def test_plan_narrow(app: SubpopApp, snap_compare: Snap) -> None:
    plan_at(app, snap_compare, NARROW)


def test_plan_light(app: SubpopApp, snap_compare: Snap) -> None:
    app.theme = "subpop-light"
    assert snap_compare(app, terminal_size=WIDE, run_before=pressing("down"))


def test_launch(app: SubpopApp, snap_compare: Snap) -> None:
    async def told(pilot: Pilot[int]) -> None:
        await settled(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, LaunchDialog) and app.screen.scenario is not None)
        await settled(pilot)

    assert snap_compare(app, terminal_size=NARROW, run_before=told)


def form_at(app: SubpopApp, snap_compare: Snap, size: tuple[int, int]) -> None:
    async def wrong(pilot: Pilot[int]) -> None:
        await opened_form(pilot)
        field_of(pilot.app, "model.epochs").focus_field()
        await settled(pilot, "end", "backspace", "backspace", *"none")
        await until(pilot, lambda: field_of(pilot.app, "model.epochs").has_class("-wrong"))
        await settled(pilot)

    assert snap_compare(app, terminal_size=size, run_before=wrong)


def test_form(app: SubpopApp, snap_compare: Snap) -> None:
    form_at(app, snap_compare, WIDE)


def test_form_narrow(app: SubpopApp, snap_compare: Snap) -> None:
    form_at(app, snap_compare, NARROW)


def subpopulations_at(app: SubpopApp, store: Store, snap_compare: Snap, size: tuple[int, int]) -> None:
    worlds.make_run(store)

    async def with_members(pilot: Pilot[int]) -> None:
        await settled(pilot, "2", "down", "space", "space")
        screen = pilot.app.screen
        screen.subject.stage = "ready"  # type: ignore[attr-defined]
        rows = [[str(100 + i), ">50K" if i % 3 else "<=50K", 30 + i, "Private", 40 + i % 9] for i in range(40)]
        screen._answered(
            {"members": {"index": 3, "split": "aux", "total": 111, "columns": ["row", "class", "age", "workclass", "hours"], "rows": rows}}
        )  # type: ignore[attr-defined]
        await settled(pilot)

    assert snap_compare(app, terminal_size=size, run_before=with_members)


def test_subpopulations(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    subpopulations_at(app, store, snap_compare, WIDE)


def test_subpopulations_narrow(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    subpopulations_at(app, store, snap_compare, NARROW)


def pictures_at(app: SubpopApp, store: Store, snap_compare: Snap, size: tuple[int, int], split: str, pixels: int, *keys: str) -> None:
    worlds.make_run(store, deviations=("random weights: the paper's networks start from ImageNet's",))

    async def with_pictures(pilot: Pilot[int]) -> None:
        await settled(pilot, "2", "down", "down", "down")
        screen = pilot.app.screen
        screen.subject.stage = "ready"  # type: ignore[attr-defined]
        screen.look.split, screen.look.pixels = split, pixels  # type: ignore[attr-defined]
        screen._answered(picture_world.told(3, pixels, split))  # type: ignore[attr-defined]
        await settled(pilot, *keys)

    assert snap_compare(app, terminal_size=size, run_before=with_pictures)


def test_pictures(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    pictures_at(app, store, snap_compare, WIDE, "aux", 16, "tab", "right", "down")


def test_pictures_narrow(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    pictures_at(app, store, snap_compare, NARROW, "aux", 16)


def test_poison(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    pictures_at(app, store, snap_compare, NARROW, "poison", 24, "w", "right")


def test_pictures_without_colours(app: SubpopApp, store: Store, snap_compare: Snap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.widgets.pictures.grid.shows_pictures", lambda app: False)
    pictures_at(app, store, snap_compare, NARROW, "aux", 16, "tab")


def test_discovering(app: SubpopApp, snap_compare: Snap, monkeypatch: pytest.MonkeyPatch) -> None:
    from tui.screens.subpopulations import SubpopulationsScreen

    monkeypatch.setattr(SubpopulationsScreen, "_discover", lambda self: None)
    monkeypatch.setattr("tui.screens.subpopulations.monotonic", lambda: 12.0)

    async def half_way(pilot: Pilot[int]) -> None:
        await settled(pilot, "p")
        screen = pilot.app.screen
        screen.subject.since = 2.0  # type: ignore[attr-defined]
        screen._answered({"progress": ["confidence, fold 3 of 5", 0.48]})  # type: ignore[attr-defined]
        await settled(pilot)

    assert snap_compare(app, terminal_size=NARROW, run_before=half_way)


def runs_at(app: SubpopApp, store: Store, snap_compare: Snap, size: tuple[int, int]) -> None:
    three_runs(store)

    async def measured(pilot: Pilot[int]) -> None:
        await settled(pilot, "3", "w", "down", "down")
        pilot.app.screen._measure()  # type: ignore[attr-defined]
        await settled(pilot)

    assert snap_compare(app, terminal_size=size, run_before=measured)


def test_runs(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    runs_at(app, store, snap_compare, WIDE)


def test_runs_narrow(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    runs_at(app, store, snap_compare, NARROW)


def test_runs_light(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    three_runs(store)
    app.theme = "subpop-light"
    assert snap_compare(app, terminal_size=WIDE, run_before=pressing("3", "down", "down"))


def test_runs_failed(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    three_runs(store)
    assert snap_compare(app, terminal_size=NARROW, run_before=pressing("3", "down", "w", "w"))


def test_runs_lost(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    worlds.make_run(store, name="adult again", state="running", trials=2, ready=0.6)
    assert snap_compare(app, terminal_size=NARROW, run_before=pressing("3"))


def test_confirm(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    three_runs(store)
    assert snap_compare(app, terminal_size=NARROW, run_before=pressing("3", "down", "D"))


def test_rename(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    three_runs(store)
    assert snap_compare(app, terminal_size=NARROW, run_before=pressing("3", "R"))


def test_choose_run(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    three_runs(store)
    assert snap_compare(app, terminal_size=NARROW, run_before=pressing("3", "c"))


def test_open_a_bundle(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    three_runs(store)
    assert snap_compare(app, terminal_size=NARROW, run_before=pressing("3", "o"))


def test_fetch(app: SubpopApp, snap_compare: Snap, monkeypatch: pytest.MonkeyPatch) -> None:
    async def halfway(pilot: Pilot[int]) -> None:
        await settled(pilot)
        monkeypatch.setattr(FetchDialog, "_run", lambda dialog: None)  # no engine is asked, so nothing is fetched
        monkeypatch.setattr(type(pilot.app), "data_dir", Path("data"))
        await pilot.app.push_screen(FetchDialog("adult"))
        await settled(pilot)

    assert snap_compare(app, terminal_size=NARROW, run_before=halfway)


def test_no_runs(app: SubpopApp, snap_compare: Snap) -> None:
    assert snap_compare(app, terminal_size=NARROW, run_before=pressing("3"))


def test_failure(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    three_runs(store)
    assert snap_compare(app, terminal_size=NARROW, run_before=pressing("3", "down", "f"))


def results_at(app: SubpopApp, store: Store, snap_compare: Snap, size: tuple[int, int]) -> None:
    worlds.make_run(store)
    assert snap_compare(app, terminal_size=size, run_before=pressing("4", *["right"] * 4, "slash", *"sales damage>0.2", "enter"))


def test_results(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    results_at(app, store, snap_compare, WIDE)


def test_results_narrow(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    results_at(app, store, snap_compare, NARROW)


def test_side_by_side(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    worlds.make_run(store)
    assert snap_compare(app, terminal_size=WIDE, run_before=pressing("4", "T", "space"))


def test_side_by_side_in_sixteen_colours(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    worlds.make_run(store)
    app.theme = "subpop-16"
    assert snap_compare(app, terminal_size=NARROW, run_before=pressing("4", "T", "space"))


def test_results_worst(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    worlds.make_run(store, trials=1, deviations=("1,500 of 7,841 train rows",))
    assert snap_compare(app, terminal_size=WIDE, run_before=pressing("4", "t"))


def test_row(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    worlds.make_run(store)
    assert snap_compare(app, terminal_size=WIDE, run_before=pressing("4", "down", "i"))


def test_export(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    worlds.make_run(store)
    assert snap_compare(app, terminal_size=NARROW, run_before=pressing("4", "x", "right"))


def test_help(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    app.settings.folder = Path("CONFIG")
    worlds.make_run(store)
    assert snap_compare(app, terminal_size=WIDE, run_before=pressing("4", "question_mark"))


def test_commands(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    worlds.make_run(store)
    assert snap_compare(app, terminal_size=NARROW, run_before=pressing("3", "colon", *"re"))


def test_tiny(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    three_runs(store)
    assert snap_compare(app, terminal_size=(40, 10), run_before=pressing("3"))
