"""A followed run on a terminal: its log, and below it what it is doing and a progress bar."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from engine.cli.text import clock, counts
from engine.printable import clean, clean_lines
from engine.rows import LogRow, RunRow


class _Bars(Progress):
    """The head on a line of its own: what a step is at is long, and the bar keeps its place."""

    def get_renderables(self) -> Iterable[RenderableType]:
        for task in self.tasks:
            yield Text(task.fields["head"], no_wrap=True, overflow="ellipsis")
        yield self.make_tasks_table(self.tasks)


class BarView:
    """The run's state and progress on two lines, its log above."""

    def __init__(self) -> None:
        self.bars = _Bars(
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
        known = bool(row.victims_total) or not at_work or row.progress > 0  # before the plan it is of the step that the phase names
        said = row.phase if row.state == "running" else f"{row.state}, {row.phase}" if row.state == "queued" and row.phase else row.state
        self.bars.update(
            self.task,
            total=1.0 if known else None,  # None: it is under way, nobody knows how far
            share=f"{1.0 if row.state == 'done' else row.progress:.0%}" if known else "",
            completed=1.0 if row.state == "done" else row.progress,
            head=clean(f"{row.id} {said or row.state}"),
            tail=counts(row).removeprefix(", "),
        )
