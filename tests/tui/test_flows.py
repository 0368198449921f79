"""What a person does, from the first key to the exported file, without a real engine: the worker's side is written by hand."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.style import Style
from textual.pilot import Pilot
from textual.widgets import Input

from engine.export.export import export
from engine.rows import RunRow
from engine.store import Store
from tests.pipeline.test_pipeline import QUICK
from tests.tui.conftest import another_app, running
from tests.worlds import app as worlds
from tests.worlds.hands import field_of, opened_form, settled, until
from tui.app import SubpopApp
from tui.dialogs.export import ExportDialog
from tui.dialogs.help import HelpScreen
from tui.dialogs.launch import LaunchDialog
from tui.dialogs.reader import Reader
from tui.presenters import runs as run_words
from tui.screens.form import FormScreen
from tui.themes import tones
from tui.widgets.bars import KeyBar
from tui.widgets.detail import Detail
from tui.widgets.lines import Lines
from tui.widgets.plain import Static
from tui.widgets.table.live import LiveTable
from tui.widgets.table.pane import TablePane

SIZE = (120, 36)
SIZES = "[subpopulations]\nmin_size = 20\nmax_size = 99"


def keys_shown(app: SubpopApp) -> str:
    """The key line of the screen in front."""
    return str(app.screen.query_one(KeyBar).render())


def table(app: SubpopApp, pane: str) -> LiveTable:
    return app.screen.query_one(f"#{pane}", TablePane).table


def summary(app: SubpopApp) -> str:
    return "\n".join(line.plain for line in app.screen.query_one("#summary", Lines).lines)


async def test_the_default_preset_is_launched_in_two_keys_that_the_screen_shows(app: SubpopApp, store: Store, no_engine: list[str]) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert table(app, "presets").cursor_key == ("quickstart",)
        await until(pilot, lambda: "⏎ Launch" in keys_shown(app))
        await settled(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, LaunchDialog) and app.screen.scenario is not None)
        await until(pilot, lambda: "⏎ Launch" in keys_shown(app))
        await settled(pilot, "enter")
        await until(pilot, lambda: app.current_mode == "runs" and bool(store.runs()))
        run = store.runs()[0]
        assert (run.name, run.title) == ("quickstart", "Handwritten digits, ClusterMatch, label flipping")
        assert no_engine == [run.id]
        await until(pilot, lambda: table(app, "runs").cursor_key == (run.id,))


async def test_a_smoke_run_says_so_and_is_stored_as_one(app: SubpopApp, store: Store, no_engine: list[str]) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, LaunchDialog) and app.screen.scenario is not None)
        await settled(pilot, "right")
        assert "smoke" in str(app.screen.query_one("#verdict").render())
        await settled(pilot, "enter")
        await until(pilot, lambda: bool(store.runs()))
        assert "smoked = true" in store.runs()[0].scenario_toml


async def test_what_has_no_data_here_cannot_be_launched_and_says_why(app: SubpopApp) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "down")
        await until(pilot, lambda: "d Get data" in keys_shown(app))
        await settled(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, LaunchDialog) and "✗" in str(app.screen.query_one("#verdict").render()))
        assert "its data are not here" in str(app.screen.query_one("#verdict").render())
        await until(pilot, lambda: "Launch" not in keys_shown(app))


async def test_the_form_says_the_engines_own_words_beside_the_field(app: SubpopApp, tmp_path: Path) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await opened_form(pilot)
        row = field_of(app, "model.epochs")
        row.focus_field()
        await settled(pilot, "end", "backspace", "backspace", "0")
        await until(pilot, lambda: row.has_class("-wrong"))
        assert "1" in str(row.query_one(".note").render())
        await until(pilot, lambda: "Launch" not in keys_shown(app))
        await settled(pilot, "backspace", "7")
        await until(pilot, lambda: not row.has_class("-wrong"))
        await until(pilot, lambda: "^l Launch" in keys_shown(app))
        await settled(pilot, "ctrl+s")
        path = tmp_path / "mine.toml"
        app.screen.query_one(Input).value = str(path)
        await settled(pilot, "enter")
        assert "epochs = 7" in path.read_text()
        from engine.scenario.parse import load

        assert load(path).model.epochs == 7
        await settled(pilot, "escape", "o")
        app.screen.query_one(Input).value = str(path)
        await settled(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, FormScreen) and app.screen.scenario is not None)
        assert app.screen.edited.path == path  # type: ignore[attr-defined]


async def test_a_form_left_unsaved_is_remembered_by_the_next_session(app: SubpopApp, tmp_path: Path) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await opened_form(pilot)
        field_of(app, "model.hidden").focus_field()
        await settled(pilot, "end", "5")
        await pilot.pause(0.3)
    again = another_app(tmp_path)
    async with again.run_test(size=SIZE) as pilot:
        await opened_form(pilot)
        assert field_of(again, "model.hidden").query_one(Input).value == "325"
        await settled(pilot, "ctrl+r")
        assert field_of(again, "model.hidden").query_one(Input).value == "32"


async def test_fields_that_do_not_matter_are_not_shown(app: SubpopApp) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await opened_form(pilot)
        assert not field_of(app, "dataset.path").display
        field_of(app, "dataset.kind").set_value("table")
        await settled(pilot)
        assert field_of(app, "dataset.path").display
        await until(pilot, lambda: app.screen.scenario is None)  # type: ignore[attr-defined]


async def test_damage_fills_while_one_watches_and_the_cursor_stays_on_its_subpopulation(app: SubpopApp, store: Store) -> None:
    import random

    run_id = running(store, trials=2, ready=0.3)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "3", "w", "down", "down")
        shown = table(app, "damage")
        key = shown.cursor_key
        assert shown.model.view.sort == "damage"
        dice = random.Random(2)
        for _ in range(4):
            store.write_tables(run_id, {"damage": worlds.damage_table(40, 3, dice)})
            await settled(pilot)
            await until(pilot, lambda: shown.model.rows == {shown.model.key_of(row): row for row in store.table(run_id, "damage").rows})
            assert shown.cursor_key == key
            assert shown.model.shown[shown.cursor or 0] == key
        shown.sort_now()
        values = [shown.model.rows[key][3] for key in shown.model.shown]
        assert values == sorted(values, reverse=True)  # type: ignore[type-var]


async def test_the_view_can_be_held_while_the_work_goes_on(app: SubpopApp, store: Store) -> None:
    import random

    run_id = running(store, trials=2, ready=0.3)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "3", "z")
        before = dict(table(app, "damage").model.rows)
        store.write_tables(run_id, {"damage": worlds.damage_table(40, 3, random.Random(2))})
        await pilot.pause(0.3)
        assert table(app, "damage").model.rows == before
        await settled(pilot, "z")
        await until(pilot, lambda: table(app, "damage").model.rows != before)


async def test_pause_resume_and_stop_are_asked_of_the_engine(app: SubpopApp, store: Store) -> None:
    run_id = running(store)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "3")
        await until(pilot, lambda: "p Pause" in keys_shown(app))
        await until(pilot, lambda: "Resume" not in keys_shown(app))
        await settled(pilot, "p")
        asked: list[str] = []

        def asks(kind: str) -> bool:
            asked.extend(store.take_requests(run_id))
            return kind in asked

        await until(pilot, lambda: asks("pause"))
        store.update_run(run_id, state="paused")
        await until(pilot, lambda: "r Resume" in keys_shown(app))
        await until(pilot, lambda: "Pause" not in keys_shown(app))
        await until(pilot, lambda: "paused" in summary(app))
        await settled(pilot, "r")
        await until(pilot, lambda: asks("resume"))
        await settled(pilot, "x", "n")
        await settled(pilot, "x", "y")
        await until(pilot, lambda: asks("stop"))
        assert asked.count("stop") == 1


async def test_a_lost_engine_is_said_and_resumed_with_one_key(app: SubpopApp, store: Store, no_engine: list[str]) -> None:
    run_id = running(store)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "3")
        await until(pilot, lambda: "LOST" not in summary(app))
        store.update_run(run_id, pid=4_000_001)  # as if the worker had died
        await until(pilot, lambda: "ENGINE LOST" in summary(app), seconds=3)
        await until(pilot, lambda: "r Resume" in keys_shown(app))
        assert "engine lost" in app.at_work()[0]
        await settled(pilot, "r")
        await until(pilot, lambda: no_engine == [run_id])


async def test_a_failure_is_one_key_away(app: SubpopApp, store: Store) -> None:
    worlds.make_run(store, state="failed", error="cluster 17 has 0 test rows; lower `clusters`\nand the rest of it")
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "3")
        await until(pilot, lambda: "cluster 17 has 0 test rows" in summary(app))
        await settled(pilot, "f")
        assert isinstance(app.screen, Reader)
        assert "and the rest of it" in app.screen.text
        assert "plan: 363 victims" in app.screen.text


async def test_runs_started_elsewhere_appear_and_can_be_renamed_and_deleted(app: SubpopApp, store: Store) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "3")
        run_id = worlds.make_run(store, name="from the command line")
        await until(pilot, lambda: table(app, "runs").cursor_key == (run_id,))
        await settled(pilot, "R")
        app.screen.query_one(Input).value = "mine"
        await settled(pilot, "enter")
        await until(pilot, lambda: store.run(run_id).name == "mine")
        await settled(pilot, "D", "y")
        await until(pilot, lambda: not table(app, "runs").model.rows)
        assert store.runs() == []


async def test_two_apps_on_one_run_see_the_same(app: SubpopApp, store: Store, tmp_path: Path) -> None:
    import random

    run_id = running(store, trials=1, ready=0.2)
    other = another_app(tmp_path, "other")
    async with app.run_test(size=SIZE) as one, other.run_test(size=(80, 24)) as two:
        await settled(one, "3")
        await settled(two, "3")
        store.write_tables(run_id, {"damage": worlds.damage_table(40, 3, random.Random(9))})
        want = {row[:1] + row[2:3]: row for row in store.table(run_id, "damage").rows}
        for pilot, each in ((one, app), (two, other)):
            await until(pilot, lambda each=each: {(r[0], r[2]): r for r in table(each, "damage").model.rows.values()} == want)  # type: ignore[misc]
        await settled(two, "p")
        await until(two, lambda: store.take_requests(run_id) == ["pause"])


async def exported(pilot: Pilot[int], app: SubpopApp, path: Path, *keys: str) -> bytes:
    """Export what is on screen to a path, through the dialog."""
    await settled(pilot, "x", *keys)
    assert isinstance(app.screen, ExportDialog)
    app.screen.query_one(Input).value = str(path)
    await settled(pilot, "enter")
    await until(pilot, lambda: app.screen.query_one("#outcome").has_class("-written"))
    assert str(path) in str(app.screen.query_one("#outcome").render()).replace("\n", "")
    await settled(pilot, "enter")
    return path.read_bytes()


@pytest.mark.parametrize(("presses", "format"), [(0, "csv"), (1, "parquet"), (2, "json"), (3, "md"), (4, "tex")])
async def test_the_screens_export_is_the_headless_one_byte_for_byte(
    app: SubpopApp, store: Store, tmp_path: Path, presses: int, format: str
) -> None:
    run_id = worlds.make_run(store)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "4")
        await until(pilot, lambda: bool(table(app, "result").model.rows))
        got = await exported(pilot, app, tmp_path / f"out.{format}", *["right"] * presses)
    headless = io.BytesIO()
    export(store, run_id, "damage", format, headless)
    assert got == headless.getvalue()


async def test_an_export_follows_the_screens_filter_and_order(app: SubpopApp, store: Store, tmp_path: Path) -> None:
    run_id = worlds.make_run(store)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "4", "slash", *"tech damage>0.3", "enter")
        model = table(app, "result").model
        assert 0 < len(model.shown) < len(model.rows)
        assert all("Tech" in str(model.rows[key][1]) and model.rows[key][3] > 0.3 for key in model.shown)  # type: ignore[operator]
        got = await exported(pilot, app, tmp_path / "some.csv")
        headless = io.BytesIO()
        export(store, run_id, "damage", "csv", headless, only=model.shown)
    assert got == headless.getvalue()
    lines = [line for line in got.decode().splitlines() if not line.startswith("#")][1:]
    assert len(lines) == len(model.shown)


async def test_an_export_that_cannot_be_written_says_why(app: SubpopApp, store: Store, tmp_path: Path) -> None:
    worlds.make_run(store)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "4", "x")
        app.screen.query_one(Input).value = str(tmp_path / "nowhere" / "x.csv")
        await settled(pilot, "enter")
        await until(pilot, lambda: app.screen.query_one("#outcome").has_class("-bad"))
        assert "folder" in str(app.screen.query_one("#outcome").render())


async def test_every_table_of_a_run_can_be_turned_to_and_copied(app: SubpopApp, store: Store) -> None:
    worlds.make_run(store)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "4")
        names = set()
        for _ in range(3):
            names.add(table(app, "result").spec.name)
            assert table(app, "result").model.rows
            await settled(pilot, "t")
        assert names == {"subpopulations", "damage", "worst"}
        await settled(pilot, "y")
        assert app.clipboard.splitlines()[0].startswith("subpopulation\t") or "alpha\t" in app.clipboard
        await settled(pilot, "Y")
        assert len(app.clipboard.splitlines()) == len(table(app, "result").model.rows) + 1


async def test_marked_subpopulations_alone_are_attacked(app: SubpopApp, store: Store, no_engine: list[str]) -> None:
    worlds.make_run(store)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "2", "down", "space", "space", "a")
        dialog = app.screen
        assert isinstance(dialog, LaunchDialog)
        assert dialog.only == (1, 2)
        dialog.text = dialog.text.replace("adult", "digits", 1)  # data that need no files
        dialog.text = dialog.text.replace('kind = "adult"', 'kind = "digits"')
        dialog.check()
        await until(pilot, lambda: dialog.scenario is not None)
        await settled(pilot, "enter")
        await until(pilot, lambda: len(store.runs()) == 2)
        assert "only = [1, 2]" in store.runs()[0].scenario_toml


async def test_discovery_is_shown_as_it_comes_and_a_failure_in_words(app: SubpopApp, monkeypatch: pytest.MonkeyPatch) -> None:
    from tui.screens.subpopulations import SubpopulationsScreen

    monkeypatch.setattr(SubpopulationsScreen, "_discover", lambda self: None)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "p")
        screen: Any = app.screen
        assert isinstance(screen, SubpopulationsScreen)
        screen._answered({"progress": ["confidence, fold 3 of 5", 0.48]})
        assert "48 %  confidence, fold 3 of 5" in screen.query_one("#subject", Lines).lines[-1].plain
        found = [{**vars(s), "class_mix": dict(s.class_mix)} for s in worlds.subpopulations(12)]
        screen._answered({"found": found, "deviations": ["a sliver"], "about": worlds.ABOUT})
        await settled(pilot)
        assert len(table(app, "subpopulations").model.rows) == 12
        assert "a sliver" in screen.query_one("#subject", Lines).lines[1].plain
        screen._answered({"error": "the engine's preview ended: killed", "ended": True})
        assert "killed" in screen.query_one("#subject", Lines).lines[-1].plain


@pytest.mark.parametrize("size", [SIZE, (80, 24)])
async def test_damage_is_foretold_once_its_price_was_said_and_the_worst_are_marked(
    size: tuple[int, int], app: SubpopApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tui.dialogs import confirm
    from tui.dialogs.launch import LaunchDialog
    from tui.screens.subpopulations import SubpopulationsScreen

    monkeypatch.setattr(SubpopulationsScreen, "_discover", lambda self: None)
    monkeypatch.setattr(confirm, "READING_S", 0.0)
    words = "mostly digit 3 or 9 (92 %), upper share 0.334 to 0.359"  # so long that not all columns are in sight
    found = [{**vars(s), "class_mix": dict(s.class_mix), "description": f"{s.index}: {words}"} for s in worlds.subpopulations(30)]
    async with app.run_test(size=size) as pilot:
        await settled(pilot, "p")
        screen: Any = app.screen
        assert isinstance(screen, SubpopulationsScreen)
        screen._answered({"found": found, "deviations": [], "about": worlds.ABOUT})
        screen.subject.text = re.sub(r"(min|max)_size = .*", "", screen.subject.text).replace("[subpopulations]", SIZES)
        await settled(pilot, "p")
        assert isinstance(app.screen, confirm.Confirm)
        assert "4 clean models are trained" in app.screen.question
        sized = [each for each in found if each["test_rows"] and 20 <= each["aux_rows"] <= 99]
        assert f"Attacking all {len(sized)} subpopulations takes" in app.screen.question
        assert "each far cheaper in its stack" in app.screen.question
        await settled(pilot, "escape")
        assert not screen.subject.predict
        await settled(pilot, "p", "enter")
        assert (screen.subject.predict, screen.subject.stage, len(screen.pane.table.model.rows)) == (True, "loading", 0)
        foretold = [{**each, "predicted": (7 * each["index"]) % 30 / 40} for each in found]
        screen._answered({"found": foretold, "deviations": [], "about": worlds.ABOUT})
        await settled(pilot)
        table = screen.pane.table
        ranked = sorted(foretold, key=lambda each: -each["predicted"])
        assert [key[0] for key in table.model.shown][:3] == [each["index"] for each in ranked][:3]
        assert table.cursor == 0
        place = next(slot for slot in table.painter.layout.slots if slot.look.column == "predicted")
        assert table.painter.layout.pinned_width <= place.x - table.x_offset <= table.scrollable_content_region.width - 1 - place.width
        assert app.settings.view("subpopulations").sort is None
        await settled(pilot, "p")
        able = [each for each in foretold if each["index"] in {one["index"] for one in sized}]
        assert 10 < len(able) < 30  # else the sizes would decide nothing
        worst = sorted(able, key=lambda each: -each["predicted"])[:10]
        assert screen.pane.table.model.marks == {(each["index"],) for each in worst}
        await settled(pilot, "a")
        dialog: Any = app.screen
        assert isinstance(dialog, LaunchDialog)
        assert (dialog.only, dialog.predicted, dialog.predict) == ((), 10, True)
        dialog.text = QUICK  # whose data need no files
        dialog.check()
        await until(pilot, lambda: dialog.scenario is not None)
        chosen = dialog.scenario.subpopulations
        assert (chosen.select, chosen.select_count, chosen.only) == ("predicted", 10, ())  # so that the run says how it was chosen
        await settled(pilot, "escape")
        screen.pane.table.model.mark_only({(each["index"],) for each in worst[1:]})  # one less, by hand
        await settled(pilot, "a")
        by_hand: Any = app.screen
        assert (set(by_hand.only), by_hand.predicted) == ({each["index"] for each in worst[1:]}, 0)


async def test_help_names_the_keys_and_columns_of_where_one_is(app: SubpopApp, store: Store) -> None:
    from tui.dialogs.help import HelpScreen, keys_of

    worlds.make_run(store)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "4")
        keys = keys_of(app.screen)
        assert ("x", "Export", "results.export") in keys["This screen"]
        assert any(words == "Sort by column" for _, words, _ in keys["This table"])
        await settled(pilot, "question_mark")
        assert isinstance(app.screen, HelpScreen)
        await settled(pilot, "escape")
        assert not isinstance(app.screen, HelpScreen)


async def test_the_command_list_has_every_action_and_does_it(app: SubpopApp, store: Store) -> None:
    from tui.screens.palette import PaletteScreen

    worlds.make_run(store)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "4", "colon")
        palette = app.screen
        assert isinstance(palette, PaletteScreen)
        listed = {str(row[2]) for row in palette.query_one(LiveTable).model.rows.values()}
        elsewhere = ("app.palette", "results.run", "results.run-before", "results.only-row", "run.compare")  # not here
        for binding in [*type(app).BINDINGS, *type(app.screen_stack[0]).BINDINGS, *LiveTable.BINDINGS, *TablePane.BINDINGS]:
            name = getattr(binding, "id", None)
            if name and name not in elsewhere:
                assert name in listed, name
        await settled(pilot, *"subpop-l", "enter")
        assert app.theme == "subpop-light"
        await settled(pilot, "colon", *"table worst", "enter")
        await until(pilot, lambda: table(app, "result").spec.name == "worst")


async def test_keys_can_be_remapped_and_the_key_line_tells_the_new_ones(tmp_path: Path, store: Store) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "keys.toml").write_text('[keys]\n"results.export" = "ctrl+e"\n')
    worlds.make_run(store)
    app = another_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "4")
        await until(pilot, lambda: "^e Export" in keys_shown(app))
        await settled(pilot, "x")
        assert not isinstance(app.screen, ExportDialog)
        await settled(pilot, "ctrl+e")
        assert isinstance(app.screen, ExportDialog)


async def test_a_session_is_taken_up_where_it_was_left(tmp_path: Path, store: Store) -> None:
    worlds.make_run(store)
    first = another_app(tmp_path)
    async with first.run_test(size=SIZE) as pilot:
        await settled(pilot, "ctrl+t", "4", "t", "T", "slash", *"sales", "enter")
    second = another_app(tmp_path)
    async with second.run_test(size=SIZE) as pilot:
        assert second.theme == "subpop-light"
        await settled(pilot, "4")
        view = table(second, "result").model.view
        assert (view.sort, view.filter) == ("damage", "sales")
        assert second.screen.query_one("#result", TablePane).query_one(Input).value == "sales"


async def test_a_broken_settings_file_is_forgotten_and_a_broken_keys_file_told(tmp_path: Path, store: Store) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "app.json").write_text('{"theme": 7, "views": [1], "drafts": "x"')
    (tmp_path / "config" / "keys.toml").write_text("[keys\n")
    app = another_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert app.theme == "subpop-dark"
        assert any("keys.toml" in note.message for note in app._notifications)


async def test_a_store_that_cannot_be_used_is_told_and_the_plan_still_works(tmp_path: Path) -> None:
    (tmp_path / "runs.db").write_text("this is no database, but text long enough to be taken for one" * 30)
    app = another_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert "not a results store" in app._trouble
        assert app.at_work() == ("! store", "bad")
        assert "Handwritten" in str(app.screen.query_one(Detail)._shown)
        for key in ("2", "3", "4", "1"):
            await settled(pilot, key)


async def test_every_theme_can_be_worn(app: SubpopApp, store: Store) -> None:
    worlds.make_run(store)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "3")
        await settled(pilot, "question_mark")  # its colours are Rich's, which knows not all names that Textual knows
        for theme in sorted(app.available_themes):
            app.theme = theme
            await pilot.pause()
            assert isinstance(app.screen, HelpScreen)
            app.screen.query_one("#keys", Static).update(app.screen._text())
            await pilot.pause()
            for style in tones(app.theme_variables).values():
                Style.parse(style)
        await settled(pilot, "escape", "ctrl+t")
        assert app.theme in app.available_themes


async def test_a_run_that_ends_is_told_wherever_one_is(app: SubpopApp, store: Store) -> None:
    run_id = running(store, name="far away")
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert app.at_work()[0].startswith("● far away")
        store.update_run(run_id, state="done")
        await until(pilot, lambda: any("far away is done" in note.message for note in app._notifications))


def test_a_run_at_its_discovery_shows_its_share_its_rest_and_what_it_is_at() -> None:
    at = "optimising poison points, subpopulation 2 of 3, step 12 of 30, alignment 0.43, 41%"
    run = replace(shown_run(), state="running", phase=at, progress=0.41, eta_s=125.0, alive=True, started_at=0.0)
    cells = dict(zip((column.name for column in run_words.SPEC.columns), run_words.run_cells(run), strict=True))
    assert (cells["progress"], cells["eta"], cells["victims"]) == (0.41, "2 m 05 s", "–")
    lines = [line.plain for line in run_words.summary(run, 60.0, "", 80, dict.fromkeys(("good", "warn", "bad", "quiet", "title"), ""))]
    assert any(at.split(", ")[3] in line for line in lines)
    assert any("41 %" in line and "ETA of this step 2 m 05 s" in line for line in lines)


def test_the_question_before_a_stop_says_what_it_loses() -> None:
    at_work = replace(shown_run(), alive=True)
    assert run_words.stop_question(at_work) == (
        "Stop optimised? It loses what of this step was not committed; the steps before it are kept; it can be resumed."
    )
    training = replace(at_work, victims_total=40, victims_done=20, progress=0.6, victims_per_minute=10.0)
    assert run_words.stop_question(training) == (
        "Stop optimised? It loses the stack in flight (about 24 s); its 20 trained victims are kept; it can be resumed."
    )
    assert "the stack in flight; its" in run_words.stop_question(replace(training, victims_per_minute=None))
    for nothing in (replace(at_work, state="queued"), shown_run()):
        assert run_words.stop_question(nothing) == "Stop optimised? It can be resumed."


def test_why_a_run_failed_is_shown_to_its_advice() -> None:
    advice = "point $SUBPOP_CACHE to a folder with room, or make model.length or dataset.rows smaller"
    why = f"/a/folder/{'deep/' * 30}: the hidden states of the texts cannot be kept: they take 9.1 GB, and 2.0 GB are free; {advice}"
    run = replace(shown_run(), state="failed", error=why)
    for width in (80, 120):
        lines = run_words.summary(run, 60.0, "", width, dict.fromkeys(("good", "warn", "bad", "quiet", "title"), ""))
        assert max(len(line.plain) for line in lines[1:-1]) <= width
        assert advice in " ".join(" ".join(line.plain for line in lines).split())


def shown_run() -> RunRow:
    return RunRow(
        "5b1e0c", "optimised", "UTKFace", "running", "", "", "", 0.0, None, None, 0.0, "here", 1, "cpu", 0, 0, 0.0, None, None, "", (),
    )  # fmt: skip


async def test_a_cluster_is_a_device_whose_address_is_asked_for(
    app: SubpopApp, store: Store, no_engine: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from textual.widgets import Input

    from engine.runs.executors import joining, nodes
    from tui.services import devices

    there: list[bool] = []

    def apart(scenario: object, address: str) -> None:
        if not there:
            raise joining.nobody(address, "Connection refused")

    monkeypatch.setattr(nodes, "apart", apart)
    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: object())  # type: ignore[attr-defined]
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, LaunchDialog) and app.screen.scenario is not None)
        address = app.screen.query_one("#cluster", Input)
        assert not address.parent.display  # type: ignore[union-attr]
        await settled(pilot, "tab", "left")  # the last of the devices
        assert address.parent.display  # type: ignore[union-attr]
        await until(pilot, lambda: "✗ a cluster has an address: give it as" in str(app.screen.query_one("#verdict").render()))
        await settled(pilot, "tab", *"ray://head:10001")
        dialog: Any = app.screen  # each letter is judged: wait for the last one
        await until(pilot, lambda: dialog.scenario is not None and dialog.scenario.compute.device == "ray://head:10001")
        assert "the cluster's nodes are looked at first" in str(app.screen.query_one("#verdict").render())
        await settled(pilot, "enter")
        await until(pilot, lambda: "✗ ray://head:10001: nobody answers there" in str(app.screen.query_one("#verdict").render()))
        assert store.runs() == []
        there.append(True)
        assert not dialog.starting
        await settled(pilot, "enter")
        await until(pilot, lambda: bool(store.runs()))
        assert 'device = "ray://head:10001"' in store.runs()[0].scenario_toml
        # the next launch offers it again
        await settled(pilot, "1", "enter")
        await until(pilot, lambda: isinstance(app.screen, LaunchDialog) and app.screen.scenario is not None)
        assert app.screen.query_one("#cluster", Input).value == "ray://head:10001"
