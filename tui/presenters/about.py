"""About the data, on screen: how much there is to read, and all of it as text. Pure; the words are the engine's."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text

from engine.account import words
from engine.account.data import DataAccount
from tui.presenters import format as fmt

TITLE = words.TITLE


def count_line(account: DataAccount | None, styles: Mapping[str, str]) -> Text | None:
    """How many warnings and notes there are, and the key that shows them (`d`); None where nothing is known yet.

    styles: names warn and quiet -> Rich styles.
    """
    if account is None:
        return None
    counts = words.counted_notes(account) or "nothing odd about the data"
    loud = styles["warn" if words.warnings(account) else "quiet"]
    return Text(f" {counts}: d shows them, and what became of every column", style=loud)


def reading(account: DataAccount | None) -> str:
    """The account in full: warnings first, then sizes, notes, and a line a column."""
    if account is None:
        return f"{words.NOT_STORED[0].upper()}{words.NOT_STORED[1:]}."
    blocks = [[f"! {line}" for line in words.warnings(account)], [str(line) for line in words.sizes(account)]]
    blocks.append([f"· {line}" for line in words.notes(account)])
    rows = words.column_rows(account)
    if rows:
        heading = f"{fmt.plural(len(rows), 'column')} and what became of each"
        blocks.append([heading, *(f"  {name}: {use}{f' ({more})' if more else ''}" for name, use, more in rows)])
    return "\n\n".join("\n".join(fmt.whole(line) for line in block) for block in blocks if block)
