"""What goes wrong with a database file, in words: what, where, what to do next."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import StoreError

OTHER_FILE = "name another file with --store FILE or $SUBPOP_STORE"
WRITABLE = f"make the file and its folder writable, or {OTHER_FILE}"


def in_words(error: sqlite3.Error, path: Path) -> StoreError:
    """What SQLite says, as what is wrong, where and what to do next."""
    name, other = name_of(error), OTHER_FILE
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        what, then = (
            "the store is locked: another process has held it for too long",
            "try again, or find who holds the file open",
        )
    elif name.startswith("SQLITE_READONLY"):
        what, then = "the store is read-only", WRITABLE
    elif name == "SQLITE_FULL" or (name.startswith("SQLITE_IOERR") and is_full(path)):
        what, then = "the disk is full; what was committed is safe", "free some space, then resume the run"
    elif name.startswith("SQLITE_IOERR"):
        what, then = (
            f"the disk refused to read or write ({name}: {error}); what was committed is safe",
            "check its space, quota and health, then resume the run",
        )
    elif name.startswith(("SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        what, then = "the store cannot be opened: its folder is missing or not writable", f"make the folder writable, or {other}"
    elif name.startswith("SQLITE_NOTADB"):
        what, then = "this file is not a results store", other
    elif name.startswith("SQLITE_CORRUPT"):
        what, then = f"the store is damaged ({error})", f"restore it from a copy, or {other}"
    else:
        what, then = f"the store could not be used ({name or type(error).__name__}: {error})", other
    return StoreError(what, where=str(path), next=then)


def not_writable(path: Path) -> StoreError:
    return StoreError("the store is read-only", where=str(path), next=WRITABLE)


@contextmanager
def damage_in_words(where: str) -> Iterator[None]:
    """Whatever a stored value that is not as it was written does to the lines that unpack it, in words."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        message = f"a stored value is damaged ({type(error).__name__}: {error})"
        raise StoreError(message, where=where, next="restore the store from a copy, or delete the run") from error


def name_of(error: sqlite3.Error) -> str:
    """SQLite's own, as SQLITE_BUSY; "" where there is none."""
    return str(getattr(error, "sqlite_errorname", ""))


def is_full(path: Path) -> bool:
    """Whether the disk under a file has next to no room left."""
    try:
        space = os.statvfs(path.parent)
    except OSError:
        return False
    return space.f_bavail * space.f_frsize < 1 << 20
