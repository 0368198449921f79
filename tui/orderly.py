"""What Textual (8.2) leaves to chance and this app must not: what opens while it ends, what a shell's `fg` finds, markup in its words."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any, TypeVar

from textual import events
from textual.app import App
from textual.await_complete import AwaitComplete
from textual.screen import Screen
from textual.widget import AwaitMount

if TYPE_CHECKING:
    from rich.console import RenderableType
    from textual.notifications import SeverityLevel

Result = TypeVar("Result")

MOUNTING_S = 0.01  # how often a screen that is still opening is looked at, when the app is to end


class Leaving(Screen[Result]):
    """Takes itself off the screen, and nothing else.

    Textual (8.2) takes off whatever is in front in the mode that is shown, whoever asks, and does so before the callback of the screen
    that left is called. So a screen only ever says its result; where to go from there is the callback's: Session.show_run.
    """

    def take_size_classes(self) -> None:
        """Take the classes of the terminal's width and height (-narrow, -tall) before anything is composed.

        Textual (8.2) sets them on the first resize event, when all widgets are there, and then matches every rule with every widget again.
        """
        breakpoints = ((self.app.size.width, self.app.HORIZONTAL_BREAKPOINTS), (self.app.size.height, self.app.VERTICAL_BREAKPOINTS))
        for length, names in breakpoints:
            for least, name in sorted(names or [], reverse=True):
                if length >= least:
                    self.add_class(name)
                    break

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """Where something else is in front, or this has left already, nothing."""
        return super().dismiss(result) if self.app.screen is self else AwaitComplete.nothing()


class OrderlyApp(App[int]):
    """From `exit` on nothing opens and no key does anything; it ends when what was opening before is there.

    A screen composed after Textual's own `exit` gets no children, so the first query of its `on_mount` fails.
    """

    ending = False

    def exit(self, result: int | None = None, return_code: int = 0, message: RenderableType | None = None) -> None:
        self.ending = True
        if all(screen.is_mounted for mode in self.MODES for screen in self._stack_of(mode)):
            super().exit(result, return_code, message)
        else:
            self.set_timer(MOUNTING_S, lambda: self.exit(result, return_code, message))

    def _stack_of(self, mode: str) -> list[Any]:
        try:
            return self.get_screen_stack(mode)
        except KeyError:  # a mode that nobody went to yet
            return []

    # ---- ctrl+z, and back ----

    def on_mount(self) -> None:
        self.app_resume_signal.subscribe(self, lambda _: self._repaint(), immediate=True)

    def _repaint(self) -> None:
        """All of the screen: after `fg` the terminal shows nothing, and Textual would write only what changes."""
        if self._screen_stack:
            screen = self.screen
            screen.refresh(layout=True)  # the terminal may have another size now
            self._display(screen, screen._compositor.render_update(full=True, screen_stack=self._background_screens))

    def action_suspend_process(self) -> None:
        """Back to the shell, until `fg`. Stops the whole job, as a terminal's own ctrl+z does.

        Textual (8.2) stops its own process alone, so that `uv run` goes on waiting for it, and the shell never comes back.
        """
        from textual.drivers.linux_driver import LinuxDriver

        if not isinstance(self._driver, LinuxDriver):
            return
        if os.getpgrp() == os.getsid(0):  # as in a tmux window of its own: nobody could continue it
            self.notify("there is no shell to go back to", timeout=4)
            return
        self._suspend_signal()
        self._driver.suspend_application_mode()
        self._driver._must_signal_resume = True  # when its handler of SIGCONT has taken the terminal again
        os.kill(0, signal.SIGSTOP)

    async def on_event(self, event: events.Event) -> None:
        if not (self.ending and isinstance(event, events.InputEvent)):
            await super().on_event(event)

    async def run_action(self, *action: Any, **options: Any) -> bool:
        return False if self.ending else await super().run_action(*action, **options)

    def push_screen(self, *screen: Any, **options: Any) -> Any:
        return AwaitComplete.nothing() if self.ending else super().push_screen(*screen, **options)

    def switch_mode(self, mode: str) -> AwaitMount:
        return AwaitMount(self.screen, []) if self.ending else super().switch_mode(mode)

    def notify(
        self, message: str, *, title: str = "", severity: SeverityLevel = "information", timeout: float | None = None, markup: bool = False
    ) -> None:
        """As text, whatever `markup` is (a widget's own `notify` says True): a message holds names, paths, and what a library said."""
        super().notify(message, title=title, severity=severity, timeout=timeout, markup=False)
