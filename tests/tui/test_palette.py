"""The command list knows every table that the chosen run has, also those that few runs have."""

from __future__ import annotations

from engine.rows import Table
from engine.store import Store
from engine.tables.columns import SPECS
from tests.worlds import app as worlds
from tests.worlds.hands import settled, until
from tui.app import SubpopApp
from tui.widgets.table.live import LiveTable
from tui.widgets.table.pane import TablePane


def listed(app: SubpopApp) -> set[str]:
    return {str(row[0]) for row in app.screen.query_one(LiveTable).model.rows.values()}


async def test_a_table_that_this_run_has_beyond_the_usual_is_listed_and_shown(app: SubpopApp, store: Store) -> None:
    run_id = worlds.make_run(store)
    spec = SPECS["optimization"]
    row = tuple({"alpha": 1.0, "group": "all"}.get(column.name) for column in spec.columns)
    async with app.run_test(size=(120, 36)) as pilot:
        await settled(pilot, "4", "colon")
        assert "Show table damage" in listed(app)
        assert not {"Show table optimization", "Show table attributes"} & listed(app)
        await settled(pilot, "escape")
        store.write_tables(run_id, {"optimization": Table(spec, (row,))})
        await settled(pilot, "colon")
        assert "Show table optimization" in listed(app)
        assert "Show table attributes" not in listed(app)
        await settled(pilot, *"table opt", "enter")
        shown = lambda: app.screen.query_one("#result", TablePane).table  # noqa: E731
        await until(pilot, lambda: shown().spec.name == "optimization" and len(shown().model.shown) == 1)
