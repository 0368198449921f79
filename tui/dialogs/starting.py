"""What the dialogs that start a run share: a verdict, and an engine started off the screen's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual import work

from engine.rows import RunRow
from tui.dialogs.base import Dialog
from tui.widgets.plain import Static

if TYPE_CHECKING:
    from engine.scenario.sections import Scenario


class StartDialog(Dialog[str]):
    """Gives the run's id, or None; Session.show_run takes it. Closed while the engine starts, how that went is said all the same.

    The screen has a Static `#verdict`, and an action `launch`, offered where there is a scenario.
    """

    scenario: Scenario | None = None
    starting = False

    def _say(self, message: str, *, good: bool) -> None:
        verdict = self.query_one("#verdict", Static)
        verdict.update(message)
        verdict.set_class(not good, "bad")
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.scenario is not None and not self.starting if action == "launch" else True

    def action_cancel(self) -> None:
        self.dismiss(None)

    def start(self, call: Callable[[], RunRow]) -> None:
        self.starting = True
        self._say("starting its engine…", good=True)
        self._start(call)

    @work(thread=True, exclusive=True, group="launch", exit_on_error=False)
    def _start(self, call: Callable[[], RunRow]) -> None:
        host = self.host  # a screen that was closed meanwhile knows it no more, in a thread
        try:
            run = call()
        except Exception as error:  # whatever it is, it must be said here
            host.call_from_thread(self._failed, f"✗ {error}")
        else:
            host.call_from_thread(self._started, run)

    def _failed(self, message: str) -> None:
        self.starting = False
        if self.is_attached:
            self._say(message, good=False)
        else:
            self.host.notify(message, severity="error", timeout=10)

    def _started(self, run: RunRow) -> None:
        if self.host.screen is self:
            self.dismiss(run.id)
            return
        self.host.choose_run(run.id)
        self.host.notify(f"{run.name} ({run.id}) was started; 3 shows it", timeout=6)
        if self.is_attached:
            self._say(f"✓ {run.name} ({run.id}) was started", good=True)
