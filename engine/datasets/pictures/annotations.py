"""A table of annotations beside pictures: a column `file` (the path below the pictures' folder), every other column an annotation."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from engine.account.data import ColumnAccount
from engine.datasets.files.fetching import digest_of
from engine.datasets.tables.columns import MISSING, Numbers, Unreadable, Words
from engine.datasets.tables.file import read
from engine.datasets.tables.reading import read_column
from engine.datasets.wording import counted, listed
from engine.errors import BadData, MissingData, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

FILE = "file"


def read_annotations(path: Path, names: Sequence[str]) -> tuple[dict[str, np.ndarray], str, tuple[str, ...], tuple[ColumnAccount, ...]]:
    """Column name -> values [pictures]; the file's checksum; notes; what became of each column.

    names: the pictures' paths below their folder.

    Numbers are float64, NaN where missing; words objects, "missing" where missing. A picture that is not in the table has none of them.
    """
    import numpy as np

    try:
        raw = read(path)
    except MissingData as error:
        raise MissingData(error.what, where=error.where, next="correct dataset.annotations_file") from error
    if FILE not in raw.names:
        near = nearest(FILE, raw.names)
        raise BadData(f"has no column {FILE!r}", where=str(path), next=f"name the column of pictures' paths {FILE!r}"
                      f"{f' (is it {near!r}?)' if near else ''}; columns: {listed(raw.names)}")  # fmt: skip
    column = read_column(FILE, raw.arrays[raw.names.index(FILE)], str(path), forced="category")
    assert isinstance(column, Words)
    row_of: dict[str, int] = {}
    twice = 0
    for row, code in enumerate(column.codes):
        key = _plain(column.levels[code]) if code >= 0 else ""
        twice += key in row_of
        row_of.setdefault(key, row)
    row_of.pop("", None)
    rows = np.array([row_of.get(_plain(name), -1) for name in names], np.int64)  # [pictures] into the table, -1 where it is not there
    if not (rows >= 0).any():
        first = next(iter(row_of), "nothing")
        raise BadData(f"names none of the {len(names):,} pictures (it names {first!r}, they are called {names[0]!r})", where=str(path),
                      next=f"column {FILE!r} must hold paths below dataset.path")  # fmt: skip
    notes = [f"{path.name}: {note}" for note in raw.notes]
    if without := int((rows < 0).sum()):
        notes.append(f"{path.name}: no annotations for {without:,} of {counted(len(names), 'picture')}")
    if unused := len(row_of) - int((np.unique(rows) >= 0).sum()):
        notes.append(f"{path.name}: {counted(unused, 'row')} for pictures that are not here")
    if twice:
        notes.append(f"{path.name}: {counted(twice, 'row')} for a picture already named; the first is used")
    columns: dict[str, np.ndarray] = {}
    accounts: list[ColumnAccount] = []
    for name, array in zip(raw.names, raw.arrays, strict=True):
        if name != FILE:
            values = read_column(name, array, str(path))
            if isinstance(values, Unreadable):
                notes.append(f"{path.name}: column {name!r} {values.why}, left out")
                accounts.append(ColumnAccount(name, "left_out", why=values.why))
                continue
            notes += values.notes
            columns[name] = _spread(values, rows)
            gone = int((rows < 0).sum()) + int(values.missing[rows[rows >= 0]].sum())
            levels = len(values.levels) if isinstance(values, Words) else 0
            accounts.append(ColumnAccount(name, "annotation", levels=levels, missing=gone, why=f"from {path.name}"))
    if not columns:
        raise BadData(f"has no column beside {FILE!r}", where=str(path), next="add one for each annotation")
    return columns, f"sha256:{digest_of(path, 'sha256')}", tuple(notes), tuple(accounts)


def _spread(column: Numbers | Words, rows: np.ndarray) -> np.ndarray:
    """The column's values at `rows`; missing where that is -1. Whole numbers without gaps as int64."""
    import numpy as np

    if isinstance(column, Words):
        return np.array([*column.levels, MISSING], dtype=object)[np.append(column.codes, -1)[rows]]
    values = np.append(column.values, np.nan)[rows]
    whole = bool((np.abs(values) < 2**53).all() and (values == np.round(values)).all())
    return values.astype(np.int64) if whole else values


def _plain(path: str) -> str:
    return str(PurePosixPath(path.replace("\\", "/")))
