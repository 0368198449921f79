"""A followed run as a progress bar on a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from engine.cli.text import clock, counts
from engine.printable import clean, clean_lines
from engine.rows import LogRow, RunRow


class BarView:
    """The run's state and progress on one line, its log above."""

    def __init__(self) -> None:
        self.bars = Progress(
            TextColumn("{task.fields[head]}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[share]}", markup=False),
            TextColumn("{task.fields[tail]}", markup=False),
            console=Console(),
            expand=True,
        )
        self.task = self.bars.add_task("", total=1.0, head="", share="", tail="")

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bars.stop()

    def log(self, row: LogRow) -> None:
        style = {"warning": "yellow", "error": "bold red"}.get(row.level, "dim")
        level = "" if row.level == "info" else f"{row.level}: "
        self.bars.console.print(Text("\n".join(clean_lines(f"{clock(row.at)} {level}{row.message}")), style=style))

    def state(self, row: RunRow) -> None:
        at_work = row.state in ("queued", "running")
        known = bool(row.victims_total) or not at_work  # before, the phase tells a share of its own
        self.bars.update(
            self.task,
            total=1.0 if known else None,  # None: it is under way, nobody knows how far
            share=f"{1.0 if row.state == 'done' else row.progress:.0%}" if known else "",
            completed=1.0 if row.state == "done" else row.progress,
            head=clean(f"{row.id} {row.state if row.state != 'running' else row.phase}"),
            tail=counts(row).removeprefix(", "),
        )
