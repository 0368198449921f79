"""Data are text wherever they are shown: names, notes, paths, columns and values with a `[` in them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from textual.widgets import Input

import tui
from engine.rows import Column, Subpopulation, TableSpec
from engine.store import Store
from tests.worlds import app as worlds
from tests.worlds.hands import settled, until
from tui.app import SubpopApp
from tui.dialogs.again import AgainDialog
from tui.dialogs.ask_path import AskPath, AskText
from tui.dialogs.base import Dialog
from tui.dialogs.choose_run import ChooseRun
from tui.dialogs.confirm import Confirm
from tui.dialogs.everything import EverythingDialog
from tui.dialogs.export import ExportDialog
from tui.dialogs.fetch import FetchDialog
from tui.dialogs.help import HelpScreen
from tui.dialogs.launch import LaunchDialog
from tui.dialogs.reader import Reader
from tui.dialogs.row import RowDialog
from tui.screens.desk import DeskScreen
from tui.screens.form import FormScreen
from tui.screens.palette import PaletteScreen
from tui.screens.plots import AskPlotFile
from tui.widgets.members_pane import MembersPane
from tui.widgets.pictures.pane import PicturePane
from tui.widgets.plain import Box

SIZE = (160, 48)
TABLE = """title = "x"

[dataset]
kind = "table"
path = '/nowhere/WORDS.csv'
label = "y"

[model]
kind = "mlp"

[subpopulations]
kind = "cluster_match"
"""
HOSTILE = ("[/x]", "[bold", "[@click=app.quit]x[/]", "\\[", "[red]x[/red]", "[$primary]")
hostile = pytest.mark.parametrize("words", HOSTILE)
each_kind = pytest.mark.parametrize("words", [HOSTILE[0], HOSTILE[2], HOSTILE[3]])  # raises, is swallowed, loses its backslash


def shown(app: SubpopApp) -> str:
    """Every character on screen, as the terminal gets it."""
    return "\n".join("".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips())


def nothing_to_click(app: SubpopApp) -> None:
    """No cell runs an action that data say."""
    for strip in app.screen._compositor.render_strips():
        for segment in strip:
            assert segment.style is None or "@click" not in segment.style.meta, segment


def dialogs(words: str, store: Store) -> list[tuple[Dialog[object], int]]:
    """Each dialog that shows data, and how often they must stand on screen in it (at least)."""
    run, fits = store.runs()[0], len(words) < 12  # a label is cut where it does not fit
    spec = TableSpec("worst", (Column(words, "text", help=words), Column("value", "text")), (words,), help=words)
    return [
        (RowDialog(spec, (words, words), [(words, words)]), 3),
        (Confirm(words, words, words), 2),
        (Reader(words, words), 2),
        (AskText(words, words, words), 3 if fits else 2),
        (AskPath(words, words, f"/nowhere/{words}/x", must_exist=True), 3),
        (AskPlotFile(words, words, words), 3 if fits else 2),
        (ChooseRun(words, words, store.runs()), 3),
        (LaunchDialog("", words), 2),
        (
            LaunchDialog(
                f'title = "x"\n[dataset]\nkind = "table"\npath = \'/nowhere/{words}.csv\'\nlabel = \'y\'\n[model]\nkind = "mlp"\n', words
            ),
            3,
        ),
        (AgainDialog(run, (0,), words), 2),
        (ExportDialog(run, words, None, 3), 1),
        (EverythingDialog(store.runs()), 1),
        (FetchDialog(words), 1),
    ]  # type: ignore[list-item]


@hostile
async def test_each_dialog_shows_data_as_they_are(app: SubpopApp, store: Store, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FetchDialog, "_run", lambda self: None)  # nothing is downloaded here
    worlds.make_run(store, name=words)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        below = app.screen
        for dialog, times in dialogs(words, store):
            app.push_screen(dialog)
            await until(pilot, lambda dialog=dialog: app.screen is dialog and dialog.is_mounted)
            await settled(pilot)
            assert shown(app).count(words) >= times, f"{type(dialog).__name__}\n{shown(app)}"
            nothing_to_click(app)
            assert dialog.query_one(Box).border_title is not None
            dialog.dismiss(None)
            await until(pilot, lambda: app.screen is below)


@hostile
async def test_a_message_shows_data_as_they_are(app: SubpopApp, words: str) -> None:
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        await settled(pilot)
        app.notify(words, title=words)
        app.screen.notify(words, title=words)
        await until(pilot, lambda: shown(app).count(words) >= 4)
        nothing_to_click(app)


@each_kind
async def test_a_run_with_such_a_name_note_and_error_can_be_looked_at_everywhere(app: SubpopApp, store: Store, words: str) -> None:
    first = worlds.make_run(store, name=words, state="failed", error=words, deviations=(words,))
    second = worlds.make_run(store, name=f"{words} 2")
    for run_id in (first, second):
        store.annotate(run_id, words)
        store.log(run_id, "error", words)
    app.settings.put("compared", [first, second])
    ways = {  # keys, and how often the words must stand on screen then
        "3": 3, "3 f": 2, "3 D": 2, "3 N": 2, "3 R": 2, "3 B": 1, "3 E": 1, "3 c": 2, "3 x": 0, "3 v": 0, "3 question_mark": 0,
        "3 colon": 1, "4": 1, "4 i": 0, "4 a": 1, "4 x": 0, "4 E": 1, "2": 1, "2 a": 1, "5": 1, "5 i": 1,
    }  # fmt: skip
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        for way, times in ways.items():
            app.choose_run(first)
            await settled(pilot, *way.split())
            await until(pilot, lambda times=times: shown(app).count(words) >= times)  # type: ignore[misc]
            while len(app.screen_stack) > 1:
                await settled(pilot, "escape")


@each_kind
async def test_a_subpopulation_with_such_a_description_can_be_looked_at(
    app: SubpopApp, store: Store, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worlds, "describe", lambda index: words)
    run_id = worlds.make_run(store, subpops=6)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "4")
        await until(pilot, lambda: words in shown(app))
        await settled(pilot, "i")
        assert isinstance(app.screen, RowDialog)
        assert words in shown(app)
        await settled(pilot, "escape", "enter")
        await until(pilot, lambda: isinstance(app.screen, DeskScreen) and words in shown(app))
        await settled(pilot, "a")
        await until(pilot, lambda: isinstance(app.screen, AgainDialog) and words in shown(app))
        await settled(pilot, "escape", "escape", "2")
        await until(pilot, lambda: words in shown(app))
    assert isinstance(store.discovery(run_id).subpopulations[0], Subpopulation)  # type: ignore[union-attr]


@each_kind
async def test_a_form_of_a_file_with_such_a_name_and_such_values_opens(app: SubpopApp, store: Store, words: str) -> None:
    text = f"title = '{words}'\n[dataset]\nkind = 'table'\npath = '{words}'\nlabel = '{words}'\n[model]\nkind = '{words}'\n"
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        app.push_screen(FormScreen(text, words, path=Path("/nowhere") / "x.toml"))
        await until(pilot, lambda: isinstance(app.screen, FormScreen) and app.screen.is_mounted)
        await settled(pilot)
        assert shown(app).count(words) >= 4
        assert app.screen.query(Input).first().is_attached
        nothing_to_click(app)


@each_kind
async def test_members_with_such_columns_and_values_are_shown(app: SubpopApp, store: Store, words: str) -> None:
    worlds.make_run(store)
    told = {
        "index": 0, "split": "aux", "total": 1, "first": 0, "columns": ["row", "class", words], "rows": [[0, words, words]],
        "described": words, "name": words, "alphas": [], "trials": 0,
    }  # fmt: skip
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "2")
        app.screen.set_class(True, "-members")
        app.screen.query_one("#members", MembersPane).show(told)
        app.screen.query_one(PicturePane).show({**told, "pictures": [], "pixels": 8, "rows": []})
        await settled(pilot)
        assert shown(app).count(words) >= 2


async def test_the_help_says_the_name_of_the_section_that_holds_keys(app: SubpopApp) -> None:
    async with app.run_test(size=(120, 100)) as pilot:
        await settled(pilot)
        await settled(pilot, "question_mark", "end")
        assert isinstance(app.screen, HelpScreen)
        await until(pilot, lambda: "[keys] in" in shown(app))
        await settled(pilot, "escape", "colon")
        assert isinstance(app.screen, PaletteScreen)


# ---- nothing else in tui/ reads markup --------------------------------------------------------------------------------

WHERE = Path(tui.__file__).parent
PLAIN = ("Static", "Label")
TITLES = ("border_title", "border_subtitle", "tooltip")


def lapses(source: str) -> list[str]:
    """What in a module would have data read as markup: see tui/widgets/plain.py."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("textual.widgets"):
            found += [f"{alias.name} of {node.module}: use that of tui.widgets.plain" for alias in node.names if alias.name in PLAIN]
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr in TITLES:
            found.append(f"{node.attr} is set: Dialog.head does so")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("from_markup", "render_str"):
            found.append(f"{node.func.attr} is called")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_row":
            found += [f"add_row of {ast.unparse(arg)}: Rich reads markup in what is no Text" for arg in node.args if not wrapped(arg)]
    return found


def wrapped(arg: ast.expr) -> bool:
    """A Text, a variable that holds one, or a literal without a bracket."""
    if isinstance(arg, ast.Constant):
        return "[" not in str(arg.value)
    made = arg.func if isinstance(arg, ast.Call) else arg
    return isinstance(made, ast.Name) and made.id == ("Text" if isinstance(arg, ast.Call) else "text")


@pytest.mark.parametrize("path", sorted(WHERE.rglob("*.py")), ids=lambda path: str(path.relative_to(WHERE)))
def test_no_module_reads_markup(path: Path) -> None:
    home = path.relative_to(WHERE).as_posix()
    allowed = {"widgets/plain.py": 0, "dialogs/base.py": 1}.get(home, 0)  # base.py: Dialog.head, on a Box, which reads none
    assert len(lapses(path.read_text(encoding="utf-8"))) == allowed, lapses(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "source",
    [
        "from textual.widgets import Input, Static",
        "self.query_one('.dialog').border_title = name",
        "grid.add_row(fact.label, text)",
        "Content.from_markup(name)",
        "self.tooltip = name",
    ],
)
def test_a_module_that_reads_markup_is_caught(source: str) -> None:
    assert len(lapses(source)) == 1
