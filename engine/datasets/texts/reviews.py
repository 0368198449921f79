"""The reviews of an IMDB archive or folder, read in one pass and kept in the cache folder as one Arrow file, whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import TYPE_CHECKING

from engine.datasets.files.archives import Leftovers, tar_members
from engine.datasets.files.fetching import md5_of
from engine.datasets.files.places import Progress
from engine.datasets.pictures.sources import TWICE
from engine.datasets.texts.rows import some
from engine.datasets.wording import counted
from engine.errors import BadData
from engine.system import cache
from engine.system.filesystem import cache_dir

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

FORMAT = 2  # raise it when the same files would be read otherwise
PART, STALE_S = ".part", 3600.0  # an unfinished file not written to for so long has no writer left
NAME = re.compile(r"(?:.*/)?(train|test)/(pos|neg)/(\d+)_(\d+)\.txt")
ODD = re.compile(r"(?:.*/)?(?:train|test)/(?!unsup/)([^/]+)/[^/]+\.txt")  # a text, but of no class, or without a rating
CLASS_OF = {"neg": 0, "pos": 1}
LARGEST_RATING = 10
EMPTY, NO_CLASS = "empty", "in a folder that is neither pos nor neg"
NO_RATING, BAD_RATING = "no name of the form number_rating.txt", f"a rating that is not 1 to {LARGEST_RATING}"
REPORT_EVERY = 500  # reviews


@dataclass(frozen=True)
class Reviews:
    """Every labelled review, in the order of train before test, neg before pos, then its number.

    names as in the official tree ("train/neg/0_3.txt"); texts object, y int64 (1 is pos), rating int64 and test bool: [reviews].
    """

    names: tuple[str, ...]
    texts: np.ndarray
    y: np.ndarray
    rating: np.ndarray
    test: np.ndarray
    notes: tuple[str, ...]
    checksum: str

    def __len__(self) -> int:
        return len(self.names)


def reviews(path: Path, progress: Progress) -> Reviews:
    """What an archive (gzipped or not) or a folder holds; BadData where it cannot be read or holds no review."""
    if path.is_dir():
        files = _files(path)
        checksum, key = "", f"folder {path.resolve()} {files}"
    else:
        files, checksum = [], md5_of(path)
        key = f"archive {checksum}"
    kept = cache_dir() / "texts" / f"imdb-{md5(f'{FORMAT} {key}'.encode(errors='surrogateescape')).hexdigest()}.arrow"
    cache.use("texts", kept.name)
    table = _opened(kept)
    if table is None:
        if kept.exists():
            progress("the kept reviews are damaged on the disk: they are read again", 0.0)
        table = _read(path, files, progress)
        _keep(table, kept)
        cache.sweep()
    return _reviews(path, table, checksum)


def _reviews(path: Path, table: pa.Table, checksum: str) -> Reviews:
    import numpy as np

    names = tuple(table["name"].to_pylist())
    if not names:
        raise BadData(
            "holds no review", where=str(path), next="reviews are files such as train/pos/0_9.txt; get the official archive again"
        )
    about = json.loads(table.schema.metadata[b"about"])
    fields = [NAME.fullmatch(name) for name in names]
    parts = [match.groups() for match in fields if match is not None]
    assert len(parts) == len(names)
    return Reviews(
        names,
        table["text"].to_numpy(),
        np.array([CLASS_OF[kind] for _, kind, _, _ in parts], np.int64),
        np.array([int(rating) for *_, rating in parts], np.int64),
        np.array([split == "test" for split, *_ in parts]),
        tuple(about["notes"]),
        checksum or about["content"],
    )


# ---- reading ---------------------------------------------------------------------------------------------------------


def _read(path: Path, files: list[tuple[str, int, int]], progress: Progress) -> pa.Table:
    """name and text of every review, sorted; notes and a checksum of the content in the schema's metadata."""
    import pyarrow as pa

    left = Leftovers()
    texts: dict[tuple[int, int, int, int], tuple[str, str]] = {}
    replaced: list[str] = []
    what = f"reading {path.name}"
    progress(what, 0.0)
    members = _folder_members(path, files, left) if path.is_dir() else tar_members(path, lambda member: _wanted(member, left), left)
    with contextlib.closing(members):  # type: ignore[type-var]  # both are generators
        for number, (member, data, done) in enumerate(members):
            place, name = _place(member)
            try:
                text = data.decode("utf-8")
            except UnicodeDecodeError:
                text = data.decode("utf-8", "replace")
                replaced.append(name)
            if place in texts:
                left.add(TWICE, name)
            elif not text.strip():
                left.add(EMPTY, name)
            else:
                texts[place] = (name, text)
            if number % REPORT_EVERY == 0:
                progress(what, min(1.0, done))
    progress(what, 1.0)
    ordered = [texts[place] for place in sorted(texts)]
    content = md5()
    for name, text in ordered:
        content.update(f"{name}\0{len(text)}\0{text}".encode())
    notes = list(left.notes())
    if replaced:
        notes.append(f"not UTF-8, read with the bytes in question replaced: {counted(len(replaced), 'review')} ({some(sorted(replaced))})")
    about = json.dumps({"notes": notes, "content": f"md5:{content.hexdigest()}"}).encode()
    arrays = [pa.array([pair[i] for pair in ordered], pa.large_string()) for i in (0, 1)]
    return pa.Table.from_arrays(
        arrays, schema=pa.schema([("name", pa.large_string()), ("text", pa.large_string())], metadata={"about": about})
    )


def _place(member: str) -> tuple[tuple[int, int, int, int], str]:
    """Where a review stands among all, and its name in the official tree."""
    match = NAME.fullmatch(member)
    assert match is not None
    split, kind, number, rating = match.groups()
    return (int(split == "test"), CLASS_OF[kind], int(number), int(rating)), f"{split}/{kind}/{number}_{rating}.txt"


def _wanted(member: str, left: Leftovers) -> bool:
    """Whether a file is a labelled review. What looks like one and is not is counted; the archive's other files are none of ours."""
    match, odd = NAME.fullmatch(member), ODD.fullmatch(member)
    if match is not None and 1 <= int(match[4]) <= LARGEST_RATING:
        return True
    if match is not None:
        left.add(BAD_RATING, member)
    elif odd is not None:
        left.add(NO_RATING if odd[1] in CLASS_OF else NO_CLASS, member)
    return False


def _files(path: Path) -> list[tuple[str, int, int]]:
    """(path below the folder, bytes, mtime in ns) of all that lies two levels down, sorted. BadData where it cannot be looked at."""
    files = []
    try:
        for split in ("train", "test"):
            for folder in os.scandir(path / split) if (path / split).is_dir() else ():
                if folder.is_dir() and folder.name != "unsup":
                    for file in os.scandir(folder.path):
                        stat = file.stat()
                        files.append((f"{split}/{folder.name}/{file.name}", stat.st_size, stat.st_mtime_ns))
    except OSError as error:
        raise BadData(
            f"cannot be read: {error.strerror}", where=str(error.filename or path), next="check the folder's permissions"
        ) from error
    return sorted(files)


def _folder_members(path: Path, files: list[tuple[str, int, int]], left: Leftovers) -> Iterator[tuple[str, bytes, float]]:
    for number, (name, *_) in enumerate(files, 1):
        if _wanted(name, left):
            if (path / name).exists() and not (path / name).is_file():
                left.add("no file", name)
                continue
            try:
                data = (path / name).read_bytes()
            except OSError as error:
                left.add(f"not readable ({error.strerror})", name)
                continue
            yield name, data, number / len(files)


# ---- the cache -------------------------------------------------------------------------------------------------------


def _opened(path: Path) -> pa.Table | None:
    """The table; None where there is none or it is not what was written: its digest stands behind it."""
    import pyarrow as pa

    try:
        data = memoryview(path.read_bytes())
        if cache.digest(data[: -cache.DIGEST_BYTES]) != data[-cache.DIGEST_BYTES :]:
            return None
        table: pa.Table = pa.ipc.open_file(pa.py_buffer(data[: -cache.DIGEST_BYTES])).read_all()
        table.validate(full=True)
        return table if table.column_names == ["name", "text"] and b"about" in (table.schema.metadata or {}) else None
    except (OSError, pa.ArrowException):
        return None


def _keep(table: pa.Table, path: Path) -> None:
    """Write it beside its place and move it there. A cache that cannot be written to costs only the next run's time."""
    import pyarrow as pa

    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for old in path.parent.glob(f".*{PART}"):
            if time.time() - old.stat().st_mtime > STALE_S:
                old.unlink(missing_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent)
        part = Path(name)
        stream = pa.BufferOutputStream()
        with pa.ipc.new_file(stream, table.schema) as writer:
            writer.write_table(table)
        data = memoryview(stream.getvalue())
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.write(cache.digest(data))
        part.chmod(0o644)
        os.replace(part, path)
    except (OSError, pa.ArrowException):
        pass
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
