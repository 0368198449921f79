"""The columns of the file that a scenario names, as a process beside the app tells them: what each is taken for, what it is used as."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.drafting.looks import Catalog, Draft, Leak, catalog_of, draft_of, leaks_of
from tui.services.processes import DraftingProcess


class FileColumns:
    """Asks, and keeps what was answered last. changed: called whenever something is known that was not.

    catalog   the columns, None until they are known or where the file cannot be read
    reading   an answer is on its way
    error     why there are none, in words
    """

    def __init__(self) -> None:
        self.changed: Callable[[], None] = lambda: None
        self.drafted: Callable[[Draft | None], None] = lambda draft: None  # called with a draft, or None where `error` says why not
        self.catalog: Catalog | None = None
        self.error = ""
        self.reading = False
        self.process = DraftingProcess(self._answered)
        self._asked: tuple[str, str, Path | None] | None = None
        self._number = 0
        self._listening: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[list[str]]] = {}

    # ---- questions ----

    async def draft(self, path: Path, label: str | None = None) -> None:
        """A scenario for a file or a folder of pictures."""
        self.reading, self.error = True, ""
        place = path.expanduser().absolute()
        await self._ask({"draft": place.name or str(place), "label": label, "folder": str(place.parent)})

    async def look(self, path: str, toml: str, folder: Path | None) -> None:
        """The columns as a scenario uses them; nothing where that was asked before."""
        question = (path, toml, folder)
        if question == self._asked:
            return
        if self._asked is None or self._asked[0] != path:
            self.catalog = None
        self._asked, self.reading, self.error = question, True, ""
        await self._ask({"catalog": path, "toml": toml, "folder": str(folder or Path.cwd())})

    async def complete(self, start: str, folder: Path | None) -> list[str]:
        """Paths that begin so."""
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result([])  # of several only the last is answered
        self._waiting.clear()
        answer: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._waiting[self._number + 1] = answer
        await self._ask({"complete": start, "folder": str(folder or Path.cwd())})
        return await answer

    async def _ask(self, question: dict[str, Any]) -> None:
        self._number += 1
        await self.process.ask({**question, "id": self._number})
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self.process.listen())

    def forget(self) -> None:
        """There is no file, or none that can be read."""
        self._asked, self.catalog, self.reading, self.error = None, None, False, ""

    # ---- answers ----

    def _answered(self, answer: dict[str, Any]) -> None:
        waiting = self._waiting.pop(answer.get("id", 0), None)
        if waiting is not None and not waiting.done():
            waiting.set_result(list(answer.get("complete", ())))
            return
        if "complete" in answer:
            return
        if "error" in answer:
            self.reading, self.error, self._asked = False, str(answer["error"]), None
            self.drafted(None)
        elif "draft" in answer:
            draft = draft_of(answer["draft"])
            self.reading, self.catalog = False, draft.catalog
            self.drafted(draft)
        elif "catalog" in answer:
            known = {column.name: column.leak for column in self.catalog.columns if column.leak} if self.catalog else {}
            self.reading, self.catalog = False, catalog_of(answer["catalog"]).with_leaks(known)
        elif "leaks" in answer and self.catalog is not None:
            self.catalog = self.catalog.with_leaks(leaks_of(answer["leaks"]))
        self.changed()

    @property
    def leaks(self) -> dict[str, Leak]:
        """The columns that the loader calls a leak of the label."""
        columns = self.catalog.columns if self.catalog else ()
        return {column.name: column.leak for column in columns if column.leak is not None and column.leak.called}

    def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
        self.process.close()
