"""What becomes of each column of one's own file: fed to the model, kept for matching, or left out and why. The loader's own judgement.

Who loads the rows and who only tells of the columns (engine/drafting) both ask here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.datasets.tables.alike import MOST_LEVELS, alike_notes, level_counts
from engine.datasets.tables.columns import Numbers, Unreadable, Words, rises, why_left_out
from engine.datasets.tables.file import RawTable
from engine.datasets.tables.reading import Spelling, read_column
from engine.datasets.tables.suspects import copies

if TYPE_CHECKING:
    import numpy as np

    from engine.scenario.sections import ColumnKeys, TableSection

Read = Callable[[str, Any, str, str | None, Spelling], "Numbers | Words | Unreadable"]  # as `read_column`


@dataclass(frozen=True)
class Used:
    """One column. fed: to the model; shown: a person sees it, and subpopulations may be matched on it; left_out: why it is neither."""

    column: Numbers | Words | Unreadable
    fed: bool = False
    shown: bool = False
    left_out: str = ""

    @property
    def name(self) -> str:
        return self.column.name


def uses_of(
    section: TableSection, raw: RawTable, spelling: Spelling, labelled: np.ndarray, read: Read = read_column
) -> tuple[list[Used], list[str]]:
    """Every column but those whose role the scenario settles (label, split, drop), in the file's order; notes.

    labelled: bool [rows], those that have a label. An annotation that is also forced to a type is fed as well.
    """
    uses: list[Used] = []
    notes: list[str] = []
    for name, array in zip(raw.names, raw.arrays, strict=True):
        special = name in (section.label, section.split_column) and name not in section.annotations
        if special or name in section.drop:
            continue
        forced = asked_of(section, name)
        column = read(name, array, str(raw.path), forced, spelling)
        if isinstance(column, Unreadable):
            uses.append(Used(column, left_out=column.why))
            continue
        notes += column.notes
        if isinstance(column, Words) and len(column.levels) <= MOST_LEVELS:
            notes += alike_notes(f"levels of {name!r}", level_counts(column.codes, column.levels))
        annotated = name in section.annotations
        if forced is None and not annotated and (why := why_left_out(_only(column, labelled), section.max_categories)):
            uses.append(Used(column, left_out=why))
            continue
        fed = forced is not None or not annotated
        uses.append(Used(column, fed=fed, shown=True))
        if fed and forced is None and isinstance(column, Numbers) and rises(column.values):
            notes.append(f"{name!r} rises from row to row: does it number them? it is fed; dataset.drop = [{name!r}] leaves it out")
    shown = [each.column for each in uses if each.shown and not isinstance(each.column, Unreadable)]
    same = {name: of for name, of in copies(shown).items() if name not in (*section.numeric, *section.categorical, *section.annotations)}
    return [
        Used(each.column, left_out=f"the same as {same[each.name]!r} in every row") if each.shown and each.name in same else each
        for each in uses
    ], notes


def asked_of(section: TableSection, name: str) -> str | None:
    """What the scenario forces a column to be: "number", "category", or None."""
    return "number" if name in section.numeric else "category" if name in section.categorical else None


def idle(section: ColumnKeys, text: str, names: Sequence[str]) -> list[str]:
    """Columns beside texts (in the column `text`) to which the scenario gives no role: no model reads them."""
    known = {section.label, text, section.split_column, *section.annotations}
    return [name for name in names if name not in known]


def _only(column: Numbers | Words, rows: np.ndarray) -> Numbers | Words:
    """The column on the given rows (bool [rows])."""
    if rows.all():
        return column
    if isinstance(column, Numbers):
        return Numbers(column.name, column.values[rows])
    return Words(column.name, column.codes[rows], column.levels, dates=column.dates)
