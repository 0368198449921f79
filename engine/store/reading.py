"""Opening a store that this process cannot write: on a read-only mount, another person's, on a full disk.

SQLite's write-ahead log needs a file of shared memory (-shm) beside the store. Where it is there, as while somebody works with the store,
it is read along; where there is none, and no log waits to be read, the file is all there is. Nothing is ever made beside somebody else's
store: a -shm of ours would shut its owner out. What must be written to be read (an older schema, a log without its -shm, tables of older
statistics) is written into a private copy, which ends with the connection.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from engine.errors import DiskFull
from engine.store import migrations

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

IN_MEMORY = Path("/dev/shm")  # where a copy goes when the disk has no room for it
Stamp = tuple[tuple[int, int] | None, ...]


def may_write(path: Path) -> bool:
    """Whether this process may write the file, and beside it. Tells read-only mounts too, to root as well."""
    effective = {"effective_ids": True} if os.access in os.supports_effective_ids else {}
    return os.access(path, os.W_OK, **effective) and os.access(path.parent, os.W_OK, **effective)


def connect(path: Path, **options: Any) -> tuple[sqlite3.Connection, bool] | None:
    """A connection that only reads the file, or None where that needs a copy: (connection, whether it sees what others commit).

    One that does not must be opened anew when the `stamp` changes.
    """
    db, live = _read_along(path, options), True
    if db is None and not _has_some(beside(path, "-wal")) and not _has_some(beside(path, "-journal")):
        db, live = _opened(path, "immutable=1", options), False
    if db is not None and migrations.version(db) < len(migrations.MIGRATIONS) and not migrations.foreign(db):
        db.close()
        return None
    return None if db is None else (db, live)


def stamp(path: Path) -> Stamp:
    """Changes whenever the store is written: size and time of its file and its log."""
    return tuple(_size_and_time(file) for file in (path, beside(path, "-wal")))


def private_copy(path: Path) -> TemporaryDirectory[str]:
    """A folder with a copy of the store as it is now, under its own name; it goes with the object. DiskFull where no place has room."""
    import tempfile

    full: OSError | None = None
    for place in (None, IN_MEMORY):
        try:
            folder = tempfile.TemporaryDirectory(prefix="subpop-store-", dir=place)
        except OSError as error:
            full = error
            continue
        try:
            _copy(path, Path(folder.name) / path.name)
        except OSError as error:
            folder.cleanup()
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            full = error
        except BaseException:
            folder.cleanup()
            raise
        else:
            return folder
    raise DiskFull(
        "can be read only from a copy, and there is no room for one",
        where=str(path),
        next="make room, or set TMPDIR to where there is some",
    ) from full


def beside(path: Path, ending: str) -> Path:
    """SQLite's own files of a store."""
    return path.with_name(path.name + ending)


def _copy(path: Path, copy: Path) -> None:
    """One moment of the store, with what its log holds: SQLite's word for it where somebody may be writing, else the files as they are."""
    db = _read_along(path, {})
    if db is None:
        import shutil

        for ending in ("", "-wal", "-journal"):
            if not ending or beside(path, ending).exists():
                shutil.copyfile(beside(path, ending), beside(copy, ending))
        return
    into = sqlite3.connect(copy)
    try:
        db.backup(into)
    except sqlite3.Error as error:
        if error.sqlite_errorname == "SQLITE_FULL":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise
    finally:
        into.close()
        db.close()


def _read_along(path: Path, options: dict[str, Any]) -> sqlite3.Connection | None:
    return _opened(path, "mode=ro&readonly_shm=1", options) if beside(path, "-shm").exists() else None


def _opened(path: Path, way: str, options: dict[str, Any]) -> sqlite3.Connection | None:
    """None where SQLite cannot read it in this way."""
    db = sqlite3.connect(f"file:{quote(str(path))}?{way}", uri=True, **options)
    try:
        with migrations.corrupt_in_words():
            db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.DatabaseError as error:
        db.close()
        if isinstance(error, sqlite3.OperationalError):
            return None
        raise  # no database, or a damaged one: a copy would be too
    return db


def _has_some(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except OSError:
        return False


def _size_and_time(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
