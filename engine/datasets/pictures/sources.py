"""Where picture files come from: a folder, or a tar archive that is read as a stream.

Nothing of an archive is ever written to disk, so a member's path can do no harm: it is only a name. An archive that is cut off,
damaged or goes on after its end is refused whole.
"""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, cast

from engine.datasets.files.fetching import digest_of
from engine.datasets.pictures.decoding import MOST_BYTES, Block, LeftOut, Leftovers, Member, decode
from engine.errors import BadData

Naming = Callable[[str], str]  # a member's path -> the name it goes by; LeftOut where it is none of the dataset's

TOO_LARGE = f"larger than {MOST_BYTES // 1_000_000} MB"
TWICE = "named twice"
MOST_NAME_BYTES = 1 << 20  # of a tar header that holds nothing but a long name


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
    """Picture files in a folder and the folders in it. files: (path below `path`, bytes, mtime in ns), sorted."""

    path: Path
    naming: Naming
    files: tuple[tuple[str, int, int], ...]

    @property
    def label(self) -> str:
        return self.path.name

    @property
    def key(self) -> str:
        return f"folder {self.path.resolve()} {self.files}"

    @property
    def checksum(self) -> None:
        return None

    def blocks(self, size: int, left: Leftovers) -> Generator[Block, None, None]:
        return decode(self._members(left), size, left)

    def _members(self, left: Leftovers) -> Iterator[Member]:
        seen: set[str] = set()
        for place, (path, size, _) in enumerate(self.files, 1):
            name = _name(path, self.naming, seen, left)
            if name is not None and size > MOST_BYTES:
                left.add(TOO_LARGE, path)
            elif name is not None:
                yield name, lambda path=path: _bytes_of(self.path / path), place / len(self.files)  # type: ignore[misc]


def folder_of_pictures(path: Path, naming: Naming, within: tuple[str, ...] = ("",)) -> FolderOfPictures:
    """What lies in the folder, or in the folders `within` it. Links are followed, each folder once. BadData where it cannot be read."""
    files: list[tuple[str, int, int]] = []
    seen: set[tuple[int, int]] = set()

    def stop(error: OSError) -> None:
        raise BadData(f"cannot be read: {error.strerror}", where=str(error.filename), next="check the folder's permissions") from error

    for start in within:
        for here, folders, names in os.walk(path / start, followlinks=True, onerror=stop):
            kept = []
            for folder in sorted(folders):
                there = os.stat(os.path.join(here, folder))
                if (there.st_dev, there.st_ino) not in seen and not folder.startswith("."):
                    seen.add((there.st_dev, there.st_ino))
                    kept.append(folder)
            folders[:] = kept
            for name in names:
                file = Path(here) / name
                try:
                    stat = file.stat()
                    files.append((file.relative_to(path).as_posix(), stat.st_size, stat.st_mtime_ns))
                except OSError:  # a link to nothing, or gone meanwhile: told when it is read
                    files.append((file.relative_to(path).as_posix(), 0, 0))
    return FolderOfPictures(path, naming, tuple(sorted(files)))


def tar_members(path: Path, wanted: Callable[[str], bool], left: Leftovers) -> Iterator[tuple[str, bytes, float]]:
    """(path, bytes, share of the archive read) of each wanted file, in the archive's order. BadData where the archive is not whole."""
    try:
        with path.open("rb") as raw:
            size = max(1, os.fstat(raw.fileno()).st_size)
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            stream = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if zipped else raw
            with tarfile.open(fileobj=stream, mode="r|", tarinfo=_StrictInfo, errors="replace") as tar:
                for member in tar:
                    if member.isdir() or not wanted(member.name):
                        continue
                    if not member.isreg():
                        left.add("a link or a device, not a file", member.name)
                    elif member.size > MOST_BYTES:
                        left.add(TOO_LARGE, member.name)
                    elif (file := tar.extractfile(member)) is not None:
                        yield member.name, file.read(), raw.tell() / size
            while rest := stream.read(1 << 20):  # to its end, where gzip's own checksum is compared
                if rest.strip(b"\0"):
                    raise tarfile.ReadError("there is more after its end")
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise BadData(
            f"cannot be read as a tar archive: {error}", where=str(path), next="is it whole? delete or move it, and get it again"
        ) from error


class _StrictInfo(tarfile.TarInfo):
    """A header that is damaged or cut off is an error; tarfile by itself takes it for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _StrictInfo:
        try:
            info = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # two blocks of zeros: the end as it should be
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"a damaged header ({error})") from error
        names = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
        if info.type in names and info.size > MOST_NAME_BYTES:  # it would be read into memory
            raise tarfile.ReadError(f"a name of {info.size:,} bytes")
        return info


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
