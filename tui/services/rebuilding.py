"""Makes old and damaged tables anew in a process of its own, `python -m engine.runs.rebuild`: it loads what the app never does."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from engine.rows import RunRow
from engine.runs.rebuild import is_old
from engine.system import children


class Rebuilding:
    """Rebuilds each run's tables once. `failed` is called with the reason, from another thread."""

    def __init__(self, failed: Callable[[str], None]) -> None:
        self.failed = failed
        self.tried: set[str] = set()

    def want(self, store: Path, runs: Iterable[RunRow], *, damaged: bool = False) -> tuple[RunRow, ...]:
        """Make these runs' tables anew where they are old, or are known to be damaged; those that were not asked for before."""
        old = tuple(run for run in runs if (damaged or is_old(run)) and run.id not in self.tried)
        self.tried |= {run.id for run in old}
        if old:
            command = children.command("engine.runs.rebuild", *(run.id for run in old), "--store", str(store))
            threading.Thread(target=self._carry_out, args=(command,), name="tables made anew", daemon=True).start()
        return old

    def _carry_out(self, command: tuple[str, ...]) -> None:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", env=children.environment()
            )
        except OSError as error:
            self.failed(str(error))
            return
        if done.returncode:
            self.failed((done.stderr.strip().splitlines() or ["no reason was given"])[-1])
