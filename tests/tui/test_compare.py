"""Compare, and what is done with a run from the keys: report, bundle, note, name, deletion. Runs are of a pipeline that trains nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input, Static

from engine.export.everything import export_all
from engine.export.export import export
from engine.rows import VictimResult, VictimSpec
from engine.runs import start as engine_run
from engine.runs.worker import work
from engine.scenario.parse import parse
from engine.seeds import generator
from engine.store import Store
from engine.store.bundle import bundle
from engine.tables.matching import compared, compared_worst
from tests.runs.test_again import Fake
from tests.tui.conftest import another_app
from tests.worlds import app as worlds
from tests.worlds.fake_pipeline import SCENARIO
from tests.worlds.hands import settled, until
from tui.app import SubpopApp
from tui.dialogs.choose_run import ChooseRun
from tui.dialogs.confirm import Confirm
from tui.dialogs.everything import EverythingDialog
from tui.dialogs.export import ExportDialog
from tui.dialogs.help import keys_of
from tui.dialogs.reader import Reader
from tui.dialogs.row import RowDialog
from tui.screens.compare import CompareScreen
from tui.screens.palette import PaletteScreen
from tui.screens.runs import RunsScreen
from tui.widgets.bars import KeyBar, TopBar
from tui.widgets.lines import Lines
from tui.widgets.table.live import LiveTable
from tui.widgets.table.pane import TablePane

SIZE, NARROW = (120, 36), (80, 24)
Snap = Callable[..., bool]


class Harming(Fake):
    """Poison makes more rows wrong; `weaker` of it fewer."""

    def __init__(self, weaker: float = 1.0) -> None:
        super().__init__()
        self.weaker = weaker

    def result(self, seed: int, spec: VictimSpec, y: np.ndarray) -> VictimResult:
        dice = generator(seed, "harm", spec.trial, spec.arm, str(spec.subpopulation), str(spec.alpha)).random(len(y))
        wrong = dice < 0.1 + 0.25 * self.weaker * (spec.alpha or 0.0)
        return VictimResult(spec, np.where(wrong, 1 - y, y).astype(np.uint8), int((spec.alpha or 0) * 15), 0, 3, 0.5)


def carried_out(store: Store, name: str, *overrides: str, weaker: float = 1.0) -> str:
    made = engine_run.start(store, parse(SCENARIO, overrides=overrides), name=name, spawn=False).id
    assert work(store, made, pipeline=Harming(weaker)) == "done"
    return made


@pytest.fixture
def pair(store: Store) -> tuple[str, str]:
    """(the older, the newer), of the same seed and test rows, in three and two trials."""
    return carried_out(store, "plain"), carried_out(store, "decayed", "model.weight_decay=0.02", "evaluation.trials=2", weaker=0.4)


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots are tested elsewhere, and take longer than all else here."""
    monkeypatch.setattr("engine.export.everything.export_plots", lambda store, runs, folder: ([], {}))


def shown(app: SubpopApp) -> LiveTable:
    return app.screen.query_one("#compared", TablePane).table


def words(app: SubpopApp) -> str:
    return "\n".join(line.plain for lines in app.screen.query(Lines) for line in lines.lines)


def outcome(app: SubpopApp) -> str:
    return str(app.screen.query_one("#outcome", Static).render())


async def compared_runs(pilot: Pilot[int], count: int = 8) -> CompareScreen:
    """Wait until what is compared is on screen."""
    app = pilot.app
    await until(pilot, lambda: isinstance(app.screen, CompareScreen) and len(shown(app).model.rows) == count, seconds=30)  # type: ignore[arg-type]
    assert isinstance(app.screen, CompareScreen)
    return app.screen


async def test_two_marked_runs_are_compared_the_older_first_and_swapped(app: SubpopApp, store: Store, pair: tuple[str, str]) -> None:
    older, newer = pair
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "3", "asterisk", "c")
        screen = await compared_runs(pilot)
        assert screen.ids == [older, newer]
        assert tuple(shown(app).model.rows.values()) == compared(store, [older, newer])[1]
        assert f"decayed {newer} (done) against plain {older} (done)" in words(app)
        assert "differ in model.weight_decay (0.0 → 0.02)" in words(app)
        assert "evaluation.trials (3 → 2)" in words(app)
        await until(pilot, lambda: "b Swap baseline" in str(screen.query_one(KeyBar).render()))
        await settled(pilot, "t")
        assert tuple(shown(app).model.rows.values()) == compared_worst(store, [older, newer])[1]
        await settled(pilot, "t", "b")
        await until(pilot, lambda: tuple(shown(app).model.rows.values()) == compared(store, [newer, older])[1])
        assert "evaluation.trials (2 → 3)" in words(app)
        await settled(pilot, "enter")
        assert isinstance(app.screen, RowDialog)
        await settled(pilot, "escape", "i")
        assert isinstance(app.screen, Reader)
        assert "is to be read with this: a fake" in app.screen.text


async def test_the_run_marked_first_is_the_baseline(app: SubpopApp, pair: tuple[str, str]) -> None:
    older, newer = pair
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "3", "home", "space", "space", "c")
        assert (await compared_runs(pilot)).ids == [newer, older]


async def test_a_comparison_sorts_filters_and_is_taken_up_by_the_next_session(
    app: SubpopApp, tmp_path: Path, pair: tuple[str, str]
) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "3", "asterisk", "c")
        await compared_runs(pilot)
        await settled(pilot, *["right"] * 4, "s", "slash", *"alpha=2", "enter")
        assert shown(app).model.view.sort == "difference"
        assert len(shown(app).model.shown) == 4
        values = [shown(app).model.rows[key][10] for key in shown(app).model.shown]
        assert values == sorted(values, reverse=True)  # type: ignore[type-var]
    again = another_app(tmp_path)
    async with again.run_test(size=SIZE) as pilot:
        await settled(pilot, "5")
        assert (await compared_runs(pilot)).ids == list(pair)
        assert shown(again).model.view.filter == "alpha=2"


async def test_the_second_run_is_asked_for_from_runs_results_and_the_command_list(app: SubpopApp, pair: tuple[str, str]) -> None:
    older, newer = pair
    async with app.run_test(size=SIZE) as pilot:
        for keys in (("3", "c"), ("4", "c"), ("1", "colon", *"compare runs", "enter")):
            await settled(pilot, *keys)
            await until(pilot, lambda: isinstance(app.screen, ChooseRun))
            await settled(pilot, "enter")
            assert (await compared_runs(pilot)).ids == [older, newer]


def test_the_axis_of_differences_holds_them_all_and_no_wild_interval_moves_it() -> None:
    from tui.presenters.compare import spec_of
    from tui.widgets.table.looks import looks_for
    from tui.widgets.table.painter import Painter

    spec = spec_of("compare", 2)
    names = [column.name for column in spec.columns]
    rows = [dict(low=-0.5, difference=-0.4, high=-0.3), dict(low=-0.9, difference=0.2, high=1.0)]  # noqa: C408
    painter = Painter(spec, looks_for(spec))
    painter.measure([tuple(row.get(name) for name in names) for row in rows])
    assert painter.span == (-0.5, 0.25)


async def test_nothing_chosen_says_what_to_do_and_a_run_that_is_gone_is_left_out(
    app: SubpopApp, store: Store, pair: tuple[str, str]
) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "5")
        assert "c chooses two runs" in shown(app).empty
        app.compare_runs(pair)
        await settled(pilot)
        await compared_runs(pilot)
        store.delete_run(pair[1])
        await until(pilot, lambda: not shown(app).model.rows)
        assert "c chooses two runs" in shown(app).empty


async def test_a_comparison_is_made_again_only_when_its_runs_move(
    app: SubpopApp, store: Store, pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tui.presenters import compare as comparison

    made: list[tuple[str, ...]] = []
    real = comparison.compare

    def counted(path: Path, ids: tuple[str, ...]) -> comparison.Comparison:
        made.append(ids)
        return real(path, ids)

    monkeypatch.setattr(comparison, "compare", counted)
    monkeypatch.setattr("tui.screens.compare.AGAIN_S", 0.2)
    other = worlds.make_run(store)
    async with app.run_test(size=SIZE) as pilot:
        app.compare_runs(pair)
        await settled(pilot)
        await compared_runs(pilot)
        store.write_tables(other, {"worst": worlds.worst_table(2)})
        store.annotate(pair[0], "looked at")
        await pilot.pause(0.6)
        assert len(made) == 1
        store.write_tables(pair[0], {"worst": worlds.worst_table(2)})
        await until(pilot, lambda: len(made) == 2)


async def test_runs_that_cannot_be_compared_say_so_in_the_engines_words(app: SubpopApp, store: Store, pair: tuple[str, str]) -> None:
    waiting = store.create_run(name="waiting", title="", scenario_toml=SCENARIO, scenario_hash="0").id
    async with app.run_test(size=SIZE) as pilot:
        app.compare_runs([pair[0], waiting])
        await settled(pilot)
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and "its subpopulations are not known yet" in shown(app).empty, 30)


async def test_three_runs_are_held_against_the_first_and_each_row_says_whose_it_is(
    app: SubpopApp, store: Store, pair: tuple[str, str]
) -> None:
    third = carried_out(store, "weak", weaker=0.2)
    async with app.run_test(size=SIZE) as pilot:
        app.compare_runs([*pair, third])
        await settled(pilot)
        screen = await compared_runs(pilot, 16)
        assert "other" in [slot.look.column for slot in shown(app).painter.layout.slots]
        await settled(pilot, "b")
        assert screen.ids == [pair[1], third, pair[0]]


async def test_the_comparison_is_exported_as_the_command_line_exports_it(
    app: SubpopApp, store: Store, pair: tuple[str, str], tmp_path: Path
) -> None:
    async with app.run_test(size=SIZE) as pilot:
        app.compare_runs(pair)
        await settled(pilot)
        await compared_runs(pilot)
        for table in ("compare", "compare_worst"):
            await settled(pilot, "x")
            assert isinstance(app.screen, ExportDialog)
            assert "Contact sheet" not in str(app.screen.query_one(KeyBar).render())
            app.screen.query_one(Input).value = str(tmp_path / f"app-{table}.csv")
            await settled(pilot, "enter")
            await until(pilot, lambda: "✓" in outcome(app))
            export(store, pair, table, "csv", tmp_path / f"{table}.csv")
            assert (tmp_path / f"app-{table}.csv").read_bytes() == (tmp_path / f"{table}.csv").read_bytes()
            await settled(pilot, "escape", "t")


@pytest.mark.parametrize("mode", ["3", "4", "5"])
async def test_the_report_and_all_tables_go_to_a_folder(
    app: SubpopApp, store: Store, pair: tuple[str, str], tmp_path: Path, no_plots: None, mode: str
) -> None:
    ids = list(pair) if mode == "5" else [pair[1]]
    app.settings.put("compared", list(pair))
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, mode, "E")
        await until(pilot, lambda: isinstance(app.screen, EverythingDialog))
        (tmp_path / "a file").write_text("x")
        app.screen.query_one(Input).value = str(tmp_path / "a file")
        await settled(pilot, "enter")
        assert "is a file" in outcome(app)
        app.screen.query_one(Input).value = str(tmp_path / "mine")
        await settled(pilot, "enter")
        await until(pilot, lambda: "✓" in outcome(app), seconds=60)
        assert str(tmp_path / "mine" / "report.md") in outcome(app)
        export_all(store, ids, tmp_path / "theirs")
        names = sorted(path.name for path in (tmp_path / "theirs").iterdir())
        assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == names
        for name in names:
            assert (tmp_path / "mine" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes(), name


async def test_a_report_of_a_run_without_tables_says_why_there_is_none(app: SubpopApp, store: Store, tmp_path: Path) -> None:
    store.create_run(name="waiting", title="", scenario_toml=SCENARIO, scenario_hash="0")
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "3", "E")
        app.screen.query_one(Input).value = str(tmp_path / "mine")
        await settled(pilot, "enter")
        await until(pilot, lambda: "it has no tables yet" in outcome(app))


async def test_a_run_is_bundled_and_opened_in_another_store(app: SubpopApp, store: Store, tmp_path: Path) -> None:
    run_id = worlds.make_run(store, name="to hand on")
    file = tmp_path / "run.subpop"
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "3", "B")
        app.screen.query_one(Input).value = str(file)
        await settled(pilot, "enter")
        await until(pilot, file.is_file)
        bundle(store, run_id, tmp_path / "theirs.subpop")
        assert file.read_bytes() == (tmp_path / "theirs.subpop").read_bytes()
        await settled(pilot, "o")
        app.screen.query_one(Input).value = str(file)
        await settled(pilot, "enter")
        await until(pilot, lambda: any("is here already" in note.message for note in app._notifications))
    elsewhere = SubpopApp(tmp_path / "other.db", tmp_path / "data", config=tmp_path / "elsewhere")
    async with elsewhere.run_test(size=SIZE) as pilot:
        await settled(pilot, "colon", *"somebody bundled", "enter")
        await until(pilot, lambda: bool(elsewhere.screen.query(Input)) and not isinstance(elsewhere.screen, PaletteScreen))
        elsewhere.screen.query_one(Input).value = str(file)
        await settled(pilot, "enter")
        await until(pilot, lambda: isinstance(elsewhere.screen, RunsScreen) and elsewhere.screen.run_shown is not None)
        assert elsewhere.screen.run_shown.id == run_id  # type: ignore[attr-defined]


@pytest.mark.parametrize("mode", ["3", "4"])
async def test_a_run_is_noted_renamed_and_deleted(app: SubpopApp, store: Store, mode: str) -> None:
    run_id = worlds.make_run(store)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, mode, "N", *"poison by hand", "enter")
        await until(pilot, lambda: store.run(run_id).note == "poison by hand")
        await until(pilot, lambda: "note: poison by hand" in words(app))
        await settled(pilot, "N", "ctrl+u", "enter")
        await until(pilot, lambda: store.run(run_id).note == "")
        await settled(pilot, "R", "ctrl+u", *"mine", "enter")
        await until(pilot, lambda: store.run(run_id).name == "mine")
        await settled(pilot, "D", "n")
        assert store.runs()
        await settled(pilot, "D", "y")
        await until(pilot, lambda: not store.runs())


async def test_text_that_a_terminal_pastes_as_keys_deletes_nothing(app: SubpopApp, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.dialogs.confirm.READING_S", 5.0)
    run_id = worlds.make_run(store)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "3")
        for pasted in ("Dyslexia", ("D", "enter"), "Dy"):
            for key in pasted:
                app.post_message(events.Key(key, key if len(key) == 1 else None))
            await settled(pilot)
            assert [run.id for run in store.runs()] == [run_id]
            while len(app.screen_stack) > 1:
                await settled(pilot, "escape")
        monkeypatch.setattr("tui.dialogs.confirm.READING_S", 0.3)
        for key in "Daaaaaaaaaay":  # a long paste over a slow line
            app.post_message(events.Key(key, key))
            await pilot.pause(0.05)
        await settled(pilot)
        assert [run.id for run in store.runs()] == [run_id]
        await settled(pilot, "escape")
        monkeypatch.setattr("tui.dialogs.confirm.READING_S", 0.05)
        await settled(pilot, "D")
        assert isinstance(app.screen, Confirm)
        await pilot.pause(0.1)
        await settled(pilot, "y")
        await until(pilot, lambda: not store.runs())


async def test_help_and_the_command_list_name_what_can_be_done(app: SubpopApp, pair: tuple[str, str]) -> None:
    own = {"run.compare", "run.everything", "run.note", "run.bundle", "run.open", "run.rename", "run.delete"}
    for mode, ids in (("3", own), ("4", own), ("5", {str(getattr(binding, "id", "")) for binding in CompareScreen.BINDINGS})):
        app = another_app(app.settings.folder.parent)
        app.settings.put("compared", list(pair))
        async with app.run_test(size=SIZE) as pilot:
            await settled(pilot, mode)
            if mode == "5":
                await compared_runs(pilot)
            told = {words for pairs in keys_of(app.screen).values() for _, words, _ in pairs}
            await settled(pilot, "colon")
            listed = {str(row[2]): str(row[0]) for row in app.screen.query_one(LiveTable).model.rows.values()}
            assert ids <= listed.keys(), mode
            assert {listed[name].lower() for name in ids} <= {each.lower() for each in told}, mode


@pytest.mark.parametrize("busy", [0, 1, 2])
async def test_all_modes_have_room_in_a_line_of_eighty(app: SubpopApp, store: Store, busy: int) -> None:
    from tests.tui.conftest import running

    for at in range(busy):
        running(store, name=f"a run with a long name {at}")
    async with app.run_test(size=NARROW) as pilot:
        await settled(pilot, "5")
        line = str(app.screen.query_one(TopBar).render())
        assert all(f" {number} {title[:4]}" in line for number, title in enumerate(app.MODE_TITLES.values(), 1)), line
        assert len(line) == 80


def compare_at(app: SubpopApp, pair: tuple[str, str], snap_compare: Snap, size: tuple[int, int], *keys: str) -> None:
    app.settings.put("compared", list(pair))

    async def ready(pilot: Pilot[int]) -> None:
        await settled(pilot, "5")
        await compared_runs(pilot)
        await settled(pilot, *keys)

    assert snap_compare(app, terminal_size=size, run_before=ready)


def test_compare(app: SubpopApp, pair: tuple[str, str], snap_compare: Snap) -> None:
    compare_at(app, pair, snap_compare, SIZE)


def test_compare_narrow(app: SubpopApp, pair: tuple[str, str], snap_compare: Snap) -> None:
    compare_at(app, pair, snap_compare, NARROW, *["right"] * 4, "s")


def test_compare_worst(app: SubpopApp, pair: tuple[str, str], snap_compare: Snap) -> None:
    compare_at(app, pair, snap_compare, NARROW, "t")


def test_everything(app: SubpopApp, pair: tuple[str, str], snap_compare: Snap) -> None:
    compare_at(app, pair, snap_compare, NARROW, "E")
