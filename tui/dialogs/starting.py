"""The dialog that starts a run: fields, the engine's verdict on what they make, and an engine started off the screen's thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input
from textual.worker import get_current_worker

from engine.errors import SubpopError
from engine.rows import RunRow
from tui.dialogs.base import Dialog, row
from tui.widgets.choice import Choice
from tui.widgets.plain import Static

if TYPE_CHECKING:
    from engine.scenario.sections import Scenario
    from engine.store import Store


@dataclass(frozen=True)
class StartVerdict:
    """scenario: what would be run; None: what the fields say cannot be. words: why, or what it costs, worked out anew as runs go on."""

    scenario: Scenario | None
    words: Callable[[], str]


def refused(why: object) -> StartVerdict:
    return StartVerdict(None, lambda: f"✗ {why}")


class StartDialog(Dialog[str]):
    """Returns the run's id, or None. If it is closed while the engine starts, a notification says how that went.

    heading: in the border. run_name: what the run is called unless the person calls it something else.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "launch", "Launch", id="launch.go", priority=True),
        Binding("tab", "app.focus_next", "Next field", id="launch.field"),
        Binding("down", "app.focus_next", "Next field", show=False, id="launch.field-next"),
        Binding("shift+tab,up", "app.focus_previous", "Field before", show=False, id="launch.field-before"),
        Binding("escape", "cancel", "Cancel", id="launch.cancel"),
    ]

    def __init__(self, heading: str, run_name: str) -> None:
        super().__init__()
        self.heading, self.run_name = heading, run_name
        self.verdict: StartVerdict | None = None
        self.starting = False
        self.failed = False  # why it could not be started is said, and stays until a field changes or it is tried again

    # ---- what a subclass defines ----

    def fields(self) -> ComposeResult:
        raise NotImplementedError

    def fill(self) -> None:
        """Put into the fields the values that must be read from somewhere first. SubpopErrors are shown."""

    def question(self) -> Callable[[], StartVerdict]:
        """Read the fields, on the screen's thread; what is returned asks the engine, off it. Whatever that raises is shown."""
        raise NotImplementedError

    def starter(self, store: Store, scenario: Scenario, name: str) -> Callable[[], RunRow]:
        """Read what else the start needs, on the screen's thread; what is returned starts the run, off it."""
        raise NotImplementedError

    # ---- the fields ----

    def body(self) -> ComposeResult:
        yield from self.fields()
        yield row("Name", Input(self.run_name, max_length=60, compact=True, select_on_focus=False, id="name"))
        yield Static("", id="verdict", classes="message")

    def on_mount(self) -> None:
        self.head(self.heading)
        self.query("Choice, Input").first().focus()
        try:
            with self.prevent(Input.Changed):
                self.fill()
        except SubpopError as error:
            self._say(f"✗ {error}", good=False)
            return
        self.check()

    # ---- judged by the engine ----

    @on(Choice.Changed)
    @on(Input.Changed)
    def _changed(self, event: Choice.Changed | Input.Changed) -> None:
        if event.control.id != "name":
            self.check()

    def check(self) -> None:
        """Ask the engine for a verdict, in a thread, since it looks at files and at the store."""
        if self.verdict is None:
            self._say("looking for its data…", good=True)
        self.verdict, self.failed = None, False
        self.refresh_bindings()
        self._check(self.question())

    @work(thread=True, exclusive=True, group="check", exit_on_error=False)
    def _check(self, ask: Callable[[], StartVerdict]) -> None:
        worker = get_current_worker()
        try:
            verdict = ask()
        except Exception as error:  # whatever it is, it must be said here
            verdict = refused(str(error))
        if not worker.is_cancelled and self.is_running:
            self.app.call_from_thread(self._judged, verdict)

    def _judged(self, verdict: StartVerdict) -> None:
        if not self.starting:
            self.verdict = verdict
            self._say(verdict.words(), good=verdict.scenario is not None)

    def on_store_moved(self) -> None:
        """Runs began or ended: say the queue anew."""
        if self.verdict is not None and self.scenario is not None and not (self.starting or self.failed):
            self._say(self.verdict.words(), good=True)

    @property
    def scenario(self) -> Scenario | None:
        """What would be run; None where it cannot be, or while that is found out."""
        return self.verdict.scenario if self.verdict is not None else None

    def _say(self, message: str, *, good: bool) -> None:
        verdict = self.query_one("#verdict", Static)
        verdict.update(message)
        verdict.set_class(not good, "bad")
        self.refresh_bindings()

    # ---- what can be done ----

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.scenario is not None and not self.starting if action == "launch" else True

    def action_cancel(self) -> None:
        self.dismiss(None)

    def action_launch(self) -> None:
        scenario, store = self.scenario, self.host.store
        if scenario is None or store is None or self.starting:
            return
        self.start(self.starter(store, scenario, self.query_one("#name", Input).value.strip() or self.run_name))

    def start(self, call: Callable[[], RunRow]) -> None:
        self.starting, self.failed = True, False
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
        self.starting, self.failed = False, True
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
