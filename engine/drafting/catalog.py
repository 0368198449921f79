"""A file's columns as the loader of its scenario reads and uses them: the same functions, without making rows of them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.datasets.splits import SPLITS
from engine.datasets.tables.columns import Unreadable
from engine.datasets.tables.file import RawTable
from engine.datasets.tables.labels import labels_of
from engine.datasets.tables.reading import read_label
from engine.datasets.tables.roles import array_of, check_names, encoding_of, split_rows
from engine.datasets.tables.suspects import list_notes, renamings, sentinel_notes
from engine.datasets.tables.uses import Used, asked_of, idle, uses_of
from engine.datasets.wording import counted
from engine.drafting import sniffing
from engine.drafting.columns import look_at
from engine.drafting.looks import Catalog, ColumnLook, Kind, Use
from engine.drafting.opening import Judged, Opener
from engine.errors import BadData, RequestError

if TYPE_CHECKING:
    import numpy as np

    from engine.scenario.sections import TableSection, TextTableSection

NO_LABEL = ""  # in the place of a section's label, which is never empty: a scenario that has none yet
LISTS = ("annotations", "numeric", "categorical", "drop")
FEW_ROWS = 200  # below which a split or a class may be left without any
FORMATS = {"csv": "csv", "parquet": "parquet", "json lines": "json lines"}


def under(path: str, text: str, folder: Path, opener: Opener) -> Catalog:
    """The file's columns under a scenario, whose TOML may be half right: what is wrong in its [dataset] is listed, and the rest holds.

    MissingData, BadData where the file cannot be read at all. folder: what a relative path is seen from.
    """
    try:
        tree = tomllib.loads(text)
    except ValueError:
        tree = {}
    dataset = tree.get("dataset")
    section, wrong = section_of(dataset if isinstance(dataset, dict) else {}, folder / Path(path).expanduser())
    matched = tree.get("subpopulations", {})
    features = matched.get("features", ()) if isinstance(matched, dict) else ()
    return catalog(path, section, opener, wrong, tuple(each for each in features if isinstance(each, str)))


def section_of(dataset: Mapping[str, Any], path: Path) -> tuple[TableSection | TextTableSection, list[str]]:
    """The dataset's section as far as its keys are right, under another path; what is wrong with the others."""
    from pydantic import ValidationError

    from engine.scenario.sections import TableSection, TextTableSection

    kind = TextTableSection if dataset.get("kind") == "text_table" else TableSection
    needed = {"label": NO_LABEL} | ({"text": NO_LABEL} if kind is TextTableSection else {})
    keys = {name: tuple(value) if isinstance(value, list) else value for name, value in dataset.items()}
    keys = {name: value for name, value in keys.items() if not (name in needed and value == NO_LABEL)}
    wrong = (
        [f"dataset.kind is {dataset['kind']!r}, and the file is a table"]
        if dataset.get("kind", "table") not in ("table", "text_table")
        else []
    )
    keys |= {"kind": kind.model_fields["kind"].default, "path": path}
    lacking = {name: value for name, value in needed.items() if name not in keys}
    for _ in range(len(keys) + 1):
        try:
            section = kind.model_validate({**keys, **dict.fromkeys(lacking, "-")}, strict=True)
            return section.model_copy(update=lacking), wrong
        except ValidationError as error:
            bad = {str(each["loc"][0]) for each in error.errors() if each["loc"]} & keys.keys()
            wrong += [f"dataset.{each['loc'][0]}: {each['msg']}" for each in error.errors() if each["loc"]]
            lacking |= {name: needed[name] for name in bad & needed.keys()}
            keys = {name: value for name, value in keys.items() if name not in bad}
    raise RequestError(f"the keys of [dataset] cannot be read: {'; '.join(wrong)}")


def catalog(
    shown: str, section: TableSection | TextTableSection, opener: Opener, wrong: Sequence[str] = (), matched: Sequence[str] = ()
) -> Catalog:
    """The columns of the section's file. shown: its path as it was given; wrong: what is known to be; matched: subpopulations' features."""
    import numpy as np

    from engine.scenario.sections import TableSection

    path = section.path.expanduser()
    form = sniffing.sniff(path)
    if form not in FORMATS:
        raise BadData(f"is {'a folder of pictures' if form == 'pictures' else 'a scenario'}, not a table", where=shown, next=sniffing.NEXT)
    raw = opener.open(path, encoding_of(section))
    section, faults = _with_known_names(section, raw)
    faults = [*wrong, *faults]
    notes = list(raw.notes)
    y = np.zeros(raw.rows, np.int64)
    classes: tuple[str, ...] = ()
    if section.label != NO_LABEL:
        try:
            y, classes, step_notes = labels_of(section, raw)
            notes += step_notes
        except BadData as error:
            faults.append(f"{error.what}; {error.next}")
    opener.judged = None
    if isinstance(section, TableSection):
        section, uses, step_notes, more = _uses(section, raw, opener, y >= 0)
        faults += more
        fed = [use.column for use in uses if use.fed and not isinstance(use.column, Unreadable)]
        usable = np.flatnonzero(y >= 0)
        if section.missing == "drop" and fed:
            usable = usable[~np.logical_or.reduce([column.missing[usable] for column in fed])]
        notes += [*step_notes, *renamings(fed, section.max_categories), *sentinel_notes(fed, usable)]
        if not fed:
            faults.append("no column is left to learn from")
        if classes:
            opener.judged = Judged(fed, y, classes, usable)
        notes += list_notes(fed)
    else:
        uses, usable = [], np.flatnonzero(y >= 0)
    if classes:
        faults += _too_few(section, raw, usable, y)
    by_name = {use.name: use for use in uses}
    columns = tuple(_look(section, raw, opener, name, by_name.get(name), matched) for name in raw.names)
    count = np.bincount(y[y >= 0], minlength=len(classes))
    sizes = tuple((name, int(n)) for name, n in zip(classes, count, strict=True)) if classes else ()
    kind: Kind = "table" if isinstance(section, TableSection) else "text_table"
    return Catalog(shown, form, kind, raw.rows, columns, tuple(notes), sizes, tuple(dict.fromkeys(faults)))


def _too_few(section: TableSection | TextTableSection, raw: RawTable, usable: np.ndarray, y: np.ndarray) -> list[str]:
    """What the loader would refuse so few rows for: a split without rows, or one class in train. Of many rows nothing is tried."""
    import numpy as np

    if len(usable) >= FEW_ROWS:
        return []
    try:
        splits, _ = split_rows(section, raw, usable, y, 0)
    except BadData as error:
        return [f"{error.what}; {error.next}"]
    lacking = [name for name, rows in zip(SPLITS, splits, strict=True) if not len(rows)]
    if lacking:
        return [f"{counted(len(usable), 'row')} of data: none is left for {' and '.join(lacking)}; a scenario needs more of them"]
    if len(np.unique(y[splits[0]])) < 2:
        return [f"{counted(len(usable), 'row')} of data: train has rows of one class only; a scenario needs more of them"]
    return []


def _with_known_names(section: Any, raw: RawTable) -> tuple[Any, list[str]]:
    """The section without columns that the file has not, and what the loader says of them."""
    try:
        check_names(section, raw) if section.label != NO_LABEL and getattr(section, "text", "-") != NO_LABEL else _check_others(
            section, raw
        )
    except BadData as error:
        known = set(raw.names) - raw.repeated.keys()
        changes: dict[str, Any] = {
            name: tuple(each for each in getattr(section, name, ()) if each in raw.names) for name in LISTS if hasattr(section, name)
        }
        changes |= {name: NO_LABEL for name in ("label", "text") if getattr(section, name, None) not in (*known, None)}
        if section.split_column not in known:
            changes["split_column"] = None
        return section.model_copy(update=changes), error.what.split("; ")
    return section, []


def _check_others(section: Any, raw: RawTable) -> None:
    """As `check_names`, of a scenario whose label or text is not known yet: any other column stands in for it."""
    taken = {name for key in LISTS for name in getattr(section, key, ())} | {
        section.label,
        getattr(section, "text", ""),
        section.split_column,
    }
    free = [name for name in raw.names if name not in taken and name not in raw.repeated]
    lacking = [key for key in ("label", "text") if getattr(section, key, None) == NO_LABEL]
    if len(free) >= len(lacking):
        check_names(section.model_copy(update=dict(zip(lacking, free, strict=False))), raw)


def _uses(
    section: TableSection, raw: RawTable, opener: Opener, labelled: np.ndarray
) -> tuple[TableSection, list[Used], list[str], list[str]]:
    """The loader's judgement; a column that cannot be what it is forced to be is reported, and judged as if it were not."""
    spelling = opener.spelling(section.missing_words)
    faults = []
    for name in (*section.numeric, *section.categorical):
        try:
            opener.read(name, array_of(raw, name), str(raw.path), asked_of(section, name), spelling)
        except BadData as error:
            faults.append(error.what)
            section = section.model_copy(
                update={key: tuple(each for each in getattr(section, key) if each != name) for key in ("numeric", "categorical")}
            )
    uses, notes = uses_of(section, raw, spelling, labelled, opener.read)
    return section, uses, notes, faults


def _look(section: Any, raw: RawTable, opener: Opener, name: str, used: Used | None, matched: Sequence[str]) -> ColumnLook:
    array = array_of(raw, name)
    column = used.column if used else opener.read(name, array, str(raw.path), None, opener.spelling(section.missing_words))
    use, why = _role(section, raw, name, used)
    key = (name, use == "label", asked_of(section, name) if used else None, section.missing_words)
    if key not in opener.looks:
        words = read_label(name, array, str(raw.path), section.missing_words) if use == "label" else column
        opener.looks[key] = look_at(words, array, column)
    return replace(opener.looks[key], use=use, why=why, matched=name in matched)


def _role(section: Any, raw: RawTable, name: str, used: Used | None) -> tuple[Use, str]:
    if name == section.label:
        return "label", ""
    if name == getattr(section, "text", None):
        return "text", ""
    if name == section.split_column:
        return "split", "says which rows are train, aux and test"
    if name in section.annotations:
        return "annotation", "fed to the model as well" if used is not None and used.fed else ""
    if name in getattr(section, "drop", ()):
        return "left out", "in dataset.drop"
    if used is None:
        assert name in idle(section, section.text, raw.names)
        return "left out", "no model of texts reads it"
    return ("left out", used.left_out) if used.left_out else ("feature", "")
