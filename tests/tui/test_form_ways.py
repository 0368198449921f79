"""The form walked to its end: lists, jumps, keys that switch modes, launch from each preset; what is wrong told while one types."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from engine.rows import VictimSpec
from engine.scenario.kinds import unions
from engine.scenario.parse import load, schema
from engine.scenario.presets import presets
from engine.store import Store
from tests.tui.conftest import another_app, running
from tests.worlds.hands import field_of, opened_form, settled, until
from tui.app import SubpopApp
from tui.dialogs.choose import ChooseDialog
from tui.dialogs.launch import LaunchDialog
from tui.presenters import fields, form, launching, tree
from tui.presenters.edited import Edited
from tui.screens.form import FormScreen
from tui.screens.palette import PaletteScreen
from tui.screens.plan import PlanScreen
from tui.widgets.bars import KeyBar, TopBar
from tui.widgets.detail import Detail
from tui.widgets.plain import Static
from tui.widgets.table.live import LiveTable

NARROW = [(80, 24)]  # the harder size
ASKED = {one.key: one for members in form.sections(schema()).values() for one in members}


def form_of(app: SubpopApp) -> FormScreen:
    screen = app.screen
    assert isinstance(screen, FormScreen)
    return screen


def keys_shown(app: SubpopApp) -> str:
    return str(app.screen.query_one(KeyBar).render())


async def launched(pilot: Pilot[int], app: SubpopApp, store: Store) -> str:
    """From a form that is valid to the run that Runs shows: its id."""
    await until(pilot, lambda: form_of(app).verdict.good)
    await settled(pilot, "ctrl+l")
    await until(pilot, lambda: isinstance(app.screen, LaunchDialog) and app.screen.scenario is not None)
    await settled(pilot, "enter")
    await until(pilot, lambda: app.current_mode == "runs" and bool(store.runs()))
    run_id = store.runs()[0].id
    await until(pilot, lambda: bool(app.screen.query("#runs LiveTable")))
    runs = app.screen.query_one("#runs LiveTable", LiveTable)
    await until(pilot, lambda: runs.cursor_key == (run_id,))
    return run_id


# ---- lists, jumps, help ---------------------------------------------------------------------------------------------


def test_every_choice_has_a_line() -> None:
    for one in ASKED.values():
        for field in one.fields.values():
            if field.takes == "choice" and field.options != fields.BOOLEAN and not field.options[0].isdigit():
                assert len(field.each) == len(field.options), field.key
                assert all(field.each), field
                assert all(len(line) <= 100 for line in field.each), field.key
    lines = ASKED["dataset.kind"].first
    assert set(lines.options) == set(unions()[("dataset",)])
    assert "adult" in lines.on("adult").lower()


@pytest.mark.parametrize("size", NARROW)
async def test_a_kind_is_chosen_from_a_list_that_says_what_each_is_and_the_run_is_of_it(
    app: SubpopApp, store: Store, no_engine: list[str], size: tuple[int, int]
) -> None:
    async with app.run_test(size=size) as pilot:
        await opened_form(pilot)
        await until(pilot, lambda: "⏎ List" in keys_shown(app))
        await settled(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, ChooseDialog))
        shown = app.screen.query_one(LiveTable)
        assert shown.cursor_key == ("digits",)
        assert "nothing to download" in str(app.screen.query_one(".message", Static).render())
        assert [row[0] for row in shown.model.visible_rows()] == list(unions()[("dataset",)])
        await settled(pilot, *"tumour")
        await until(pilot, lambda: shown.cursor_key == ("breast_cancer",))
        await settled(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, FormScreen))
        await until(pilot, lambda: form_of(app).scenario is not None and form_of(app).scenario.dataset.kind == "breast_cancer")  # type: ignore[union-attr]
        run_id = await launched(pilot, app, store)
        assert tomllib.loads(store.run(run_id).scenario_toml)["dataset"]["kind"] == "breast_cancer"
        assert (store.run(run_id).name, no_engine) == ("breast_cancer-mlp-clustermatch", [run_id])


@pytest.mark.parametrize("size", NARROW)
async def test_fields_and_sections_are_gone_to_by_name_and_by_section(app: SubpopApp, size: tuple[int, int]) -> None:
    async with app.run_test(size=size) as pilot:
        await opened_form(pilot)
        screen = form_of(app)
        await settled(pilot, "ctrl+g")
        await until(pilot, lambda: isinstance(app.screen, ChooseDialog))
        await settled(pilot, *"model.epo", "enter")
        await until(pilot, lambda: app.screen is screen and screen.row is not None and screen.row.field.key == "model.epochs")
        await settled(pilot, "ctrl+g")
        await until(pilot, lambda: isinstance(app.screen, ChooseDialog))
        await settled(pilot, *"[eval", "enter")
        await until(pilot, lambda: screen.row is not None and screen.row.field.key == "evaluation.trials")
        await settled(pilot, "pagedown")
        await until(pilot, lambda: screen.row is not None and screen.row.field.key.startswith("defense"))
        await settled(pilot, "pageup", "pageup")
        await until(pilot, lambda: screen.row is not None and screen.row.field.key.startswith("adversary"))
        if size[0] > 100:
            assert "PgDn" in keys_shown(app) or "pgdn" in keys_shown(app).lower()


async def test_the_whole_help_of_the_field_in_hand_is_shown(app: SubpopApp) -> None:
    def said() -> str:
        return str(app.screen.query_one("#field-help", Detail)._shown)

    async with app.run_test(size=(120, 36)) as pilot:
        await opened_form(pilot)
        field_of(app, "subpopulations.layer").focus_field()
        await settled(pilot)
        assert field_of(app, "subpopulations.layer").field.help[1:] in said()
        field_of(app, "model.weight_decay_per").focus_field()
        await settled(pilot)
        assert "as it stands, in every step" in said()
        await settled(pilot, "right")
        assert "scikit-learn's units" in said()
    async with another_app(app.store_path.parent).run_test(size=(80, 24)) as pilot:  # type: ignore[union-attr]
        await opened_form(pilot)
        field_of(pilot.app, "subpopulations.layer").focus_field()  # type: ignore[arg-type]
        await settled(pilot)
        words = pilot.app.screen.query_one("#field-words", Static)
        assert words.display
        assert "hidden or tokens" in str(words.render())


@pytest.mark.parametrize("size", NARROW)
async def test_modes_are_switched_while_one_types_and_the_form_is_there_when_one_is_back(app: SubpopApp, size: tuple[int, int]) -> None:
    async with app.run_test(size=size) as pilot:
        await opened_form(pilot)
        field_of(app, "model.hidden").focus_field()
        await settled(pilot, "3")
        assert app.current_mode == "plan"  # a digit is text there
        assert field_of(app, "model.hidden").query_one(Input).value == "323"
        bar = str(app.screen.query_one(TopBar).render())
        assert "F3 Runs" in bar
        if size[0] > 100:
            assert "F2–F5 modes" in keys_shown(app)
        for key, mode in (("f2", "subpopulations"), ("f3", "runs"), ("f4", "results"), ("f5", "compare")):
            await settled(pilot, key)
            assert app.current_mode == mode
            await settled(pilot, "1")
            assert app.current_mode == "plan"
            assert isinstance(app.screen, FormScreen)
            await until(pilot, lambda: isinstance(app.focused, Input))
        await settled(pilot, "alt+3")
        assert app.current_mode == "runs"
        assert "3 Runs" in str(app.screen.query_one(TopBar).render())
        assert "F3" not in str(app.screen.query_one(TopBar).render())


async def test_every_key_of_the_form_stands_in_the_command_list(app: SubpopApp) -> None:
    async with app.run_test(size=(120, 36)) as pilot:
        await opened_form(pilot)
        await settled(pilot, "colon")
        await until(pilot, lambda: isinstance(app.screen, PaletteScreen))
        names = {str(row[2]) for row in app.screen.query_one(LiveTable).model.rows.values()}
        assert {"form.launch", "form.go-to", "form.next-section", "form.section-before", "field.list", "app.runs"} <= names


# ---- what is told before a launch -----------------------------------------------------------------------------------


def test_victims_cost_and_queue(store: Store) -> None:
    scenario = load("quickstart")
    count = launching.most_subpopulations(scenario)
    assert count == 16
    assert launching.victims(scenario, count) == (5 + 16 * 3 * 5, "up to 245: 16 subpopulations × 3 alphas × 5 trials + 5 clean")
    assert launching.victims(load("adult-featurematch"), None)[0] is None
    both = load("quickstart", ["evaluation.controls=['true_label', 'off_target']", "subpopulations.only=[1, 2]"])
    assert launching.victims(both, launching.most_subpopulations(both))[0] == 5 + 2 * 3 * 2 * 5
    with_defence = load("quickstart", ["defense.kind=trim"])  # each victim, clean ones too, has a defended one and its control beside it
    total, words = launching.victims(with_defence, 14)
    assert (total, words) == (5 * 3 * (1 + 14 * 3), "up to 645: 14 subpopulations × 3 alphas × 3 arms × 5 trials + 15 clean")
    with_parts = load("quickstart", ["evaluation.certificates=10", "dataset.fitted_on=aux"])
    assert launching.victims(with_parts, 14)[1].endswith(" + 5 clean, beside them 10 small ones for certificates")
    trained = [VictimSpec(0, 0, "clean"), VictimSpec(1, 0, "poisoned", 2, 1.0)]
    assert launching.reuse(with_defence, [2], trained) == launching.Reuse(5 * 3 * (1 + 3), 0)
    assert launching.most_subpopulations(load("quickstart", ["subpopulations.select=confidence", "subpopulations.select_count=4"])) == 12
    assert launching.cost(scenario, 245, [], "") == launching.UNKNOWN
    assert launching.cost(scenario, 245, [], "15 s") == "15 s"
    from engine.scenario.identity import dump

    row = store.create_run(name="before", title="t", scenario_toml=dump(scenario), scenario_hash="x", deviations=())
    store.update_run(row.id, state="done", started_at=100.0, finished_at=149.0, victims_total=245, victims_done=245)
    done = store.runs()
    assert launching.cost(scenario, 490, done, "15 s") == f"about 1 m 38 s at most, by run before ({row.id})"
    others = [load("quickstart", [change]) for change in ("model.epochs=31", "dataset.rows=100", "attack.kind=influence")]
    assert {launching.cost(other, 245, done, "15 s") for other in others} == {"15 s"}  # those take another time
    assert launching.queue("auto", done, gpu=False) == "none: it starts at once"
    busy = running(store, name="busy")
    assert launching.queue("cpu", store.runs(), gpu=False).startswith("it waits for busy (")
    assert launching.queue("cuda", store.runs(), gpu=True) == "none: it starts at once"
    assert store.run(busy).alive


@pytest.mark.parametrize("size", NARROW)
async def test_the_form_and_its_launch_tell_victims_cost_and_queue(
    app: SubpopApp, store: Store, no_engine: list[str], size: tuple[int, int]
) -> None:
    running(store, name="at work")
    async with app.run_test(size=size) as pilot:
        await settled(pilot)
        await opened_form(pilot)
        await until(pilot, lambda: bool(form_of(app).looked.launch))
        told = dict(form_of(app).looked.launch)
        assert told["Victims"].startswith("up to 147: 16 subpopulations")
        assert told["Takes"] == "15 s on two cores"
        assert "at work" in told["Queue"]
        await settled(pilot, "ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, LaunchDialog) and app.screen.scenario is not None)
        said = str(app.screen.query_one("#verdict", Static).render())
        assert "147" in said
        assert "15 s on two cores" in said
        assert "it waits for at work" in said
        await settled(pilot, "enter")
        await until(pilot, lambda: app.current_mode == "runs")
        assert len(no_engine) == 1


async def test_a_draft_is_marked_in_the_list_of_presets(app: SubpopApp, tmp_path: Path) -> None:
    def marks() -> dict[str, object]:
        table = app.screen.query_one("#presets LiveTable", LiveTable)
        names = [column.name for column in table.spec.columns]
        return {str(row[0]): row[1] if names[1] == "draft" else "" for row in table.model.rows.values()}

    async with app.run_test(size=(80, 24)) as pilot:
        await opened_form(pilot)
        field_of(app, "model.hidden").focus_field()
        await settled(pilot, "end", "5")
        await pilot.pause(0.3)
        await settled(pilot, "escape")
        await until(pilot, lambda: isinstance(app.screen, PlanScreen) and marks() == {"quickstart": "✎", "adult-clustermatch": ""})
        assert "you changed it in the form" in str(app.screen.query_one("#preset", Detail)._shown)
        await opened_form(pilot)
        await settled(pilot, "ctrl+r", "escape")
        await until(pilot, lambda: isinstance(app.screen, PlanScreen) and set(marks().values()) == {""})


# ---- words follow the data ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", presets())
def test_no_word_of_a_preset_outlives_its_data(name: str) -> None:
    """Turned to each other kind of dataset, whether the rest makes sense with it or not; and back."""
    text = presets()[name].read_text(encoding="utf-8")
    own = tomllib.loads(text)
    for kind in unions()[("dataset",)]:
        if kind == own["dataset"]["kind"]:
            continue
        edited = Edited(text, name, ASKED)
        edited.say("dataset.kind", kind)
        if "dataset.path" in ASKED and ASKED["dataset.path"].field_in(edited.values):
            edited.say("dataset.path", "mine.csv")
        edited.judge()
        assert edited.get("reproduces") is None, kind
        assert edited.get("title") != own["title"], kind
        words = {"adult": "adult", "digits": "digits", "cifar10": "cifar", "utkface": "utkface", "imdb": "imdb"}[own["dataset"]["kind"]]
        assert words not in str(edited.get("title")).lower(), kind
        assert own["dataset"]["kind"].replace("_", "") not in edited.run_called().replace("_", "")
        edited.say("dataset.kind", own["dataset"]["kind"])
        if "path" not in own["dataset"]:
            edited.say("dataset.path", None)
        edited.judge()
        assert (edited.get("title"), edited.get("reproduces")) == (own["title"], own.get("reproduces"))


def test_words_of_ones_own_table_do_not_outlive_its_path(tmp_path: Path) -> None:
    text = """title = "Loans of 2019"
reproduces = "our report of March"
[dataset]
kind = "table"
path = "loans.csv"
label = "bad"
[model]
kind = "mlp"
[subpopulations]
kind = "cluster_match"
"""
    edited = Edited(text, "loans", ASKED, home=tmp_path)
    edited.judge()
    assert (edited.get("title"), edited.run_called()) == ("Loans of 2019", "loans")
    edited.say("dataset.path", "cards.csv")
    judged = edited.judge()
    assert edited.get("title") == "cards.csv mlp, ClusterMatch, label flipping"
    assert edited.get("reproduces") is None
    assert edited.run_called() == "cards-mlp-clustermatch"
    assert any("went with them" in note for note in judged.notes)
    edited.say("title", "Cards")
    edited.judge()
    assert edited.get("title") == "Cards"
    edited.say("dataset.path", "loans.csv")
    edited.judge()
    assert (edited.get("title"), edited.get("reproduces")) == ("Cards", "our report of March")


def test_a_scenario_that_is_saved_elsewhere_still_names_the_same_file(tmp_path: Path) -> None:
    text = 'title = "t"\n[dataset]\nkind = "table"\npath = "loans.csv"\nlabel = "y"\n'
    edited = Edited(text, "loans", ASKED, home=tmp_path)
    (tmp_path / "other").mkdir()
    edited.move_to(tmp_path / "mine.toml")
    assert edited.get("dataset.path") == "loans.csv"
    edited.move_to(tmp_path / "other" / "mine.toml")
    assert edited.get("dataset.path") == str(tmp_path / "loans.csv")


def test_a_tree_says_what_stands_in_it() -> None:
    values: tree.Tree = {}
    tree.put(values, "a.b", 1)
    assert (tree.get(values, "a.b"), tree.get(values, "a.c"), tree.get(values, "x.y")) == (1, None, None)
