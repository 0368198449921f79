"""Download a dataset's official files, with a bar; where that cannot be done, what to put where by hand."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui.dialogs.base import Dialog
from tui.presenters import format as fmt
from tui.services.processes import PreviewProcess
from tui.widgets.lines import Lines
from tui.widgets.plain import Static


class FetchDialog(Dialog[bool]):
    """Returns True once the files are on this machine. Closing it ends the download; files that are complete stay."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q", "close", "Close", id="fetch.close")]

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.done = False
        self.started = time.monotonic()
        self.process = PreviewProcess(self._answered)

    def body(self) -> ComposeResult:
        yield Lines(id="bar")
        yield Static("", id="outcome", classes="message")

    def on_mount(self) -> None:
        self.head(f"Get the data of {self.kind}")
        self.query_one(Lines).show([Text(f"into {self.host.data_dir}"), Text("asking…")])
        self._run()

    @work(exclusive=True, exit_on_error=False)
    async def _run(self) -> None:
        await self.process.ask({"fetch": self.kind, "data": str(self.host.data_dir)})
        await self.process.listen()

    def _answered(self, answer: dict[str, Any]) -> None:
        if not self.is_attached:
            return
        outcome = self.query_one("#outcome", Static)
        if "progress" in answer:
            what, share = answer["progress"]
            spent = time.monotonic() - self.started
            left = f"  {fmt.duration(spent * (1 - share) / share)} left" if share > 0.02 else ""
            line = Text(f"{fmt.bar(share, 40)} {int(share * 100):3d} %{left}  {fmt.clean(what)}")
            self.query_one(Lines).show([Text(f"into {self.host.data_dir}"), line])
        elif "fetched" in answer:
            self.done = True
            outcome.update(f"✓ {fmt.plural(len(answer['fetched']), 'file')} here, checksums verified")
            outcome.set_class(True, "-written")
            self.process.close()
        elif "error" in answer and not self.done:
            outcome.update(f"✗ {answer['error']}")
            outcome.set_class(True, "-bad")
            self.process.close()

    def action_close(self) -> None:
        self.process.close()
        self.dismiss(self.done)

    def on_unmount(self) -> None:
        self.process.close()
