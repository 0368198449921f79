"""Where picture files come from: a folder, or a tar archive that is read as a stream.

Nothing of an archive is ever written to disk, so a member's path can do no harm: it is only a name. An archive that is cut off,
damaged or goes on after its end is refused whole.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.datasets.files.archives import MOST_BYTES, TOO_LARGE, Leftovers, tar_members
from engine.datasets.files.fetching import digest_of
from engine.datasets.pictures.decoding import FORMATS, MOST_PIXELS, Block, LeftOut, Member, decode
from engine.datasets.pictures.depth import Scales, scales_of
from engine.errors import BadData

Naming = Callable[[str], str]  # a member's path -> the name it goes by; LeftOut where it is none of the dataset's

TWICE = "named twice"
NO_FILE = -1  # in the place of a size: what would hang, or never end, where it is read


class Source(Protocol):
    """Pictures that can be decoded. `label` names it to a person; `key` differs where the decoded pictures may."""

    @property
    def label(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def checksum(self) -> str | None:
        """The source file's, "md5:..." or "sha256:..."; None for a folder, whose checksum is that of the files read."""

    def blocks(self, size: int, left: Leftovers) -> Generator[Block, None, None]: ...


@dataclass(frozen=True)
class ArchiveOfPictures:
    """A tar archive, gzipped or not, of picture files. `sha256` is the archive's, hexadecimal."""

    path: Path
    naming: Naming
    sha256: str

    @property
    def label(self) -> str:
        return self.path.name

    @property
    def key(self) -> str:
        return f"archive {self.sha256}"

    @property
    def checksum(self) -> str:
        return f"sha256:{self.sha256}"

    def blocks(self, size: int, left: Leftovers) -> Generator[Block, None, None]:
        return decode(self._members(left), size, left)

    def _members(self, left: Leftovers) -> Iterator[Member]:
        seen: set[str] = set()
        for path, data, done in tar_members(self.path, wanted=lambda path: _name(path, self.naming, seen, left) is not None, left=left):
            yield self.naming(path), lambda data=data: data, done  # type: ignore[misc]  # bound now, not when it is called


def archive_of_pictures(path: Path, naming: Naming) -> ArchiveOfPictures:
    return ArchiveOfPictures(path, naming, digest_of(path, "sha256"))


@dataclass(frozen=True)
class FolderOfPictures:
    """Picture files in a folder and the folders in it. files: (path below `path`, bytes, mtime in ns), sorted.

    Bytes are NO_FILE for what is none. deep: whether its pictures may have more than 8 bits; all are then looked at before one is scaled.
    """

    path: Path
    naming: Naming
    files: tuple[tuple[str, int, int], ...]
    deep: bool = False

    @property
    def label(self) -> str:
        return self.path.name

    @property
    def key(self) -> str:
        return f"folder {self.path.resolve()} {self.files}{' deep' if self.deep else ''}"

    @property
    def checksum(self) -> None:
        return None

    def blocks(self, size: int, left: Leftovers) -> Generator[Block, None, None]:
        scales: Scales = {}
        if self.deep:
            paths = (self.path / path for path, size, _ in self.files if 0 <= size <= MOST_BYTES)
            scales, left.used = scales_of(paths, FORMATS, MOST_PIXELS)
        return decode(self._members(left), size, left, scales)

    def _members(self, left: Leftovers) -> Iterator[Member]:
        seen: set[str] = set()
        for place, (path, size, _) in enumerate(self.files, 1):
            name = _name(path, self.naming, seen, left)
            if name is not None and size == NO_FILE:
                left.add("a pipe, a device or the like", path)
            elif name is not None and size > MOST_BYTES:
                left.add(TOO_LARGE, path)
            elif name is not None:
                yield name, lambda path=path: _bytes_of(self.path / path), place / len(self.files)  # type: ignore[misc]


def folder_of_pictures(path: Path, naming: Naming, within: tuple[str, ...] = ("",), deep: bool = False) -> FolderOfPictures:
    """What lies in the folder, or in the folders `within` it. Links are followed, each folder once. BadData where it cannot be read."""
    files: list[tuple[str, int, int]] = []
    seen: set[tuple[int, int]] = set()

    def stop(error: OSError) -> None:
        raise BadData(f"cannot be read: {error.strerror}", where=str(error.filename), next="check the folder's permissions") from error

    for start in within:
        for parent, folders, names in os.walk(path / start, followlinks=True, onerror=stop):
            kept = []
            for folder in sorted(folders):
                status = os.stat(os.path.join(parent, folder))
                if (status.st_dev, status.st_ino) not in seen and not folder.startswith("."):
                    seen.add((status.st_dev, status.st_ino))
                    kept.append(folder)
            folders[:] = kept
            for name in names:
                file = Path(parent) / name
                try:
                    status = file.stat()
                    size = status.st_size if stat.S_ISREG(status.st_mode) else NO_FILE
                    files.append((file.relative_to(path).as_posix(), size, status.st_mtime_ns))
                except OSError:  # a link to nothing, or gone meanwhile: told when it is read
                    files.append((file.relative_to(path).as_posix(), 0, 0))
    return FolderOfPictures(path, naming, tuple(sorted(files)), deep)


def _name(path: str, naming: Naming, seen: set[str], left: Leftovers) -> str | None:
    """The name it goes by, or None where it is left out, which is counted."""
    try:
        name = naming(path)
    except LeftOut as error:
        left.add(str(error), path)
        return None
    if name in seen:
        left.add(TWICE, path)
        return None
    seen.add(name)
    return name


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LeftOut(f"not readable ({error.strerror})") from error
