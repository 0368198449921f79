"""Pictures into train, aux and test: only the rows used are copied into memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from engine.account.data import ColumnAccount, DataFacts
from engine.datasets.files.archives import readable
from engine.datasets.pictures.decoded import Pictures
from engine.datasets.pictures.traits import WORDS, in_words
from engine.rows import Rows

if TYPE_CHECKING:
    import numpy as np


def rows_of(
    pictures: Pictures,
    y: np.ndarray,
    classes: Sequence[str],
    splits: Sequence[np.ndarray],
    columns: Mapping[str, np.ndarray],
    label: str = "class",
) -> tuple[Rows, Rows, Rows]:
    """The splits' rows (int64 [rows] into pictures): x and images are one uint8 array, ids the picture's place among all names.

    columns: annotations [pictures], which come before the class (called `label`), the traits in words and the file's name.
    """
    import numpy as np
    import pandas as pd

    shown: dict[str, np.ndarray] = dict(columns)
    shown.setdefault(label, np.array(list(classes), dtype=object)[y])
    for name, words in in_words(pictures.traits).items():
        shown.setdefault(name, words)
    shown["file"] = np.array([readable(name) for name in pictures.names], dtype=object)
    made = []
    for rows in splits:
        pixels = pictures.take(rows)
        frame = pd.DataFrame({name: values[rows] for name, values in shown.items()}, index=range(len(rows)))
        made.append(Rows(pixels, y[rows], rows.astype(np.int64), frame, pixels))
    return made[0], made[1], made[2]


def facts_of(pictures: Pictures, classes: Sequence[str], columns: Sequence[ColumnAccount], label: str = "class") -> DataFacts:
    """What there is of each picture. columns: what `rows_of` was given, which come before the class."""
    taken = {column.name for column in columns}
    traits = (ColumnAccount(name, "annotation", levels=len(words), why="worked out from the pixels")
              for name, words in WORDS.items() if name not in taken)  # fmt: skip
    accounts = (ColumnAccount("picture", "picture"), *columns, ColumnAccount(label, "label", levels=len(classes)), *traits)
    return DataFacts((*accounts, ColumnAccount("file", "annotation")), len(pictures))
