"""CIFAR-10 (Krizhevsky, 2009), by the paper's protocol (section 5.1): the official archive, what it unpacks to, or an image tree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from engine.datasets.files import fetching
from engine.datasets.files.places import DataState, Progress
from engine.datasets.pictures.batches import CLASSES, FOLDER, MD5, SIDE, OfficialBatches, missing_in, unpacked
from engine.datasets.pictures.decoding import LeftOut
from engine.datasets.pictures.traits import WORDS
from engine.datasets.splits import cap_all, checked, split_by_fraction
from engine.errors import BadData, MissingData
from engine.rows import Dataset

if TYPE_CHECKING:
    from engine.datasets.pictures.sources import Source
    from engine.scenario.sections import Cifar10Section

SUMMARY = "CIFAR-10: 60,000 pictures of 32×32, 10 classes, the paper's split"
ARCHIVE = fetching.Source(
    "cifar10", "cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", 170_498_071, "https://www.cs.toronto.edu/~kriz",
    "https://www.cs.toronto.edu/~kriz/cifar.html",
)  # fmt: skip
SOURCES = (ARCHIVE,)
TRAIN_IMAGES, TEST_IMAGES = 50_000, 10_000
PACKED = ("*.tar.gz", "*.tgz", "*.tar")
MATCHED = ("class", *WORDS, "file")  # columns of the frame, by which subpopulations can be matched
NOT_IN_TREE = "not in train/<class>/ or test/<class>/"


@dataclass(frozen=True)
class Layout:
    """What is here. tree: pictures in class folders, packed or not, which are not the official archive's pixels (or not known to be)."""

    kind: Literal["archive", "unpacked", "packed tree", "tree"]
    path: Path


def load(section: Cifar10Section, seed: int, data_dir: Path, progress: Progress, base_url: str | None = None) -> Dataset:
    """Train and aux: stratified halves of the 50,000 training pictures; test: the 10,000. x is images, uint8 [rows, 32, 32, 3].

    ids: the picture's number in the official archive (batch 1 to 5, then the test batch), or in the tree's sorted names.
    """
    import numpy as np

    from engine.datasets.pictures.decoded import decoded
    from engine.datasets.pictures.rows import facts_of, rows_of

    layout = layout_of(data_dir)
    if layout is None:
        fetching.checked_path(ARCHIVE, data_dir, progress, base_url)
        layout = Layout("archive", ARCHIVE.path(data_dir))
    source, deviations = _source(layout, data_dir, progress)
    size = section.image_size or SIDE
    pictures = decoded("cifar10", source, size, progress)
    parts = [name.split("/") for name in pictures.names]
    y = np.array([CLASSES.index(part[-2]) for part in parts], np.int64)
    is_test = np.array([part[0] in ("test", "test_batch") for part in parts], bool)
    train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    if (len(train), len(test)) != (TRAIN_IMAGES, TEST_IMAGES):
        deviations += (f"{len(train):,} of {TRAIN_IMAGES:,} training and {len(test):,} of {TEST_IMAGES:,} test images are here",)
    if size != SIDE:
        deviations += (f"images brought to {size}×{size} (the paper's are {SIDE}×{SIDE})",)
    halves = [train[rows] for rows in split_by_fraction(y[train], (0.5, 0.5), seed)]
    splits, subset = cap_all([*halves, test], [y, y, y], section.rows, seed)
    rows = rows_of(pictures, y, CLASSES, splits, {})
    return checked(
        Dataset(
            "cifar10", CLASSES, (), *rows,
            checksums=pictures.checksums,
            notes=(
                f"{len(pictures):,} pictures from {layout.path.name}",
                "train and aux are stratified halves of the training images, test is the test images; no row is in two splits",
                *pictures.notes,
            ),
            deviations=(*deviations, *subset),
            facts=facts_of(pictures, CLASSES, ()),
        ),
        where=str(layout.path),
    )  # fmt: skip


def train_rows(section: Cifar10Section) -> int:
    """How many rows train has at most, without reading any."""
    return TRAIN_IMAGES // 2


def layout_of(data_dir: Path) -> Layout | None:
    """The best layout that is here: the official pixels before a tree."""
    folder = data_dir / ARCHIVE.folder
    if ARCHIVE.path(data_dir).exists():
        return Layout("archive", ARCHIVE.path(data_dir))
    if (folder / FOLDER).is_dir():
        return Layout("unpacked", folder / FOLDER)
    for pattern in PACKED:
        if packed := sorted(folder.glob(pattern)):
            return Layout("packed tree", packed[0])
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        return Layout("tree", folder)
    return None


def state(section: Cifar10Section | None, data_dir: Path) -> DataState:
    layout = layout_of(data_dir)
    if layout is None or layout.kind == "archive":
        archive = fetching.state_of(SOURCES, data_dir)
        also = "" if archive.present else "; an image tree, train/<class>/ and test/<class>/, will do"
        return DataState(archive.present, archive.detail + also, archive.files)
    if layout.kind == "unpacked" and (missing := missing_in(layout.path)):
        return DataState(False, f"{layout.path} lacks {', '.join(missing)}", tuple(layout.path / name for name in MD5))
    what = {"unpacked": "the unpacked archive", "packed tree": "an image tree, packed", "tree": "an image tree"}[layout.kind]
    return DataState(True, f"{what}, in {layout.path}", (layout.path,))


def fetch(data_dir: Path, progress: Progress, base_url: str | None = None) -> tuple[Path, ...]:
    """The official archive, verified, or the folder that it unpacks to. A tree does not stand in for it: its pixels are others."""
    layout = layout_of(data_dir)
    if layout is not None and layout.kind == "unpacked" and not missing_in(layout.path):
        return tuple(layout.path / name for name in MD5)
    try:
        return (fetching.checked_path(ARCHIVE, data_dir, progress, base_url),)
    except MissingData as error:
        if layout is None or "tree" not in layout.kind:
            raise
        raise MissingData(error.what, where=error.where, next=f"{error.next}; until then {layout.path} is used, an image tree") from error


def _source(layout: Layout, data_dir: Path, progress: Progress) -> tuple[Source, tuple[str, ...]]:
    """What to decode, and what makes it not the paper's data."""
    from engine.datasets.pictures.sources import archive_of_pictures, folder_of_pictures

    if layout.kind == "archive":
        progress(f"checking {layout.path.name}", 0.0)
        fetching.checked_path(ARCHIVE, data_dir)
        return OfficialBatches(layout.path, f"md5:{ARCHIVE.md5}"), ()
    if layout.kind == "unpacked":
        source, others = unpacked(layout.path)
        return source, ((f"CIFAR-10: {', '.join(others)} of {FOLDER} not the official file",) if others else ())
    deviation = ("CIFAR-10 from an image tree: not the official archive's pixels",)
    if layout.kind == "packed tree":
        if not layout.path.is_file():
            raise BadData("is a folder, not an archive", where=str(layout.path), next="move it away")
        return archive_of_pictures(layout.path, in_tree), deviation
    return folder_of_pictures(layout.path, in_tree, within=("train", "test")), deviation


def in_tree(path: str) -> str:
    """train/<class>/<file>, whatever folder the tree is in. LeftOut where it is not in one."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if len(parts) < 3 or ".." in parts or parts[-3] not in ("train", "test") or parts[-2] not in CLASSES or parts[-1].startswith("."):
        raise LeftOut(NOT_IN_TREE)
    return "/".join(parts[-3:])
