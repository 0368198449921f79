"""The database file under the store: opening it or refusing in words, reading, and writing in short transactions."""

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
from engine.store import migrations, reading, wal
from engine.system.filesystem import network_kind

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

BUSY_TIMEOUT_S = 10.0
OTHER_FILE = "name another file with --store FILE or $SUBPOP_STORE"
WRITABLE = f"make the file and its folder writable, or {OTHER_FILE}"
NO_WRITING = (
    "SQLITE_READONLY",
    "SQLITE_CANTOPEN",
    "SQLITE_PERM",
    "SQLITE_FULL",
    "SQLITE_IOERR",
)  # what SQLite says where it may still be read
CONNECTION: dict[str, Any] = {"timeout": BUSY_TIMEOUT_S, "isolation_level": None, "check_same_thread": False}
MEMORY = Path(":memory:")  # a store that lives and dies with its connection, for tests


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
            _check_place(path, create, mounts)
            if to_read and path.exists() and not reading.may_write(path):
                return cls._reading(path, clock, _read_only(path))
        left = path != MEMORY and wal.is_left(path)
        try:
            db = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise in_words(error, path) from error
        try:
            _prepare(db, path, busy_timeout_s, left, to_read=to_read)
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        except sqlite3.Error as error:
            db.close()
            if to_read and path != MEMORY and path.exists() and _name(error).startswith(NO_WRITING):
                return cls._reading(path, clock, in_words(error, path))
            if path != MEMORY and path.exists() and not reading.may_write(path):
                raise _read_only(path) from error
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
                _check_kind(opened[0], path)
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
                _prepare(db, self.path, BUSY_TIMEOUT_S, False, to_read=False)
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
        return self.path != MEMORY and _is_full(self.path)

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


def text_or_bytes(raw: bytes) -> str | bytes:
    """A stored text; as it is where it is no UTF-8, so that one damaged value does not fail the whole query."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


@contextmanager
def damage_in_words(where: str) -> Iterator[None]:
    """Whatever a stored value that is not as it was written does to the lines that unpack it, in words."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        message = f"a stored value is damaged ({type(error).__name__}: {error})"
        raise StoreError(message, where=where, next="restore the store from a copy, or delete the run") from error


def _check_claim(db: sqlite3.Connection, run_id: str, claim: str) -> None:
    row = db.execute("SELECT claim, host, pid FROM runs WHERE id = ?", (run_id,)).fetchone()
    where, kept = f"run {run_id}", "what was committed before stays; this engine ends"
    if row is None:
        raise ClaimLost("it is no longer in the store: it was deleted", where=where, next="start it again")
    if row["claim"] != claim:
        raise ClaimLost(f"it was taken from this engine (it has process {row['pid']} on {row['host']} now)", where=where, next=kept)


def _check_place(path: Path, create: bool, mounts: str | None) -> None:
    if path.is_dir():
        raise StoreError("this is a folder, not a results store", where=str(path), next=f"{OTHER_FILE}, such as {path / 'runs.db'}")
    if kind := network_kind(path, mounts):
        raise StoreError(
            f"this is on a network file system ({kind}), where a store several processes use can be corrupted",
            where=str(path),
            next="name a file on a local disk with --store FILE or $SUBPOP_STORE (runs on this machine all find it there)",
        )
    if path.exists():
        if not path.is_file():
            raise StoreError("this is a device or a pipe, not a results store", where=str(path), next=OTHER_FILE)
        return
    if not create:
        raise StoreError("there is no results store here", where=str(path), next="start a run first, or " + OTHER_FILE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"its folder cannot be made ({error.strerror})", where=str(path), next=OTHER_FILE) from error


def _check_kind(db: sqlite3.Connection, path: Path) -> None:
    """That it is a store of ours, of a schema that we know; its rows come as rows."""
    db.row_factory, db.text_factory = sqlite3.Row, text_or_bytes
    if migrations.foreign(db):
        raise StoreError("this is another program's database", where=str(path), next="name another file with --store or $SUBPOP_STORE")
    if (version := migrations.version(db)) > len(migrations.MIGRATIONS):
        raise StoreError(
            f"this store was written by a newer subpop (schema {version}, this one knows {len(migrations.MIGRATIONS)})",
            where=str(path),
            next=f"upgrade subpop, or {OTHER_FILE}",
        )


def _prepare(db: sqlite3.Connection, path: Path, busy_timeout_s: float, left: bool, *, to_read: bool) -> None:
    """left: the log was left behind by a process that died."""
    give_up_at = time.monotonic() + busy_timeout_s
    while True:
        try:
            with migrations.corrupt_in_words():  # the first look at the schema
                _check_kind(db, path)
            mode = db.execute("PRAGMA journal_mode").fetchone()[0]
            if mode != "wal" and path != MEMORY:
                mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
                if mode != "wal":
                    raise StoreError(
                        f"its file system does not support SQLite's write-ahead log (got {mode!r})",
                        where=str(path),
                        next="name a file on a local disk with --store FILE or $SUBPOP_STORE",
                    )
            db.execute("PRAGMA foreign_keys = ON")
            # takes the write lock and gives it back: a read-only file is told now, not in the middle of a run
            if path != MEMORY and (left or not to_read):
                frames = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1] if left else 0
                db.execute("BEGIN IMMEDIATE")
                lost = left and wal.lost_commits(path, frames)  # before anything is written over them
                db.execute("ROLLBACK")
                if lost:
                    raise _log_damaged(db, path)
            migrations.migrate(db)
            db.execute("SELECT count(*) FROM runs").fetchone()
            return
        except sqlite3.OperationalError as error:
            # Two processes that open a fresh file at once: turning on WAL is refused without waiting, so wait here.
            if _name(error).startswith("SQLITE_BUSY") and time.monotonic() < give_up_at:
                time.sleep(0.02)
                continue
            raise


def _log_damaged(db: sqlite3.Connection, path: Path) -> StoreError:
    """Said once: the log is set aside, and what of it is whole goes into the store."""
    copy = wal.set_aside(path)
    if copy is not None:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return StoreError(
        "its write-ahead log is damaged: what was committed last is lost, what was committed before is whole",
        where=str(path),
        next=f"the log was set aside as {copy}; do this again to go on with what there is, and resume runs that are not done"
        if copy
        else "make room beside it, then try again",
    )


def _read_only(path: Path) -> StoreError:
    return StoreError("the store is read-only", where=str(path), next=WRITABLE)


def _name(error: sqlite3.Error) -> str:
    return str(getattr(error, "sqlite_errorname", ""))


def in_words(error: sqlite3.Error, path: Path) -> StoreError:
    """What SQLite says, as what is wrong, where and what to do next."""
    name, other = _name(error), OTHER_FILE
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        what, then = (
            "the store is locked: another process has held it for too long",
            "try again, or find who holds the file open",
        )
    elif name.startswith("SQLITE_READONLY"):
        what, then = "the store is read-only", WRITABLE
    elif name == "SQLITE_FULL" or (name.startswith("SQLITE_IOERR") and _is_full(path)):
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


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file bears this name now, whatever is in it; None where there is none."""
    try:
        file = path.stat()
    except OSError:
        return None
    return file.st_dev, file.st_ino


def _is_full(path: Path) -> bool:
    try:
        space = os.statvfs(path.parent)
    except OSError:
        return False
    return space.f_bavail * space.f_frsize < 1 << 20
