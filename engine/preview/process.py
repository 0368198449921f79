"""`python -m engine.preview.process` answers a screen's questions about data, so that the screen loads none: JSON lines in, JSON lines out.

    {"fetch": "adult", "data": "/where"}                              the official files, downloaded
    {"discover": "<scenario TOML>", "data": "/where"}                 its subpopulations, nothing stored; with "predict": true also
                                                                      the damage that clean models foretell
    {"run": "5b1e0c", "store": "/runs.db", "data": "/where"}          the data of a run that has its subpopulations
    {"sheet": "/x.png", "run": "5b1e0c", "store": "/runs.db", "data": "/where"}          its contact sheet, written
    {"members": 17, "split": "aux", "first": 0, "limit": 200, "pixels": 24}      after either of the two: rows of one subpopulation
    {"poison": 17, "alpha": 1.0, "trial": 0, "first": 0, "limit": 60, "pixels": 24}       ... the points that a victim is fed

Answers: {"progress": [what, share]}, {"log": text}, {"found": [subpopulations], "deviations": [...],
"about": the account of the data}, {"ready": true},
{"fetched": [paths]}, {"written": path, "rows": 17}, {"error": text} (with "asked": "members" where the data are there all the same), and
{"members": {index, split, total, first, columns, rows, alphas, trials}}; of poison with split "poison", alpha, trial and note. Of
pictures that also holds "pictures", one base64 string a row, of pixels x pixels x RGB bytes, and their "order" in words: aux comes
nearest its cluster's centre first. Of texts it holds "texts", one a row, each whole or its beginning and words that say so.
It ends when its input does.
"""

from __future__ import annotations

import base64
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from engine.errors import RequestError, SubpopError
from engine.system.pace import step_of

if TYPE_CHECKING:
    import numpy as np

    from engine.pipeline.discovery import Discovery
    from engine.rows import Rows
    from engine.scenario.sections import Scenario

LIMIT, PICTURES = 500, 60  # rows told at once, and those with pictures, however many are asked for
LOOKS = {"members", "poison"}  # questions of which several may wait, and only the last matters
PIXELS = (8, 64)  # least and most of a thumbnail's side
PROGRESS_EVERY_S = 0.1
TEXT, TEXTS = 20_000, 4_000_000  # characters told of one text, and of all texts at once


class Answers:
    """Where answers go: one JSON object a line, at once."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.step, self.said_at = "", 0.0  # of the last progress

    def say(self, **answer: object) -> None:
        self.out.write(json.dumps(answer, ensure_ascii=False, default=str) + "\n")
        self.out.flush()

    def progress(self, what: str, share: float) -> None:
        """A step's beginning and end, and between them no more than a screen can show."""
        now, step = time.monotonic(), step_of(what)
        if step != self.step or share >= 1 or now - self.said_at >= PROGRESS_EVERY_S:
            self.step, self.said_at = step, now
            self.say(progress=[what, round(share, 4)])

    def log(self, text: str) -> None:
        self.say(log=text)


class Preview:
    """Holds a scenario and its discovery, of which members and poison are asked."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.scenario: Scenario | None = None
        self.discovery: Discovery | None = None
        self.bulk: tuple[str, Path] | None = None  # the run whose moved points are read when they are first asked for

    def answer(self, question: dict[str, Any]) -> None:
        """Answer one question; what goes wrong is an answer too."""
        try:
            if "fetch" in question:
                self._fetch(str(question["fetch"]), Path(question["data"]))
            elif "discover" in question:
                self._discover(str(question["discover"]), Path(question["data"]), question.get("folder"), bool(question.get("predict")))
            elif "sheet" in question:
                self._sheet(Path(question["sheet"]), str(question["run"]), Path(question["store"]), Path(question["data"]))
            elif "run" in question:
                self._run(str(question["run"]), Path(question["store"]), Path(question["data"]))
            elif "members" in question:
                self._members(int(question["members"]), str(question.get("split", "aux")), question)
            elif "poison" in question:
                self._poison(int(question["poison"]), float(question["alpha"]), int(question.get("trial", 0)), question)
            else:
                raise RequestError(f"no such question: {', '.join(question)}")
        except Exception as error:
            looked = {"asked": "members"} if question.keys() & LOOKS else {}
            self.answers.say(error=str(error) if isinstance(error, SubpopError) else f"{type(error).__name__}: {error}", **looked)

    def _fetch(self, kind: str, data: Path) -> None:
        from engine import datasets

        self.answers.say(fetched=[str(path) for path in datasets.fetch(kind, data, self.answers.progress)])

    def _discover(self, text: str, data: Path, folder: str | None, predict: bool = False) -> None:
        from engine.scenario.parse import parse

        scenario = parse(text, folder=Path(folder) if folder else None, overrides=["triage.predict=true"] if predict else [])
        self.answers.progress("loading torch", 0.0)
        from engine.datasets import account_of
        from engine.pipeline import order as pipeline

        discovery = pipeline.discover(scenario, data, device="cpu", log=self.answers.log, progress=self.answers.progress, with_poison=False)
        self.scenario, self.discovery, self.bulk = scenario, discovery, None
        subpopulations = [{**asdict(s), "class_mix": dict(s.class_mix)} for s in discovery.subpopulations]
        about = account_of(discovery.dataset).as_json()
        self.answers.say(found=subpopulations, deviations=list(pipeline.deviations(scenario, discovery.dataset)), about=about)

    def _run(self, run_id: str, store_path: Path, data: Path) -> None:
        from engine.scenario.parse import scenario_of
        from engine.store import Store

        with Store.open(store_path, create=False, to_read=True) as store:
            stored, row = store.discovery(run_id), store.run(run_id)
        if stored is None:
            raise RequestError("its subpopulations are not known yet", where=f"run {run_id}", next="wait for its discovery")
        self.discovery = None
        scenario = scenario_of(row)
        self.answers.progress("loading torch", 0.0)
        from engine.pipeline import order as pipeline

        dataset = pipeline.rows(scenario, data, log=self.answers.log, progress=self.answers.progress)
        if len(stored.membership.aux) != len(dataset.aux):
            raise RequestError("the data here are not the run's", where=f"run {run_id}", next="point --data at the data it was made with")
        self.scenario, self.bulk = scenario, (run_id, store_path)
        self.discovery = pipeline.Discovery(dataset, stored.membership, stored.subpopulations, stored.arrays)
        self.answers.say(ready=True)

    def _sheet(self, path: Path, run_id: str, store_path: Path, data: Path) -> None:
        from engine.preview import contact_sheet
        from engine.store import Store

        with Store.open(store_path, create=False, to_read=True) as store:
            stored, run = store.discovery(run_id, bulk=True), store.run(run_id)
        self.answers.say(rows=contact_sheet.write(run, stored, data, path, progress=self.answers.progress), written=str(path))

    def _members(self, index: int, split: str, question: dict[str, Any]) -> None:
        from engine.preview import showing

        discovery = self._discovery()
        dataset = discovery.dataset
        if split not in ("train", "aux", "test"):
            raise RequestError(f"no split called {split!r}", next="train, aux or test")
        rows: Rows = getattr(dataset, split)
        where, nearest = showing.members(dataset, discovery.membership, discovery.arrays, index, split)
        part = _part(question, len(where), rows)
        some = where[part]
        heads = [[row_id, dataset.classes[y]] for row_id, y in zip(rows.ids[some].tolist(), rows.y[some].tolist(), strict=True)]
        columns, cells = _beside(["row", "class"], heads, rows, some)
        shown = self._shown(None if rows.images is None else rows.images[some], question)
        shown |= _texts(None if rows.texts is None else rows.texts[some])
        order = {"order": "nearest the centre first"} if nearest else {}
        head = {"index": index, "split": split, "total": len(where), "first": part.start}
        self.answers.say(members={**head, "columns": columns, "rows": cells, **shown, **order, **self._rates()})

    def _poison(self, index: int, alpha: float, trial: int, question: dict[str, Any]) -> None:
        from engine.preview import showing

        discovery = self._discovery()
        dataset = discovery.dataset
        assert self.scenario is not None
        if self.scenario.attack.kind == "gradient" and self.bulk is not None:
            self.discovery = discovery = self._with_bulk(discovery, *self.bulk)
            self.bulk = None
        points = showing.poison_points(self.scenario, discovery, index, alpha, trial)
        poison, classes = points.poison, dataset.classes
        part = _part(question, len(poison), dataset.aux)
        some = poison.rows[part]
        marks = zip(dataset.aux.ids[some].tolist(), poison.labels[part].tolist(), poison.true_labels[part].tolist(), strict=True)
        heads: list[list[object]] = [[part.start + at, row, classes[label], classes[true]] for at, (row, label, true) in enumerate(marks)]
        names = ["point", "row", "given", "true"]
        if points.share is not None:
            heads = [[*head, round(float(share), 3)] for head, share in zip(heads, points.share[part], strict=True)]
            names.append("moved")
        columns, cells = _beside(names, heads, dataset.aux, some)
        shown = self._shown(points.images(part), question) | _texts(None if dataset.aux.texts is None else dataset.aux.texts[some])
        head = {"index": index, "split": "poison", "alpha": alpha, "trial": trial, "note": points.note}
        size = {"total": len(poison), "first": part.start}
        self.answers.say(members={**head, **size, "columns": columns, "rows": cells, **shown, **self._rates()})

    def _discovery(self) -> Discovery:
        if self.discovery is None:
            raise RequestError("no data are loaded", next="ask for a discovery or a run first")
        return self.discovery

    def _rates(self) -> dict[str, object]:
        """Of which alphas and how many trials poison can be asked."""
        if self.scenario is None:
            return {}
        evaluation = self.scenario.evaluation
        return {"alphas": list(self.scenario.attack.alphas), "trials": evaluation.trials, "first_trial": evaluation.first_trial}

    def _with_bulk(self, discovery: Discovery, run_id: str, path: Path) -> Discovery:
        """With the run's moved points, which only poison is asked of."""
        from engine.store import Store

        with Store.open(path, create=False, to_read=True) as store:
            stored = store.discovery(run_id, bulk=True)
        return discovery if stored is None else replace(discovery, arrays=stored.arrays)

    def _shown(self, images: np.ndarray | None, question: dict[str, Any]) -> dict[str, object]:
        """Thumbnails of the pictures [rows, height, width, 3] told of; nothing where there are none or none were asked for."""
        if images is None or not question.get("pixels"):
            return {}
        from engine.preview.showing import thumbnails

        side = max(PIXELS[0], min(int(question["pixels"]), PIXELS[1]))
        return {"pixels": side, "pictures": [base64.b64encode(small.tobytes()).decode() for small in thumbnails(images, side)]}


def _part(question: dict[str, Any], total: int, rows: Rows) -> slice:
    """Which of `total` are answered: those from `first` on, at most `limit` of them."""
    first = max(0, min(int(question.get("first", 0)), total))
    most = PICTURES if rows.images is not None and question.get("pixels") else LIMIT
    return slice(first, min(total, first + max(0, min(int(question.get("limit", LIMIT)), most))))


def _texts(texts: np.ndarray | None) -> dict[str, object]:
    """The texts, object [rows] of str, that are told of; a very long one is cut and says so. Nothing where there are none."""
    if texts is None:
        return {}
    most = min(TEXT, TEXTS // max(1, len(texts)))
    cut = "\n\n… the first {:,} of {:,} characters"
    return {"texts": [text if len(text) <= most else text[:most] + cut.format(most, len(text)) for text in texts]}


def _beside(names: list[str], heads: list[list[object]], rows: Rows, some: np.ndarray) -> tuple[list[str], list[list[object]]]:
    """(columns, cells): the heads, and beside them the raw columns of these rows."""
    frame = rows.frame.iloc[some]
    values = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    cells_beside = [[*head, *(_plain(cell) for cell in cells)] for head, cells in zip(heads, values, strict=True)]
    return [*names, *(str(name) for name in frame.columns)], cells_beside


def _plain(cell: Any) -> object:
    """A cell as JSON knows it."""
    if hasattr(cell, "item"):
        cell = cell.item()
    if isinstance(cell, float):
        return None if cell != cell else int(cell) if cell.is_integer() and abs(cell) < 2**53 else cell
    return cell if cell is None or isinstance(cell, str | int | bool) else str(cell)


def questions(source: TextIO) -> Iterator[dict[str, Any]]:
    """Questions as they come, of several waiting ones about members or poison the last. The process ends at once when its input does."""
    waiting: queue.Queue[dict[str, Any]] = queue.Queue()

    def read() -> None:
        for line in source:
            waiting.put(json.loads(line))
        os._exit(0)  # even in the middle of a discovery: nobody is there to read it

    threading.Thread(target=read, daemon=True).start()
    while True:
        question = waiting.get()
        while question.keys() & LOOKS and not waiting.empty():
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
