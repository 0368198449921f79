"""Plots in the app: what is drawn, the cursor, following a run at work, files, pictures."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import Input

from engine.errors import RequestError
from engine.plots import Plot, Series
from engine.rows import Table
from engine.store import Store
from engine.tables import worst_over_trials
from engine.tables.columns import SPECS
from tests.tui.conftest import running
from tests.worlds import app as worlds
from tests.worlds.hands import settled, until
from tui.app import SubpopApp
from tui.dialogs.reader import Reader
from tui.screens.desk import DeskScreen
from tui.screens.plots import PlotsScreen
from tui.widgets.plot.axes import Axis, axis_over, upright
from tui.widgets.plot.legend import readout
from tui.widgets.plot.painter import Painter, category_lines
from tui.widgets.plot.view import PlotView
from tui.widgets.table.pane import TablePane

Snap = Callable[..., bool]
WIDE, NARROW = (120, 36), (80, 24)


def cloud(name: str = "alpha 1", shift: float = 0.0, count: int = 6) -> Series:
    x = tuple(float(i) for i in range(1, count + 1))
    return Series(name, x, tuple(0.1 * i + shift for i in range(count)), keys=tuple(range(10, 10 + count)))


def plot(*series: Series, **more: object) -> Plot:
    return replace(Plot("damage_size", "Damage against size", "size (rows)", "damage", series or (cloud(),)), **more)  # type: ignore[arg-type]


def drawn(what: Plot, width: int = 60, height: int = 20, cursor: tuple[int, int] | None = None) -> list[str]:
    painter = Painter(what, width, height, cursor)
    assert [len(row) for row in painter.cells] == [width] * height
    return ["".join(char for char, _ in row) for row in painter.cells]


# ---- drawing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [4, 6, 9, 13, 20, 31])
@pytest.mark.parametrize("reach", [(0.0, 0.8), (-0.13, 0.47), (0.0, 0.004), (3.0, 1800.0), (0.5, 0.5), (0.0, 1.0)])
def test_ticks_of_the_upright_axis_lie_whole_rows_apart(reach: tuple[float, float], rows: int) -> None:
    axis, ticks = upright(reach, rows)
    assert axis.low <= reach[0] <= reach[1] <= axis.high
    assert len(ticks) >= 2
    assert len({words for _, words in ticks}) == len(ticks)
    places = [axis.share(value) * (rows - 1) for value, _ in ticks]
    if len(ticks) > 2 or rows > 6:
        assert all(abs(place - round(place)) < 1e-6 for place in places)


def test_ticks_have_room() -> None:
    for axis in (Axis(0.0, 1.0), Axis(3.0, 1800.0, log=True), Axis(17.0, 19.5, log=True), axis_over((0.84, 0.98))):
        for room in (30, 60, 120):
            ticks = axis.ticks(room)
            assert len(ticks) >= 2
            assert sum(len(words) + 1 for _, words in ticks) <= room


def test_a_logarithmic_axis_gives_each_decade_the_same_room() -> None:
    axis = axis_over((1.0, 10.0, 100.0), log=True)
    low, middle, high = (axis.share(value) for value in (1.0, 10.0, 100.0))
    assert middle - low == pytest.approx(high - middle)
    assert axis_over((), log=True).share(0.0) == 0.0


def test_every_series_has_a_mark_of_its_own() -> None:
    what = plot(cloud("alpha 0.5"), cloud("alpha 1", 0.2), replace(cloud("fit", 0.4), style="line"))
    rows = drawn(what)
    text = "\n".join(rows)
    assert "● alpha 0.5" in text
    assert "▲ alpha 1" in text
    assert "■" in text.partition("fit")[0].rpartition("\n")[2]
    assert sum(row.count("●") for row in rows[2:]) >= 5


def test_what_a_line_is_of_shares_its_mark_and_the_legend_says_it_once() -> None:
    line = Series("17: fitted", (0.0, 3.0, 6.0), (0.0, 0.2, 0.5), style="line", of="17")
    text = "\n".join(drawn(plot(cloud("17"), line)))
    assert "fitted" not in text
    assert "──●── 17" in text


def test_a_crowd_of_lines_is_faint() -> None:
    lines = [Series(str(i), (0.0, 1.0), (0.0, i / 20), style="line", keys=(i, i)) for i in range(12)]
    painter = Painter(plot(*lines), 60, 20, None)
    assert {look.faint for look in painter.looks} == {True}


def test_intervals_level_and_steps() -> None:
    one = Series("corrected", (1.0, 2.0), (0.4, 0.5), (0.1, None), (0.8, None))
    steps = Series("spread", (0.5, 1.5, 2.5), (0.9, 0.5, 0.1), style="steps")
    text = "\n".join(drawn(plot(one, steps, level=0.3)))
    assert text.count("┬", 0, text.index("└")) == 1  # the interval that is known, and no other
    assert "┴" in text
    assert "┄┄┄" in text
    assert "level 0.3" in text


def test_categories_are_named_on_two_lines_where_they_must_be() -> None:
    names = [f"worst {k}, alpha {alpha}" for alpha in ("0.5", "1") for k in (1, 5, 10)]
    assert [words for _, words in category_lines(names, 30)[1]] == names
    common, upper, lower = category_lines(names, 7)
    assert common == "worst"
    assert [words for _, words in upper] == ["1", "5", "10"] * 2
    assert lower == [(1.0, "alpha 0.5"), (4.0, "alpha 1")]


@pytest.mark.parametrize(("width", "height"), [(40, 12), (40, 11), (24, 8), (10, 3), (200, 60), (60, 1)])
def test_any_size_is_drawn_or_refused(width: int, height: int) -> None:
    what = plot(cloud(), cloud("alpha 2", 0.3), ticks=tuple(f"worst {i}, alpha 1" for i in range(8)), level=0.1)
    rows = [len(row) for row in Painter(what, width, height, (0, 2)).cells]
    assert set(rows) == {width}
    assert len(rows) <= height


def test_a_point_in_words() -> None:
    one = Series("alpha 1", (44.0,), (0.25,), (0.1,), (0.4,), keys=(17,))
    assert readout(plot(one), 0, 0, {17: "age 30"}, 80) == "alpha 1   #17   size 44   damage 0.250 [0.100, 0.400]   age 30"
    assert readout(plot(one), 0, 0, {}, 45) == "#17   size 44   damage 0.250 [0.100, 0.400]"  # the value before the series' name


# ---- the widget -------------------------------------------------------------------------------------------------------


class Host(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[object] = []

    def compose(self) -> ComposeResult:
        yield PlotView()

    def on_plot_view_chosen(self, event: PlotView.Chosen) -> None:
        self.heard.append(event.subpopulation)


async def test_the_cursor_walks_points_and_series() -> None:
    app = Host()
    async with app.run_test(size=(70, 22)) as pilot:
        view = app.query_one(PlotView)
        view.show(plot(cloud(), cloud("alpha 2", 0.3)), names={11: "age 30"})
        view.focus()
        await pilot.press("right", "right")
        assert (view.cursor, view.subpopulation) == ((0, 1), 11)
        await pilot.press("down")
        assert (view.cursor, view.subpopulation) == ((1, 1), 11)
        assert "alpha 2   #11   size 2   damage 0.400   age 30" in view.render_line(20).text + view.render_line(21).text
        await pilot.press("end")
        assert view.subpopulation == 15
        await pilot.press("right", "enter")
        assert app.heard == [15]


async def test_the_cursor_stays_on_its_subpopulation_while_points_move_and_only_what_differs_is_painted() -> None:
    app = Host()
    async with app.run_test(size=(70, 22)) as pilot:
        view = app.query_one(PlotView)
        view.show(plot(), cursor=13)
        assert view.cursor == (0, 3)
        fewer = replace(cloud(), x=(2.0, 3.0), y=(0.4, 0.1), keys=(11, 13))
        view.show(plot(fewer))
        assert (view.cursor, view.subpopulation) == ((0, 1), 13)
        await pilot.pause()
        painted: list[object] = []
        view.refresh = lambda *regions, **_: painted.extend(regions) or view  # type: ignore[method-assign]
        view.show(plot(fewer))
        assert not painted
        view.show(plot(replace(fewer, y=(0.4, 0.2))))
        assert 1 <= len(painted) <= 5  # lines: the point's own before and after with the axis' sign, and the words below
        view.show(None)
        assert view.cursor is None


async def test_a_click_takes_the_nearest_point() -> None:
    app = Host()
    async with app.run_test(size=(70, 22)) as pilot:
        view = app.query_one(PlotView)
        view.show(plot())
        await pilot.pause()
        painter = view._painter
        assert painter is not None
        column, row = painter.spots[0, 4]
        await pilot.click(PlotView, offset=(painter.left + column, painter.top + row))
        assert view.subpopulation == 14


async def test_no_plot_says_so() -> None:
    app = Host()
    async with app.run_test(size=(70, 22)) as pilot:
        await pilot.press("right", "enter")
        view = app.query_one(PlotView)
        assert any("nothing to draw yet" in view.render_line(y).text for y in range(5))


# ---- the screen -------------------------------------------------------------------------------------------------------


def plots_screen(app: SubpopApp) -> PlotsScreen:
    assert isinstance(app.screen, PlotsScreen)
    return app.screen


async def opened(pilot: Pilot[int], *keys: str) -> PlotsScreen:
    await settled(pilot, *(keys or ("3", "v")))
    await until(pilot, lambda: isinstance(pilot.app.screen, PlotsScreen) and bool(pilot.app.screen.plots_offered))
    await settled(pilot)
    return plots_screen(pilot.app)  # type: ignore[arg-type]


async def test_plots_open_from_runs_and_results_turn_and_close(app: SubpopApp, store: Store) -> None:
    worlds.make_run(store)
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot)
        assert screen.first.plot is not None
        assert screen.plots_offered[0] == screen.first.plot.name == "dose_response"
        await settled(pilot, "t", "tab")
        assert screen.first.plot.name == "damage_size"
        await settled(pilot, "T")
        assert screen.first.plot.name == "damage_confidence"
        assert not screen.has_class("-two")
        await settled(pilot, "escape")
        assert app.current_mode == "runs"
        assert not isinstance(app.screen, PlotsScreen)
        await opened(pilot, "4", "v")
        assert app.current_mode == "results"
        assert plots_screen(app).first.plot.name == "damage_confidence"  # remembered  # type: ignore[union-attr]


async def test_the_palette_and_the_help_list_plots(app: SubpopApp, store: Store) -> None:
    worlds.make_run(store)
    async with app.run_test(size=WIDE) as pilot:
        await settled(pilot, "3", "colon", *"plots of", "enter")
        await until(pilot, lambda: isinstance(app.screen, PlotsScreen))
        from tui.dialogs.help import keys_of

        assert {"This plot", "This screen"} <= set(keys_of(app.screen))
        await settled(pilot, "1", "colon", *"plot size", "enter")  # from anywhere
        await until(pilot, lambda: isinstance(app.screen, PlotsScreen) and app.screen.first.plot is not None)
        assert plots_screen(app).first.plot.name == "damage_size"  # type: ignore[union-attr]


async def test_another_run_with_brackets(app: SubpopApp, store: Store) -> None:
    first = worlds.make_run(store, name="one")
    second = worlds.make_run(store, name="two")
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot)
        before = screen.feed.run_id
        await settled(pilot, "right_square_bracket")
        assert {before, screen.feed.run_id} == {first, second}
        assert screen.first.plot is not None


async def test_two_side_by_side_share_the_subpopulation(app: SubpopApp, store: Store) -> None:
    worlds.make_run(store)
    app.settings.put("plot", "damage_confidence")
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot)
        assert screen.has_class("-two")
        await settled(pilot, "right", "right", "right")
        assert screen.first.subpopulation is not None
        assert screen.second.subpopulation == screen.first.subpopulation
        await settled(pilot, "w")
        assert not screen.has_class("-two")


async def test_a_subpopulation_is_opened_and_notes_are_read(app: SubpopApp, store: Store) -> None:
    worlds.make_run(store)
    app.settings.put("plot", "published_corrected")
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        await settled(pilot, "n")
        assert isinstance(app.screen, Reader)
        await settled(pilot, "escape", "t", "t", "right", "right", "enter")
        await until(pilot, lambda: isinstance(app.screen, DeskScreen))
        desk = app.screen
        assert isinstance(desk, DeskScreen)
        assert desk.index == desk.others[1]
        await settled(pilot, "escape")
        assert isinstance(app.screen, PlotsScreen)


async def test_plots_are_live(app: SubpopApp, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.screens.plots.REDRAW_S", 0.05)
    run_id = running(store, ready=0.5, trials=1)
    app.settings.put("plot", "damage_size")
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot)
        assert screen.first.plot is not None
        before = sum(len(one.x) for one in screen.first.plot.series)
        store.write_tables(run_id, {"damage": worlds.damage_table(40, 2, random.Random(5), 0.9)})
        await until(pilot, lambda: sum(len(one.x) for one in screen.first.plot.series) > before)  # type: ignore[union-attr]
        shown = screen.first.plot
        store.heartbeat(run_id)  # nothing to draw has changed
        await settled(pilot)
        assert screen.first.plot is shown


async def test_a_live_plot_moves_at_most_twice_a_second(app: SubpopApp, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = running(store, ready=0.5)
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot)
        drawn: list[None] = []
        draw = screen._draw
        monkeypatch.setattr(screen, "_draw", lambda: (drawn.append(None), draw()))
        for tick in range(12):
            store.write_tables(run_id, {"damage": worlds.damage_table(40, 3, random.Random(tick))})
            await pilot.pause(0.1)
        assert 1 <= len(drawn) <= 4


async def test_what_lies_below_keeps_still_and_is_true_again_when_it_comes_back(app: SubpopApp, store: Store) -> None:
    run_id = running(store, ready=0.5, trials=1)
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        below = app.screen_stack[-2]
        damage = below.query_one("#damage", TablePane).table
        before = dict(damage.model.rows)
        store.write_tables(run_id, {"damage": worlds.damage_table(40, 2, random.Random(9), 0.9)})
        await settled(pilot)
        assert app.in_sight() == [app.screen]
        assert dict(damage.model.rows) == before
        await settled(pilot, "question_mark")
        assert [type(screen).__name__ for screen in app.in_sight()] == ["HelpScreen", "PlotsScreen"]
        await settled(pilot, "escape", "escape")
        assert app.screen is below
        assert dict(damage.model.rows) != before


# ---- one alpha at a time ----------------------------------------------------------------------------------------------


def curves(alpha: float, trials: int = 4) -> Table:
    rows = [(alpha, k, t, 0.5 / k + alpha / 10, 0.4 / k, 0.7 / k + alpha / 10) for k in (1, 5, 10) for t in range(2, trials + 1)]
    return Table(worst_over_trials.SPEC, tuple(rows))


async def test_the_distribution_shows_one_alpha_and_a_key_turns(
    app: SubpopApp, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Plot] = []
    monkeypatch.setattr("engine.plots.files.write", lambda plot, path: written.append(plot))
    worlds.make_run(store)
    app.settings.put("plot", "distribution")
    app.settings.put("export_folder", str(tmp_path))

    def alphas(of: PlotsScreen) -> set[str]:
        assert of.first.plot is not None
        return {one.name.partition(",")[0] for one in of.first.plot.series}

    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot)
        assert alphas(screen) == {"alpha 2"}
        seen = []
        for _ in range(3):
            await settled(pilot, "a")
            seen.append(alphas(screen))
        assert seen == [{"alpha 0.5"}, {"alpha 1"}, {"alpha 2"}]
        await settled(pilot, "A")
        await settled(pilot, "x", "enter")
        await until(pilot, lambda: bool(written))
        assert {one.name.partition(",")[0] for one in written[0].series} == {"alpha 1"}
        await settled(pilot, "T")
        assert not screen.check_action("alpha", (1,))  # this one shows them together


async def test_the_curve_over_trials_is_worked_out_in_a_thread_and_kept(
    app: SubpopApp, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, asked = running(store), []
    thread = threading.current_thread()

    def of_run(source: Store, run: object, alpha: float) -> Table:
        assert threading.current_thread() is not thread
        asked.append(alpha)
        return curves(alpha, trials=3 + len(asked))

    monkeypatch.setattr(worst_over_trials, "of_run", of_run)
    monkeypatch.setattr("tui.screens.plots.REDRAW_S", 0.05)
    app.settings.put("plot", "worst_trials")
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot)
        await until(pilot, lambda: screen.first.plot is not None)
        assert screen.first.plot is not None
        assert (screen.first.plot.title, screen.first.plot.ticks) == ("Would more trials help? alpha 2", ("2", "3", "4"))
        await settled(pilot, "a")
        await until(pilot, lambda: screen.first.plot is not None and "alpha 0.5" in screen.first.plot.title)
        await settled(pilot, "A")
        assert "alpha 2" in screen.first.plot.title
        assert asked == [2.0, 0.5]
        store.write_tables(run_id, {"worst": worlds.worst_table(2)})  # the run goes on: worked out anew, but not at once
        await settled(pilot)
        assert asked == [2.0, 0.5]
        monkeypatch.setattr("tui.screens.plot_curves.AGAIN_S", 0.0)
        store.write_tables(run_id, {"worst": worlds.worst_table(3)})
        await until(pilot, lambda: asked == [2.0, 0.5, 2.0])
        await until(pilot, lambda: screen.first.plot is not None and len(screen.first.plot.ticks) == 5)


async def test_a_curve_that_takes_long_is_asked_for_once_however_often_the_store_moves(
    app: SubpopApp, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, asked, go_on = worlds.make_run(store), [], threading.Event()

    def of_run(source: Store, run: object, alpha: float) -> Table:
        asked.append(alpha)
        assert go_on.wait(20)
        return curves(alpha)

    monkeypatch.setattr(worst_over_trials, "of_run", of_run)
    monkeypatch.setattr("tui.screens.plots.REDRAW_S", 0.02)
    app.settings.put("plot", "worst_trials")
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot)
        for tick in range(5):
            store.write_tables(run_id, {"damage": worlds.damage_table(40, 3, random.Random(tick))})
            await settled(pilot)
        assert screen.first.plot is None
        assert any("working it out" in screen.first.render_line(y).text for y in range(5))
        go_on.set()
        await until(pilot, lambda: screen.first.plot is not None)
        assert asked == [2.0]


async def test_a_curve_that_cannot_be_worked_out_says_why(app: SubpopApp, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Table:
        raise RequestError("its predictions are gone", next="restore the store from a copy")

    monkeypatch.setattr(worst_over_trials, "of_run", refuse)
    worlds.make_run(store)
    app.settings.put("plot", "worst_trials")
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        await until(pilot, lambda: any("its predictions are gone" in note.message for note in app._notifications))
        await pilot.pause(1.2)  # the store is looked at every second
        assert sum("its predictions are gone" in note.message for note in app._notifications) == 1


async def test_plots_that_have_no_data_yet(app: SubpopApp, store: Store) -> None:
    run_id = running(store, ready=0.0, trials=0)
    store.write_tables(run_id, {"worst": Table(SPECS["worst"], ())})
    async with app.run_test(size=NARROW) as pilot:
        await settled(pilot, "3", "v")
        screen = plots_screen(app)
        await until(pilot, lambda: any("as victims are trained" in screen.first.render_line(y).text for y in range(5)))
        await settled(pilot, "t", "right", "x", "w")  # none of which does anything
        assert plots_screen(app) is screen


async def test_no_run_at_all(app: SubpopApp) -> None:
    async with app.run_test(size=NARROW) as pilot:
        await settled(pilot, "4", "v")
        assert not isinstance(app.screen, PlotsScreen)


# ---- to a file --------------------------------------------------------------------------------------------------------


async def test_a_plot_is_written_to_a_file(app: SubpopApp, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[Plot, Path]] = []
    monkeypatch.setattr("engine.plots.files.write", lambda plot, path: written.append((plot, path)))
    run_id = worlds.make_run(store, name="my run")
    app.settings.put("export_folder", str(tmp_path))
    app.settings.put("plot", "damage_size")
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        await settled(pilot, "x")
        field = app.screen.query_one(Input)
        assert field.value.endswith(f"my-run-{run_id}-damage_size.png")
        field.value = field.value.replace(".png", ".jpg")
        await settled(pilot, "enter")
        assert "end the name with .png or .svg" in str(app.screen.query_one(".bad").render())
        field.value = field.value.replace(".jpg", ".svg")
        await settled(pilot, "enter")
        await until(pilot, lambda: bool(written))
        plot, path = written[0]
        assert (plot.name, plot.title) == ("damage_size", "Damage against size: my run")
        assert path == tmp_path / f"my-run-{run_id}-damage_size.svg"
        await until(pilot, lambda: any("plot written to" in note.message for note in app._notifications))


async def test_what_is_missing_for_a_file_is_said(app: SubpopApp, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(plot: Plot, path: Path) -> None:
        raise RequestError("files of plots need matplotlib: uv sync --extra plots")

    monkeypatch.setattr("engine.plots.files.write", refuse)
    worlds.make_run(store)
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        await settled(pilot, "x", "enter")
        await until(pilot, lambda: any("uv sync --extra plots" in note.message for note in app._notifications))


# ---- pictures ---------------------------------------------------------------------------------------------------------


def pictured(app: SubpopApp, store: Store, snap_compare: Snap, size: tuple[int, int], name: str, *keys: str, **run: object) -> None:
    worlds.make_run(store, **run)  # type: ignore[arg-type]
    app.settings.put("plot", name)

    async def shown(pilot: Pilot[int]) -> None:
        await opened(pilot)
        await settled(pilot, *keys)

    assert snap_compare(app, terminal_size=size, run_before=shown)


def test_plots_wide(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    pictured(app, store, snap_compare, WIDE, "damage_confidence", "right", "right", "right", "down")


def test_plots_trials(app: SubpopApp, store: Store, snap_compare: Snap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worst_over_trials, "of_run", lambda source, run, alpha: curves(alpha, trials=6))
    pictured(app, store, snap_compare, NARROW, "worst_trials", "right")


def test_plots_distribution(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    pictured(app, store, snap_compare, NARROW, "distribution", "a")


def test_plots_narrow(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    pictured(app, store, snap_compare, NARROW, "published_corrected", deviations=("1,500 of 7,841 train rows",))


def test_plots_light(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    app.theme = "subpop-light"
    pictured(app, store, snap_compare, WIDE, "distribution", "right")


def test_plots_dose_narrow(app: SubpopApp, store: Store, snap_compare: Snap) -> None:
    pictured(app, store, snap_compare, NARROW, "dose_response", "right")
