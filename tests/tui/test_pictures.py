"""The grid of pictures: two pixels a cell, a cursor that stays in sight, more of them when the last ones come near, and no colours."""

from __future__ import annotations

from typing import Any

import pytest
from rich.color import Color
from textual.pilot import Pilot

from engine.store import Store
from tests.worlds import app as worlds
from tests.worlds import app_pictures as picture_world
from tests.worlds.hands import settled
from tui.app import SubpopApp
from tui.presenters.members import Card, Look, title
from tui.screens.subpopulations import SubpopulationsScreen
from tui.widgets.pictures.grid import HALF, PictureGrid


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the engine is asked; it answers at once, with pictures."""
    questions: list[dict[str, Any]] = []

    def ask(self: SubpopulationsScreen, first: int = 0) -> None:
        key = self.pane.table.cursor_key
        if key is None or self.subject.stage != "ready":
            return
        question = self.look.question(key[0], first)
        questions.append(question)
        told = picture_world.told(int(str(key[0])), question["pixels"], "poison" if "poison" in question else question["split"], first)
        if "poison" in question:
            told["members"] |= {"alpha": question["alpha"], "trial": question["trial"]}
        self._answered(told)

    monkeypatch.setattr(SubpopulationsScreen, "ask_members", ask)
    return questions


async def at_pictures(pilot: Pilot[int]) -> SubpopulationsScreen:
    await settled(pilot, "2")
    screen = pilot.app.screen
    assert isinstance(screen, SubpopulationsScreen)
    screen._answered({"ready": True})
    await settled(pilot, "tab")
    return screen


async def test_keys_walk_the_pictures_and_ask_for_more(app: SubpopApp, store: Store, asked: list[dict[str, Any]]) -> None:
    worlds.make_run(store)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await at_pictures(pilot)
        grid = screen.pictures.grid
        assert grid.has_focus
        assert (len(grid.cards), grid.total, grid.columns) == (60, 111, 4)
        await settled(pilot, "right", "down", "down")
        assert grid.cursor == 9
        top = grid.cursor // 4 * grid.row_height
        assert grid.scroll_y <= top < grid.scroll_y + grid.size.height
        await settled(pilot, "end")
        assert asked[-1]["first"] == 60
        assert len(grid.cards) == 111
        await settled(pilot, "end", "home")
        assert (grid.cursor, round(grid.scroll_y)) == (0, 0)
        assert [question.get("first") for question in asked] == [0, 60]  # and nothing twice
        await settled(pilot, "z")
        assert (asked[-1]["pixels"], asked[-1]["first"], grid.cards[0].side) == (24, 0, 24)


async def test_other_rows_and_the_poison_are_a_key_away(app: SubpopApp, store: Store, asked: list[dict[str, Any]]) -> None:
    worlds.make_run(store)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await at_pictures(pilot)
        assert "Alpha" not in keys_told(app)
        await settled(pilot, "v", "v", "v")
        assert [question.get("split", "poison") for question in asked] == ["aux", "train", "test", "poison"]
        assert asked[-1] | {"alpha": 1.0, "trial": 0} == asked[-1]
        assert {"Alpha", "Trial"} <= keys_told(app)
        await settled(pilot, "n", "N")
        assert (asked[-1]["alpha"], asked[-1]["trial"]) == (2.0, 1)
        assert screen.pictures.grid.has_focus
        await settled(pilot, "w")
        assert not screen.pane.display
        await settled(pilot, "w", "down")
        assert asked[-1]["poison"] == 1  # the same look at another subpopulation
        screen._answered({"error": "influence picks its points in a run", "asked": "members"})
        assert screen.subject.stage == "ready"


def keys_told(app: SubpopApp) -> set[str]:
    return {active.binding.description for active in app.screen.active_bindings.values() if active.enabled}


async def test_two_pixels_stand_in_one_cell(app: SubpopApp, store: Store) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        grid = PictureGrid()
        await app.screen.mount(grid)
        await settled(pilot)
        red, blue = bytes((255, 0, 0)), bytes((0, 0, 255))
        grid.show([Card(4, red * 4 + blue * 4 + (red + blue) * 4, ("cat",))], 1)
        upper, lower = grid._pixels(grid.cards[0], 0), grid._pixels(grid.cards[0], 2)
        assert [segment.text for segment in upper] == [HALF * 4]  # one segment for what is alike
        assert upper[0].style is not None
        assert (upper[0].style.color, upper[0].style.bgcolor) == (Color.from_rgb(255, 0, 0), Color.from_rgb(0, 0, 255))
        assert [segment.text for segment in lower] == [HALF] * 4


async def test_without_colours_the_captions_say_what_there_is(
    app: SubpopApp, store: Store, asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(app.console), "color_system", property(lambda self: "standard"))
    worlds.make_run(store)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await at_pictures(pilot)
        grid = screen.pictures.grid
        lines = ["".join(segment.text for segment in grid.render_line(y)) for y in range(4)]
        assert "pictures need 256 colours" in lines[0]
        assert lines[1].split()[:2] == ["cat", "dog"]
        assert HALF not in "".join(lines)


def test_a_look_at_a_table_asks_what_it_always_did() -> None:
    look = Look.remembered("nonsense", 7)
    assert look.question(3) == {"members": 3, "split": "aux", "first": 0, "limit": 200, "pixels": 16}
    look.next_split()
    look.next_split()
    look.next_split()
    assert look.split == "aux"  # no poison without rates to ask it at
    assert title({"index": 3, "split": "aux", "total": 300}, 200) == "Members of 3: 300 in aux, the first 200"


async def test_the_export_screen_draws_a_contact_sheet(app: SubpopApp, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from tui.dialogs.export import ExportDialog
    from tui.services.processes import PreviewProcess

    run_id = worlds.make_run(store)
    asked: list[dict[str, Any]] = []

    async def ask(self: PreviewProcess, question: dict[str, Any]) -> None:
        asked.append(question)
        self.answered({"progress": ["contact sheet", 0.5]})
        self.answered({"rows": 17, "written": question["sheet"]})

    monkeypatch.setattr(PreviewProcess, "ask", ask)
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot, "4", "x", "ctrl+k")
        dialog = app.screen
        assert isinstance(dialog, ExportDialog)
        assert (asked[0]["run"], asked[0]["store"]) == (run_id, str(app.store_file))
        assert asked[0]["sheet"].endswith(f"-{run_id}-pictures.png")
        assert "17 subpopulations drawn in" in str(dialog.query_one("#outcome").render())
