"""One's own texts in a CSV, JSON Lines or Parquet file: a column of texts, a column of labels. The notes say how it was read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.account.data import ColumnAccount
from engine.datasets.files.fetching import digest_of
from engine.datasets.files.places import DataState, Progress
from engine.datasets.splits import cap_all, checked
from engine.datasets.tables.alike import alike_notes, level_counts
from engine.datasets.tables.columns import Numbers, Unreadable, Words
from engine.datasets.tables.file import RawTable, read
from engine.datasets.tables.labels import labels_of
from engine.datasets.tables.reading import Spelling, read_column
from engine.datasets.tables.roles import absent, array_of, check_names, encoding_of, frame_of, path_of, split_rows, state_of
from engine.datasets.tables.uses import idle
from engine.datasets.texts.lines import is_lines, read_lines
from engine.datasets.texts.rows import facts, facts_of, long_texts, rows_of, some
from engine.datasets.wording import counted, listed
from engine.errors import BadData
from engine.rows import Dataset

if TYPE_CHECKING:
    import numpy as np

    from engine.scenario.sections import TextTableSection

SUMMARY = "one's own texts, CSV, JSON Lines or Parquet: set dataset.path, dataset.text and dataset.label"
FILES = "a CSV, JSON Lines or Parquet file"


def load(section: TextTableSection, seed: int, data_dir: Path, progress: Progress, base_url: str | None = None) -> Dataset:
    """Rows of the file that have a text and a label, split by fraction (stratified) or by a column. x is float32 [rows, 0].

    ids: the row's number in the file, from 0 (below a CSV's header). The frame holds the annotations, the number of words and `length`.
    """
    import numpy as np

    path = path_of(section)
    progress(f"reading {path.name}", 0.0)
    encoding = encoding_of(section)
    raw = read_lines(path, encoding) if is_lines(path, encoding) else read(path, encoding)
    check_names(section, raw)
    progress(f"reading {path.name}", 0.5)
    y, classes, step_notes = labels_of(section, raw)
    notes = [*raw.notes, *step_notes]
    texts, step_notes = _texts(section.text, raw)
    notes += step_notes
    usable = np.flatnonzero((y >= 0) & (texts != ""))
    if not len(usable):
        raise BadData("no row has both a text and a label", where=str(path), next="check dataset.text and dataset.label")
    if empty := int(((y >= 0) & (texts == "")).sum()):
        notes.append(f"no text: {empty:,} of {counted(raw.rows, 'row')}, left out")
    splits, step_notes = split_rows(section, raw, usable, y, seed)
    notes += step_notes
    notes += absent(classes, y, splits)
    splits, deviations = cap_all(splits, [y, y, y], section.rows, seed)
    columns, accounts, step_notes = _columns(section, raw, texts, usable)
    notes += step_notes
    notes += long_texts(texts[usable], [f"row {row + 1:,}" for row in usable])
    progress(f"reading {path.name}", 1.0)
    train, aux, test = rows_of(texts, y, np.arange(raw.rows), splits, columns)
    return checked(
        Dataset(
            "text_table", classes, (), train, aux, test,
            checksums={path.name: f"sha256:{digest_of(path, 'sha256')}"}, notes=tuple(notes), deviations=deviations,
            facts=facts_of(section.text, section.label, len(classes), accounts, raw.rows),
        ),
        where=str(path),
    )  # fmt: skip


def state(section: TextTableSection | None, data_dir: Path) -> DataState:
    return state_of(section, FILES, "dataset.text and dataset.label to its columns of texts and of labels")


def _texts(name: str, raw: RawTable) -> tuple[np.ndarray, list[str]]:
    """The texts as they are, object [rows], "" where there is none; notes. BadData where the column holds something else."""
    import numpy as np
    import pyarrow as pa

    array = array_of(raw, name)
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    garbled: list[str] = []
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        values = [None if value is None else _decoded(value, f"row {row:,}", garbled) for row, value in enumerate(array.to_pylist(), 1)]
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        values = array.to_pylist()
    else:
        raise BadData(
            f"column {name!r} holds {kind}, not text", where=str(raw.path), next=f"set dataset.text to one of: {listed(raw.names)}"
        )
    texts = np.empty(raw.rows, object)
    texts[:] = ["" if value is None or not value.strip() else value for value in values]
    note = f"{name!r}: not UTF-8, read with the bytes in question replaced: {counted(len(garbled), 'text')} ({some(garbled)})"
    return texts, [note] if garbled else []


def _decoded(value: bytes, name: str, garbled: list[str]) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        garbled.append(name)
        return value.decode("utf-8", "replace")


def _columns(
    section: TextTableSection, raw: RawTable, texts: np.ndarray, usable: np.ndarray
) -> tuple[dict[str, np.ndarray], list[ColumnAccount], list[str]]:
    """Frame columns [rows of the file]: annotations, and facts about the texts where no annotation has their name.

    Beside them what became of every column but text and label, and notes.
    """
    import numpy as np

    annotations: list[Numbers | Words] = []
    accounts: list[ColumnAccount] = []
    notes: list[str] = []
    for name in section.annotations:
        column = read_column(name, array_of(raw, name), str(raw.path), spelling=Spelling(missing=section.missing_words))
        if isinstance(column, Unreadable):
            raise BadData(f"column {name!r} {column.why}", where=str(raw.path), next="take it out of dataset.annotations")
        notes += column.notes
        if isinstance(column, Words):
            notes += alike_notes(f"levels of {name!r}", level_counts(column.codes, column.levels))
        annotations.append(column)
        levels = len(column.levels) if isinstance(column, Words) else 0
        accounts.append(ColumnAccount(name, "annotation", levels=levels, missing=int(column.missing[usable].sum())))
    unread = idle(section, section.text, raw.names)
    accounts += [ColumnAccount(name, "left_out", why="dataset.annotations takes columns to describe with or match on") for name in unread]
    if section.split_column is not None and section.split_column not in section.annotations:
        accounts.append(ColumnAccount(section.split_column, "split"))
    columns: dict[str, np.ndarray] = {}
    for name, values in facts(texts[usable]).items():  # levels are thirds of the rows that are used
        columns[name] = np.empty(raw.rows, values.dtype)
        columns[name][usable] = values
    frame = frame_of(annotations, np.arange(raw.rows))
    return columns | {str(name): frame[name].to_numpy() for name in frame.columns}, accounts, notes
