"""The roles that a scenario gives to the columns of one's own file: which is the label, which says the split, what a person is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.datasets.files.places import DataState
from engine.datasets.splits import SPLITS, split_by_fraction
from engine.datasets.tables.columns import MISSING, Numbers, Words
from engine.datasets.tables.file import RawTable
from engine.datasets.tables.reading import read_column
from engine.datasets.wording import counted, listed
from engine.errors import BadData, nearest

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from engine.scenario.sections import ColumnKeys

MOST_CLASSES = 256  # a predicted class is stored in one byte
SPLIT_WORDS = {"train": "train", "training": "train", "aux": "aux", "auxiliary": "aux", "test": "test", "testing": "test"}
CLASHES = (  # roles that one column cannot both have
    ("label", "numeric"), ("label", "categorical"), ("label", "drop"), ("label", "split_column"), ("split_column", "numeric"),
    ("split_column", "categorical"), ("split_column", "drop"), ("numeric", "categorical"), ("numeric", "drop"),
    ("categorical", "drop"), ("annotations", "drop"), ("text", "label"), ("text", "split_column"), ("text", "annotations"),
)  # fmt: skip


def path_of(section: ColumnKeys) -> Path:
    return section.path.expanduser()


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
        return DataState(False, f"{path} is a folder, not {what}", (path,))
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


def labels_of(section: ColumnKeys, raw: RawTable) -> tuple[np.ndarray, tuple[str, ...], list[str]]:
    """The class of every row, int64 [rows], -1 where the label is missing; the classes, numbers in order of size, `positive` last."""
    import numpy as np

    label, where = str(section.label), str(raw.path)
    column = read_column(label, array_of(raw, label), where, forced="category")
    assert isinstance(column, Words)
    numbers = all(is_number(level) for level in column.levels)
    if len(column.levels) > MOST_CLASSES or (numbers and len(column.levels) > 20 and any(float(v) % 1 for v in column.levels)):
        raise BadData(f"the label column {label!r} has {len(column.levels):,} different values", where=where,
                      next=f"a label is one of at most {MOST_CLASSES} classes: choose another column, or cut this one up")  # fmt: skip
    shown = [
        f"{float(v):g}" if numbers and float(v) % 1 == 0 and abs(float(v)) < 1e6 else v for v in column.levels
    ]  # "1.0" and "1" are one
    classes = sorted(set(shown), key=lambda v: (float(v), v) if numbers else (0.0, v))
    if len(classes) < 2:
        have = f"has one class only ({classes[0]!r})" if classes else "is empty"
        raise BadData(
            f"the label column {label!r} {have}", where=where, next="a model needs two classes to tell apart: choose another column"
        )
    if section.positive is not None:
        if section.positive not in classes:
            near = nearest(section.positive, classes)
            raise BadData(f"the label column {label!r} has no class {section.positive!r}", where=where,
                          next=f"did you mean {near!r}?" if near else f"set dataset.positive to one of: {listed(classes)}")  # fmt: skip
        classes = [c for c in classes if c != section.positive] + [section.positive]
    place = np.array([*(classes.index(v) for v in shown), -1], np.int64)
    unlabelled = int(column.missing.sum())
    said = [f"no label: {unlabelled:,} of {counted(raw.rows, 'row')}, left out"] if unlabelled else []
    return place[column.codes], tuple(classes), said


def split_rows(section: ColumnKeys, raw: RawTable, usable: np.ndarray, y: np.ndarray, seed: int) -> tuple[list[np.ndarray], list[str]]:
    """Sorted positions of train, aux and test among the usable rows (int [n])."""
    import numpy as np

    if section.split_column is None:
        return [usable[p] for p in split_by_fraction(y[usable], section.split, seed)], []
    column = read_column(section.split_column, array_of(raw, section.split_column), str(raw.path), forced="category")
    assert isinstance(column, Words)
    count = np.bincount(column.codes[usable] + 1, minlength=len(column.levels) + 1)
    strange = [f"{'nothing' if not i else repr(word)} ({counted(int(count[i]), 'row')})"
               for i, word in enumerate(["", *column.levels]) if count[i] and word.lower() not in SPLIT_WORDS]  # fmt: skip
    if strange:
        more = f" and {len(strange) - 5} other words" if len(strange) > 5 else ""
        raise BadData(f"the split column {section.split_column!r} says {', '.join(strange[:5])}{more}", where=str(raw.path),
                      next="each row must say train, aux or test")  # fmt: skip
    says = np.array([SPLITS.index(SPLIT_WORDS.get(word.lower(), "train")) for word in column.levels])[column.codes[usable]]
    splits = [usable[says == i] for i in range(3)]
    for split, rows in zip(SPLITS, splits, strict=True):
        if not len(rows):
            raise BadData(f"no row of the split column {section.split_column!r} says {split}", where=str(raw.path),
                          next="each of train, aux and test needs rows; or take dataset.split_column out")  # fmt: skip
    return splits, [f"split by the column {section.split_column!r}"]


def absent(classes: Sequence[str], y: np.ndarray, splits: Sequence[np.ndarray]) -> list[str]:
    """Of which classes a split has no row. splits: positions into y of train, aux and test."""
    import numpy as np

    said = []
    for split, rows in zip(SPLITS, splits, strict=True):
        if gone := [classes[c] for c in np.setdiff1d(np.arange(len(classes)), y[rows])]:
            said.append(f"no {split} rows of class {', '.join(map(repr, gone[:5]))}{' and others' if len(gone) > 5 else ''}")
    return said


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


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
