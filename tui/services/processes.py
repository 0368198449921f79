"""Talks to processes of the engine beside the app, which hold the data that the app itself never loads: JSON lines in, JSON lines out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

from engine.system import children

Answer = dict[str, Any]
LINE_LIMIT = 32 * 2**20  # bytes; one answer is one line


class EngineProcess:
    """Started by the first question; `close` ends it (as does the end of the app: its input closes)."""

    MODULE: ClassVar[str]
    CALLED: ClassVar[str]  # as in "the engine's preview ended"

    def __init__(self, answered: Callable[[Answer], None]) -> None:
        self.answered = answered
        self.process: asyncio.subprocess.Process | None = None

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def ask(self, question: dict[str, Any]) -> None:
        """Send a question; answers come to `answered` as long as `listen` runs."""
        if not self.alive:
            await self._start()
        assert self.process is not None
        assert self.process.stdin is not None
        with suppress(ConnectionError):
            self.process.stdin.write((json.dumps(question) + "\n").encode())
            await self.process.stdin.drain()

    async def listen(self) -> None:
        """Hand over answers until the process ends; a process that ends by itself is answered as an error."""
        process = self.process
        if process is None or process.stdout is None or process.stderr is None:
            return
        tail = asyncio.ensure_future(process.stderr.read())
        try:
            while line := await process.stdout.readline():
                with suppress(ValueError):
                    self.answered(json.loads(line))
            error_lines = (await tail).decode(errors="replace").strip().splitlines()
            if process is self.process:
                self.answered(
                    {
                        "error": f"the engine's {self.CALLED} ended: {error_lines[-1] if error_lines else 'no reason was given'}",
                        "ended": True,
                    }
                )
        finally:
            tail.cancel()

    async def _start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *children.command(self.MODULE),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            env=children.environment(),
            limit=LINE_LIMIT,
        )

    def close(self) -> None:
        """End the process now."""
        process, self.process = self.process, None
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            if (transport := getattr(process, "_transport", None)) is not None:
                transport.close()  # its pipes too: the loop may end before it hears of the process's end


class PreviewProcess(EngineProcess):
    """A scenario's or a run's subpopulations and their members; contact sheets; what is fetched."""

    MODULE, CALLED = "engine.preview.process", "preview"


class DraftingProcess(EngineProcess):
    """A scenario for a file of one's own, and that file's columns."""

    MODULE, CALLED = "engine.drafting.process", "reader of files"
