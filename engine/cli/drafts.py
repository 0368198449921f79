"""Commands about a file of one's own: init, columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import text as cli_text
from engine.cli.text import JsonOption

if TYPE_CHECKING:
    from engine.drafting.looks import Catalog, ColumnLook, Draft

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

    As `subpop init FILE` would use them. different: values that are told apart; leak: balanced accuracy with which a column alone tells
    the label on held-out rows, marked ! where that is suspicious.
    """
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
    cli_text.line(f"{Path(file).name}: {seen.rows:,} rows, {len(seen.columns)} columns, read as {seen.format}")
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
    """The catalogue as a table."""
    heads = ("name", "read as", "missing", "different", "example", "use", "leak", "why")
    rows = [(each.name, each.read_as, each.missing, each.different, each.example, each.use, _leak(each), each.why) for each in seen.columns]
    cli_text.table(heads, rows, right=("missing", "different", "leak"))


def _leak(column: ColumnLook) -> str:
    return "" if column.leak is None else f"{column.leak.score:.2f}{'!' if column.leak.called else ''}"
