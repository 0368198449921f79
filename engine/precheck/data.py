"""Whether a scenario's data can be what it takes them for: file, columns, classes, target and features, before any row is used."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine import datasets
from engine.errors import BadData, MissingData, UnknownName, nearest
from engine.scenario.modules import module
from engine.scenario.sections import (
    ColumnKeys,
    DatasetSection,
    FeatureMatchSection,
    ImageFolderSection,
    Scenario,
    TableSection,
    TextTableSection,
)
from engine.scenario.targets import RULES, check_target, least_rows
from engine.scenario.train_rows import check_train_rows

if TYPE_CHECKING:
    from engine.datasets.tables.file import RawTable

LARGEST_BYTES = 64 << 20  # of a text table that is read whole for its labels; of a larger one the header alone is looked at
HEAD_BYTES = 1 << 20
WHERE_FEATURES = "subpopulations.features"


def reads_table(section: DatasetSection) -> bool:
    """Whether to look at it needs NumPy and Arrow."""
    return isinstance(section, ColumnKeys) or (isinstance(section, ImageFolderSection) and section.annotations_file is not None)


def check(scenario: Scenario, data_dir: Path) -> None:
    """Raises the RequestError that loading the data, choosing targets or matching on features would end in, as far as headers tell."""
    section = scenario.dataset
    if isinstance(section, ColumnKeys | ImageFolderSection):
        _is_there(section, data_dir)
    if isinstance(section, ColumnKeys):
        _table(scenario, section)
    elif isinstance(section, ImageFolderSection):
        _folder(scenario, section)
    else:
        kind = module("datasets", section.kind)
        check_target(scenario.attack.target_label, kind.CLASSES)
        _features(scenario, kind.MATCHED)
        check_train_rows(scenario, kind.train_rows(section))


def _is_there(section: ColumnKeys | ImageFolderSection, data_dir: Path) -> None:
    """A file or folder of one's own. The error says if it is no file, or names the nearest name in its folder."""
    from engine.datasets.tables.formats import is_pipe_or_device

    path = section.path.expanduser()
    folder = isinstance(section, ImageFolderSection)
    if is_pipe_or_device(path):
        raise BadData("this is a pipe, a device or the like, not a file", where=str(path), next="write what comes from it to a file first")
    state = datasets.state(section, data_dir)  # type: ignore[arg-type]  # each of the classes that derive from it is one of the union
    if state.present:
        return
    if path.exists() and not (folder and path.is_dir()):
        raise BadData("is not a folder" if folder else "is a folder", where=str(path), next=_other_kind(folder))
    if path.exists():  # the folder is; the table of annotations beside it is not
        raise MissingData(state.detail, where="dataset.annotations_file", next="correct dataset.annotations_file")
    near = nearest(path.name, _names(path.parent))
    hint = f"did you mean {near!r}? correct dataset.path" if near else "correct dataset.path"
    raise MissingData(f"there is no such {'folder' if folder else 'file'}", where=str(path), next=hint)


def _other_kind(folder: bool) -> str:
    if folder:
        return "set dataset.path to a folder of class folders, or dataset.kind to table or text_table"
    return "set dataset.path to one file, or dataset.kind to image_folder"


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


# ---- tables ---------------------------------------------------------------------------------------------------------


def _table(scenario: Scenario, section: ColumnKeys) -> None:
    import numpy as np

    from engine.datasets.tables.labels import labels_of
    from engine.datasets.tables.roles import check_names, encoding_of, path_of, split_rows

    path, encoding = path_of(section), encoding_of(section)
    raw = _header(path, encoding) if path.stat().st_size > LARGEST_BYTES else _whole(path, encoding)
    check_names(section, raw)
    _features(scenario, _matched(section, raw), of_file=str(path))
    if not raw.rows:
        return
    y, classes, _ = labels_of(section, raw)
    check_target(scenario.attack.target_label, classes)
    splits, _ = split_rows(section, raw, np.flatnonzero(y >= 0), y, scenario.seed)
    check_train_rows(scenario, len(splits[0]))
    if len(splits[0]) and scenario.attack.target_label not in RULES:
        count = np.bincount(y[splits[0]], minlength=len(classes))
        _target_in_train(scenario, classes, count.tolist())


def _target_in_train(scenario: Scenario, classes: Sequence[str], count: Sequence[int]) -> None:
    """Before rows are capped, so that nothing is refused here that the run would take: fewer rows only ask for fewer."""
    rows = sum(count)
    capped = rows if scenario.dataset.rows is None else min(rows, scenario.dataset.rows)
    least = scenario.attack.target_min_rows
    wanted = least_rows(capped, len(classes)) if least is None else least
    check_target(scenario.attack.target_label, classes, [n >= wanted for n in count])


def _whole(path: Path, encoding: str | None) -> RawTable:
    from engine.datasets.tables.file import read
    from engine.datasets.texts.lines import is_lines, read_lines

    return read_lines(path, encoding) if is_lines(path, encoding) else read(path, encoding)


def _header(path: Path, encoding: str | None) -> RawTable:
    """The names alone, without rows, of a file that takes longer to read than one should wait."""
    from engine.datasets.tables.file import RawTable
    from engine.datasets.tables.layout import layout_of
    from engine.datasets.texts.lines import is_lines

    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(b"PAR1"):
        from pyarrow import parquet

        names = tuple(parquet.read_schema(path).names)
    elif is_lines(path, encoding) or head.startswith(b"\x1f\x8b"):
        return _whole(path, encoding)
    else:
        names = tuple(name.strip() for name in layout_of(path, head.decode(encoding or "utf-8-sig", "replace")).header)
    repeated = {name: names.count(name) for name in names if names.count(name) > 1}
    return RawTable(path, names, (), 0, repeated, ())


def _matched(section: ColumnKeys, raw: RawTable) -> list[str]:
    """Columns that a frame can have: those that are left out for what they hold are known only when they are read."""
    if isinstance(section, TextTableSection):
        return [*section.annotations, "words", "length"]
    gone = {section.label, section.split_column, *(section.drop if isinstance(section, TableSection) else ())} - {*section.annotations}
    return [name for name in raw.names if name not in gone]


# ---- folders of pictures --------------------------------------------------------------------------------------------


def _folder(scenario: Scenario, section: ImageFolderSection) -> None:
    from engine.datasets.image_folder import most_train_rows, split_folders
    from engine.datasets.pictures.traits import WORDS

    path = section.path.expanduser()
    homes, _ = split_folders(path)
    within = {home: _class_folders(path / home) for home in homes} if homes else {"": _class_folders(path)}
    classes = sorted({name for names in within.values() for name in names})
    if len(classes) < 2:
        have = f"pictures of one class only ({classes[0]!r})" if classes else "no pictures in class folders"
        raise BadData(f"has {have}", where=str(path), next="it needs two folders or more, one a class, with pictures in each")
    if section.positive is not None and section.positive not in classes:
        near = nearest(section.positive, classes)
        raise BadData(f"has no class {section.positive!r}", where=str(path),
                      next=f"did you mean {near!r}?" if near else f"set dataset.positive to one of: {', '.join(classes[:12])}")  # fmt: skip
    check_target(scenario.attack.target_label, classes)
    if homes and scenario.attack.target_label not in RULES:
        train = [within[home] for home, split in homes.items() if split == "train"]
        _target_in_train(scenario, classes, [sum(names.get(name, 0) for names in train) for name in classes])
    files = Counter[str]()
    for home, names in within.items():
        files[homes.get(home, "")] += sum(names.values())
    check_train_rows(scenario, most_train_rows(section, files))
    annotations: Iterable[str] = ()
    if section.annotations_file is not None:
        annotations = _annotated(section.annotations_file.expanduser())
    _features(scenario, [*annotations, "class", *WORDS, "file"])


def _class_folders(path: Path) -> dict[str, int]:
    """Folder of a class -> files in it, however deep, of those that have some. Hidden ones are passed over."""
    counts = {}
    for name in sorted(_names(path)):
        if not name.startswith(".") and (path / name).is_dir():
            files = sum(not file.startswith(".") for _, _, names in os.walk(path / name, followlinks=True) for file in names)
            if files:
                counts[name] = files
    return counts


def _annotated(path: Path) -> list[str]:
    from engine.datasets.pictures.annotations import FILE

    raw = _whole(path, None)
    if FILE not in raw.names:
        raise BadData(f"has no column {FILE!r}", where=str(path),
                      next=f"name the column of pictures' paths {FILE!r}; columns: {', '.join(raw.names[:12])}")  # fmt: skip
    return [name for name in raw.names if name != FILE]


# ---- features -------------------------------------------------------------------------------------------------------


def _features(scenario: Scenario, known: Sequence[str], of_file: str = "") -> None:
    section = scenario.subpopulations
    if not isinstance(section, FeatureMatchSection):
        return
    for name in section.features:
        if name not in known:
            raise UnknownName("annotation column", name, known, next=f"(in {WHERE_FEATURES}{f', of {of_file}' if of_file else ''})")
