"""A world to walk through with every key: two runs in any state, no process beside the app, and an app that is put back as it was.

A new app for each key would cost most of a second: the style sheet is parsed, every widget is made. So one app is walked through many
places, and between them what a key may have changed is put back: the store's rows, what is remembered, the modes with their screens.
"""

from __future__ import annotations

import copy
import json
import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from rich.console import RenderableType
from textual.pilot import Pilot
from textual.screen import Screen

from engine.drafting.process import Drafting
from engine.runs import again
from engine.runs import start as engine_run
from engine.runs.worker import work
from engine.scenario.parse import parse
from engine.store import Store
from tests.runs.test_again import Fake
from tests.tui.conftest import NOW, running
from tests.worlds import app as worlds
from tests.worlds.fake_pipeline import SCENARIO
from tui.app import SubpopApp
from tui.services.processes import DraftingProcess, EngineProcess, PreviewProcess

NOWHERE = "nowhere"  # the mode one waits in while the others are made anew
ANSWERS: dict[str, list[dict[str, Any]]] = {}  # of the reader of files, by the question; the files are the same in every test


# ---- no process beside the app --------------------------------------------------------------------------------------


def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds data answers at once: 12 subpopulations of 9 rows each. What reads files does so here, once for each question."""

    async def held(self: PreviewProcess, question: dict[str, Any]) -> None:
        if "discover" in question:
            subpopulations = [{**asdict(s), "class_mix": dict(s.class_mix)} for s in worlds.subpopulations(12)]
            self.answered({"found": subpopulations, "deviations": [], "about": worlds.ABOUT})
        elif "run" in question:
            self.answered({"ready": True})
        elif "members" in question or "poison" in question:
            self.answered({"members": members_of(question)})
        elif "fetch" in question:
            self.answered({"error": "the network cannot be reached"})

    async def read(self: DraftingProcess, question: dict[str, Any]) -> None:
        number = {"id": question["id"]}
        asked = json.dumps({name: value for name, value in question.items() if name != "id"}, sort_keys=True)
        if asked not in ANSWERS:
            ANSWERS[asked] = []
            Drafting(ANSWERS[asked].append, lambda: True).answer({name: value for name, value in question.items() if name != "id"})
        for answer in ANSWERS[asked]:
            self.answered({**answer, **number})

    async def listen(self: EngineProcess) -> None:
        pass

    monkeypatch.setattr(EngineProcess, "listen", listen)
    monkeypatch.setattr(EngineProcess, "alive", True)
    monkeypatch.setattr(PreviewProcess, "ask", held)
    monkeypatch.setattr(DraftingProcess, "ask", read)


def members_of(question: dict[str, Any]) -> dict[str, Any]:
    """The answer about nine rows; those of poison differ by alpha and trial."""
    poisoned = "poison" in question
    index = int(question["poison" if poisoned else "members"])
    rates = {"alphas": [0.5, 1.0, 2.0], "trials": 3, "first_trial": 0}
    shared = {"index": index, "total": 9, "first": 0, **rates}
    if poisoned:
        marks = {"split": "poison", "alpha": question["alpha"], "trial": question.get("trial", 0), "note": ""}
        cells = [[n, 10 * index + n, ">50K", "<=50K", 20 + n] for n in range(9)]
        return {**shared, **marks, "columns": ["point", "row", "given", "true", "age"], "rows": cells}
    cells = [[10 * index + n, "<=50K", 20 + n] for n in range(9)]
    return {**shared, "split": question.get("split", "aux"), "columns": ["row", "class", "age"], "rows": cells}


# ---- stores ---------------------------------------------------------------------------------------------------------


class Templates:
    """Stores of two runs that can be compared, the newest in the state that is asked for. Each is made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: dict[str, tuple[Path, list[str]]] = {}

    def of(self, state: str) -> tuple[Path, list[str]]:
        """The file, and the runs' ids from the newest."""
        if state not in self.made:
            path = self.folder / f"{state}.db"
            with Store.open(path, clock=lambda: NOW) as store:
                self.made[state] = path, _write(store, state)
        return self.made[state]


def _write(store: Store, state: str) -> list[str]:
    first = engine_run.start(store, parse(SCENARIO), name="four groups", spawn=False).id
    assert work(store, first, pipeline=Fake()) == "done"
    if state == "done":
        last = again.start(store, first, [0, 1, 2, 3], ("evaluation.trials=4",), spawn=False).id
        assert work(store, last, pipeline=Fake()) == "done"
    elif state == "failed":
        last = worlds.make_run(store, state="failed", error="cluster 17 has 0 test rows; lower `clusters`\nand the rest of it")
    else:
        last = running(store)
        if state == "paused":
            store.update_run(last, state="paused")
        elif state == "lost":
            store.update_run(last, pid=4_000_001)
    return [last, first]


# ---- an app that is put back ----------------------------------------------------------------------------------------


class Counting(SubpopApp):
    """Counts what it paints: as long as nothing was painted, nothing looks otherwise, and a picture need not be taken."""

    painted = 0

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        self.painted += 1
        super()._display(screen, renderable)


class Walked:
    """An app over a copy of a template. `afresh` puts it back as it was at its start, whatever was done in it."""

    def __init__(self, folder: Path, templates: Templates, remembered: dict[str, Any]) -> None:
        self.templates, self.state, self.remembered = templates, "", remembered
        self.path = folder / "runs.db"
        self._take("done")
        self.app = Counting(self.path, folder / "data", config=folder / "config", clock=lambda: NOW)
        self.app.add_mode(NOWHERE, Screen)
        self.remember()

    def _take(self, state: str) -> None:
        """Copy the template, page by page, into the store that the app has open."""
        template, self.runs = self.templates.of(state)
        with closing(sqlite3.connect(template)) as source, closing(sqlite3.connect(self.path)) as target:
            source.backup(target)
        self.state, self.rows = state, self._rows()

    def _rows(self) -> list[tuple[object, ...]]:
        """What a key may have changed in the store."""
        with closing(sqlite3.connect(self.path)) as database:
            return database.execute("SELECT * FROM runs ORDER BY id").fetchall()

    def as_it_was(self, state: str) -> bool:
        """Whether the store holds what it did."""
        return state == self.state and self._rows() == self.rows

    def remember(self) -> None:
        """Nothing but what was remembered at the start."""
        self.app.settings.values = copy.deepcopy({**self.remembered, "compared": self.runs[::-1]})
        self.app.chosen_run, self.app.run_wanted, self.app.preview_wanted = self.runs[0], True, None

    async def afresh(self, pilot: Pilot[int], state: str) -> None:
        """No mode was gone to yet, nothing is remembered but what was, and the store is the template's."""
        app = self.app
        await app.switch_mode(NOWHERE)
        for mode, made in app.MODES.items():
            await app.remove_mode(mode)
            app.add_mode(mode, made)
        if not self.as_it_was(state):
            self._take(state)
            app._run_list = None  # another store in the same file: its changes are counted anew
            app.poll(force=True)
        self.remember()
        app.clear_notifications()
        app._clipboard = ""
        await pilot.pause()
