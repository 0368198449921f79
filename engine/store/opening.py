"""A database file before it is a store: whether it can be one, is one of ours, and has all that was committed."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from engine.errors import StoreError
from engine.store import migrations, wal
from engine.store.words import OTHER_FILE, name_of
from engine.system.filesystem import network_kind

MEMORY = Path(":memory:")  # a store that lives and dies with its connection, for tests


def check_place(path: Path, create: bool, mounts: str | None) -> None:
    """StoreError where no store can be there, or, unless it is to be created, none is. mounts: see `network_kind`."""
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


def check_kind(db: sqlite3.Connection, path: Path) -> None:
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


def prepare(db: sqlite3.Connection, path: Path, busy_timeout_s: float, left: bool, *, to_read: bool) -> None:
    """Ready to be read and written, of the newest schema. left: the log was left behind by a process that died."""
    give_up_at = time.monotonic() + busy_timeout_s
    while True:
        try:
            with migrations.corrupt_in_words():  # the first look at the schema
                check_kind(db, path)
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
            if name_of(error).startswith("SQLITE_BUSY") and time.monotonic() < give_up_at:
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


def text_or_bytes(raw: bytes) -> str | bytes:
    """A stored text; as it is where it is no UTF-8, so that one damaged value does not fail the whole query."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
