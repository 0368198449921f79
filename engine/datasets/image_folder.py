"""One's own pictures: a folder with one folder of pictures a class, or with train, aux and test folders that each have these."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.account.data import ColumnAccount
from engine.datasets.files.archives import readable
from engine.datasets.files.places import DataState, Progress
from engine.datasets.pictures.decoding import LeftOut
from engine.datasets.splits import SPLITS, aux_of_train, cap_all, checked, held_out, split_by_fraction, split_named
from engine.datasets.wording import counted, listed
from engine.errors import BadData, MissingData, nearest
from engine.rows import Dataset

if TYPE_CHECKING:
    import numpy as np

    from engine.datasets.pictures.decoded import Pictures
    from engine.scenario.sections import ImageFolderSection

SUMMARY = "one's own pictures, a folder a class: set dataset.path"
SIZE = 64
MOST_CLASSES = 256  # a predicted class is stored in one byte


def load(section: ImageFolderSection, seed: int, data_dir: Path, progress: Progress, base_url: str | None = None) -> Dataset:
    """All pictures in class folders, split by `section.split` or by the folders they lie in. x is images, uint8 [rows, size, size, 3].

    Classes are the folders' names, sorted. Where there are train and test folders and no aux, train is divided in the split's proportion.
    ids: the picture's place among the sorted paths of all that can be used. The frame holds the annotations, if any, the class and traits.
    """
    import numpy as np

    from engine.datasets.pictures.annotations import read_annotations
    from engine.datasets.pictures.decoded import decoded
    from engine.datasets.pictures.rows import facts_of, rows_of
    from engine.datasets.pictures.sources import folder_of_pictures

    path = _path(section)
    homes, folder_notes = split_folders(path)
    source = folder_of_pictures(path, _naming(homes), within=tuple(homes) or ("",), deep=True)
    pictures = decoded("image_folder-split" if homes else "image_folder", source, section.image_size or SIZE, progress)
    classes, y = _classes(section, path, pictures, homes)
    splits, notes = _split(section, pictures, homes, y, seed)
    notes = (*folder_notes, *notes)
    columns: dict[str, np.ndarray] = {}
    annotated: tuple[ColumnAccount, ...] = ()
    checksums = dict(pictures.checksums)
    if section.annotations_file is not None:
        columns, checksum, annotation_notes, annotated = read_annotations(
            section.annotations_file.expanduser(), [readable(name) for name in pictures.names]
        )
        checksums[section.annotations_file.name] = checksum
        notes += annotation_notes
    splits, deviations = cap_all(splits, [y, y, y], section.rows, seed)
    absent = [
        f"no {split} rows of class {', '.join(classes[c] for c in gone)}"
        for split, rows in zip(SPLITS, splits, strict=True)
        if len(gone := np.setdiff1d(np.arange(len(classes)), y[rows]))
    ]
    rows = rows_of(pictures, y, classes, splits, columns)
    notes = (f"{counted(len(pictures), 'picture')} of {len(classes)} classes in {path.name}", *notes, *absent, *pictures.notes)
    facts = facts_of(pictures, classes, annotated)
    dataset = Dataset("image_folder", classes, (), *rows, checksums=checksums, notes=notes, deviations=deviations, facts=facts)
    return checked(dataset, where=str(path))


def state(section: ImageFolderSection | None, data_dir: Path) -> DataState:
    if section is None:
        return DataState(False, "set dataset.path to a folder that has one folder of pictures a class")
    path = _path(section)
    if not path.is_dir():
        return DataState(False, f"{path}: {'not a folder' if path.exists() else 'there is no such folder'}", (path,))
    if section.annotations_file is not None and not (file := section.annotations_file.expanduser()).is_file():
        return DataState(False, f"{file}: there is no such file (dataset.annotations_file)", (path, file))
    return DataState(True, f"in {path}", (path,))


def _path(section: ImageFolderSection) -> Path:
    return section.path.expanduser()


def split_folders(path: Path) -> tuple[dict[str, str], list[str]]:
    """Folder (below `path`) -> split, where the folder has train and test folders; empty where its folders are classes. Notes.

    Validation is the test set where there is no other, and left out beside one. A split's folder may hold one folder of its own name.
    """
    names = _folders(path)
    named = {name: split for name in names if (split := split_named(name))}
    homes, notes = held_out(named)
    if "train" not in named.values() or not {"train", "test"} <= set(homes.values()):
        if named and len(named) == len(names):
            raise BadData(f"has the folders {', '.join(map(readable, names))}, which are no classes, and not both train and test",
                          where=str(path), next="add the other, or set dataset.path to the one that has class folders")  # fmt: skip
        return {}, []
    if others := [readable(name) for name in names if name not in named]:
        raise BadData(f"has, beside train and test, the folders {listed(others, 5)}", where=str(path),
                      next="keep train, aux and test alone, or class folders alone")  # fmt: skip
    if len(set(homes.values())) < len(homes):
        raise BadData(f"has two folders for one split: {', '.join(homes)}", where=str(path), next="keep one of each")
    return {_inner(path, name): split for name, split in homes.items()}, notes


def most_train_rows(section: ImageFolderSection, files: Mapping[str, int]) -> int:
    """How many rows train has at most. files: by the split whose folder they lie in, or all under "" where folders are classes."""
    if "train" not in files:
        return round(section.split[0] * files[""])
    if "aux" in files:
        return files["train"]
    return round(section.split[0] / (section.split[0] + section.split[1]) * files["train"])


def _folders(path: Path) -> list[str]:
    """Names of the folders in it that are not hidden, sorted."""
    try:
        return sorted(entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith("."))
    except FileNotFoundError as error:
        raise MissingData("there is no such folder", where=str(path), next="correct dataset.path") from error
    except OSError as error:
        raise BadData(f"cannot be read: {error.strerror}", where=str(path), next="set dataset.path to a folder of class folders") from error


def _inner(path: Path, name: str) -> str:
    """The folder of a split's class folders: its own, or the only one in it where that names the same split (seg_train/seg_train)."""
    within = _folders(path / name)
    return f"{name}/{within[0]}" if len(within) == 1 and split_named(within[0]) == split_named(name) else name


def _home(name: str, homes: Mapping[str, str]) -> str:
    """The split's folder in which a picture lies."""
    return next(home for home in homes if name.startswith(f"{home}/"))


def _naming(homes: Mapping[str, str]):  # type: ignore[no-untyped-def]  # -> Naming
    """A picture's path below the folder is its name; LeftOut for what is hidden or in no class folder."""

    def name(path: str) -> str:
        parts = path.split("/")
        if parts[-1].startswith(".") or parts[-1] in ("Thumbs.db", "desktop.ini"):
            raise LeftOut("a hidden file")
        if len(parts) < 2 + (_home(path, homes).count("/") + 1 if homes else 0):
            raise LeftOut("in no class folder")
        return path

    return name


def _classes(section: ImageFolderSection, path: Path, pictures: Pictures, homes: Mapping[str, str]) -> tuple[tuple[str, ...], np.ndarray]:
    """The classes, `positive` last, and each picture's, int64 [pictures]: by the folder below its split's, or by the first one."""
    import numpy as np

    of_row = [readable(name[len(_home(name, homes)) + 1 if homes else 0 :].split("/")[0]) for name in pictures.names]
    classes = sorted(set(of_row))
    if not 2 <= len(classes) <= MOST_CLASSES:
        have = "no pictures in class folders" if not classes else f"pictures of {counted(len(classes), 'class')}"
        have = have.replace("classs", "classes") + (f" only ({classes[0]!r})" if len(classes) == 1 else "")
        skipped = f"; {'; '.join(pictures.notes[:3])}" if pictures.notes else ""
        raise BadData(
            f"has {have}", where=str(path), next=f"it needs 2 to {MOST_CLASSES} folders, one a class, with pictures in each{skipped}"
        )
    if section.positive is not None:
        if section.positive not in classes:
            near = nearest(section.positive, classes)
            raise BadData(f"has no class {section.positive!r}", where=str(path),
                          next=f"did you mean {near!r}?" if near else f"set dataset.positive to one of: {listed(classes)}")  # fmt: skip
        classes = [name for name in classes if name != section.positive] + [section.positive]
    number = {name: place for place, name in enumerate(classes)}
    return tuple(classes), np.array([number[name] for name in of_row], np.int64)


def _split(
    section: ImageFolderSection, pictures: Pictures, homes: Mapping[str, str], y: np.ndarray, seed: int
) -> tuple[Sequence[np.ndarray], tuple[str, ...]]:
    """Sorted positions of train, aux and test, int64 [rows] each."""
    import numpy as np

    if not homes:
        return split_by_fraction(y, section.split, seed), ()
    home = np.array([SPLITS.index(homes[_home(name, homes)]) for name in pictures.names])
    train, aux, test = (np.flatnonzero(home == place) for place in range(3))
    if "aux" in homes.values():
        return (train, aux, test), ("split by the folders train, aux and test",)
    train, aux, how = aux_of_train(train, y, section.split, seed)
    division = how.replace("of train", "of the train folder's pictures")
    return (train, aux, test), (f"no aux folder: {division}",)
