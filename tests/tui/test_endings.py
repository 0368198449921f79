"""A key typed behind the one that ends the app, or before what it opens is there: nothing opens any more, and nothing fails."""

from __future__ import annotations

import pytest
from textual import events

from engine.store import Store
from tests.worlds import app as worlds
from tests.worlds.hands import settled
from tui.app import SubpopApp

PLACES = ("1", "2", "3", "4", "5")
OPENED_BY = {"1": "enter e p o", "2": "a", "3": "v c E N B o R D", "4": "enter i a x E v", "5": "c i x E"}
EVERYWHERE = "question_mark colon 1 2 3 4 5 slash"


def type_at_once(app: SubpopApp, *keys: str) -> None:
    """As a terminal does: all of them are there before the first is looked at."""
    for key in keys:
        app.post_message(events.Key(key, key if len(key) == 1 else {"question_mark": "?", "colon": ":", "slash": "/"}.get(key)))


WAYS = [(mode, key, "quit behind") for mode in PLACES for key in f"{OPENED_BY[mode]} {EVERYWHERE}".split()]
WAYS += [
    (mode, key, "quit first") for mode in PLACES for key in (OPENED_BY[mode] if mode != "1" else f"{OPENED_BY[mode]} {EVERYWHERE}").split()
]


@pytest.mark.parametrize(("mode", "key", "order"), WAYS)
async def test_q_and_another_key_at_once_end_the_app_in_silence(app: SubpopApp, store: Store, mode: str, key: str, order: str) -> None:
    for name in ("one", "two"):
        worlds.make_run(store, name=name)
    app.settings.put("compared", [run.id for run in store.runs()])
    async with app.run_test(size=(120, 36)) as pilot:  # raises what was raised in the app, at the latest when it ends
        await settled(pilot, mode)
        type_at_once(app, *(("q", key) if order == "quit first" else (key, "q")))
        await pilot.pause()


async def test_the_app_ended_while_a_screen_opens_ends_in_silence(app: SubpopApp, store: Store) -> None:
    from tui.screens.form import FormScreen

    async with app.run_test(size=(120, 36)) as pilot:
        await settled(pilot)
        app.push_screen(FormScreen("", "x"))
        app.switch_mode("runs")
        app.exit(0)
        await pilot.pause()
    assert app.return_value == 0
