"""Runs whose rows in the store are damaged, as the app lists and deletes them."""

from __future__ import annotations

import pytest

from engine.runs import start
from engine.runs.worker import work
from engine.scenario.parse import parse
from engine.store import Store
from tests.worlds import app as worlds
from tests.worlds.fake_pipeline import SCENARIO, FakePipeline
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


async def test_a_damaged_table_is_said_in_words_and_made_anew(store: Store, app: SubpopApp) -> None:
    run_id = start.start(store, parse(SCENARIO), spawn=False).id
    assert work(store, run_id, pipeline=FakePipeline()) == "done"
    before = store.table(run_id, "damage")
    store._db.execute("UPDATE result_rows SET cells = replace(cells, ',1.0,', ',1.5,') WHERE name = 'damage'")
    assert store.damaged_tables(run_id) == ("damage",)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "3")
        await until(pilot, lambda: any("a stored value is damaged" in note.message for note in app._notifications))
        assert sum("a stored value is damaged" in note.message for note in app._notifications) == 1, "once, not at every look"
        await until(pilot, lambda: store.damaged_tables(run_id) == (), 60)
        await until(pilot, lambda: len(app.screen.query_one("#damage", TablePane).table.model.rows) == len(before.rows))
    assert store.table(run_id, "damage") == before
    assert app.return_code in (0, None)
