"""A row a subpopulation: its alphas side by side, worst first; marked, opened and exported as the long table's rows are."""

from __future__ import annotations

import random
from pathlib import Path

from engine.export.export import export
from engine.store import Store
from engine.tables.columns import SPECS
from tests.tui.conftest import running
from tests.worlds import app as worlds
from tests.worlds.hands import settled, until
from tui.app import SubpopApp
from tui.dialogs.export import ExportDialog
from tui.presenters import side_by_side
from tui.screens.desk import DeskScreen
from tui.widgets.table.live import LiveTable
from tui.widgets.table.pane import TablePane


def table(app: SubpopApp) -> LiveTable:
    return app.screen.query_one("#result", TablePane).table


def test_the_damage_table_is_turned() -> None:
    damage = worlds.damage_table(5, 3, random.Random(5)).records()
    spec, rows = side_by_side.turned(damage)
    names = [column.name for column in spec.columns]
    assert names[2:8] == ["alpha_0.5", "alpha_1", "alpha_2", "damage", "low", "high"]
    assert len(rows) == 5
    for cells in rows:
        row = dict(zip(names, cells, strict=True))
        mine = {each["alpha"]: each for each in damage if each["subpopulation"] == row["subpopulation"]}
        assert [row[f"alpha_{alpha:g}"] for alpha in worlds.ALPHAS] == [mine[alpha]["damage"] for alpha in worlds.ALPHAS]
        assert [row[name] for name in ("damage", "low", "high", "poison_points")] == [
            mine[2.0][name] for name in ("damage", "low", "high", "poison_points")
        ]
        assert row["vulnerable_from"] == min((alpha for alpha in worlds.ALPHAS if mine[alpha]["vulnerable"]), default=None)


def test_one_that_was_not_attacked_at_the_largest_alpha_has_nothing_there() -> None:
    damage = [row for row in worlds.damage_table(2, 3, random.Random(5)).records() if (row["subpopulation"], row["alpha"]) != (1, 2.0)]
    spec, rows = side_by_side.turned(damage)
    row = dict(zip([column.name for column in spec.columns], rows[1], strict=True))
    assert (row["alpha_2"], row["damage"], row["poison_points"]) == (None, None, None)
    assert row["alpha_1"] is not None
    assert side_by_side.turned([]) == (side_by_side.spec_of(()), [])


async def test_it_is_shown_marked_opened_and_exported(app: SubpopApp, store: Store, tmp_path: Path) -> None:
    run_id = worlds.make_run(store)
    async with app.run_test(size=(120, 36)) as pilot:
        await settled(pilot, "4", "T")
        await until(pilot, lambda: len(table(app).model.shown) == 40)
        assert table(app).spec.name == side_by_side.NAME
        damages = [row[5] for row in table(app).model.visible_rows()]
        assert damages == sorted(damages, reverse=True)  # type: ignore[type-var]
        await settled(pilot, "space", "space")
        worst = [key[0] for key in table(app).model.shown[:2]]
        assert table(app).model.chosen == set(worst)
        await settled(pilot, "t")
        assert table(app).spec.name == "damage"
        assert {key[1] for key in table(app).model.marks} == set(worst)
        await settled(pilot, "T", "slash", *"alpha_2>0.4 alpha_0.5<0.3", "enter")
        shown = [key[0] for key in table(app).model.shown]
        assert 0 < len(shown) < 40
        await settled(pilot, "x")
        dialog = app.screen
        assert isinstance(dialog, ExportDialog)
        assert dialog.table == "damage"
        assert [key[1] for key in dialog.only or ()] == [index for index in shown for _ in worlds.ALPHAS]
        export(store, run_id, dialog.table, "csv", tmp_path / "some.csv", only=dialog.only)
        assert len([line for line in (tmp_path / "some.csv").read_text().splitlines() if not line.startswith("#")]) == 1 + 3 * len(shown)
        await settled(pilot, "escape", "enter")
        await until(pilot, lambda: isinstance(app.screen, DeskScreen))
        assert app.screen.others == tuple(shown)  # type: ignore[attr-defined]


async def test_it_follows_a_run_at_work_and_keeps_its_cursor(app: SubpopApp, store: Store) -> None:
    run_id = running(store, ready=0.3, trials=1)
    app.settings.put("results_table", side_by_side.NAME)
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot, "4")
        await until(pilot, lambda: len(table(app).model.rows) == 40)
        assert sum(row[5] is not None for row in table(app).model.rows.values()) == 12
        await settled(pilot, "down", "down")
        key = table(app).cursor_key
        store.write_tables(run_id, {"damage": worlds.damage_table(40, 2, random.Random(8), 0.9)})
        await until(pilot, lambda: sum(row[5] is not None for row in table(app).model.rows.values()) == 36)
        assert table(app).cursor_key == key
        assert table(app).spec == side_by_side.spec_of(worlds.ALPHAS)
    assert side_by_side.NAME not in SPECS
