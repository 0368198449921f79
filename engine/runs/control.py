"""How requests reach the work: it makes one cheap call often, which blocks while paused and raises when stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable

from engine.errors import Interrupted
from engine.rows import RequestKind

STOPPING = "stopping at the next step"  # how the phase of a run ends whose engine has heard a stop
PAUSING = "pausing at the next step"  # and a pause that is still to take effect


class Control:
    """Set by another thread (`obey`) or a signal handler, read by the work (`check`).

    on_hold and on_go_on are called by the work's own thread, when a pause takes effect and when it ends; so is `on_pause`, with True and
    False, which whoever has other processes at work passes on to them.
    """

    def __init__(self, on_hold: Callable[[], None] = lambda: None, on_go_on: Callable[[], None] = lambda: None) -> None:
        self.on_hold, self.on_go_on = on_hold, on_go_on
        self.on_pause: Callable[[bool], None] = lambda holds: None
        self.stopping = False
        self.pausing = False
        self._wake = threading.Event()

    def obey(self, kind: RequestKind) -> None:
        """Take note of a request; the last of pause and resume counts, and a stop cannot be taken back."""
        if kind == "stop":
            self.stopping = True
        else:
            self.pausing = kind == "pause"
        self._wake.set()

    def stop_soon(self) -> None:
        """As a stop request, for signal handlers: takes no lock, which the interrupted code may hold; seen within half a second."""
        self.stopping = True

    def check(self) -> None:
        """Return at once, or hold until resumed. Raises Interrupted when stopped."""
        if self.pausing and not self.stopping:
            self._hold()
        if self.stopping:
            raise Interrupted("stopped as asked")

    def wait(self, seconds: float) -> None:
        """Sleep so long, or until a request comes; then as `check`."""
        self._wake.wait(seconds)
        self._wake.clear()
        self.check()

    def _hold(self) -> None:
        self.on_pause(True)
        self.on_hold()
        while self.pausing and not self.stopping:
            self._wake.wait(0.5)  # wakes now and then so that signals are handled
            self._wake.clear()
        if not self.stopping:
            self.on_go_on()
            self.on_pause(False)
