"""Members of archives, one after another, and what of them is left out."""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from engine.datasets.files.places import require_file
from engine.datasets.wording import counted, shortened
from engine.errors import BadData

MOST_BYTES = 200_000_000  # of one file
EXAMPLES = 3  # names kept of those left out for one reason


def readable(name: str) -> str:
    """A file's name as text that can be printed and stored: what is not UTF-8 in it is replaced."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


@dataclass
class Leftovers:
    """Files that are not used: reason -> how many, and the first names. used: notes on those that are."""

    count: dict[str, int] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    used: tuple[str, ...] = ()

    def add(self, why: str, name: str) -> None:
        self.count[why] = self.count.get(why, 0) + 1
        some = self.names.setdefault(why, [])
        if len(some) < EXAMPLES:
            some.append(shortened(readable(name), 80))

    def notes(self) -> tuple[str, ...]:
        """One line a reason."""
        return tuple(
            f"left out, {why}: {counted(n, 'file')} ({', '.join(self.names[why])}{', ...' if n > len(self.names[why]) else ''})"
            for why, n in sorted(self.count.items())
        )


TOO_LARGE = f"larger than {MOST_BYTES // 1_000_000} MB"
MOST_NAME_BYTES = 1 << 20  # of a tar header that holds nothing but a long name


def tar_members(path: Path, wanted: Callable[[str], bool], left: Leftovers) -> Iterator[tuple[str, bytes, float]]:
    """(path, bytes, share of the archive read) of each wanted file, in the archive's order. BadData where the archive is not whole."""
    require_file(path)
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
