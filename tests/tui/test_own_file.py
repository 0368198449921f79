"""From a file of one's own to a run: a process beside the app reads it, its columns say what they are, keys say what they are to be."""

from __future__ import annotations

import csv
import random
import sys
import tomllib
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from engine.drafting.looks import Catalog, ColumnLook, Leak
from engine.scenario.parse import parse, schema
from engine.store import Store
from tests.tui.conftest import NOW
from tests.worlds.hands import field_of, settled, until
from tui.app import SubpopApp
from tui.dialogs.bins import BinsDialog
from tui.dialogs.choose import ChooseDialog
from tui.dialogs.launch import LaunchDialog
from tui.dialogs.open_file import OpenFile
from tui.dialogs.reading import ReadingDialog
from tui.presenters import catalogue, form
from tui.presenters.edited import Edited
from tui.screens.columns import ColumnsScreen, ColumnsTable
from tui.screens.form import FormScreen
from tui.screens.palette import PaletteScreen
from tui.screens.plan import PlanScreen
from tui.services import places
from tui.widgets.line import split_last
from tui.widgets.lines import Lines
from tui.widgets.plain import Static
from tui.widgets.table.live import LiveTable

SIZES = [(120, 36), (80, 24)]
NARROW = SIZES[1:]  # the harder one
ASKED = {one.key: one for members in form.sections(schema()).values() for one in members}
OWN = """title = "Loans"
[dataset]
kind = "table"
path = "loans.csv"
label = "bad"
[model]
kind = "mlp"
[subpopulations]
kind = "cluster_match"
clusters = 7
"""


@pytest.fixture
def loans(tmp_path: Path) -> Path:
    """600 rows: an identifier, money, a number, words, a column that is known only afterwards, and the label."""
    dice = random.Random(3)
    path = tmp_path / "my loans.csv"
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["LOAN ID", "income", "age", "district", "recovered", "default"])
        for i in range(600):
            age, district = dice.randint(20, 79), dice.choice(["North", "South", "Harbour"])
            bad = dice.random() < (0.35 if district == "Harbour" else 0.12)
            out.writerow([f"L-{1000 + 7 * i}", f"${dice.randint(20, 90) * 1000:,}", age, district, dice.randint(50, 900) if bad else 0,
                          "yes" if bad else "no"])  # fmt: skip
    return path


def opening(tmp_path: Path, path: Path) -> SubpopApp:
    return SubpopApp(tmp_path / "runs.db", tmp_path / "data", config=tmp_path / "config", clock=lambda: NOW, opened=path)


def columns_of(app: SubpopApp) -> ColumnsScreen:
    screen = app.screen
    assert isinstance(screen, ColumnsScreen)
    return screen


def rows_of(app: SubpopApp) -> dict[str, dict[str, object]]:
    """Column of the file -> what the table says of it."""
    table = app.screen.query_one(ColumnsTable)
    names = [column.name for column in table.spec.columns]
    return {str(row[0]): dict(zip(names, row, strict=True)) for row in table.model.rows.values()}


def scenario_in(app: SubpopApp) -> dict[str, object]:
    form = next(screen for screen in reversed(app.screen_stack) if isinstance(screen, FormScreen))
    return tomllib.loads(form.edited.text())


async def at_columns(pilot: Pilot[int]) -> None:
    """The file is read and its columns are in front, with what each tells of the label."""
    await until(pilot, lambda: isinstance(pilot.app.screen, ColumnsScreen) and bool(pilot.app.screen.query(ColumnsTable)), 60)
    await until(pilot, lambda: any(row["tells"] for row in rows_of(pilot.app).values()), 60)  # type: ignore[arg-type]


async def cursor_on(pilot: Pilot[int], name: str) -> None:
    table = pilot.app.screen.query_one(ColumnsTable)
    table.move_to(table.model.position[(name,)])
    await settled(pilot)


@pytest.mark.parametrize("size", SIZES)
async def test_from_a_file_to_a_run_in_three_keys(
    tmp_path: Path, store: Store, loans: Path, no_engine: list[str], size: tuple[int, int]
) -> None:
    app = opening(tmp_path, loans)
    async with app.run_test(size=size) as pilot:
        await at_columns(pilot)
        await until(pilot, lambda: columns_of(app).table.cursor_key == ("recovered",))  # led to what must be seen first
        head = "\n".join(line.plain for line in app.screen.query_one("#file-head", Lines).lines)
        assert "600 rows, 6 columns" in head
        assert "label default" in head
        assert "recovered tells the label" in head
        assert rows_of(app)["LOAN ID"]["used"] == "left out"
        assert rows_of(app)["recovered"]["leak"] == "!"
        await settled(pilot, "space")
        await until(pilot, lambda: rows_of(app)["recovered"]["used"] == "left out")
        await until(pilot, lambda: columns_of(app).verdict().good and not columns_of(app).file.leaks)
        await settled(pilot, "ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, LaunchDialog) and app.screen.scenario is not None)
        said = str(app.screen.query_one("#verdict", Static).render())
        assert "victims  up to" in said
        await settled(pilot, "enter")
        await until(pilot, lambda: app.current_mode == "runs" and bool(store.runs()))
        run = store.runs()[0]
        assert run.name == "my-loans"
        assert run.title == "my loans"
        made = parse(run.scenario_toml)
        assert made.dataset.path == loans  # type: ignore[union-attr]
        assert made.dataset.drop == ("recovered",)  # type: ignore[union-attr]
        assert no_engine == [run.id]


@pytest.mark.parametrize("size", NARROW)
async def test_keys_say_what_a_column_is_to_be(
    tmp_path: Path, store: Store, loans: Path, no_engine: list[str], size: tuple[int, int]
) -> None:
    app = opening(tmp_path, loans)
    async with app.run_test(size=size) as pilot:
        await at_columns(pilot)
        await cursor_on(pilot, "district")
        before = scenario_in(app)["subpopulations"]
        if "district" in before.get("features", ()):  # type: ignore[attr-defined]
            await settled(pilot, "g")
        await settled(pilot, "space")
        assert "district" in scenario_in(app)["dataset"]["drop"]  # type: ignore[index]
        await settled(pilot, "space")
        assert scenario_in(app)["dataset"]["annotations"] == ["district"]  # type: ignore[index]
        assert "drop" not in scenario_in(app)["dataset"]  # type: ignore[operator]
        await until(pilot, lambda: rows_of(app)["district"]["used"] == "annotation")
        await settled(pilot, "g")
        assert "district" in scenario_in(app)["subpopulations"]["features"]  # type: ignore[index]
        await until(pilot, lambda: rows_of(app)["district"]["matched"] == "✓")
        await cursor_on(pilot, "age")
        if rows_of(app)["age"]["matched"]:
            await settled(pilot, "g")
        await settled(pilot, "g")
        await until(pilot, lambda: isinstance(app.screen, BinsDialog))  # so many numbers are matched on in groups
        line = app.screen.query_one(Input)
        assert line.value  # round numbers to begin with
        line.value = "30, x"
        await settled(pilot)
        assert "'x' is not a number" in str(app.screen.query_one("#groups", Static).render())
        await settled(pilot, "enter")
        assert isinstance(app.screen, BinsDialog)
        line.value = "30, 45, 60"
        await settled(pilot)
        assert "below 30 | 30 to 45 | 45 to 60 | 60 and more" in str(app.screen.query_one("#groups", Static).render())
        await settled(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, ColumnsScreen))
        assert scenario_in(app)["subpopulations"]["bins"] == {"age": [30, 45, 60]}  # type: ignore[index]
        await cursor_on(pilot, "LOAN ID")
        await settled(pilot, "g")
        assert "LOAN ID" not in scenario_in(app)["subpopulations"]["features"]  # type: ignore[index]
        await settled(pilot, "slash", *"money")
        await until(pilot, lambda: columns_of(app).table.model.shown == [("income",)])
        await settled(pilot, "escape")
        await settled(pilot, "colon")
        await until(pilot, lambda: isinstance(app.screen, PaletteScreen))
        names = {str(row[2]) for row in app.screen.query_one(LiveTable).model.rows.values()}
        assert {"columns.use", "columns.label", "columns.match", "columns.launch", "columns.back"} <= names
        await settled(pilot, "escape")
        await until(pilot, lambda: columns_of(app).verdict().good)
        await settled(pilot, "escape")
        await until(pilot, lambda: isinstance(app.screen, FormScreen))
        assert "age" in field_of(app, "subpopulations.features").query_one(Input).value
        assert field_of(app, "subpopulations.bins").query_one(Input).value == "{age = [30.0, 45.0, 60.0]}"
        await settled(pilot, "ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, LaunchDialog) and app.screen.scenario is not None)
        await settled(pilot, "enter")
        await until(pilot, lambda: app.current_mode == "runs" and len(no_engine) == 1)


async def test_another_label_and_a_wrong_column_and_its_list(tmp_path: Path, store: Store, loans: Path) -> None:
    app = opening(tmp_path, loans)
    async with app.run_test(size=(120, 36)) as pilot:
        await at_columns(pilot)
        await cursor_on(pilot, "district")
        await settled(pilot, "l")
        await until(pilot, lambda: rows_of(app)["district"]["used"] == "label" and rows_of(app)["default"]["used"] == "feature")
        await until(pilot, lambda: columns_of(app).file.catalog is not None and len(columns_of(app).file.catalog.classes) == 3)  # type: ignore[union-attr]
        await settled(pilot, "escape")
        label = field_of(app, "dataset.label")
        assert label.query_one(Input).value == "district"
        label.focus_field()
        label.query_one(Input).value = "defalt"
        await until(pilot, lambda: label.has_class("-wrong"))
        assert "did you mean 'default'?" in label.wrong
        screen = app.screen
        assert isinstance(screen, FormScreen)
        assert not screen.verdict.good
        await settled(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, ChooseDialog))
        await settled(pilot, *"default", "enter")
        await until(pilot, lambda: label.query_one(Input).value == "default" and not label.wrong)
        features = field_of(app, "subpopulations.features")
        if features.display:
            features.focus_field()
            features.query_one(Input).value = "age, distrct"
            await until(pilot, lambda: "did you mean 'district'?" in features.wrong)


async def test_names_complete_by_tab_which_else_goes_on(tmp_path: Path, store: Store, loans: Path) -> None:
    app = opening(tmp_path, loans)
    async with app.run_test(size=(120, 36)) as pilot:
        await at_columns(pilot)
        await settled(pilot, "escape")
        row = field_of(app, "dataset.annotations")
        line = row.query_one(Input)
        row.focus_field()
        line.value = ""
        await settled(pilot, *"age, dis")
        await until(pilot, lambda: line._suggestion == "age, district")
        await settled(pilot, "tab")
        assert line.value == "age, district"
        assert app.focused is line  # taken, not left
        await settled(pilot, "tab")
        assert app.focused is not line
        path = field_of(app, "dataset.path")
        path.focus_field()
        await settled(pilot, "tab")  # nothing was typed: on to the next field
        assert app.focused is not path.query_one(Input)
        path.focus_field()
        path.query_one(Input).value = ""
        await settled(pilot, *"my")
        await until(pilot, lambda: path.query_one(Input)._suggestion == "my loans.csv", 30)
        await settled(pilot, "right")
        assert path.query_one(Input).value == "my loans.csv"
        path.query_one(Input).value = "my lons.csv"
        await until(pilot, lambda: "did you mean 'my loans.csv'?" in path.wrong)
        await until(pilot, lambda: "Launch" not in str(app.screen.query_one("KeyBar").render()))


@pytest.mark.parametrize("size", NARROW)
async def test_a_file_is_opened_from_the_plan(
    app: SubpopApp, store: Store, loans: Path, no_engine: list[str], size: tuple[int, int]
) -> None:
    async with app.run_test(size=size) as pilot:
        await settled(pilot, "o")
        await until(pilot, lambda: isinstance(app.screen, OpenFile))
        app.screen.query_one(Input).value = str(loans.parent / "my lons.csv")
        await until(pilot, lambda: "did you mean 'my loans.csv'?" in str(app.screen.query_one(".bad", Static).render()))
        app.screen.query_one(Input).value = str(loans)
        await settled(pilot, "enter")
        await at_columns(pilot)
        await settled(pilot, "ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, LaunchDialog) and app.screen.scenario is not None)
        await settled(pilot, "enter")
        await until(pilot, lambda: app.current_mode == "runs" and len(no_engine) == 1)


async def test_what_cannot_be_read_is_said_in_words(tmp_path: Path, store: Store) -> None:
    (tmp_path / "empty.csv").write_text("a,b\n")
    app = opening(tmp_path, tmp_path / "empty.csv")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ReadingDialog), 30)
        await until(pilot, lambda: "no row of data" in str(app.screen.query_one("#reading", Static).render()), 30)
        await settled(pilot, "escape")
        await until(pilot, lambda: isinstance(app.screen, PlanScreen))
    missing = opening(tmp_path, tmp_path / "nothing.csv")
    async with missing.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(missing.screen, ReadingDialog), 30)
        await until(pilot, lambda: "✗" in str(missing.screen.query_one("#reading", Static).render()), 30)


async def test_reading_is_said_and_can_be_given_up(tmp_path: Path, store: Store, loans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tui.services.file_columns import FileColumns

    async def never(self: FileColumns, path: Path, label: str | None = None) -> None:
        self.reading = True

    monkeypatch.setattr(FileColumns, "draft", never)
    app = opening(tmp_path, loans)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ReadingDialog))
        await until(pilot, lambda: "reading its columns" in str(app.screen.query_one("#reading", Static).render()))
        await settled(pilot, "escape")
        await until(pilot, lambda: isinstance(app.screen, PlanScreen))


async def test_a_folder_of_pictures_opens_its_form(tmp_path: Path, store: Store, no_engine: list[str]) -> None:
    from PIL import Image

    for name, shade in (("dark", 40), ("light", 200)):
        (tmp_path / "shapes" / name).mkdir(parents=True)
        for i in range(30):
            Image.new("RGB", (16, 16), (shade + i, shade, i)).save(tmp_path / "shapes" / name / f"{i}.png")
    app = opening(tmp_path, tmp_path / "shapes")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, FormScreen) and app.screen.scenario is not None, 30)
        screen = app.screen
        assert isinstance(screen, FormScreen)
        assert screen.edited.get("dataset.kind") == "image_folder"
        await until(pilot, lambda: screen.verdict.good and screen.looked.places is not None)
        await settled(pilot, "ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, LaunchDialog) and app.screen.scenario is not None)
        await settled(pilot, "enter")
        await until(pilot, lambda: app.current_mode == "runs" and store.runs()[0].name == "shapes")


def test_the_app_reads_files_without_numpy_or_pandas(tmp_path: Path) -> None:
    import subprocess

    code = (
        "import sys; import tui.screens.form, tui.screens.columns, tui.screens.opening, tui.services.file_columns; "
        "print([name for name in ('numpy', 'pandas', 'pyarrow', 'torch', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- what a key changes, without a screen ---------------------------------------------------------------------------


def look(name: str, read_as: str = "category", use: str = "feature", **more: object) -> ColumnLook:
    return ColumnLook(name, read_as, 0, 5, "x", use, **more)  # type: ignore[arg-type]


def test_space_goes_through_the_uses_and_back() -> None:
    edited = Edited(OWN, "loans", ASKED)
    plain = look("district")
    seen = []
    for _ in range(3):
        assert catalogue.turn(edited, plain) == ""
        seen.append(catalogue.use_of(edited.values, plain))
    assert seen == ["left out", "annotation", "feature"]
    assert edited.get("dataset.drop") is None
    assert edited.get("dataset.annotations") is None
    number = look("id", "identifier", "left out", why="an identifier", span=(0.0, 1.0, 2.0))
    assert [catalogue.turn(edited, number) for _ in range(2)] == ["", ""]  # left out by the loader: annotation, then feature
    assert edited.get("dataset.numeric") == ["id"]
    assert catalogue.use_of(edited.values, number) == "feature"
    assert "can only be left out" in catalogue.turn(edited, look("none", "empty", "left out"))
    assert "is the label" in catalogue.turn(edited, look("bad"))
    parse(edited.text())


def test_a_new_label_leaves_every_list_and_the_old_ones_classes() -> None:
    edited = Edited(OWN.replace('"bad"\n', '"bad"\npositive = "yes"\ndrop = ["grade"]\n', 1), "loans", ASKED)
    edited.say("attack.target_label", "yes")
    catalogue.match(edited, look("district"), 1000)
    catalogue.match(edited, look("grade", use="left out", why=catalogue.DROPPED), 1000)
    assert edited.get("subpopulations.features") == ["district", "grade"]
    assert edited.get("dataset.annotations") == ["grade"]  # matched on, not fed: it was left out
    assert catalogue.make_label(edited, look("grade")) == ""
    assert edited.get("dataset.label") == "grade"
    assert (edited.get("dataset.positive"), edited.get("attack.target_label"), edited.get("dataset.drop")) == (None, None, None)
    assert edited.get("subpopulations.features") == ["district"]
    parse(edited.text())


def test_the_last_group_gives_clusters_back_as_they_were() -> None:
    edited = Edited(OWN, "loans", ASKED)
    age = look("age", "number", span=(18.0, 37.0, 90.0))
    catalogue.match(edited, age, 1000)
    catalogue.cut(edited, age, (30.0, 60.0))
    assert edited.get("subpopulations.kind") == "feature_match"
    assert "clusters" not in edited.text()
    parse(edited.text())
    catalogue.match(edited, age, 1000)
    assert edited.values == tomllib.loads(OWN)


def test_what_has_a_value_a_row_is_no_group() -> None:
    edited = Edited(OWN, "loans", ASKED)
    codes = ColumnLook("code", "code", 0, 400, "A1", "feature")
    assert "too small" in catalogue.match(edited, codes, 600)
    assert edited.values == tomllib.loads(OWN)
    assert catalogue.match(edited, codes, 60_000) == ""


@pytest.mark.parametrize(
    ("text", "cuts", "wrong"),
    [
        ("30, 45, 60", (30.0, 45.0, 60.0), ""),
        ("[0.5; 1e3]", (0.5, 1000.0), ""),
        ("", (), ""),
        ("45 30", (), "larger"),
        ("30, 30", (), "larger"),
        ("30, many", (), "'many' is not a number"),
        ("nan", (), "number with an end"),
        ("1, inf", (), "number with an end"),
    ],
)
def test_cuts_are_read_as_people_write_them(text: str, cuts: tuple[float, ...], wrong: str) -> None:
    found, said = catalogue.cuts_read(text)
    assert (found if not wrong else ()) == cuts
    assert wrong in said


def test_groups_are_counted_from_the_columns() -> None:
    edited = Edited(OWN, "loans", ASKED)
    age = ColumnLook("age", "number", 3, 60, "40", "feature", span=(18.0, 40.0, 90.0))
    district = ColumnLook("district", "category", 0, 5, "North", "feature", leak=Leak(0.6, False))
    catalog = Catalog("loans.csv", "csv", "table", 600, (age, district))
    catalogue.match(edited, district, 600)
    assert catalogue.groups(edited.values, catalog) == 5
    catalogue.match(edited, age, 600)
    catalogue.cut(edited, age, (30.0, 60.0))
    assert catalogue.groups(edited.values, catalog) == 5 * (3 + 1)  # and those whose age is missing
    edited.say("subpopulations.features", ["ghost"])
    assert catalogue.groups(edited.values, catalog) is None
    assert catalogue.unknown_columns(edited.values, ASKED, catalog)["subpopulations.features"].startswith("the file has no column 'ghost'")


def test_a_path_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "loans.csv").touch()
    assert places.trouble("data/loans.csv", tmp_path) == ""
    assert places.trouble("data/loan.csv", tmp_path) == "there is no 'loan.csv' in data; did you mean 'loans.csv'?"
    assert places.trouble("dat/loans.csv", tmp_path) == f"there is no 'dat' in {tmp_path.name}; did you mean 'data'?"
    assert "there is no" in places.trouble(str(tmp_path / "data" / "x" / "y"), None)
    assert places.trouble("a\0b", tmp_path).startswith("cannot be looked at")


def test_the_last_name_of_a_list_is_the_one_that_is_typed() -> None:
    assert split_last("age, dis") == ("age, ", "dis")
    assert split_last("dis") == ("", "dis")
    assert split_last("a,b,") == ("a,b,", "")
