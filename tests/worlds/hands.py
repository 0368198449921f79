"""Hands for tests: press keys, wait for what should come."""

from __future__ import annotations

from collections.abc import Callable

from textual.pilot import Pilot

from tui.app import SubpopApp
from tui.screens.form import FormScreen
from tui.widgets.field_row import FieldRow

OPENING = {*"12345efxtTpcEBNo", "enter", "escape", "slash", "colon", "question_mark"}


async def until(pilot: Pilot[int], met: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until something is so."""
    for _ in range(int(seconds / 0.02)):
        if met():
            return
        await pilot.pause(0.02)
    raise AssertionError("it never came to be")


async def opened_form(pilot: Pilot[int]) -> None:
    """Open the form of the preset under the cursor."""
    await settled(pilot, "e")
    await until(pilot, lambda: isinstance(pilot.app.screen, FormScreen) and bool(pilot.app.screen.focused))


def field_of(app: SubpopApp, key: str) -> FieldRow:
    return next(row for row in app.screen.query(FieldRow) if row.field.key == key)


async def settled(pilot: Pilot[int], *keys: str) -> None:
    """Press keys one after the other, and wait until nothing more happens: after each key that may open something, too."""
    await pilot.pause()
    for key in keys:
        await pilot.press(key)
        if key in OPENING:
            await pilot.pause()
    await pilot.pause(0.12)  # longer than the app takes to look at the store
    await pilot.pause()
