"""The worker's second thread: a heartbeat each second with how far the work is, and a look at requests, over a connection of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from engine.errors import ClaimLost, StoreGone, SubpopError
from engine.runs.control import Control
from engine.store import Store
from engine.system.processes import HEARTBEAT_S

POLL_S = 0.25  # how long a request may lie unseen; looking costs microseconds


class Heartbeat(threading.Thread):
    """Beats from `start()` until `stop()`.

    claim: the worker's, see `Store.fenced`; when it is lost the work is told to stop.
    fields: what to write of the run's row at a beat; only what changed is written. A beat that fails (a full disk, a locked store) is
    tried again at the next: the work itself fails in words when it must write and cannot.
    """

    def __init__(self, path: Path, run_id: str, claim: str, control: Control, fields: Callable[[], dict[str, object]]) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._path, self._run_id, self._claim, self._control, self._fields = path, run_id, claim, control, fields
        self._ended = threading.Event()
        self._written: dict[str, object] = {}
        self._beat_at = float("-inf")

    def run(self) -> None:
        store: Store | None = None
        while not self._ended.wait(POLL_S):
            try:
                # Beats need not survive loss of power, so they wait for no disk.
                if store is None:
                    opened = Store.open(self._path, create=False, durable=False, busy_timeout_s=HEARTBEAT_S)
                    store = opened.fenced(self._run_id, self._claim)
                for kind in store.take_requests(self._run_id):
                    self._control.obey(kind)
                    self._beat_at = float("-inf")  # what was heard is said in the run's row at once
                if time.monotonic() - self._beat_at >= HEARTBEAT_S:
                    self._beat(store)
            except (StoreGone, ClaimLost):  # no request will ever reach a run that is paused or in the queue
                self._control.stop_soon()
            except SubpopError:
                continue
        if store is not None:
            store.close()

    def _beat(self, store: Store) -> None:
        fields = self._fields()
        changed = {name: value for name, value in fields.items() if name not in self._written or self._written[name] != value}
        store.heartbeat(self._run_id, **changed)
        self._written |= changed
        self._beat_at = time.monotonic()

    def stop(self) -> None:
        """End the beats; returns when the last write is over, so that what the caller writes next stands."""
        self._ended.set()
        self.join()
