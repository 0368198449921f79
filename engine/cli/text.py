"""Output of the command line: lines, tables, JSON and progress, on a terminal and in a pipe."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer

from engine.printable import clean, clean_lines, escaped, name_of
from engine.rows import RunRow
from engine.system.pace import in_words, step_of

Progress = Callable[[str, float], None]  # what is being done, and the share of it that is done, 0..1

DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder of datasets. Default: $SUBPOP_DATA, else the user cache directory."),
]
StoreOption = Annotated[
    Path | None,
    typer.Option("--store", metavar="FILE", help="The results store. Default: $SUBPOP_STORE, else runs.db in the user data directory."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on stdout, full precision, for other programs.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a scenario key, as model.epochs=5. Repeatable; applied last."),
]
DevicesOption = Annotated[
    str | None,
    typer.Option("--device", metavar="auto|cpu|cuda|cuda:N|LIST", help="Where to train. Several: cuda:all, or a list as cuda:0,cuda:1."),
]
ClusterOption = Annotated[
    str | None,
    typer.Option("--cluster", metavar="ADDRESS", help="Train on a Ray cluster that is there, ray://HOST:PORT. Needs the extra `ray`."),
]
SmokeOption = Annotated[bool, typer.Option("--smoke", help="Apply the scenario's [smoke] section: the same path on a sliver of the data.")]


def preset_names(incomplete: str) -> list[str]:
    """For shell completion. Files are offered by the shell itself."""
    from engine.scenario.presets import presets

    return [name for name in presets() if name.startswith(incomplete)]


def run_ids(incomplete: str) -> list[tuple[str, str]]:
    """For shell completion: ids with titles. A store that cannot be read completes nothing."""
    from engine.errors import SubpopError
    from engine.store import Store

    try:
        with Store.open(create=False, to_read=True) as store:
            runs = [(row.id, name_of(f"{row.name} {row.state}")) for row in store.runs()]
    except SubpopError:
        return []
    return [(name, help) for name, help in [*runs, ("latest", "the newest run")] if name.startswith(incomplete)]


ScenarioArgument = Annotated[
    str, typer.Argument(metavar="PRESET|FILE", help="A preset's name, or the path of a .toml file.", autocompletion=preset_names)
]
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, a prefix of it that fits one run, or `latest`.", autocompletion=run_ids)
]
RunsArgument = Annotated[
    list[str],
    typer.Argument(metavar="RUN...", help="A run's id, a prefix of it that fits one run, or `latest`; several.", autocompletion=run_ids),
]


def line(text: str = "") -> None:
    """One line of what was asked for."""
    typer.echo(clean(text))


def document(text: str) -> None:
    """What was asked for and has lines of its own, as a scenario does."""
    for each in text.split("\n"):
        line(each)


def lines(text: str) -> None:
    """What may have several lines and was written elsewhere, as a line of a run's log."""
    for each in clean_lines(text):
        typer.echo(each)


def note(text: str) -> None:
    """One line to the person, on stderr, so that stdout stays what was asked for."""
    typer.echo(clean(text), err=True)


def failure(text: str) -> None:
    """Why it cannot be done, on stderr: a line, and one for each mistake."""
    for each in clean_lines(text):
        typer.echo(each, err=True)


def confirmed(question: str) -> bool:
    """Asks on a terminal; yes or no."""
    return typer.confirm(clean(question))


def data(value: object) -> None:
    """JSON on stdout, for another program: values are unchanged; control characters are written as JSON escapes."""
    typer.echo(escaped(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)))


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return str(value)


def on_terminal(stream: TextIO) -> bool:
    """Whether someone looks at it: a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """Aligned columns: wrapped to the window on a terminal, one full line a row in a pipe; None is a dash."""
    cells = [[cell(value) for value in row] for row in rows]
    if on_terminal(sys.stdout):
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for at, name in enumerate(columns):  # the first names the row: it is never broken over lines
            grid.add_column(name, justify="right" if name in right else "left", overflow="fold", no_wrap=at == 0)
        for row in cells:
            grid.add_row(*map(Text, row))
        Console().print(grid)
        return
    widths = [max(len(text) for text in column) for column in zip(columns, *cells, strict=True)]
    for row in [list(columns), *cells]:
        texts = [text.rjust(width) if name in right else text.ljust(width) for name, text, width in zip(columns, row, widths, strict=True)]
        typer.echo("  ".join(texts).rstrip())


LEAST_TEXT = 18  # cells that a column of texts is given, which are wrapped


def readable(heads: Sequence[str], left: Sequence[bool], rows: Sequence[Sequence[str]]) -> int:
    """A document's table on a terminal: numbers are never broken over lines, texts and heads are. What does not fit stays away; returns how
    many columns that are.
    """
    from textwrap import wrap

    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    used, shown = 0, 0
    for at, (head, text) in enumerate(zip(heads, left, strict=True)):
        cells = max((len(row[at]) for row in rows), default=0)
        width = max(cells if not text else min(cells, LEAST_TEXT), *(len(word) for word in head.split()))
        if shown and used + width > console.width:
            break
        used, shown = used + width + 2, shown + 1
        name = "\n".join(wrap(head, max(width, cells)))
        grid.add_column(name, justify="left" if text else "right", min_width=width, no_wrap=not text, overflow="fold")
    for row in rows:
        grid.add_row(*map(Text, row[:shown]))
    console.print(grid)
    return len(heads) - shown


def cell(value: object) -> str:
    """A value as a table shows it."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:z.3f}" if isinstance(value, float) else clean(str(value))


@contextmanager
def progress(stream: TextIO | None = None) -> Iterator[Progress]:
    """A progress callable: a bar with an ETA on a terminal, else a line when a step begins and at each quarter of it. On stderr."""
    stream = stream or sys.stderr
    if not on_terminal(stream):
        yield _Lines().report
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    with Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(file=stream),
    ) as bars:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: float) -> None:
            step = step_of(what)
            if step not in tasks:
                for old in tasks.values():
                    bars.update(old, completed=1.0)
                tasks[step] = bars.add_task(clean(what), total=1.0)
            bars.update(tasks[step], completed=done, description=clean(what))

        yield report


class _Lines:
    """Progress for a pipe: a step when it begins, its quarters when they are far apart in time, its end."""

    def __init__(self) -> None:
        self.step, self.quarter, self.at = "", -1, 0.0

    def report(self, what: str, done: float) -> None:
        quarter, step = int(done * 4), step_of(what)
        now = time.monotonic()
        if step != self.step or (quarter > self.quarter and now - self.at >= 1.0):
            note(f"{what}: {done:.0%}" if done else what)
            self.at = now
            self.quarter = quarter
        self.step = step


def ago(at: float, now: float | None = None) -> str:
    """How long ago a Unix time was, in its largest unit: "4 min ago"."""
    seconds = max(0.0, (time.time() if now is None else now) - at)
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def clock(at: float) -> str:
    """The time of day of a Unix time."""
    return time.strftime("%H:%M:%S", time.localtime(at))


def counts(row: RunRow) -> str:
    """ ", 120 of 300 victims, 85 a minute, 2 min 07 s left", as far as it is known; before the plan what is left of the step it is at."""
    parts = []
    if row.victims_total:
        parts.append(f"{row.victims_done} of {row.victims_total} victims")
    if row.victims_per_minute:
        parts.append(f"{row.victims_per_minute:.0f} a minute")
    if row.eta_s is not None and row.state == "running":
        parts.append(f"{in_words(row.eta_s)} left{'' if row.victims_total else ' of this step'}")
    return "".join(f", {part}" for part in parts)
