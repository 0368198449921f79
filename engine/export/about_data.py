"""The account of a run's data as a section of its report, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.account import words
from engine.account.data import DataAccount


def about_data(account: DataAccount | None) -> Iterator[str]:
    """Its lines, and every column as a row of a table."""
    yield f"## {words.TITLE}"
    yield ""
    if account is None:
        yield f"{words.NOT_STORED[0].upper()}{words.NOT_STORED[1:]}."
        return
    for line in words.warnings(account):
        yield f"- **{text(line.text)}**"
    for line in words.sizes(account):
        yield f"- {line.head[0].upper()}{line.head[1:]}: {text(line.text)}"
    if notes := words.notes(account):
        yield ""
        yield "What was done to them, and what is odd about them:"
        yield ""
    for line in notes:
        yield f"- {text(line.text)}"
    if account.columns:
        yield ""
        yield from _table(("column", "what became of it", "more"), words.column_rows(account))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(map(text, row))} |"


def text(words_: str) -> str:
    """What others wrote as plain text: no mark of theirs is one of Markdown's."""
    line = " ".join(words_.split())
    for mark in "\\`*_|<[":
        line = line.replace(mark, f"\\{mark}")
    return line
