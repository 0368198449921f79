"""The form turned to other data: the paper's title, claim and the preset's name go with what they are of, and come back with it."""

from __future__ import annotations

from pathlib import Path

from textual.pilot import Pilot
from textual.widgets import Input, Static

from engine.scenario.parse import load
from tests.worlds.hands import field_of, opened_form, settled, until
from tui.app import SubpopApp
from tui.dialogs.launch import LaunchDialog
from tui.screens.form import FormScreen

SIZE = (120, 40)
TITLE = "UCI Adult, ClusterMatch, label flipping"


def words(app: SubpopApp) -> tuple[str, str]:
    return tuple(field_of(app, key).query_one(Input).value for key in ("title", "reproduces"))  # type: ignore[return-value]


async def adult(pilot: Pilot[int]) -> None:
    await settled(pilot, "down")
    await opened_form(pilot)
    await until(pilot, lambda: words(pilot.app) == (TITLE, "Table 4, UCI Adult"))  # type: ignore[arg-type]


async def turned(pilot: Pilot[int], kind: str) -> None:
    field_of(pilot.app, "dataset.kind").set_value(kind)  # type: ignore[arg-type]
    screen = pilot.app.screen
    assert isinstance(screen, FormScreen)
    await until(pilot, lambda: screen.scenario is not None and screen.scenario.dataset.kind == kind)
    await settled(pilot)


async def test_title_claim_and_name_follow_the_data(app: SubpopApp, tmp_path: Path) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await adult(pilot)
        await turned(pilot, "breast_cancer")
        assert words(app) == ("Breast cancer mlp, ClusterMatch, label flipping", "")
        screen = app.screen
        assert isinstance(screen, FormScreen)
        assert "Adult" not in screen.edited.text()
        assert any("reproduces is taken out" in note for note in screen.judged.notes)
        await settled(pilot, "ctrl+s")
        path = tmp_path / "mine.toml"
        app.screen.query_one(Input).value = str(path)
        await settled(pilot, "enter")
        assert "Adult" not in path.read_text()
        assert load(path).reproduces is None
        await settled(pilot, "ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, LaunchDialog))
        assert app.screen.query_one("#name", Input).value == "breast_cancer-mlp-clustermatch"
        assert "Adult" not in str(app.screen.query_one("#verdict", Static).render())


async def test_turned_back_they_are_back(app: SubpopApp) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await adult(pilot)
        await turned(pilot, "breast_cancer")
        await turned(pilot, "adult")
        assert words(app) == (TITLE, "Table 4, UCI Adult")


async def test_ones_own_title_stays(app: SubpopApp) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await adult(pilot)
        await turned(pilot, "breast_cancer")
        field_of(app, "title").set_value("mine ")
        await settled(pilot)
        await pilot.pause(0.3)
        await turned(pilot, "adult")
        assert words(app) == ("mine ", "Table 4, UCI Adult")
