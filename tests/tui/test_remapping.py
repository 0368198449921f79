"""keys.toml: what it may change, and what is refused, in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.store import Store
from tests.tui.conftest import another_app
from tests.worlds import app as worlds
from tests.worlds.hands import settled
from tui.app import SubpopApp
from tui.dialogs.help import HelpScreen, keys_of
from tui.screens import remapping
from tui.screens.remapping import checked
from tui.widgets.bars import KeyBar

SIZE = (120, 36)


def keys_shown(app: SubpopApp) -> str:
    return str(app.screen.query_one(KeyBar).render_line(0).text)


@pytest.mark.parametrize(
    ("keymap", "kept", "says"),
    [
        ({"run.pause": "ctrl+e"}, {"run.pause"}, ""),
        ({"run.pause": "r", "run.resume": "p"}, {"run.pause", "run.resume"}, ""),  # turned round
        ({"run.puase": "ctrl+e"}, set(), "\"run.puase\" is the name of no key; did you mean 'run.pause'?"),
        ({"zzz": "ctrl+e"}, set(), '"zzz" is the name of no key; ? shows the names'),
        ({"run.pause": "x"}, set(), '"run.pause" = "x": x is the key of "run.stop" there'),
        ({"run.pause": "ctrl+e", "run.stop": "ctrl+e"}, {"run.pause"}, '"run.stop" = "ctrl+e": ctrl+e is the key of "run.pause" there'),
        ({"run.pause": "?"}, set(), '"run.pause" = "?": question_mark is the key of "app.help" there'),
        ({"run.pause": "s"}, set(), '"run.pause" = "s": s is the key of "table.sort" there'),
        ({"export.write": "q"}, {"export.write"}, ""),  # over the app no other key of it does anything
    ],
)
def test_names_that_nothing_has_and_keys_taken_twice_are_refused(keymap: dict[str, str], kept: set[str], says: str) -> None:
    good, wrong = checked(keymap, SubpopApp)
    assert good.keys() == kept
    assert "; ".join(wrong) == says


def test_every_module_with_keys_is_looked_at() -> None:
    tui = Path(remapping.__file__).parent.parent
    with_keys = {path for path in tui.rglob("*.py") if "BINDINGS:" in path.read_text(encoding="utf-8")} - {tui / "app.py"}
    assert {Path(str(module.__file__)) for module in remapping.MODULES} >= with_keys


def test_the_keys_as_they_come_are_taken() -> None:
    """A file that says what is so already changes nothing and is right."""
    assert checked({"run.pause": "p", "table.sort": "s", "app.quit": "q,ctrl+q"}, SubpopApp)[1] == []


async def test_a_refused_entry_is_told_and_its_key_stays(tmp_path: Path, store: Store) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "keys.toml").write_text('[keys]\n"results.export" = "ctrl+e"\n"results.exprot" = "ctrl+r"\n"run.pause" = "x"\n')
    worlds.make_run(store)
    app = another_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "3")
        said = "\n".join(note.message for note in app._notifications)
        assert "keys.toml: \"results.exprot\" is the name of no key; did you mean 'results.export'?" in said
        assert 'x is the key of "run.stop" there; these stay as they come' in said
        await settled(pilot, "4")
        assert "^e Export" in keys_shown(app)


async def test_help_shows_the_names_to_remap_by(tmp_path: Path, store: Store) -> None:
    worlds.make_run(store)
    app = another_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "4", "question_mark")
        assert isinstance(app.screen, HelpScreen)
        names = {name for lines in keys_of(app.screen.about).values() for _, _, name in lines}
        assert {"results.export", "table.sort", "app.quit"} <= names
        shown = app.export_screenshot()
        assert "table.sort" in shown
