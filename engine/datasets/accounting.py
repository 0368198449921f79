"""The account of a loaded dataset: its loader's facts, and what its rows come to when they are counted."""

from __future__ import annotations

from dataclasses import replace

from engine import versions
from engine.account.data import (
    ColumnAccount,
    DataAccount,
    FileAccount,
    PicturesAccount,
    SplitAccount,
    TextsAccount,
)
from engine.datasets.splits import SPLITS
from engine.printable import name_of
from engine.rows import Dataset, Rows


def account_of(dataset: Dataset) -> DataAccount:
    """The account of the rows as they are now: a dataset that a model has read tells also how many texts that cut."""
    return DataAccount(
        kind=dataset.kind,
        classes=tuple(map(name_of, dataset.classes)),
        splits=tuple(_split(name, getattr(dataset, name), len(dataset.classes)) for name in SPLITS),
        files=tuple(FileAccount(name_of(name), checksum) for name, checksum in sorted(dataset.checksums.items())),
        features=len(dataset.feature_names),
        columns=tuple(_clean(column) for column in dataset.facts.columns),
        reading=versions.READING,
        source_rows=dataset.facts.source_rows,
        repeated=dataset.facts.repeated,
        pictures=_pictures(dataset),
        texts=_texts(dataset),
        notes=tuple(map(name_of, dataset.notes)),
        deviations=tuple(map(name_of, dataset.deviations)),
    )


def _split(name: str, rows: Rows, classes: int) -> SplitAccount:
    import numpy as np

    return SplitAccount(name, len(rows), tuple(np.bincount(rows.y, minlength=classes).tolist()))


def _clean(column: ColumnAccount) -> ColumnAccount:
    return replace(column, name=name_of(column.name), why=name_of(column.why))


def _pictures(dataset: Dataset) -> PicturesAccount | None:
    images = dataset.train.images
    if images is None:
        return None
    total = sum(len(getattr(dataset, name)) for name in SPLITS)
    return PicturesAccount(total, images.shape[1], images.shape[2], 8 * images.dtype.itemsize)


def _texts(dataset: Dataset) -> TextsAccount | None:
    import numpy as np

    parts = [texts for name in SPLITS if (texts := getattr(dataset, name).texts) is not None]
    if not parts:
        return None
    texts = np.concatenate(parts)
    words = np.fromiter((len(text.split()) for text in texts), np.int64, len(texts))
    length, cut = _tokens(dataset)
    return TextsAccount(len(texts), int(words.min()), int(np.median(words)), int(words.max()), max(map(len, texts)), length=length, cut=cut)


def _tokens(dataset: Dataset) -> tuple[int, int]:
    """(tokens that a model reads of a text, texts that fill them all); (0, 0) before a model has read them."""
    rows = [getattr(dataset, name).x for name in SPLITS]
    if dataset.states is not None:
        length = dataset.states.shape[1]
        return length, sum(int((dataset.states.lengths[x[:, 0]] >= length).sum()) for x in rows)
    if rows[0].ndim == 2 and rows[0].dtype.name == "int32" and rows[0].shape[1]:  # tokens, -1 for padding
        return rows[0].shape[1], sum(int((x[:, -1] >= 0).sum()) for x in rows)
    return 0, 0
