"""Commands about a file of one's own: init, columns."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import text as cli_text
from engine.cli.text import JsonOption

if TYPE_CHECKING:
    from engine.drafting.looks import Catalog, ColumnLook, Draft

WIDTH, NAME, LEAST_EXAMPLE = 80, 30, 8  # cells of a line, of a column's name at most, of an example at least

FileArgument = Annotated[
    str, typer.Argument(metavar="FILE", help="A CSV, TSV, Parquet or JSON Lines file, gzipped or not; for init a folder of pictures too.")
]
LabelOption = Annotated[str | None, typer.Option("--label", metavar="NAME", help="The column to predict. Default: guessed, and said why.")]


def init(file: FileArgument, label: LabelOption = None) -> None:
    """Print a scenario for a file of your own, as TOML.

    With `> mine.toml` the output is a scenario file to change and to run. What a person must know of the data, columns that may give
    the label away first, is said on stderr. A folder has one folder of pictures for each class, or train and test folders that have.
    """
    from engine.drafting.draft import draft

    made = draft(file, label, leaks=True)
    cli_text.document(made.toml.rstrip("\n"))
    if made.kind != "image_folder":
        cli_text.note(label_line(made))
    for note in made.notes:
        cli_text.note(note)


def columns(file: FileArgument, label: LabelOption = None, json: JsonOption = False) -> None:
    """List a file's columns: what each is taken for and used as.

    As `subpop init FILE` would use them. different: values that are told apart. Below a column why it is left out, or that it alone tells
    the label, which is suspicious. --json has the whole: levels, cuts, and for each column how well it alone tells the label.
    """
    from engine.datasets.wording import counted
    from engine.drafting.draft import draft
    from engine.drafting.looks import as_json
    from engine.errors import RequestError

    made = draft(file, label, leaks=True)
    seen = made.catalog
    if seen is None:
        raise RequestError("is a folder of pictures, which has no columns", where=file, next=f"subpop init {file} > mine.toml")
    if json:
        cli_text.data({**as_json(seen), "label": made.label, "label_why": made.label_why, "candidates": made.candidates})
        return
    cli_text.line(f"{Path(file).name}: {counted(seen.rows, 'row')}, {counted(len(seen.columns), 'column')}, read as {seen.format}")
    cli_text.line(label_line(made))
    print_columns(seen)
    for note in made.notes:
        if not note.startswith("left out: "):  # the table says it
            cli_text.note(note)


def label_line(made: Draft) -> str:
    """Which column is the label and why, or which could be."""
    if made.label is not None:
        return f"label: {made.label}, {made.label_why}"
    names = [each.name for each in made.candidates[:8]]
    return f"no label: {made.label_why}; --label NAME says which" + (f", as one of: {', '.join(names)}" if names else "")


def print_columns(seen: Catalog) -> None:
    """The catalogue in 80 cells: a line a column, and below it why it is used so, where that is to be said."""
    heads = ("name", "read as", "missing", "different", "use", "example")
    cells = [(each.name, each.read_as, f"{each.missing:,}", f"{each.different:,}", each.use, each.example) for each in seen.columns]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    widths[0] = min(widths[0], NAME)
    widths[-1] = max(LEAST_EXAMPLE, WIDTH - sum(widths[:-1]) - 2 * (len(widths) - 1))
    for row, look in zip((heads, *cells), (None, *seen.columns), strict=True):
        texts = [_cut(text, width) for text, width in zip(row, widths, strict=True)]
        texts = [
            text.rjust(width) if at in (2, 3) else text.ljust(width) for at, (text, width) in enumerate(zip(texts, widths, strict=True))
        ]
        cli_text.line("  ".join(texts).rstrip())
        for line in wrap(_why(look), WIDTH - 4) if look is not None else ():
            cli_text.line(f"    {line}")


def _why(column: ColumnLook) -> str:
    """Why it is used as it is, and whether it may give the label away."""
    leak = column.leak
    how = (leak.why or f"balanced accuracy {leak.score:.2f}") if leak else ""
    alone = f"alone tells the label ({how}): known only after the outcome?" if leak and leak.called else ""
    matched = "subpopulations are formed by it" if column.matched else ""
    return "; ".join(filter(None, (column.why, alone, matched)))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
