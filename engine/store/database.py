"""The database under the store: a connection to its file, reading, and writing in short transactions."""

from __future__ import annotations

import copy
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from engine.errors import ClaimLost, StoreError, StoreGone
from engine.store import reading, wal
from engine.store.opening import MEMORY, check_kind, check_place, prepare, text_or_bytes
from engine.store.words import OTHER_FILE, in_words, is_full, name_of, not_writable

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

BUSY_TIMEOUT_S = 10.0
NO_WRITING = (
    "SQLITE_READONLY",
    "SQLITE_CANTOPEN",
    "SQLITE_PERM",
    "SQLITE_FULL",
    "SQLITE_IOERR",
)  # what SQLite says where it may still be read
CONNECTION: dict[str, Any] = {"timeout": BUSY_TIMEOUT_S, "isolation_level": None, "check_same_thread": False}


def default_path() -> Path:
    """$SUBPOP_STORE, else `runs.db` in the user data directory."""
    if configured := os.environ.get("SUBPOP_STORE"):
        return Path(configured).expanduser()
    from platformdirs import user_data_path

    return user_data_path("subpop", appauthor=False) / "runs.db"


class Database:
    """One connection to a store. Safe to share between threads: each statement or transaction holds a lock."""

    def __init__(self, db: sqlite3.Connection, path: Path, clock: Callable[[], float]) -> None:
        self.path = path
        self.now = clock  # Unix seconds
        self._db = db
        self._lock = threading.RLock()
        self._file = _identity(path)
        self._fence: tuple[str, str] | None = None
        self._refusal: StoreError | None = None  # why nothing can be written
        self._stamp: reading.Stamp | None = None  # of a file that is read as if it never changed: when it does, it is opened anew
        self._copy: TemporaryDirectory[str] | None = None
        self._copy_of: reading.Stamp | None = None
        self._private = False
        self._opened_anew = 0

    @classmethod
    def open(
        cls,
        path: Path | None = None,
        *,
        create: bool = True,
        clock: Callable[[], float] = time.time,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        mounts: str | None = None,
        durable: bool = True,
        to_read: bool = False,
    ) -> Self:
        """Open a store, made where it is missing and `create` allows, and brought to the newest schema.

        to_read: one that cannot be written is opened all the same; `read_only` says why then, and every write is refused in these words.

        path: None means $SUBPOP_STORE, else `runs.db` in the user data directory. durable: what is committed survives loss of power,
        not only of the process. mounts: the text of /proc/mounts, for tests.
        Raises StoreError: no such file, read-only, not a database, another program's, a newer schema, busy, or on a network file system.
        """
        path = default_path() if path is None else Path(path).expanduser()
        if path != MEMORY:
            path = path.absolute()
            check_place(path, create, mounts)
            if to_read and path.exists() and not reading.may_write(path):
                return cls._reading(path, clock, not_writable(path))
        left = path != MEMORY and wal.is_left(path)
        try:
            db = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise in_words(error, path) from error
        try:
            prepare(db, path, busy_timeout_s, left, to_read=to_read)
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        except sqlite3.Error as error:
            db.close()
            if to_read and path != MEMORY and path.exists() and name_of(error).startswith(NO_WRITING):
                return cls._reading(path, clock, in_words(error, path))
            if path != MEMORY and path.exists() and not reading.may_write(path):
                raise not_writable(path) from error
            raise in_words(error, path) from error
        except BaseException:
            db.close()
            raise
        return cls(db, path, clock)

    @classmethod
    def _reading(cls, path: Path, clock: Callable[[], float], refusal: StoreError) -> Self:
        """A store that is only read. refusal: what each write raises."""
        try:
            opened = reading.connect(path, **CONNECTION)
            store = cls(sqlite3.connect(MEMORY) if opened is None else opened[0], path, clock)
        except sqlite3.Error as error:
            raise in_words(error, path) from error
        store._refusal = refusal
        try:
            if opened is None:
                store.work_on_copy()
            else:
                check_kind(opened[0], path)
                store._stamp = None if opened[1] else reading.stamp(path)
        except sqlite3.Error as error:
            store.close()
            raise in_words(error, path) from error
        except BaseException:
            store.close()
            raise
        return store

    @property
    def read_only(self) -> str:
        """Why nothing can be written here, or ""."""
        return "" if self._refusal is None else self._refusal.what

    @property
    def file(self) -> Path:
        """The file for other connections to what this one reads: the store's, or a private copy's that ends with this one."""
        return self.path if self._copy is None else Path(self._copy.name) / self.path.name

    @property
    def outdated(self) -> bool:
        """Whether a private copy is read and the store has changed since it was made."""
        return self._copy is not None and reading.stamp(self.path) != self._copy_of

    def check_writable(self) -> None:
        """Raises StoreError where nothing can be written: before work is done in vain."""
        if self._refusal is not None and not self._private:
            raise self._refusal

    def work_on_copy(self) -> None:
        """From now on read a private copy, as the store is at this moment. DiskFull; StoreError where it cannot be read."""
        if self._copy is not None:
            return
        copy_of, folder = reading.stamp(self.path), reading.private_copy(self.path)
        try:
            db = sqlite3.connect(Path(folder.name) / self.path.name, **CONNECTION)
            try:
                prepare(db, self.path, BUSY_TIMEOUT_S, False, to_read=False)
            except BaseException:
                db.close()
                raise
        except sqlite3.Error as error:
            folder.cleanup()
            raise in_words(error, self.path) from error
        except BaseException:
            folder.cleanup()
            raise
        if self._refusal is None:
            self._refusal = StoreError("a copy of the store is read", where=str(self.path), next="open it again to write")
        self._copy, self._copy_of, self._stamp = folder, copy_of, None
        self._exchange(db)

    @contextmanager
    def privately(self) -> Iterator[None]:
        """Within, writes go into a private copy, which is read from then on: what is worked out anew need not be stored to be read."""
        self.work_on_copy()
        self._private = True
        try:
            yield
        finally:
            self._private = False

    def _exchange(self, db: sqlite3.Connection) -> None:
        with self._lock:
            before, self._db = self._db, db
            before.close()
            self._opened_anew += 1

    def _look_again(self) -> None:
        """A file that is read as if it never changed has changed: see it as it is now."""
        if self._stamp is None or (stamp := reading.stamp(self.path)) == self._stamp:
            return
        with self._lock:
            opened = reading.connect(self.path, **CONNECTION)
            if opened is None:  # it has a log now, and nothing that tells what of it counts
                self.work_on_copy()
                return
            self._stamp = None if opened[1] else stamp
            opened[0].row_factory, opened[0].text_factory = sqlite3.Row, text_or_bytes
            self._exchange(opened[0])

    def copy_to(self, path: Path) -> None:
        """The store as it is now as another file, which is replaced whole or not at all. It needs no locks there, so any disk will do."""
        part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
        self._still_here()
        try:
            with self._lock:
                self._db.execute("VACUUM INTO ?", (str(part),))
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(path)
        except sqlite3.Error as error:
            raise in_words(error, path) from error
        except OSError as error:
            raise StoreError(f"cannot be written: {error.strerror}", where=str(path), next=OTHER_FILE) from error
        finally:
            part.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the connection; closing twice is harmless."""
        with self._lock:
            self._db.close()
            if self._copy is not None:
                self._copy.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def fenced(self, run_id: str, claim: str) -> Self:
        """The same connection for the worker that has this claim on the run: each write raises ClaimLost once another has the run."""
        copied = copy.copy(self)
        copied._fence = (run_id, claim)
        return copied

    def data_version(self) -> int:
        """A number that changes when another connection has committed; costs microseconds."""
        return int(self.read("PRAGMA data_version")[0][0]) + (self._opened_anew << 32)

    def disk_is_full(self) -> bool:
        """Whether the disk under the store has next to no room left: the one failure that an engine cannot have recorded."""
        return self.path != MEMORY and is_full(self.path)

    def read(self, sql: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        """All rows of one query."""
        self._still_here()
        try:
            self._look_again()
            with self._lock:
                return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise in_words(error, self.path) from error

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Several reads that see the same moment."""
        with self._transaction("BEGIN") as db:
            yield db

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One short write transaction: all of it or, on any error, nothing. Waits for other writers up to the busy timeout."""
        self.check_writable()
        with self._transaction("BEGIN IMMEDIATE") as db:
            if self._fence is not None:
                _check_claim(db, *self._fence)
            yield db

    def _still_here(self) -> None:
        """SQLite goes on with a file that has lost its name: nobody would ever find what is written there. Costs microseconds."""
        if self.path != MEMORY and _identity(self.path) != self._file:
            raise StoreGone(
                "the store was deleted, moved or replaced while it was in use",
                where=str(self.path),
                next="put it back with its -wal file if there is one, then resume the run; or start a new one",
            )

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        self._still_here()
        with self._lock:
            try:
                self._look_again()
                self._db.execute(begin)
                yield self._db
                self._db.execute("COMMIT")
            except BaseException as error:
                try:
                    if self._db.in_transaction:  # a full disk rolls back by itself
                        self._db.execute("ROLLBACK")
                except sqlite3.Error:
                    pass  # the first error is the one to tell; an unfinished transaction is undone when the file is next opened
                if isinstance(error, sqlite3.Error):
                    raise in_words(error, self.path) from error
                raise


def _check_claim(db: sqlite3.Connection, run_id: str, claim: str) -> None:
    row = db.execute("SELECT claim, host, pid FROM runs WHERE id = ?", (run_id,)).fetchone()
    where, kept = f"run {run_id}", "what was committed before stays; this engine ends"
    if row is None:
        raise ClaimLost("it is no longer in the store: it was deleted", where=where, next="start it again")
    if row["claim"] != claim:
        raise ClaimLost(f"it was taken from this engine (it has process {row['pid']} on {row['host']} now)", where=where, next=kept)


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file bears this name now, whatever is in it; None where there is none."""
    try:
        file = path.stat()
    except OSError:
        return None
    return file.st_dev, file.st_ino
