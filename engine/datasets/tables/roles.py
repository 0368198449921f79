"""The roles that a scenario gives to the columns of one's own file: which is the label, which says the split, what a person is shown."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.datasets.files.places import DataState
from engine.datasets.splits import SPLITS, aux_of_train, held_out, split_by_fraction, split_named
from engine.datasets.tables.columns import MISSING, Numbers, Words
from engine.datasets.tables.file import RawTable
from engine.datasets.tables.layout import is_number
from engine.datasets.tables.reading import read_column
from engine.datasets.wording import counted, listed
from engine.errors import BadData, RequestError, nearest

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from engine.scenario.sections import ColumnKeys

CLASHES = (  # roles that one column cannot both have
    ("label", "numeric"), ("label", "categorical"), ("label", "drop"), ("label", "split_column"), ("split_column", "numeric"),
    ("split_column", "categorical"), ("split_column", "drop"), ("numeric", "categorical"), ("numeric", "drop"),
    ("categorical", "drop"), ("annotations", "drop"), ("text", "label"), ("text", "split_column"), ("text", "annotations"),
)  # fmt: skip


def path_of(section: ColumnKeys) -> Path:
    return section.path.expanduser()


def encoding_of(section: ColumnKeys) -> str | None:
    """The encoding that the scenario names, as Python calls it. RequestError where it is none of text."""
    if section.encoding is None:
        return None
    try:
        "".encode(section.encoding)  # a codec that is not of text refuses
        return codecs.lookup(section.encoding).name
    except LookupError as error:
        raise RequestError(
            f"there is no encoding {section.encoding!r}",
            where="dataset.encoding",
            next='use a name as "utf-8", "cp1252", "cp1251", "latin-1", "shift_jis", "gb18030", or take it out',
        ) from error


def state_of(section: ColumnKeys | None, what: str, columns: str) -> DataState:
    """Whether the file is there. what: "a CSV or Parquet file"; columns: what else is to be set, in words."""
    if section is None:
        return DataState(False, f"set dataset.path to {what}, and {columns}")
    path = path_of(section)
    try:
        size = path.stat().st_size
    except OSError as error:
        return DataState(False, f"{path}: {error.strerror}", (path,))
    if not path.is_file():
        return DataState(False, f"{path} is {'a folder' if path.is_dir() else 'a pipe, a device or the like'}, not {what}", (path,))
    return DataState(True, f"{path}, {size / 1e6:,.1f} MB", (path,))


def check_names(section: ColumnKeys, raw: RawTable) -> None:
    """Every column that the scenario names is there, once, and in one role. All mistakes are told together."""
    from engine.scenario.sections import TableSection, TextTableSection

    table = section if isinstance(section, TableSection) else None
    roles: dict[str, Sequence[str]] = {
        "label": [section.label],
        "text": [section.text] if isinstance(section, TextTableSection) else [],
        "split_column": [section.split_column] if section.split_column else [],
        "numeric": table.numeric if table else (),
        "categorical": table.categorical if table else (),
        "annotations": section.annotations,
        "drop": table.drop if table else (),
    }
    wrong = []
    for role, names in roles.items():
        for name in names:
            if name not in raw.names:
                near = nearest(name, raw.names)
                wrong.append(f"dataset.{role}: there is no column {name!r}" + (f", did you mean {near!r}?" if near else ""))
            elif name in raw.repeated and role != "drop":
                wrong.append(f"dataset.{role}: {raw.repeated[name]} columns are called {name!r}; rename all but one")
    for one, other in CLASHES:
        wrong += [f"{name!r} is in dataset.{one} and in dataset.{other}" for name in roles[one] if name in roles[other]]
    if wrong:
        hint = "; does the file lack a header row?" if sum(is_number(name) for name in raw.names) > len(raw.names) / 2 else ""
        raise BadData("; ".join(wrong), where=str(raw.path), next=f"columns: {listed(raw.names)}{hint}")


def split_rows(section: ColumnKeys, raw: RawTable, usable: np.ndarray, y: np.ndarray, seed: int) -> tuple[list[np.ndarray], list[str]]:
    """Sorted positions of train, aux and test among the usable rows (int [n])."""
    import numpy as np

    if section.split_column is None:
        return [usable[p] for p in split_by_fraction(y[usable], section.split, seed)], []
    column = read_column(section.split_column, array_of(raw, section.split_column), str(raw.path), forced="category")
    assert isinstance(column, Words)
    count = np.bincount(column.codes[usable] + 1, minlength=len(column.levels) + 1)
    named = {word: split for i, word in enumerate(column.levels, 1) if count[i] and (split := split_named(word))}
    strange = [f"{'nothing' if not i else repr(word)} ({counted(int(count[i]), 'row')})"
               for i, word in enumerate(["", *column.levels]) if count[i] and word not in named]  # fmt: skip
    if strange:
        more = f" and {len(strange) - 5} other words" if len(strange) > 5 else ""
        raise BadData(f"the split column {section.split_column!r} says {', '.join(strange[:5])}{more}", where=str(raw.path),
                      next="each row must say train, aux or test")  # fmt: skip
    named, notes = held_out(named)
    notes.insert(0, f"split by the column {section.split_column!r}")
    says = np.array([SPLITS.index(named[word]) if word in named else -1 for word in column.levels])[column.codes[usable]]
    splits = [usable[says == i] for i in range(3)]
    for split, rows in zip(SPLITS, splits, strict=True):
        if not len(rows) and split != "aux":
            raise BadData(f"no row of the split column {section.split_column!r} says {split}", where=str(raw.path),
                          next="each of train and test needs rows; or take dataset.split_column out")  # fmt: skip
    if not len(splits[1]):
        splits[0], splits[1], how = aux_of_train(splits[0], y, section.split, seed)
        notes.append(f"no aux rows: {how}")
    return splits, notes


def absent(classes: Sequence[str], y: np.ndarray, splits: Sequence[np.ndarray]) -> list[str]:
    """Of which classes a split has no row. splits: positions into y of train, aux and test."""
    import numpy as np

    notes = []
    for split, rows in zip(SPLITS, splits, strict=True):
        if gone := [classes[c] for c in np.setdiff1d(np.arange(len(classes)), y[rows])]:
            notes.append(f"no {split} rows of class {', '.join(map(repr, gone[:5]))}{' and others' if len(gone) > 5 else ''}")
    return notes


def frame_of(columns: Sequence[Numbers | Words], rows: np.ndarray) -> pd.DataFrame:
    """The given rows as a person reads them; whole numbers without gaps as int64."""
    import numpy as np
    import pandas as pd

    shown: dict[str, np.ndarray] = {}
    for column in columns:
        if isinstance(column, Words):
            shown[column.name] = np.array([*column.levels, MISSING], dtype=object)[column.codes[rows]]
            continue
        values = column.values[rows]
        whole = bool((np.abs(values) < 2**53).all() and (values == np.round(values)).all())
        shown[column.name] = values.astype(np.int64) if whole else values
    return pd.DataFrame(shown, index=range(len(rows)))


def array_of(raw: RawTable, name: str):  # type: ignore[no-untyped-def]  # pyarrow.ChunkedArray, untyped
    return raw.arrays[raw.names.index(name)]
