"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from engine.errors import DiskFull, RequestError, SubpopError


def write_file(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write to a temporary file beside `path` and rename it; a device or pipe is written as it is."""
    with in_words(str(path)):
        real = Path(os.path.realpath(path.expanduser()))
        if real.exists() and not stat.S_ISREG(real.stat().st_mode):
            if real.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            with real.open("wb") as stream:
                write(stream)
            return
        part = real.parent / f".{real.name[:100]}.{secrets.token_hex(4)}.part"
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as stream:
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
            if real.exists():
                part.chmod(stat.S_IMODE(real.stat().st_mode))
            part.replace(real)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise


_NEXT = {
    errno.ENOSPC: "make room, or give another path; nothing was left behind",
    errno.EDQUOT: "make room within the quota, or give another path; nothing was left behind",
    errno.ENOENT: "make the folder first, or give another path",
    errno.ENOTDIR: "give a path inside a folder",
    errno.EISDIR: "give a file's path inside it",
    errno.EACCES: "give a path that you may write to",
    errno.EPERM: "give a path that you may write to",
    errno.EROFS: "give a path on a disk that can be written",
}


@contextlib.contextmanager
def in_words(where: str) -> Iterator[None]:
    """What the system refuses, in words: DiskFull where there is no room, else RequestError. A closed pipe is left as it is."""
    try:
        yield
    except (SubpopError, BrokenPipeError):
        raise
    except OSError as error:
        what = os.strerror(error.errno).lower() if error.errno else str(error)
        error_class = DiskFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else RequestError
        raise error_class(f"cannot be written: {what}", where=where, next=_NEXT.get(error.errno or 0, "give another path")) from error
