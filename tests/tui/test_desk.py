"""The results desk: rows marked, one subpopulation opened, its panes, attacking again. Runs are of a pipeline that trains nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from engine.errors import RequestError
from engine.rows import Table
from engine.runs import again
from engine.runs import start as engine_run
from engine.runs.worker import work
from engine.scenario.parse import parse
from engine.store import Store
from engine.tables.columns import SPECS
from tests.runs.test_again import Fake
from tests.worlds import app_pictures as picture_world
from tests.worlds.fake_pipeline import SCENARIO
from tests.worlds.hands import settled, until
from tui.app import SubpopApp
from tui.dialogs.again import AgainDialog
from tui.dialogs.reader import Reader
from tui.dialogs.row import RowDialog
from tui.presenters import desk as desk_rows
from tui.presenters import launching
from tui.screens.desk import PANES, DeskScreen
from tui.screens.looking import Looking
from tui.screens.results import ResultsScreen
from tui.services.processes import PreviewProcess
from tui.widgets.bars import KeyBar
from tui.widgets.choice import Choice
from tui.widgets.plot.view import PlotView
from tui.widgets.table.live import LiveTable
from tui.widgets.table.model import View
from tui.widgets.table.pane import TablePane
from tui.widgets.tabs import TabLine

SIZE, NARROW = (120, 36), (80, 24)
Snap = Callable[..., bool]


@pytest.fixture
def run_id(store: Store) -> str:
    """Four subpopulations at two alphas in three trials, carried out."""
    made = engine_run.start(store, parse(SCENARIO), name="four groups", spawn=False).id
    assert work(store, made, pipeline=Fake()) == "done"
    return made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the screens ask of the process that holds the data, which there is none of."""
    questions: list[object] = []

    def load(self: Looking, run_id: str) -> None:
        questions.append({"run": run_id})

    def ask(self: Looking, first: int = 0) -> None:
        if self.looked_at is not None:
            questions.append(self.look.question(self.looked_at, first))

    monkeypatch.setattr(Looking, "load_run", load)
    monkeypatch.setattr(Looking, "ask_members", ask)
    return questions


def table(app: SubpopApp, pane: str) -> LiveTable:
    return app.screen.query_one(f"#{pane}", TablePane).table


def rows(app: SubpopApp, pane: str) -> list[dict[str, Any]]:
    shown = table(app, pane)
    return [dict(zip((c.name for c in shown.spec.columns), cells, strict=True)) for cells in shown.model.visible_rows()]


def keys_shown(app: SubpopApp) -> str:
    return str(app.screen.query_one(KeyBar).render())


def head(app: SubpopApp) -> str:
    return "\n".join(line.plain for line in app.screen.query_one(TabLine).lines)


def desk(app: SubpopApp) -> DeskScreen:
    assert isinstance(app.screen, DeskScreen)
    return app.screen


async def results(pilot: Pilot[int]) -> None:
    """Results, the damage in the table's own order: subpopulation 0 is in the first row."""
    pilot.app.settings.put_view("damage", View())  # type: ignore[attr-defined]
    await settled(pilot, "4")
    await until(pilot, lambda: isinstance(pilot.app.screen, ResultsScreen) and bool(table(pilot.app, "result").model.rows))  # type: ignore[arg-type]


async def opened(pilot: Pilot[int], pane: str = "curve") -> DeskScreen:
    """The desk of the first row's subpopulation, read to the end, at a pane."""
    await results(pilot)
    await settled(pilot, "enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, DeskScreen) and pilot.app.screen.made is not None)
    await settled(pilot, *["tab"] * PANES.index(pane))
    await until(pilot, lambda: desk(pilot.app).has_class(f"-on-{pane}"))  # type: ignore[arg-type]
    await settled(pilot)
    return desk(pilot.app)  # type: ignore[arg-type]


# ---- marks ----------------------------------------------------------------------------------------------------------


async def test_marks_are_of_subpopulations_and_turn_with_the_table(app: SubpopApp, run_id: str) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await results(pilot)
        assert table(app, "result").spec.name == "damage"
        await settled(pilot, "space", "down", "space")
        marks = table(app, "result").model.marks
        assert marks == {(alpha, s) for alpha in (1.0, 2.0) for s in (0, 2)}
        screen = app.screen
        assert isinstance(screen, ResultsScreen)
        screen.show_table("subpopulations")
        await settled(pilot)
        assert table(app, "result").model.marks == {(0,), (2,)}
        table(app, "result").sort_by("confidence")
        table(app, "result").look(filter="#3")
        await settled(pilot)
        screen.show_table("worst")
        await until(pilot, lambda: "Mark" not in keys_shown(app))
        assert not table(app, "result").markable
        screen.show_table("damage")
        await settled(pilot)
        assert len(table(app, "result").model.marks) == 4
        assert "2 marked" in str(app.screen.query_one("#result .caption").render())


async def test_enter_opens_a_subpopulation_and_elsewhere_the_row_and_i_the_row_everywhere(app: SubpopApp, run_id: str) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await results(pilot)
        await until(pilot, lambda: "⏎ Open" in keys_shown(app))
        await settled(pilot, "i")
        await until(pilot, lambda: isinstance(app.screen, RowDialog))
        await settled(pilot, "escape", "enter")
        await until(pilot, lambda: isinstance(app.screen, DeskScreen))
        await settled(pilot, "escape")
        await until(pilot, lambda: isinstance(app.screen, ResultsScreen))
        app.screen.show_table("worst")  # type: ignore[attr-defined]
        await until(pilot, lambda: "⏎ Row" in keys_shown(app))
        assert "Open" not in keys_shown(app)
        await settled(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, RowDialog))


async def test_a_clean_victims_row_is_about_no_subpopulation(app: SubpopApp, run_id: str) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await results(pilot)
        app.screen.show_table("victims")  # type: ignore[attr-defined]
        await until(pilot, lambda: bool(table(app, "result").model.shown) and "⏎ Row" in keys_shown(app))
        await settled(pilot, "space")
        assert table(app, "result").model.marked == 0
        await until(pilot, lambda: "⏎ Open" in keys_shown(app))


# ---- the desk -------------------------------------------------------------------------------------------------------


async def test_the_desk_tells_all_of_one_subpopulation(app: SubpopApp, store: Store, run_id: str) -> None:
    async with app.run_test(size=SIZE) as pilot:
        screen = await opened(pilot)
        assert "#0  group 0  · four groups" in head(app)
        assert "rows: 15 train, 15 aux, 20 test · confidence 0.750 (0.875 in sample)" in head(app)
        assert "poison is labelled yes" in head(app)
        assert "to be known" in head(app)
        plot = app.screen.query_one(PlotView).plot
        assert plot is not None
        assert plot.name == "dose_response"
        stored = {row["alpha"]: row for row in desk_rows.of({"damage": store.table(run_id, "damage")}, "damage", 0)}
        assert [(row["alpha"], row["damage"], row["low"]) for row in rows(app, "alphas")] == [
            (alpha, row["damage"], row["low"]) for alpha, row in stored.items()
        ]
        trials = rows(app, "trials")
        assert [(row["alpha"], row["trial"]) for row in trials] == [
            (alpha, trial) for alpha in (1.0, 2.0) for trial in ("0", "1", "2", "mean of 3")
        ]
        for alpha in (1.0, 2.0):
            single = [row["damage"] for row in trials if row["alpha"] == alpha and row["low"] is None]
            assert sum(single) / 3 == pytest.approx(stored[alpha]["damage"])
        controls = {(row["alpha"], row["poison"]): row for row in rows(app, "controls")}
        assert controls[1.0, desk_rows.AIMED]["q"] == stored[1.0]["q"]
        assert controls[1.0, desk_rows.OTHERS]["damage"] == stored[1.0]["off_target"]
        assert sum(row["poisoned"] for row in rows(app, "classes") if row["alpha"] == 1.0) == pytest.approx(1.0)
        assert rows(app, "flipped")
        assert screen.pane == "curve"


async def test_panes_turn_by_tab_and_their_tables_have_the_keys(app: SubpopApp, run_id: str, asked: list[object]) -> None:
    async with app.run_test(size=SIZE) as pilot:
        screen = await opened(pilot)
        for pane in (*PANES[1:], PANES[0]):
            await settled(pilot, "tab")
            assert screen.pane == pane
            assert f"[{pane}]" in head(app)
            assert screen.focused is not None
            assert screen.focused.display
        await settled(pilot, "T")
        assert screen.pane == PANES[-1]
        await settled(pilot, "T", "T", "escape", "enter")
        await until(pilot, lambda: isinstance(app.screen, DeskScreen) and app.screen.pane == "predictions")


async def test_brackets_turn_to_the_next_subpopulation_in_the_order_shown(app: SubpopApp, run_id: str) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await results(pilot)
        table(app, "result").look(sort="subpopulation", descending=True)
        await settled(pilot, "home", "enter")
        await until(pilot, lambda: isinstance(app.screen, DeskScreen) and app.screen.made is not None)
        assert (desk(app).index, desk(app).others) == (3, (3, 2, 1, 0))
        await settled(pilot, "]")
        await until(pilot, lambda: "#2  group 2" in head(app) and desk(app).made is not None and bool(rows(app, "trials")))
        assert "2 of 4" in head(app)
        await settled(pilot, "[", "[")
        await until(pilot, lambda: "#0  group 0" in head(app))


async def test_members_and_poison_are_asked_of_one_process_as_they_are_looked_at(
    app: SubpopApp, run_id: str, asked: list[dict[str, object]]
) -> None:
    async with app.run_test(size=SIZE) as pilot:
        screen = await opened(pilot)
        assert asked == []
        await settled(pilot, "tab", "tab", "tab", "tab")
        assert asked == [{"run": run_id}]
        assert "loading the data" in screen.members.table.empty
        screen._answered({"ready": True})
        assert asked[-1] == {"members": 0, "split": "aux", "first": 0, "limit": 200, "pixels": 16}
        screen._answered(picture_world.told(0, 16))
        await settled(pilot)
        assert screen.has_class("-pictures")
        assert screen.pictures.grid.has_focus
        await settled(pilot, "v")
        assert asked[-1]["split"] == "train"
        await settled(pilot, "z", "tab")
        assert asked[-1] == {"poison": 0, "alpha": 1.0, "trial": 0, "first": 0, "limit": 200, "pixels": 24}
        screen._answered(picture_world.told(0, 24, "train"))  # late: not what is looked at any more
        assert not screen.has_class("-pictures")
        screen._answered(picture_world.told(0, 24, "poison"))
        await settled(pilot, "n", "N")
        assert (asked[-1]["alpha"], asked[-1]["trial"]) == (2.0, 1)
        await settled(pilot, "]")
        assert asked[-1]["poison"] == 1
        screen._answered({"error": "influence picks its points in a run", "asked": "members"})
        assert "influence" in screen.members.table.empty
        screen._answered({"error": "the engine's preview ended"})
        await settled(pilot, "T")
        assert asked[-1] == {"run": run_id}


async def test_enter_opens_a_members_text_in_full(app: SubpopApp, run_id: str, asked: list[object]) -> None:
    row = {"index": 0, "total": 1, "first": 0, "alphas": [1.0, 2.0], "trials": 3, "texts": ["Bad.<br />" + "word " * 200 + "end"]}
    async with app.run_test(size=SIZE) as pilot:
        screen = await opened(pilot, "members")
        screen._answered({"ready": True})
        screen._answered({"members": {**row, "split": "aux", "columns": ["row", "class"], "rows": [[7, "negative"]]}})
        await until(pilot, lambda: "⏎ Read" in keys_shown(app))
        assert str(rows(app, "members")[0]["text"]).startswith("Bad. word word")
        await settled(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, Reader))
        assert isinstance(app.screen, Reader)
        assert app.screen.heading == "negative · row 7"
        assert app.screen.text.startswith("Bad.\nword")
        assert app.screen.text.endswith("end")
        await settled(pilot, "escape", "tab")
        columns = ["point", "row", "given", "true"]
        rate = {"split": "poison", "alpha": 1.0, "trial": 0, "note": "", "columns": columns, "rows": [[0, 7, "positive", "negative"]]}
        screen._answered({"members": {**row, **rate}})
        await settled(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, Reader))
        assert app.screen.heading == "given positive, is negative · point 0 · row 7"


async def test_the_data_of_a_run_are_loaded_once_for_all_screens(
    app: SubpopApp, store: Store, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One desk after the other, and Subpopulations: they hear how far the same loading is; another run's take their place."""
    questions: list[dict[str, Any]] = []

    async def ask(self: PreviewProcess, question: dict[str, Any]) -> None:
        questions.append(question)

    async def listen(self: PreviewProcess) -> None:
        pass

    monkeypatch.setattr(PreviewProcess, "ask", ask)
    monkeypatch.setattr(PreviewProcess, "listen", listen)
    monkeypatch.setattr(PreviewProcess, "alive", True)
    other = engine_run.start(store, parse(SCENARIO), name="another", spawn=False).id

    async def members_of(pilot: Pilot[int]) -> DeskScreen:
        await until(pilot, lambda: isinstance(app.screen, ResultsScreen))
        await settled(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, DeskScreen) and app.screen.made is not None)
        while not desk(app).has_class("-on-members"):
            await settled(pilot, "tab")
        return desk(app)

    def loads() -> list[str]:
        return [question["run"] for question in questions if "run" in question]

    async with app.run_test(size=SIZE) as pilot:
        app.choose_run(run_id)
        screen = await opened(pilot, "members")
        await until(pilot, lambda: loads() == [run_id])
        app.run_data.process.answered({"progress": ["reading adult", 0.25]})
        assert screen.data.status == "reading adult, 25%"
        await settled(pilot, "escape")
        await until(pilot, lambda: isinstance(app.screen, ResultsScreen))
        assert app.run_data.followers == []  # the desk hears no more of it, and it goes on
        again = await members_of(pilot)
        await until(pilot, lambda: again.data.status == "reading adult, 25%")
        app.run_data.process.answered({"ready": True})
        await until(pilot, lambda: "members" in questions[-1])
        assert again.data.stage == "ready"
        await settled(pilot, "escape")
        third = await members_of(pilot)
        await until(pilot, lambda: third.data.stage == "ready")
        assert loads() == [run_id]
        await app.run_data.load(other, app.store_file, app.data_dir, lambda answer: None)
        third.ask_members()
        await until(pilot, lambda: loads() == [run_id, other, run_id])


async def test_another_run_or_table_asked_for_is_not_hidden_by_the_desk(app: SubpopApp, store: Store, run_id: str) -> None:
    other = engine_run.start(store, parse(SCENARIO), name="another", spawn=False).id
    assert work(store, other, pipeline=Fake()) == "done"
    async with app.run_test(size=SIZE) as pilot:
        app.choose_run(run_id)
        await opened(pilot)
        await settled(pilot, "3")
        app.choose_run(other)
        await settled(pilot, "4")
        await until(pilot, lambda: isinstance(app.screen, ResultsScreen) and "another" in head(app))


async def test_a_run_with_no_victims_yet_can_be_opened(app: SubpopApp, store: Store) -> None:
    from tests.worlds import app as worlds

    worlds.make_run(store, state="running", trials=0, ready=0.0, pid=os.getpid())
    async with app.run_test(size=SIZE) as pilot:
        screen = await opened(pilot)
        assert (rows(app, "alphas"), rows(app, "trials"), rows(app, "controls")) == ([], [], [])
        assert table(app, "trials").empty == "no victim of it is trained"
        assert app.screen.query_one(PlotView).plot is None
        assert screen.index == 0


async def test_a_desk_follows_a_run_at_work(app: SubpopApp, store: Store, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.screens.desk.AGAIN_S", 0.0)
    async with app.run_test(size=SIZE) as pilot:
        screen = await opened(pilot)
        damage = store.table(run_id, "damage")
        at = [column.name for column in damage.spec.columns].index("damage")
        changed = tuple((*row[:at], 0.625, *row[at + 1 :]) if row[0] == 0 else row for row in damage.rows)
        store.write_tables(run_id, {"damage": Table(damage.spec, changed)})
        await until(pilot, lambda: {row["damage"] for row in rows(app, "alphas")} == {0.625})
        plot = screen.query_one(PlotView).plot
        assert plot is not None
        assert any(0.625 in series.y for series in plot.series)


def test_an_optimised_attack_stands_beside_label_flipping() -> None:
    from tests.worlds.app import row_of

    told = {"subpopulation": 3, "alpha": 1.0, "trials": 2}
    damage = row_of("damage", **told, damage=0.5, low=0.25, high=0.75, q=0.01, true_label=0.125, collateral=0.0625)
    pair = row_of("optimization", group="one", **told, label_flip=0.25, optimized=0.375, difference=0.125, low=-0.125, high=0.375)
    all_of_them = row_of("optimization", group="all", alpha=1.0, label_flip=0.9)
    tables = {"damage": Table(SPECS["damage"], (damage,)), "optimization": Table(SPECS["optimization"], (all_of_them, pair))}
    said = [dict(zip((c.name for c in desk_rows.CONTROLS.columns), row, strict=True)) for row in desk_rows.control_rows(tables, 3)]
    assert [(row["poison"], row["damage"], row["low"]) for row in said] == [
        (desk_rows.AIMED, 0.5, 0.25),
        (desk_rows.TRUE, 0.125, None),
        (desk_rows.OUTSIDE, 0.0625, None),
        (desk_rows.FLIP, 0.25, None),
        (desk_rows.OVER, 0.125, -0.125),
    ]
    assert desk_rows.control_rows(tables, 4) == []


async def test_help_and_the_command_list_tell_the_desks_keys(app: SubpopApp, run_id: str) -> None:
    from tui.dialogs.help import keys_of
    from tui.screens.palette import PaletteScreen

    async with app.run_test(size=SIZE) as pilot:
        await results(pilot)
        told = {words for pairs in keys_of(app.screen).values() for _, words, _ in pairs}
        assert {"open the subpopulation", "attack the marked subpopulations again", "the row in full", "Mark"} <= told
        await settled(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, DeskScreen) and app.screen.made is not None)
        told = {words for pairs in keys_of(app.screen).values() for _, words, _ in pairs}
        assert {"Next pane", "Attack again", "next subpopulation", "subpopulation before", "Back"} <= told
        await settled(pilot, "colon")
        await until(pilot, lambda: isinstance(app.screen, PaletteScreen))
        words = {str(key[0]) for key in app.screen.query_one(LiveTable).model.rows}
        assert {"Next pane", "Attack again", "Next subpopulation"} <= words


# ---- attack again ---------------------------------------------------------------------------------------------------


async def dialog(pilot: Pilot[int]) -> AgainDialog:
    await settled(pilot, "a")
    await until(pilot, lambda: isinstance(pilot.app.screen, AgainDialog) and pilot.app.screen.scenario is not None)
    screen = pilot.app.screen
    assert isinstance(screen, AgainDialog)
    return screen


def verdict(app: SubpopApp) -> str:
    return str(app.screen.query_one("#verdict").render())


async def test_three_marked_are_attacked_again(app: SubpopApp, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[object, ...]] = []

    def start(store: Store, parent: str, only: list[int], overrides: list[str], **how: object) -> Any:
        started.append((parent, tuple(only), tuple(overrides), how["fresh"], how["name"]))
        raise RequestError("no more runs today", next="come back tomorrow")

    monkeypatch.setattr(again, "start", start)
    async with app.run_test(size=SIZE) as pilot:
        await results(pilot)
        await settled(pilot, "space", "space", "down", "space")
        made = await dialog(pilot)
        assert made.subpopulations == (0, 1, 3)
        assert "3 marked subpopulations of four groups: 0, 1, 3" in str(made.query("Static").first().render())
        assert "trials 3 to 5" in verdict(app)
        assert "21 victims to train" in verdict(app)
        made.query_one("#trials", Input).value = "6"
        made.query_one("#alphas", Input).value = "0.5, 1, 2, 4"
        made.query_one("#fresh", Choice).value = "all trials"
        await until(pilot, lambda: "trials 0 to 5" in verdict(app))
        assert "57 victims to train, 21 taken over" in verdict(app)
        await settled(pilot, "enter")
        await until(pilot, lambda: "no more runs today; come back tomorrow" in verdict(app))
        overrides = ("evaluation.trials=6", "attack.alphas=[0.5, 1, 2, 4]")
        assert started == [(run_id, (0, 1, 3), overrides, False, "four groups again")]
        assert isinstance(app.screen, AgainDialog)


@pytest.mark.parametrize(
    ("field", "value", "said"), [("trials", "0", "trials"), ("trials", "many", "trials"), ("alphas", "1, 1", "alphas")]
)
async def test_what_the_engine_refuses_is_said_and_not_started(app: SubpopApp, run_id: str, field: str, value: str, said: str) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await results(pilot)
        made = await dialog(pilot)
        made.query_one(f"#{field}", Input).value = value
        await until(pilot, lambda: "✗" in verdict(app))
        assert field in verdict(app)
        assert made.scenario is None
        await until(pilot, lambda: "Launch" not in keys_shown(app))


async def test_one_is_attacked_again_from_its_desk_and_carried_out(
    app: SubpopApp, store: Store, run_id: str, no_engine: list[str], tmp_path: Path
) -> None:
    async with app.run_test(size=SIZE) as pilot:
        screen = await opened(pilot)
        await settled(pilot, "]", "]")
        await until(pilot, lambda: screen.index == 2 and "#2" in head(app))
        made = await dialog(pilot)
        assert made.subpopulations == (2,)
        made.query_one("#trials", Input).value = "4"
        await until(pilot, lambda: "trials 3 to 6" in verdict(app))
        await settled(pilot, "enter")
        await until(pilot, lambda: app.current_mode == "runs" and len(store.runs()) == 2)
        child = store.runs()[0]
        assert (no_engine, child.parent, child.name) == ([child.id], run_id, "four groups again")
        assert app.chosen_run == child.id
        await until(pilot, lambda: table(app, "runs").cursor_key == (child.id,))
        assert work(store, child.id, pipeline=Fake()) == "done", store.run(child.id).error
        await settled(pilot, "4")
        await until(pilot, lambda: isinstance(app.screen, ResultsScreen) and child.id in head(app))
        await until(pilot, lambda: {row["subpopulation"] for row in rows(app, "result")} == {2})
        await settled(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, DeskScreen) and app.screen.made is not None)
        assert [row["trial"] for row in rows(app, "trials") if row["alpha"] == 1.0] == ["3", "4", "5", "6", "mean of 4"]
        assert "fresh trials alone count here" in " ".join(head(app).split())


def test_what_it_costs_is_what_the_plan_will_be(store: Store, run_id: str) -> None:
    plan = store.plan(run_id)
    assert plan is not None
    done = [spec for stack in plan for spec in stack.victims]
    for overrides, fresh in (([], True), ([], False), (["evaluation.trials=5", "attack.alphas=[1, 4]"], False)):
        wanted = again.scenario_of(store, run_id, [0, 3], overrides, fresh=fresh)
        price = launching.reuse(wanted, [0, 3], done)
        child = again.start(store, run_id, [0, 3], overrides, fresh=fresh, spawn=False).id
        fake = Fake()
        assert work(store, child, pipeline=fake) == "done"
        assert price.total == store.run(child).victims_total
        assert price.to_train == len(getattr(fake, "victims", []))


# ---- pictures -------------------------------------------------------------------------------------------------------


def desk_at(app: SubpopApp, snap_compare: Snap, size: tuple[int, int], pane: str, *answers: dict[str, Any]) -> None:
    async def show(pilot: Pilot[int]) -> None:
        screen = await opened(pilot, pane)
        if answers:
            screen._answered({"ready": True})
            screen._answered(answers[0])
            await settled(pilot)

    assert snap_compare(app, terminal_size=size, run_before=show)


@pytest.mark.parametrize("pane", ["curve", "trials", "controls", "predictions"])
def test_desk(app: SubpopApp, run_id: str, snap_compare: Snap, pane: str) -> None:
    desk_at(app, snap_compare, SIZE, pane)


@pytest.mark.parametrize("pane", ["curve", "trials", "predictions"])
def test_desk_narrow(app: SubpopApp, run_id: str, snap_compare: Snap, pane: str) -> None:
    desk_at(app, snap_compare, NARROW, pane)


def test_desk_poison(app: SubpopApp, run_id: str, snap_compare: Snap, asked: list[object]) -> None:
    desk_at(app, snap_compare, SIZE, "poison", picture_world.told(0, 16, "poison"))


def again_at(app: SubpopApp, snap_compare: Snap, size: tuple[int, int]) -> None:
    async def show(pilot: Pilot[int]) -> None:
        await results(pilot)
        await settled(pilot, "space", "space", "space")
        await dialog(pilot)
        await settled(pilot)

    assert snap_compare(app, terminal_size=size, run_before=show)


def test_again(app: SubpopApp, run_id: str, snap_compare: Snap) -> None:
    again_at(app, snap_compare, SIZE)


def test_again_narrow(app: SubpopApp, run_id: str, snap_compare: Snap) -> None:
    again_at(app, snap_compare, NARROW)
