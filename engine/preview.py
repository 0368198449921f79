"""`python -m engine.preview` answers a screen's questions about data, so that the screen loads none: JSON lines in, JSON lines out.

    {"fetch": "adult", "data": "/where"}                              the official files, downloaded
    {"discover": "<scenario TOML>", "data": "/where"}                 its subpopulations, nothing stored
    {"run": "5b1e0c", "store": "/runs.db", "data": "/where"}          the data of a run that has its subpopulations
    {"members": 17, "split": "aux", "limit": 200}                     after either of the two: rows of one subpopulation

Answers: {"progress": [what, share]}, {"log": text}, {"found": [subpopulations], "deviations": [...]}, {"ready": true},
{"fetched": [paths]}, {"members": {index, split, total, columns, rows}}, {"error": text}. It ends when its input does.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from engine.errors import RequestError, SubpopError

if TYPE_CHECKING:
    from engine.rows import Dataset, Membership

LIMIT = 500  # rows told of one subpopulation, however many are asked for


class Answers:
    """Where answers go: one JSON object a line, at once."""

    def __init__(self, out: TextIO) -> None:
        self.out = out

    def say(self, **answer: object) -> None:
        self.out.write(json.dumps(answer, ensure_ascii=False, default=str) + "\n")
        self.out.flush()

    def progress(self, what: str, share: float) -> None:
        self.say(progress=[what, round(share, 4)])

    def log(self, text: str) -> None:
        self.say(log=text)


class Preview:
    """Holds the data and membership that members are asked of."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.dataset: Dataset | None = None
        self.membership: Membership | None = None

    def answer(self, question: dict[str, Any]) -> None:
        """Answer one question; what goes wrong is an answer too."""
        try:
            if "fetch" in question:
                self._fetch(str(question["fetch"]), Path(question["data"]))
            elif "discover" in question:
                self._discover(str(question["discover"]), Path(question["data"]), question.get("folder"))
            elif "run" in question:
                self._run(str(question["run"]), Path(question["store"]), Path(question["data"]))
            elif "members" in question:
                self._members(int(question["members"]), str(question.get("split", "aux")), int(question.get("limit", LIMIT)))
            else:
                raise RequestError(f"no such question: {', '.join(question)}")
        except SubpopError as error:
            self.answers.say(error=str(error))
        except Exception as error:
            self.answers.say(error=f"{type(error).__name__}: {error}")

    def _fetch(self, kind: str, data: Path) -> None:
        from engine import datasets

        self.answers.say(fetched=[str(path) for path in datasets.fetch(kind, data, self.answers.progress)])

    def _discover(self, text: str, data: Path, folder: str | None) -> None:
        from engine import pipeline, scenario

        wanted = scenario.parse(text, folder=Path(folder) if folder else None)
        found = pipeline.discover(wanted, data, device="cpu", log=self.answers.log, progress=self.answers.progress)
        self.dataset, self.membership = found.dataset, found.membership
        told = [{**asdict(s), "class_mix": dict(s.class_mix)} for s in found.subpopulations]
        self.answers.say(found=told, deviations=list(pipeline.deviations(wanted, found.dataset)))

    def _run(self, run_id: str, store_path: Path, data: Path) -> None:
        from engine import pipeline, scenario
        from engine.store import Store

        with Store.open(store_path, create=False) as store:
            found, text = store.discovery(run_id), store.run(run_id).scenario_toml
        if found is None:
            raise RequestError("its subpopulations are not known yet", where=f"run {run_id}", next="wait for its discovery")
        self.dataset = pipeline.load(scenario.parse(text), data, log=self.answers.log, progress=self.answers.progress)
        self.membership = found.membership
        if len(self.membership.aux) != len(self.dataset.aux):
            self.dataset = None
            raise RequestError("the data here are not the run's", where=f"run {run_id}", next="point --data at the data it was made with")
        self.answers.say(ready=True)

    def _members(self, index: int, split: str, limit: int) -> None:
        import numpy as np

        if self.dataset is None or self.membership is None:
            raise RequestError("no data are loaded", next="ask for a discovery or a run first")
        if split not in ("train", "aux", "test"):
            raise RequestError(f"no split called {split!r}", next="train, aux or test")
        rows = getattr(self.dataset, split)
        where = np.flatnonzero(getattr(self.membership, split) == index)
        some = where[: max(0, min(limit, LIMIT))]
        frame = rows.frame.iloc[some]
        columns = [str(name) for name in frame.columns]
        values = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
        classes = self.dataset.classes
        heads = zip(rows.ids[some].tolist(), rows.y[some].tolist(), strict=True)
        told = [[row_id, classes[y], *(_plain(cell) for cell in cells)] for (row_id, y), cells in zip(heads, values, strict=True)]
        self.answers.say(members={"index": index, "split": split, "total": len(where), "columns": ["row", "class", *columns], "rows": told})


def _plain(cell: Any) -> object:
    """A cell as JSON knows it."""
    if hasattr(cell, "item"):
        cell = cell.item()
    if isinstance(cell, float):
        return None if cell != cell else int(cell) if cell.is_integer() and abs(cell) < 2**53 else cell
    return cell if cell is None or isinstance(cell, str | int | bool) else str(cell)


def questions(source: TextIO) -> Iterator[dict[str, Any]]:
    """Questions as they come, of several waiting ones about members only the last. The process ends at once when its input ends."""
    waiting: queue.Queue[dict[str, Any]] = queue.Queue()

    def read() -> None:
        for line in source:
            waiting.put(json.loads(line))
        os._exit(0)  # even in the middle of a discovery: nobody is there to read it

    threading.Thread(target=read, daemon=True).start()
    while True:
        question = waiting.get()
        while "members" in question and not waiting.empty():
            question = waiting.get()
        yield question


def main() -> None:
    """Answer until the input ends."""
    out, sys.stdout = sys.stdout, sys.stderr  # a stray print of a library must not look like an answer
    preview = Preview(Answers(out))
    for question in questions(sys.stdin):
        preview.answer(question)


if __name__ == "__main__":
    main()
