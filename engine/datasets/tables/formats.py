"""What a file is, by its first bytes, and its beginning as text. Nothing heavy is loaded."""

from __future__ import annotations

import codecs
import errno
import gzip
import stat
import zlib
from pathlib import Path
from typing import IO, Literal, cast

from engine.errors import BadData, MissingData

HEAD_BYTES = 1 << 20
OTHER_FORMATS = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"SQLite format 3": "an SQLite database",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"ARROW1": "an Arrow or Feather file",
    b"%PDF": "a PDF",
    b"\x93NUMPY": "a NumPy array",
}


def format_of(path: Path) -> Literal["parquet", "gzip", "text"]:
    """Whether it is Parquet, gzipped, or taken for text. MissingData where there is no file; BadData where it is known to be no table."""
    start = _first_bytes(path)
    if start.startswith(b"PAR1"):
        return "parquet"
    for magic, what in OTHER_FORMATS.items():
        if start.startswith(magic):
            raise BadData(f"this is {what}, not a CSV or a Parquet file", where=str(path), next="export it as CSV or Parquet")
    return "gzip" if start.startswith(b"\x1f\x8b") else "text"


def head_of(path: Path) -> tuple[str | None, bool]:
    """A text file's beginning, and whether that is all of it. None where it cannot be unpacked or has two bytes a character."""
    try:
        with open_bytes(path, format_of(path) == "gzip") as file:
            head = file.read(HEAD_BYTES)
            whole = not file.read(1)
    except (OSError, EOFError, zlib.error):
        return None, False
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in head:
        return None, False
    return head.decode("utf-8-sig", "replace"), whole


def open_bytes(path: Path, zipped: bool) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if zipped else path.open("rb")


def is_pipe_or_device(path: Path) -> bool:
    """Whether a path, or what it links to, is neither a file nor a folder: to open it may hang, to read it may never end."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _first_bytes(path: Path) -> bytes:
    if is_pipe_or_device(path):
        raise BadData("this is a pipe, a device or the like, not a file", where=str(path), next="write what comes from it to a file first")
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except FileNotFoundError as error:
        seen_from = "" if path.is_absolute() else f" (looked for from {Path.cwd()})"
        raise MissingData(f"there is no such file{seen_from}", where=str(path), next="correct dataset.path") from error
    except IsADirectoryError as error:
        raise BadData("this is a folder", where=str(path), next="set dataset.path to one CSV or Parquet file") from error
    except OSError as error:
        advice = "its links lead in a circle; give the file itself" if error.errno == errno.ELOOP else "check the file's permissions"
        raise BadData(f"cannot be read: {error.strerror}", where=str(path), next=advice) from error
    if not start:
        raise BadData("the file is empty", where=str(path), next="it needs a header row and rows of data")
    return start
