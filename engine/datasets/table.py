"""One's own table, CSV, JSON Lines or Parquet: a label column, the rest found by type. The notes say how it was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.account.data import ColumnAccount, DataFacts, Use
from engine.datasets.files.fetching import digest_of
from engine.datasets.files.places import DataState, Progress
from engine.datasets.splits import cap_all, checked
from engine.datasets.tables.columns import Numbers, Unreadable, Words
from engine.datasets.tables.features import Feature, assert_fits_memory, encode, fit
from engine.datasets.tables.file import RawTable, read
from engine.datasets.tables.labels import labels_of
from engine.datasets.tables.leakage import Leak, leak_notes, leaks_of
from engine.datasets.tables.reading import Spelling, spelling_of
from engine.datasets.tables.roles import absent, check_names, encoding_of, frame_of, path_of, split_rows, state_of
from engine.datasets.tables.suspects import entity_notes, list_notes, renamings, sentinel_notes
from engine.datasets.tables.uses import uses_of
from engine.datasets.texts.lines import is_lines, read_lines
from engine.datasets.wording import counted, listed, shortened
from engine.errors import BadData
from engine.rows import Dataset, Rows

if TYPE_CHECKING:
    import numpy as np

    from engine.scenario.sections import TableSection

SUMMARY = "one's own CSV, JSON Lines or Parquet file: set dataset.path and dataset.label"


@dataclass(frozen=True)
class _Chosen:
    """The columns a model is fed, those a person is shown (fed ones and annotations), and why each of the others is neither."""

    fed: Sequence[Numbers | Words]
    shown: Sequence[Numbers | Words]
    left_out: Mapping[str, str]
    notes: Sequence[str]


def load(section: TableSection, seed: int, data_dir: Path, progress: Progress, base_url: str | None = None) -> Dataset:
    """Rows of the file that have a label, split by fraction (stratified) or by a column. ids: the row's number below the header, from 0.

    Numbers: missing ones filled with train's median and flagged by a 0/1 feature. Words: one 0/1 feature per level that train has
    ("missing" is a level). Levels, medians and scales come from train alone, or from aux alone (`fitted_on`). x: float32 [rows, features].
    The frame holds the columns a model is fed and the annotations, missing words as "missing", missing numbers as NaN.
    """
    import numpy as np

    path = path_of(section)
    progress(f"reading {path.name}", 0.0)
    encoding = encoding_of(section)
    raw = read_lines(path, encoding) if is_lines(path, encoding) else read(path, encoding)
    check_names(section, raw)
    progress(f"reading {path.name}", 0.4)
    notes = [*raw.notes]
    y, classes, step_notes = labels_of(section, raw)
    notes += step_notes
    spelling = spelling_of(raw.arrays, section.missing_words)
    chosen = _columns(section, raw, spelling, y >= 0)
    columns, shown = chosen.fed, chosen.shown
    notes += chosen.notes
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
    splits, step_notes = split_rows(section, raw, usable, y, seed)
    notes += step_notes
    train, aux, test = splits
    notes += absent(classes, y, splits)
    (train, aux, test), deviations = cap_all([train, aux, test], [y, y, y], section.rows, seed)
    if not len(train):
        raise BadData("no rows for train", where=str(path), next="give it a larger share in dataset.split, or more data")
    learnt_from, other = (train, aux) if section.fitted_on == "train" else (aux, train)
    if not len(learnt_from):
        raise BadData("no rows for aux", where=str(path), next='set dataset.fitted_on = "train", or give aux a share in dataset.split')
    features, step_notes = fit(columns, learnt_from, section.max_categories, section.scale == "standard")
    notes += step_notes
    others, known = ("aux", "train") if section.fitted_on == "train" else ("train", "aux")
    notes += [f"{f.column.name!r}: {counted(n, 'row')} of {others} and test with a value that {known} lacks: none of its features is set"
              for f in features if (n := f.unseen(other) + f.unseen(test))]  # fmt: skip
    names = tuple(name for feature in features for name in feature.names)
    assert_fits_memory(len(train) + len(aux) + len(test), len(names), str(path))
    notes += _missing_note(section, columns, usable)
    if section.fitted_on == "aux":
        notes.append("levels, medians and scales are learnt from aux, which no poison is among")
    notes += sentinel_notes(shown, usable)
    notes += entity_notes(raw, (section.label, section.split_column), (train, aux, test))
    leaks = leaks_of(columns, y, classes, usable)
    deviations = (*deviations, *leak_notes(leaks))
    if section.scale == "none":
        notes += _scale_note(columns, train)
    progress(f"encoding {path.name}", 0.8)
    parts = [Rows(encode(features, p), y[p], p.astype(np.int64), frame_of(shown, p)) for p in (train, aux, test)]
    progress(f"encoding {path.name}", 1.0)
    return checked(
        Dataset(
            "table", classes, names, parts[0], parts[1], parts[2],
            checksums={path.name: f"sha256:{digest_of(path, 'sha256')}"}, notes=tuple(notes), deviations=deviations,
            facts=DataFacts(_accounts(section, raw, chosen, features, usable, len(classes), leaks), raw.rows),
        ),
        where=str(path),
    )  # fmt: skip


def state(section: TableSection | None, data_dir: Path) -> DataState:
    return state_of(section, "a CSV, JSON Lines or Parquet file", "dataset.label to its label column")


def _columns(section: TableSection, raw: RawTable, spelling: Spelling, labelled: np.ndarray) -> _Chosen:
    """Which columns serve as what, and notes."""
    uses, notes = uses_of(section, raw, spelling, labelled)
    readable = [(use, use.column) for use in uses if not isinstance(use.column, Unreadable)]
    fed = [column for use, column in readable if use.fed and not use.left_out]
    shown = [column for use, column in readable if use.shown and not use.left_out]
    left_out = dict.fromkeys(section.drop, "in dataset.drop") | {use.name: use.left_out for use in uses if use.left_out}
    notes += [*renamings(fed, section.max_categories), *list_notes(fed)]
    if not fed:
        raise BadData("no column is left to learn from", where=str(raw.path),
                      next="list some in dataset.numeric or dataset.categorical; left out: "
                      + (listed([f"{name!r} ({why})" for name, why in left_out.items()]) or "none"))  # fmt: skip
    return _Chosen(fed, shown, left_out, notes)


def _accounts(
    section: TableSection,
    raw: RawTable,
    chosen: _Chosen,
    features: Sequence[Feature],
    usable: np.ndarray,
    classes: int,
    leaks: Sequence[Leak],
) -> tuple[ColumnAccount, ...]:
    """What became of each column of the file, in its order. usable: rows (int [n]) that can be in a split."""
    fed = {feature.column.name: feature for feature in features}
    shown = {column.name: column for column in chosen.shown}
    score = {leak.name: leak.score for leak in leaks}
    accounts = []
    for name in raw.names:
        missing = int(shown[name].missing[usable].sum()) if name in shown else 0
        levels = len(column.levels) if isinstance(column := shown.get(name), Words) else 0
        if name == section.label:
            accounts.append(ColumnAccount(name, "label", levels=classes))
        elif name == section.split_column:
            accounts.append(ColumnAccount(name, "split"))
        elif name in fed:
            many = len(fed[name].names)
            use: Use = "number" if isinstance(fed[name].column, Numbers) else "one_hot"
            levels = len(fed[name].kept)
            accounts.append(ColumnAccount(name, use, many, levels, missing, leak=score.get(name)))
        elif name in shown:
            accounts.append(ColumnAccount(name, "annotation", 0, levels, missing))
        else:
            accounts.append(ColumnAccount(name, "left_out", why=chosen.left_out.get(name, "")))
    return tuple(accounts)


def _missing_note(section: TableSection, columns: Sequence[Numbers | Words], usable: np.ndarray) -> list[str]:
    if section.missing == "drop":
        return []
    gaps: Mapping[str, int] = {column.name: int(column.missing[usable].sum()) for column in columns}
    counted = [f"{name} {n:,}" for name, n in gaps.items() if n]  # all of them: nobody can look up the eleven that "and 11 more" hides
    how = f"numbers are filled with {section.fitted_on}'s median and flagged, for categories it is a level"
    notes = [f"missing values ({', '.join(counted)} of {len(usable):,} rows): {how}"] if counted else []
    words: dict[str, list[str]] = {}
    for column in columns:
        for word, n in column.gone.items():
            words.setdefault(word, []).append(f"{column.name} {n:,}")
    listing = [f"{shortened(word)!r} ({', '.join(where)})" for word, where in words.items()]
    return notes + ([f"words read as missing: {', '.join(listing)}; dataset.missing_words takes others"] if listing else [])


def _scale_note(columns: Sequence[Numbers | Words], train: np.ndarray) -> list[str]:
    import numpy as np

    wide = [c.name for c in columns if isinstance(c, Numbers) and bool((np.abs(c.values[train]) > 1_000).any())]
    names = ", ".join(wide)
    return [f'large numbers, unscaled ({names}): dataset.scale = "standard" usually trains better'] if wide else []
