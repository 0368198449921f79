"""Texts as rows of a dataset: no features of their own, cheap facts beside them, what is unusual about them said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from engine.account.data import ColumnAccount, DataFacts
from engine.datasets.splits import levels
from engine.datasets.wording import counted, shortened
from engine.rows import Rows

if TYPE_CHECKING:
    import numpy as np

LENGTHS = ("short", "medium", "long")
LONG = 100_000  # characters; no encoder reads so many
EXAMPLES = 3  # names told of each kind


def facts(texts: np.ndarray) -> dict[str, np.ndarray]:
    """Frame columns of texts, object [rows]: `words`, int64 [rows], and `length`, the third of the texts it is in by words."""
    import numpy as np

    words = np.fromiter((len(text.split()) for text in texts), np.int64, len(texts))
    return {"words": words, "length": levels(words, LENGTHS)} if len(texts) else {"words": words, "length": np.empty(0, object)}


def rows_of(
    texts: np.ndarray, y: np.ndarray, ids: np.ndarray, splits: Sequence[np.ndarray], columns: Mapping[str, np.ndarray]
) -> tuple[Rows, Rows, Rows]:
    """Train, aux and test at the positions in `splits`; x is float32 [rows, 0]: what a model reads is made of the texts.

    texts object, y int64, ids int64 and each column of the frame: [all rows].
    """
    import numpy as np
    import pandas as pd

    def rows(at: np.ndarray) -> Rows:
        frame = pd.DataFrame({name: values[at] for name, values in columns.items()}, index=range(len(at)))
        return Rows(np.empty((len(at), 0), np.float32), y[at], ids[at], frame, texts=texts[at])

    train, aux, test = map(rows, splits)
    return train, aux, test


def facts_of(text: str, label: str, classes: int, columns: Sequence[ColumnAccount], source_rows: int) -> DataFacts:
    """What became of the columns of texts and of labels, of the others given, and what is worked out beside them."""
    taken = {column.name for column in columns}
    worked_out = (("words", 0), ("length", len(LENGTHS)))
    derived = (ColumnAccount(name, "annotation", levels=levels, why="worked out from the text")
               for name, levels in worked_out if name not in taken)  # fmt: skip
    return DataFacts((ColumnAccount(text, "text"), ColumnAccount(label, "label", levels=classes), *columns, *derived), source_rows)


def long_texts(texts: np.ndarray, names: Sequence[str]) -> tuple[str, ...]:
    """Notes on texts of which any model reads only the beginning; `names` are what to call each."""
    long = [name for name, text in zip(names, texts, strict=True) if len(text) > LONG]
    return (
        (f"longer than {LONG:,} characters, of which a model reads the beginning: {counted(len(long), 'text')} ({some(long)})",)
        if long
        else ()
    )


def some(names: Sequence[str]) -> str:
    """The first names of a list, on one line."""
    return ", ".join(shortened(name, 80) for name in names[:EXAMPLES]) + (", ..." if len(names) > EXAMPLES else "")
