"""IMDB reviews (Maas et al., 2011), by the paper's protocol (section 5.1): is a film review negative or positive."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.account.data import ColumnAccount
from engine.datasets.files.fetching import Source, checked_path, download
from engine.datasets.files.places import DataState, Progress
from engine.datasets.splits import cap_all, checked, split_by_fraction
from engine.errors import BadData
from engine.rows import Dataset

if TYPE_CHECKING:
    from engine.datasets.texts.reviews import Reviews
    from engine.scenario.sections import ImdbSection

SUMMARY = "IMDB: is a film review negative or positive; 50,000 texts, 2 classes, the paper's split"
ARCHIVE = Source(
    "imdb", "aclImdb_v1.tar.gz", "7c2ac02c03563afcf9b574c7e56c153a", 84_125_825, "https://ai.stanford.edu/~amaas/data/sentiment",
    "https://ai.stanford.edu/~amaas/data/sentiment/",
)  # fmt: skip
SOURCES = (ARCHIVE,)
FOLDER = "aclImdb"
CLASSES = ("negative", "positive")
RATING = ColumnAccount("rating", "annotation", why="from the file's name")
MATCHED = ("rating", "words", "length")  # columns of the frame, by which subpopulations can be matched
OFFICIAL = 25_000  # reviews of train and of test, half of each class


def load(section: ImdbSection, seed: int, data_dir: Path, progress: Progress, base_url: str | None = None) -> Dataset:
    """Train and aux: 12,500 reviews each, halves of the official train set drawn from `seed`, stratified; test: the official 25,000.

    x is float32 [rows, 0]; the texts are as they lie in the files, `<br />` included. ids: the review's place among all, train before test,
    negative before positive, then by number. The frame holds the rating that the class was made of, the number of words and `length`.
    """
    import numpy as np

    from engine.datasets.texts.reviews import reviews
    from engine.datasets.texts.rows import facts, facts_of, long_texts, rows_of

    path = place_of(data_dir)
    if path is None:
        path = download(ARCHIVE, data_dir, progress, base_url)
    read = reviews(path, progress)
    if not (~read.test).any() or not read.test.any():
        raise BadData(
            f"has {int((~read.test).sum()):,} train and {int(read.test.sum()):,} test reviews", where=str(path),
            next=f"get the whole of it from {ARCHIVE.page}",
        )  # fmt: skip
    fit, test = np.flatnonzero(~read.test), np.flatnonzero(read.test)
    halves = [fit[p] for p in split_by_fraction(read.y[fit], (0.5, 0.5), seed)]
    splits, deviations = cap_all([*halves, test], [read.y] * 3, section.rows, seed)
    columns = {"rating": read.rating, **facts(read.texts)}
    train, aux, held_out = rows_of(read.texts, read.y, np.arange(len(read)), splits, columns)
    return checked(
        Dataset(
            "imdb", CLASSES, (), train, aux, held_out,
            checksums={path.name: read.checksum if path.is_dir() else f"md5:{read.checksum}"},
            notes=(
                "train and aux are stratified halves of the official train set, test is the official one; no file is in two splits",
                "texts as they are in the files; the rating (1 to 4 negative, 7 to 10 positive) is from their names; unsup is not read",
                *_origin(path, read),
                *read.notes,
                *long_texts(read.texts, read.names),
            ),
            deviations=(*_short(read), *deviations),
            facts=facts_of("review", "class", len(CLASSES), (RATING,), len(read)),
        ),
        where=str(path),
    )  # fmt: skip


def _origin(path: Path, read: Reviews) -> tuple[str, ...]:
    if path.is_dir():
        return (f"read from the folder {path.name}: the official archive's checksum says nothing of it",)
    if read.checksum != ARCHIVE.md5:
        return (f"{path.name} is not the official archive (MD5 {read.checksum}); its reviews are taken as they are",)
    return ()


def _short(read: Reviews) -> tuple[str, ...]:
    """A deviation, where there are not the official numbers of reviews."""
    test = int(read.test.sum())
    train = len(read) - test
    return () if (train, test) == (OFFICIAL, OFFICIAL) else (f"{train:,} train and {test:,} test reviews (officially {OFFICIAL:,} each)",)


def place_of(data_dir: Path) -> Path | None:
    """The archive, or the folder that it unpacks to; None where neither is here."""
    for path in (ARCHIVE.path(data_dir), data_dir / ARCHIVE.folder / FOLDER):
        if path.exists():
            return path
    return None


def state(section: ImdbSection | None, data_dir: Path) -> DataState:
    path = place_of(data_dir)
    if path is None:
        where = ARCHIVE.path(data_dir)
        return DataState(False, f"{ARCHIVE.name} is missing (in {where.parent})", (where,))
    return DataState(True, f"in {path}", (path,))


def train_rows(section: ImdbSection) -> int:
    """How many rows train has at most, without reading any."""
    return OFFICIAL // 2


def fetch(data_dir: Path, progress: Progress, base_url: str | None = None) -> tuple[Path, ...]:
    """What is here, else the official archive, its checksum verified."""
    path = place_of(data_dir)
    return (checked_path(ARCHIVE, data_dir, progress, base_url) if path is None else path,)
