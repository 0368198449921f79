"""`python -m engine.drafting.process` drafts scenarios for a screen that loads no NumPy: JSON lines in, JSON lines out.

    {"draft": "loans.csv", "label": null, "folder": "/where/one/stands"}    a scenario for a file or a folder of pictures
    {"catalog": "loans.csv", "toml": "<scenario>", "folder": "/..."}       its columns as that scenario uses them, which may be half right
    {"complete": "~/data/lo", "folder": "/..."}                            paths that begin so: folders, and files that can be read

Answers, each with the question's "id" where it has one: {"draft": {...}} and {"catalog": {...}} (`looks.draft_of` and `looks.catalog_of`
read them), each followed, when it is worked out and there is a label, by {"leaks": {name: [score, called, why]}}; {"complete": [paths]};
{"error": text}. A draft's catalogue is inside it. folder: what a relative path is seen from, and where the scenario will lie; without it
the folder that the process stands in. label: the column that is the label, where a person says so.

Of several catalogues that wait only the last is answered, and of several completions; a question that comes while leaks are worked out is
answered first, and those leaks are then not told. It ends when its input does. No torch in it.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from engine.drafting.looks import as_json
from engine.errors import RequestError, SubpopError

LATEST = ("catalog", "complete")  # questions of which several may wait, and only the last matters


class Questions:
    """Questions as they come, read by a thread of its own. The process ends at once when its input does: nobody is there to read it."""

    def __init__(self, source: TextIO) -> None:
        self.waiting: queue.Queue[dict[str, Any]] = queue.Queue()
        self.pending: list[dict[str, Any]] = []
        threading.Thread(target=self._read, args=(source,), daemon=True).start()

    def _read(self, source: TextIO) -> None:
        for line in source:
            self.waiting.put(json.loads(line))
        os._exit(0)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while True:
            if not self.pending:
                self.pending.append(self.waiting.get())
            while not self.waiting.empty():
                self.pending.append(self.waiting.get())
            question, *self.pending = self.pending
            if _of(question) not in LATEST or _of(question) not in map(_of, self.pending):
                yield question

    @property
    def idle(self) -> bool:
        return not self.pending and self.waiting.empty()


def _of(question: dict[str, Any]) -> str:
    return next((name for name in ("draft", "catalog", "complete") if name in question), "")


class Drafting:
    """Answers questions, and remembers the last file's columns."""

    def __init__(self, say: Callable[[dict[str, Any]], None], idle: Callable[[], bool]) -> None:
        self.say, self.idle = say, idle
        from engine.drafting.opening import Opener

        self.opener = Opener()

    def answer(self, question: dict[str, Any]) -> None:
        """Answer one question; what goes wrong is an answer too."""
        named = {"id": question["id"]} if "id" in question else {}
        folder = Path(str(question.get("folder") or "."))
        try:
            if "draft" in question:
                self._draft(str(question["draft"]), question.get("label"), folder, named)
            elif "catalog" in question:
                self._catalog(str(question["catalog"]), str(question.get("toml", "")), folder, named)
            elif "complete" in question:
                from engine.drafting.completing import complete

                self.say({**named, "complete": complete(str(question["complete"]), folder)})
            else:
                raise RequestError(f"no such question: {', '.join(question)}")
        except Exception as error:
            self.say({**named, "error": str(error) if isinstance(error, SubpopError) else f"{type(error).__name__}: {error}"})

    def _draft(self, path: str, label: str | None, folder: Path, named: dict[str, Any]) -> None:
        from engine.drafting.draft import draft

        made = draft(path, label, folder=folder, opener=self.opener)
        self.say({**named, "draft": as_json(made)})
        if made.catalog is not None and made.label is not None:
            self._leaks(named)

    def _catalog(self, path: str, text: str, folder: Path, named: dict[str, Any]) -> None:
        from engine.drafting.catalog import under

        seen = under(path, text, folder, self.opener)
        self.say({**named, "catalog": as_json(seen)})
        if seen.classes:
            self._leaks(named)

    def _leaks(self, named: dict[str, Any]) -> None:
        """How well each column that the last catalogue feeds alone tells the label, unless another question waits by then."""
        leaks: dict[str, list[object]] = {}
        for name, leak in self.opener.leaks():
            if not self.idle():
                return
            leaks[name] = [round(leak.score, 4), leak.called, leak.why]
        self.say({**named, "leaks": leaks})


def main() -> None:
    """Answer until the input ends."""
    out, sys.stdout = sys.stdout, sys.stderr  # a stray print of a library must not look like an answer
    questions = Questions(sys.stdin)

    def say(answer: dict[str, Any]) -> None:
        out.write(json.dumps(answer, ensure_ascii=False, default=str) + "\n")
        out.flush()

    drafting = Drafting(say, lambda: questions.idle)
    for question in questions:
        drafting.answer(question)


if __name__ == "__main__":
    main()
