"""The command list knows every table that the chosen run has, and every command of every screen, wherever one is."""

from __future__ import annotations

import pytest

from engine.rows import Table
from engine.store import Store
from engine.tables.columns import SPECS
from tests.worlds import app as worlds
from tests.worlds.hands import settled, until
from tui.app import SubpopApp
from tui.screens.desk import DeskScreen
from tui.screens.elsewhere import places
from tui.screens.form import FormScreen
from tui.screens.plots import PlotsScreen
from tui.widgets.table.live import LiveTable
from tui.widgets.table.pane import TablePane


def listed(app: SubpopApp) -> set[str]:
    return {str(row[0]) for row in app.screen.query_one(LiveTable).model.rows.values()}


async def test_a_table_that_this_run_has_beyond_the_usual_is_listed_and_shown(app: SubpopApp, store: Store) -> None:
    run_id = worlds.make_run(store)
    spec = SPECS["optimization"]
    row = tuple({"alpha": 1.0, "group": "all"}.get(column.name) for column in spec.columns)
    async with app.run_test(size=(120, 36)) as pilot:
        await settled(pilot, "4", "colon")
        assert "Show table damage" in listed(app)
        assert not {"Show table optimization", "Show table attributes"} & listed(app)
        await settled(pilot, "escape")
        store.write_tables(run_id, {"optimization": Table(spec, (row,))})
        await settled(pilot, "colon")
        assert "Show table optimization" in listed(app)
        assert "Show table attributes" not in listed(app)
        await settled(pilot, *"table opt", "enter")
        shown = lambda: app.screen.query_one("#result", TablePane).table  # noqa: E731
        await until(pilot, lambda: shown().spec.name == "optimization" and len(shown().model.shown) == 1)


@pytest.mark.parametrize("mode", "12345")
async def test_every_command_of_every_screen_is_found_from_every_mode(app: SubpopApp, store: Store, mode: str) -> None:
    worlds.make_run(store)
    every = {
        f"{place.title}: {binding.tooltip or binding.description}".lower()
        for place in places()
        for bindings in place.screen._merged_bindings.key_to_bindings.values()  # type: ignore[union-attr]
        for binding in bindings
        if binding.id and binding.description and not binding.action.startswith("app.")
    }
    assert {
        "plan: edit",
        "runs: pause",
        "results: export",
        "desk: attack again",
        "plots: the next alpha, of plots that show one at a time",
    } < every
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot, mode, "colon")
        known = {words.lower() for words in listed(app)}  # those that work where one is stand under their own words
        assert {words for words in every if not {words, words.partition(": ")[2]} & known} == set()


async def test_a_command_of_another_screen_is_carried_out_there(app: SubpopApp, store: Store) -> None:
    worlds.make_run(store)
    async with app.run_test(size=(120, 36)) as pilot:
        await settled(pilot, "2", "colon", *"results: export", "enter")
        await until(pilot, lambda: type(app.screen).__name__ == "ExportDialog")
        assert app.current_mode == "results"
        await settled(pilot, "escape", "1", "colon", *"plots: two side", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlotsScreen) and app.settings.get("one_plot", False))
        await settled(pilot, "escape", "3", "colon", *"desk: attack", "enter")
        await until(pilot, lambda: type(app.screen).__name__ == "AgainDialog")
        assert isinstance(app.screen_stack[-2], DeskScreen)
        await settled(pilot, "escape", "escape", "5", "colon", *"form: preview", "enter")
        await until(
            pilot, lambda: any(isinstance(screen, FormScreen) for screen in app.screen_stack) or app.current_mode == "subpopulations"
        )


async def test_a_command_that_cannot_be_carried_out_says_so(app: SubpopApp, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.screens.elsewhere.PATIENCE_S", 0.1)
    worlds.make_run(store)
    async with app.run_test(size=(120, 36)) as pilot:
        await settled(pilot, "1", "colon", *"runs: pause", "enter")
        await until(pilot, lambda: any("nothing to do it with now" in note.message for note in app._notifications))
        assert app.current_mode == "runs"
