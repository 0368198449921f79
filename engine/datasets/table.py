"""One's own table, CSV or Parquet: a label column, the rest found by type. What was done to it is said, in notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.datasets.fetching import digest_of
from engine.datasets.places import DataState, Progress
from engine.datasets.splitting import SPLITS, cap_all, checked, split_by_fraction
from engine.datasets.table_columns import MISSING, Numbers, Unreadable, Words, why_left_out
from engine.datasets.table_features import assert_fits_memory, encode, fit
from engine.datasets.table_file import RawTable, read
from engine.datasets.table_reading import read_column
from engine.datasets.wording import counted, listed
from engine.errors import BadData, RequestError, nearest
from engine.rows import Dataset, Rows

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from engine.scenario import DatasetSection

SUMMARY = "one's own CSV or Parquet file: set dataset.path and dataset.label"

MOST_CLASSES = 256  # a predicted class is stored in one byte
SPLIT_WORDS = {"train": "train", "training": "train", "aux": "aux", "auxiliary": "aux", "test": "test", "testing": "test"}
CLASHES = (  # roles that one column cannot both have
    ("label", "numeric"), ("label", "categorical"), ("label", "drop"), ("label", "split_column"), ("split_column", "numeric"),
    ("split_column", "categorical"), ("split_column", "drop"), ("numeric", "categorical"), ("numeric", "drop"),
    ("categorical", "drop"), ("annotations", "drop"),
)  # fmt: skip


def load(section: DatasetSection, seed: int, data_dir: Path, progress: Progress, base_url: str | None = None) -> Dataset:
    """Rows of the file that have a label, split by fraction (stratified) or by a column. ids: the row's number below the header, from 0.

    Numbers: missing ones filled with train's median and flagged by a 0/1 feature. Words: one 0/1 feature per level that train has
    ("missing" is a level). Levels, medians and scales come from train alone. x is float32 [rows, features].
    The frame holds the columns a model is fed and the annotations, missing words as "missing", missing numbers as NaN.
    """
    import numpy as np

    path = _path(section)
    progress(f"reading {path.name}", 0.0)
    raw = read(path)
    _check_names(section, raw)
    progress(f"reading {path.name}", 0.4)
    notes = [*raw.notes]
    y, classes, said = _labels(section, raw)
    notes += said
    columns, shown, said = _columns(section, raw, y >= 0)
    notes += said
    usable = np.flatnonzero(y >= 0)
    if section.missing == "drop":
        gaps = np.logical_or.reduce([column.missing[usable] for column in columns])
        if gaps.any():
            notes.append(f"missing values: one or more in {int(gaps.sum()):,} of {counted(len(usable), 'row')}, left out")
        usable = usable[~gaps]
        if not len(usable):
            raise BadData(
                "every row has a missing value", where=str(path), next='set dataset.missing = "keep", or drop the emptiest columns'
            )
    progress(f"splitting {path.name}", 0.7)
    splits, said = _split(section, raw, usable, y, seed)
    notes += said
    train, aux, test = splits
    for split, rows in zip(SPLITS, splits, strict=True):
        absent = [classes[c] for c in np.setdiff1d(np.arange(len(classes)), y[rows])]
        if absent:
            notes.append(f"no {split} rows of class {', '.join(map(repr, absent[:5]))}{' and others' if len(absent) > 5 else ''}")
    (train, aux, test), deviations = cap_all([train, aux, test], [y, y, y], section.rows, seed)
    if not len(train):
        raise BadData("no rows for train", where=str(path), next="give it a larger share in dataset.split, or more data")
    features, said = fit(columns, train, section.max_categories, section.scale == "standard")
    notes += said
    notes += [f"{f.column.name!r}: {counted(n, 'row')} of aux and test with a value that train lacks: none of its features is set"
              for f in features if (n := f.unseen(aux) + f.unseen(test))]  # fmt: skip
    names = tuple(name for feature in features for name in feature.names)
    assert_fits_memory(len(train) + len(aux) + len(test), len(names), str(path))
    notes += _missing_note(section, columns, usable)
    if section.scale == "none":
        notes += _scale_note(columns, train)
    progress(f"encoding {path.name}", 0.8)
    parts = [Rows(encode(features, p), y[p], p.astype(np.int64), _frame(shown, p)) for p in (train, aux, test)]
    progress(f"encoding {path.name}", 1.0)
    return checked(
        Dataset(
            "table", classes, names, parts[0], parts[1], parts[2],
            checksums={path.name: f"sha256:{digest_of(path, 'sha256')}"}, notes=tuple(notes), deviations=deviations,
        ),
        where=str(path),
    )  # fmt: skip


def state(section: DatasetSection | None, data_dir: Path) -> DataState:
    if section is None or section.path is None:
        return DataState(False, "set dataset.path to a CSV or Parquet file, and dataset.label to its label column")
    path = _path(section)
    try:
        size = path.stat().st_size
    except OSError as error:
        return DataState(False, f"{path}: {error.strerror}", (path,))
    if not path.is_file():
        return DataState(False, f"{path} is a folder, not a CSV or Parquet file", (path,))
    return DataState(True, f"{path}, {size / 1e6:,.1f} MB", (path,))


def _path(section: DatasetSection) -> Path:
    if section.path is None:
        raise RequestError("which file?", where="dataset.path", next="set it to a CSV or Parquet file")
    return section.path.expanduser()


def _check_names(section: DatasetSection, raw: RawTable) -> None:
    """Every column that the scenario names is there, once, and in one role. All mistakes are told together."""
    if section.label is None:
        raise RequestError("which column is the label?", where="dataset.label", next=f"columns: {listed(raw.names)}")
    roles: dict[str, Sequence[str]] = {
        "label": [section.label],
        "split_column": [section.split_column] if section.split_column else [],
        "numeric": section.numeric,
        "categorical": section.categorical,
        "annotations": section.annotations,
        "drop": section.drop,
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
        hint = "; does the file lack a header row?" if sum(_is_number(name) for name in raw.names) > len(raw.names) / 2 else ""
        raise BadData("; ".join(wrong), where=str(raw.path), next=f"columns: {listed(raw.names)}{hint}")


def _labels(section: DatasetSection, raw: RawTable) -> tuple[np.ndarray, tuple[str, ...], list[str]]:
    """The class of every row, int64 [rows], -1 where the label is missing; the classes, numbers in order of size, `positive` last."""
    import numpy as np

    label, where = str(section.label), str(raw.path)
    column = read_column(label, _array(raw, label), where, forced="category")
    assert isinstance(column, Words)
    numbers = all(_is_number(level) for level in column.levels)
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


def _columns(
    section: DatasetSection, raw: RawTable, labelled: np.ndarray
) -> tuple[list[Numbers | Words], list[Numbers | Words], list[str]]:
    """The columns a model is fed, the columns a person is shown (those and the annotations), and what there is to say."""
    fed: list[Numbers | Words] = []
    shown: list[Numbers | Words] = []
    said: list[str] = []
    left_out: list[str] = []
    for name in raw.names:
        special = name in (section.label, section.split_column) and name not in section.annotations
        if special or name in section.drop:
            continue
        asked = "number" if name in section.numeric else "category" if name in section.categorical else None
        column = read_column(name, _array(raw, name), str(raw.path), asked)
        if isinstance(column, Unreadable):
            left_out.append(f"{name!r} ({column.why})")
            continue
        said += column.said
        annotated = name in section.annotations
        if asked is None and not annotated and (why := why_left_out(_only(column, labelled), section.max_categories)):
            left_out.append(f"{name!r} ({why})")
            continue
        shown.append(column)
        if asked or not annotated:
            fed.append(column)
    if not fed:
        raise BadData("no column is left to learn from", where=str(raw.path),
                      next=f"list some in dataset.numeric or dataset.categorical; left out: {listed(left_out) or 'none'}")  # fmt: skip
    numbers, words = [c.name for c in fed if isinstance(c, Numbers)], [c.name for c in fed if isinstance(c, Words)]
    said.append(f"numbers: {listed(numbers) or 'none'}; categories: {listed(words) or 'none'}")
    if left_out:
        said.append(f"left out: {listed(left_out)}")
    return fed, shown, said


def _split(section: DatasetSection, raw: RawTable, usable: np.ndarray, y: np.ndarray, seed: int) -> tuple[list[np.ndarray], list[str]]:
    """Sorted positions of train, aux and test among the usable rows (int [n])."""
    import numpy as np

    if section.split_column is None:
        return [usable[p] for p in split_by_fraction(y[usable], section.split, seed)], []
    column = read_column(section.split_column, _array(raw, section.split_column), str(raw.path), forced="category")
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


def _frame(columns: Sequence[Numbers | Words], rows: np.ndarray) -> pd.DataFrame:
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


def _missing_note(section: DatasetSection, columns: Sequence[Numbers | Words], usable: np.ndarray) -> list[str]:
    if section.missing == "drop":
        return []
    gaps: Mapping[str, int] = {column.name: int(column.missing[usable].sum()) for column in columns}
    counted = [f"{name} {n:,}" for name, n in gaps.items() if n]
    how = "numbers are filled with train's median and flagged, for categories it is a level"
    return [f"missing values ({listed(counted)} of {len(usable):,} rows): {how}"] if counted else []


def _scale_note(columns: Sequence[Numbers | Words], train: np.ndarray) -> list[str]:
    import numpy as np

    wide = [c.name for c in columns if isinstance(c, Numbers) and bool((np.abs(c.values[train]) > 1_000).any())]
    return [f'large numbers, unscaled ({listed(wide)}): dataset.scale = "standard" usually trains better'] if wide else []


def _only(column: Numbers | Words, rows: np.ndarray) -> Numbers | Words:
    """The column on the given rows (bool [rows])."""
    if rows.all():
        return column
    if isinstance(column, Numbers):
        return Numbers(column.name, column.values[rows])
    return Words(column.name, column.codes[rows], column.levels, dates=column.dates)


def _array(raw: RawTable, name: str):  # type: ignore[no-untyped-def]  # pyarrow.ChunkedArray, untyped
    return raw.arrays[raw.names.index(name)]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
