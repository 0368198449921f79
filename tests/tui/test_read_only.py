"""The app over a store that it cannot write: everything is shown and said to be so, and nothing is changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.store import Store, reading
from tests.runs.test_again import parent_run
from tests.runs.test_versions import aged
from tests.tui.conftest import another_app
from tests.worlds import app as worlds
from tests.worlds.hands import settled, until
from tui.app import SubpopApp
from tui.widgets.bars import TopBar
from tui.widgets.table.pane import TablePane

SIZE = (120, 40)


@pytest.fixture(autouse=True)
def theirs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reading, "may_write", lambda path: path.parent != tmp_path)


def said(app: SubpopApp) -> str:
    return " ".join(each.message for each in app._notifications)


async def test_it_says_so_shows_what_the_owner_does_and_changes_nothing(app: SubpopApp, store: Store, no_engine: list[str]) -> None:
    run_id = worlds.make_run(store)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot, "3")
        await until(pilot, lambda: len(app.screen.query_one("#runs", TablePane).table.model.rows) == 1)
        assert app.at_work() == ("! read-only", "warn")
        assert "read-only" in str(app.screen.query_one(TopBar).render_line(0).text)
        assert "not started or changed" in said(app)
        store.rename(run_id, "renamed by its owner")
        await until(pilot, lambda: app.runs[0].name == "renamed by its owner")
        await settled(pilot, "D", "y")
        await until(pilot, lambda: "make the file and its folder writable" in said(app))
        await settled(pilot, "1", "enter", "enter")
        await settled(pilot, "escape", "escape")
    assert [row.id for row in store.runs()] == [run_id]
    assert no_engine == []


async def test_old_tables_are_worked_out_beside_the_store(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = parent_run(store)
    wanted = store.table(run_id, "damage")
    aged(store, run_id)
    app = another_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: app.store is not None)
        assert app.store_file != store.path
        await until(pilot, lambda: app.store is not None and app.store.table(run_id, "damage") == wanted, seconds=30)
        file = app.store_file
        store.rename(run_id, "renamed by its owner")
        monkeypatch.setattr("tui.session.COPY_S", 0.0)
        await until(pilot, lambda: app.runs[0].name == "renamed by its owner")
        assert app.store_file != file
        monkeypatch.undo()
        await until(pilot, lambda: app.store is not None and app.store.table(run_id, "damage") == wanted, seconds=30)
    assert not file.exists()
    assert "0.987" in str(store.table(run_id, "damage").rows)
