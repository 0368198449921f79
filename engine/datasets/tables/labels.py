"""The label column of one's own file into classes, with notes on what is odd about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.datasets.tables.alike import alike_notes, level_counts
from engine.datasets.tables.columns import Words
from engine.datasets.tables.file import RawTable
from engine.datasets.tables.layout import is_number
from engine.datasets.tables.reading import MISSING_WORDS, read_label
from engine.datasets.wording import counted, listed, shortened
from engine.errors import BadData, nearest

if TYPE_CHECKING:
    import numpy as np

    from engine.scenario.sections import ColumnKeys

MOST_CLASSES = 256  # a predicted class is stored in one byte
MOST_NUMBERS = 20  # classes that are numbers with decimals: more is a measurement
SEPARATORS = (",", ";", "|", "/")


def labels_of(section: ColumnKeys, raw: RawTable) -> tuple[np.ndarray, tuple[str, ...], list[str]]:
    """The class of every row, int64 [rows], -1 where the label is missing; the classes, numbers in order of size, `positive` last."""
    import numpy as np

    label, where = str(section.label), str(raw.path)
    column = read_label(label, raw.arrays[raw.names.index(label)], where, section.missing_words)
    numbers = all(is_number(level) for level in column.levels)
    _refuse_measurement(label, column, numbers, where)
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
    y = place[column.codes]
    unlabelled = int(column.missing.sum())
    notes = [f"no label: {unlabelled:,} of {counted(raw.rows, 'row')}, left out"] if unlabelled else []
    return y, tuple(classes), notes + class_notes(y, classes)


def class_notes(y: np.ndarray, classes: list[str]) -> list[str]:
    """What is odd about classes: words that often stand for "no label", one class in several spellings, several classes in one cell."""
    counts = level_counts(y, classes)
    notes = [
        f"{name!r} is a class like any other ({counted(counts.get(name, 0), 'row')}): in a label column only an empty cell or NaN is "
        f"no label (dataset.missing_words = [{name!r}] makes it none)"
        for name in classes
        if name.lower() in MISSING_WORDS
    ]
    return [*notes, *alike_notes("classes", counts), *_several_in_one(counts)]


def _refuse_measurement(label: str, column: Words, numbers: bool, where: str) -> None:
    """BadData where there are too many different values for classes."""
    import numpy as np

    different = len(column.levels)
    if numbers and (different > MOST_CLASSES or (different > MOST_NUMBERS and any(float(v) % 1 for v in column.levels))):
        values = np.array([float(v) for v in column.levels])[column.codes[~column.missing]]
        raise BadData(
            f"the label column {label!r} has {different:,} different numbers: a measurement, not classes",
            where=where,
            next=f"a label is one of at most {MOST_CLASSES} classes: add a column that cuts it up, as low below {np.median(values):g} "
            "(its median) and high from there, and make that the label",
        )
    if different > MOST_CLASSES:
        raise BadData(
            f"the label column {label!r} has {different:,} different values: free text or an identifier, not classes",
            where=where,
            next=f"a label is one of at most {MOST_CLASSES} classes: choose another column, or cut this one up",
        )


def _several_in_one(counts: dict[str, int]) -> list[str]:
    """Cells that hold several classes: lists as JSON writes them, or classes joined by a comma and the like."""
    lists = [name for name in counts if name.startswith("[") and name.endswith("]")]
    if len(lists) > len(counts) / 2:
        return [
            f"the label's cells are lists ({shortened(lists[0])}): each different list is taken for a class of its own; "
            "keep one class a row"
        ]
    joined = []
    for name in counts:
        for separator in SEPARATORS:
            parts = [part.strip() for part in name.split(separator)]
            if len(parts) > 1 and all(part in counts for part in parts):
                joined.append(name)
                break
    if not joined:
        return []
    rows = sum(counts[name] for name in joined)
    examples = ", ".join(repr(shortened(name)) for name in joined[:3])
    return [f"{counted(rows, 'row')} of several classes at once ({examples}): each combination is a class of its own; keep one class a row"]
