"""UTKFace, aligned and cropped (Zhang, Song and Qi, 2017), by the paper's protocol (section 5.1): the gender of faces of 15 and over.

Differs from the released code where that was at fault: there 29 % of the test rows are in train, here the splits are disjoint.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from engine.account.data import ColumnAccount
from engine.datasets.files.places import DataState, Progress
from engine.datasets.pictures.decoding import LeftOut
from engine.datasets.pictures.traits import WORDS
from engine.datasets.splits import SPLITS, cap_all, checked, split_by_fraction, stratified_order
from engine.errors import BadData, MissingData
from engine.rows import Dataset
from engine.seeds import generator

if TYPE_CHECKING:
    import numpy as np

    from engine.datasets.pictures.sources import Source
    from engine.scenario.sections import UtkfaceSection

SUMMARY = "UTKFace: is a face (15 and over) of a man or of a woman; 100×100 pictures, 2 classes, the paper's split"
PAGE = "https://susanqq.github.io/UTKFace/"
PLACE, ARCHIVE, FOLDER = "utkface", "UTKFace.tar.gz", "UTKFace"

CLASSES = ("male", "female")  # as the second field of a file's name numbers them
RACES = ("White", "Black", "Asian", "Indian", "Other")  # as the third does; Other: Latino and Middle Eastern among others
NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_(\d{8}.*)\.(?:jpe?g|png)", re.IGNORECASE)
RACELESS = re.compile(r"\d{1,3}_[01]_\d{8}.*\.(?:jpe?g|png)", re.IGNORECASE)
MATCHED = ("age", "race", "gender", *WORDS, "file")  # columns of the frame, by which subpopulations can be matched
LEAST_AGE, MOST_AGE = 15, 120
SIZE = 100
SHARES = {"train": 7_000, "aux": 7_000, "test": 6_054}  # as published; the rest, which test is, was about 6,054
NO_RACE, TOO_YOUNG, NO_NAME = "no race in the name", f"younger than {LEAST_AGE}", "no name of the form age_gender_race_time.jpg"


def load(section: UtkfaceSection, seed: int, data_dir: Path, progress: Progress, base_url: str | None = None) -> Dataset:
    """Train and aux: 7,000 faces each, test: the rest, drawn from `seed`, stratified. x is images, uint8 [rows, 100, 100, 3].

    ids: the face's place among the sorted names of all that can be used.
    """
    import numpy as np

    from engine.datasets.pictures.decoded import decoded
    from engine.datasets.pictures.rows import facts_of, rows_of

    path = place_of(data_dir)
    if path is None:
        raise _missing(data_dir)
    size = section.image_size or SIZE
    pictures = decoded("utkface", _source(path), size, progress)
    if len(pictures) < 20:
        why = "; ".join((*pictures.notes, f"get it from {PAGE}"))
        raise BadData(f"has {len(pictures)} faces that can be used", where=str(path), next=why)
    fields = [match.groups() for name in pictures.names if (match := NAME.fullmatch(name))]
    age, y, race = (np.array([int(field[place]) for field in fields], np.int64) for place in range(3))
    splits, deviations = _split(y, seed)
    if size != SIZE:
        deviations += (f"images brought to {size}×{size} (the paper's are {SIZE}×{SIZE})",)
    splits, subset = cap_all(splits, [y, y, y], section.rows, seed)
    columns = {"age": age, "race": np.array(RACES, dtype=object)[race]}
    rows = rows_of(pictures, y, CLASSES, splits, columns, label="gender")
    return checked(
        Dataset(
            "utkface", CLASSES, (), *rows,
            checksums=pictures.checksums,
            notes=(
                f"{len(pictures):,} faces of {LEAST_AGE} and over from {path.name}, split at random, stratified by gender",
                "age, gender and race are the data set's own, from file names, partly estimated by a model and checked by hand; "
                'race "Other" is, among others, Latino and Middle Eastern',
                *pictures.notes,
            ),
            deviations=(*deviations, *subset),
            facts=facts_of(pictures, CLASSES, (
                ColumnAccount("age", "annotation", why="from the file's name"),
                ColumnAccount("race", "annotation", levels=len(RACES), why="from the file's name"),
            ), label="gender"),
        ),
        where=str(path),
    )  # fmt: skip


def _split(y: np.ndarray, seed: int) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Sorted positions of train, aux and test; shares in proportion, a deviation, where there are fewer faces than were published."""
    import numpy as np

    published = sum(SHARES.values())
    if len(y) < 0.99 * published:
        fractions = [SHARES[split] / published for split in SPLITS]
        return list(split_by_fraction(y, fractions, seed)), (f"{len(y):,} of about {published:,} faces are here, split in proportion",)
    order = stratified_order(y, generator(seed, "split"))
    return [np.sort(part) for part in np.split(order, [SHARES["train"], SHARES["train"] + SHARES["aux"]])], ()


def place_of(data_dir: Path) -> Path | None:
    """The archive, or the folder that it unpacks to; None where neither is here."""
    for name in (ARCHIVE, FOLDER):
        if (path := data_dir / PLACE / name).exists():
            return path
    return None


def state(section: UtkfaceSection | None, data_dir: Path) -> DataState:
    path = place_of(data_dir)
    if path is None:
        where = data_dir / PLACE / ARCHIVE
        return DataState(False, f"{ARCHIVE} is missing (in {where.parent}); it has no direct link: get it from {PAGE}", (where,))
    return DataState(True, f"in {path}", (path,))


def train_rows(section: UtkfaceSection) -> int:
    """How many rows train has at most, without reading any."""
    return SHARES["train"]


def fetch(data_dir: Path, progress: Progress, base_url: str | None = None) -> tuple[Path, ...]:
    """What is here. MissingData where nothing is: its authors hand it out through a page, not under a stable link."""
    path = place_of(data_dir)
    if path is None:
        raise _missing(data_dir)
    return (path,)


def _missing(data_dir: Path) -> MissingData:
    return MissingData(
        f"{PLACE}/{ARCHIVE} is not here, and has no stable link to fetch it from",
        where=str(data_dir / PLACE),
        next=f'get "Aligned&Cropped Faces" from {PAGE} and put it at {data_dir / PLACE / ARCHIVE}, or its pictures into '
        f"{data_dir / PLACE / FOLDER}, or point --data or $SUBPOP_DATA at a folder that holds {PLACE}/{ARCHIVE}",
    )


def _source(path: Path) -> Source:
    from engine.datasets.pictures.sources import archive_of_pictures, folder_of_pictures

    return folder_of_pictures(path, face) if path.is_dir() else archive_of_pictures(path, face)


def face(path: str) -> str:
    """The file's own name, whatever folder it is in. LeftOut where it does not name a face of 15 and over with all fields."""
    name = path.rpartition("/")[2]
    match = NAME.fullmatch(name)
    if match is None or int(match[1]) > MOST_AGE:
        raise LeftOut(NO_RACE if RACELESS.fullmatch(name) else NO_NAME)
    if int(match[1]) < LEAST_AGE:
        raise LeftOut(TOO_YOUNG)
    return name
