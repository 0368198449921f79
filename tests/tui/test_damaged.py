"""Runs whose rows in the store are damaged, as the app lists and deletes them."""

from __future__ import annotations

import pytest

from engine.store import Store
from tests.worlds import app as worlds
from tests.worlds.hands import settled, until
from tui.app import SubpopApp
from tui.widgets.table.live import LiveTable
from tui.widgets.table.pane import TablePane

SIZE = (120, 40)


@pytest.mark.parametrize(
    ("column", "value"), [("created_at", "yesterday"), ("deviations", "5"), ("name", b"\x00\xff"), ("progress", "half"), ("id", b"\x01")]
)
async def test_a_damaged_run_is_listed_beside_the_others_and_deleted(app: SubpopApp, store: Store, column: str, value: object) -> None:
    def runs() -> LiveTable:
        return app.screen.query_one("#runs", TablePane).table

    sound, hurt = worlds.make_run(store, name="sound"), worlds.make_run(store, name="hurt")
    store._db.execute("PRAGMA foreign_keys = OFF")
    store._db.execute(f"UPDATE runs SET {column} = ? WHERE id = ?", (value, hurt))
    store._db.execute("PRAGMA foreign_keys = ON")
    shown = store.runs()[0].id
    async with app.run_test(size=SIZE) as pilot:
        for mode in ("2", "4", "5", "3"):  # the other screens have a run in sight too
            await settled(pilot, mode)
        await until(pilot, lambda: len(runs().model.rows) == 2)
        columns = [each.name for each in runs().spec.columns]
        states = {row[columns.index("id")]: row[columns.index("state")] for row in runs().model.visible_rows()}
        assert (states[sound], states[shown]) == ("done", "damaged")
        await until(pilot, lambda: runs().cursor_key == (shown,))
        await settled(pilot, "D", "y")
        await until(pilot, lambda: len(runs().model.rows) == 1)
        assert [row.id for row in store.runs()] == [sound]
    assert app.return_code in (0, None)
