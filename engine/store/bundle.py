"""One run as one file to hand on: a small SQLite database of that run alone, and the way back into a store.

A bundle comes from somebody else: it is read from a copy, with plain SELECTs of columns known by name, after its mark, its schema and its
soundness were checked; it can hold no view or trigger. Each of its values is checked before anything of it reaches the store, and held
against its digest: that tells damage on the way, not who wrote it, for a forger can work digests out too. Its tables are not taken at all:
they are a function of its predictions, and are worked out from these.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import DiskFull, RequestError, StoreError
from engine.store import bundle_checks, checks, digests, migrations
from engine.store.bundle_checks import Damaged
from engine.store.database import Database
from engine.store.opening import text_or_bytes

MARK = 0x73_75_62_62  # "subb": no store, so that it is not opened as one and written to
# Whatever belongs to a run, but for who is at work on it. Columns that tell of a machine are emptied.
TABLES = (
    "runs",
    "discoveries",
    "subpopulations",
    "arrays",
    "array_parts",
    "plans",
    "stacks",
    "victims",
    "parts",
    "result_tables",
    "result_rows",
    "log",
)
WORKED_OUT = ("result_tables", "result_rows")  # from the predictions, when they are first read
OWN = {"runs": ("number",), "log": ("id",)}  # numbers that each store gives anew
EMPTIED = {"host": "", "boot": "", "pid_namespace": "", "pid": None, "pid_start": "", "claim": "", "data_dir": ""}
NOT_ONE = "give a file that `subpop bundle` made"
AGAIN = "ask for it again"


def bundle(store: Database, run_id: str, path: Path) -> None:
    """Write the run into a new file at `path`, whole or not at all. DiskFull; RequestError where it cannot be written; StoreError where
    what is stored of it is damaged."""
    path = path.expanduser().absolute()
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    if path.is_dir():
        raise RequestError("is a folder", where=str(path), next="give a file's path inside it")
    try:
        with _fresh(part) as db, store.snapshot() as source:
            for table in TABLES:
                _copy(source, db, table, run_id)
            if why := next(digests.damage_of(db, run_id), ""):
                then = "restore the store from a copy; of an unfinished run, resume it"
                raise StoreError(f"what is stored of it is damaged ({why})", where=f"{store.path}, run {run_id}", next=then)
            _without_places(db, run_id)
            db.execute(f"PRAGMA application_id = {MARK}")
        part.replace(path)
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)) or (
            isinstance(error, sqlite3.Error) and error.sqlite_errorname == "SQLITE_FULL"
        ):
            raise DiskFull("cannot be written: no space left on device", where=str(path), next="make room, or give another path") from error
        raise RequestError(
            f"cannot be written: {reason}", where=str(path), next="make the folder, make room, or give another path"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def open_bundle(store: Database, path: Path) -> str:
    """Take the run of a bundle into the store, under its own id; returns it. RequestError where it is none, or is here already."""
    path = path.expanduser()
    if not path.is_file():
        is_there = "is a folder" if path.is_dir() else "is a pipe, a device or the like, not a file" if path.exists() else ""
        raise RequestError(is_there or "there is no such file", where=str(path), next=NOT_ONE)
    with tempfile.TemporaryDirectory(prefix="subpop-bundle-") as folder:
        copy = Path(folder) / "run.db"
        try:
            shutil.copyfile(path, copy)
        except OSError as error:
            raise RequestError(f"cannot be read: {error.strerror}", where=str(path), next="check its permissions") from error
        db = sqlite3.connect(copy, isolation_level=None)
        try:
            db.row_factory, db.text_factory = sqlite3.Row, text_or_bytes
            db.execute("PRAGMA trusted_schema = OFF")
            with migrations.corrupt_in_words():
                run_id = _checked(db, path)
            with store.write() as into:
                if into.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,)).fetchone():
                    raise RequestError(f"run {run_id} is here already", where=str(path), next=f"delete that first: subpop delete {run_id}")
                for table in TABLES:
                    if table not in WORKED_OUT:
                        _copy(db, into, table, run_id)
                digests.update_run(into, run_id, EMPTIED | {"statistics": 0})
        except Damaged as error:
            raise RequestError(
                f"is a damaged or forged bundle ({_harmless(error)}); nothing of it was taken", where=str(path), next=AGAIN
            ) from error
        except sqlite3.Error as error:
            raise RequestError(f"is no bundle, or a damaged one ({_harmless(error)})", where=str(path), next=NOT_ONE) from error
        finally:
            db.close()
    return run_id


def _harmless(error: Exception) -> str:
    """An error about somebody else's file, which may hold anything: cut short, without control characters."""
    message = "".join(char if char.isprintable() else "?" for char in str(error))
    return message if len(message) <= 300 else f"{message[:297]}..."


def _checked(db: sqlite3.Connection, path: Path) -> str:
    """The id of the one run in it."""
    if db.execute("PRAGMA application_id").fetchone()[0] != MARK:
        raise RequestError("is no bundle of a run", where=str(path), next=NOT_ONE)
    if (version := migrations.version(db)) > len(migrations.MIGRATIONS):
        raise RequestError(f"was made by a newer subpop (schema {version})", where=str(path), next="upgrade subpop")
    if version < 1:
        raise RequestError("is no bundle of a run", where=str(path), next=NOT_ONE)
    kinds = {row["type"] for row in db.execute("SELECT type FROM sqlite_master")}
    if not kinds <= {"table", "index"} or db.execute("PRAGMA quick_check").fetchone()[0] != "ok":
        raise RequestError("is a damaged bundle", where=str(path), next=AGAIN)
    if version < len(migrations.MIGRATIONS):
        migrations.migrate(db)
    ids = [row["id"] for row in db.execute("SELECT id FROM runs")]
    if len(ids) != 1:
        raise RequestError(f"holds {len(ids)} runs where a bundle has one", where=str(path), next=NOT_ONE)
    if wrong := checks.COLUMNS["runs"]["id"](ids[0]):
        raise Damaged(f"table runs, column id is {checks.shown(ids[0])}: {wrong}")
    bundle_checks.check(db, ids[0])
    if why := next(digests.damage_of(db, ids[0]), ""):
        raise Damaged(why)
    return str(ids[0])


@contextmanager
def _fresh(path: Path) -> Iterator[sqlite3.Connection]:
    """A new database of the newest schema, in one file, private until it is done."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.row_factory, db.text_factory = sqlite3.Row, text_or_bytes
        db.execute("PRAGMA journal_mode = OFF")
        migrations.migrate(db)
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")  # who opens a bundle takes one with triggers for a forgery
        db.execute("BEGIN")
        yield db
        db.execute("COMMIT")
        db.execute("VACUUM")
    finally:
        db.close()


def _without_places(db: sqlite3.Connection, run_id: str) -> None:
    """Take out where this machine keeps its files: columns of a machine, and in what went wrong tracebacks, data folder and home folder."""
    run = db.execute("SELECT * FROM runs").fetchone()
    places = [(place, word) for place, word in ((run["data_dir"], "$SUBPOP_DATA"), (str(Path.home()), "~")) if len(place) > 1]
    for row in db.execute("SELECT * FROM log").fetchall():
        message = _replaced(row["message"].partition("\nTraceback")[0], places)
        if message != row["message"]:
            digest = None if row["digest"] is None else digests.digest_of("log", run_id, {**dict(row), "message": message})
            db.execute("UPDATE log SET message = ?, digest = ? WHERE id = ?", (message, digest, row["id"]))
    left = {"state": "stopped", "phase": ""} if run["state"] in ("queued", "running", "paused") else {}
    digests.update_run(db, run_id, EMPTIED | left | {"error": _replaced(run["error"], places)})


def _replaced(text: str, places: list[tuple[str, str]]) -> str:
    for place, word in places:
        text = text.replace(place, word)
    return text


def _copy(source: sqlite3.Connection, into: sqlite3.Connection, table: str, run_id: str) -> None:
    columns = [row[1] for row in into.execute(f"PRAGMA table_info({table})") if row[1] not in OWN.get(table, ())]
    names = ", ".join(columns)
    key = "id" if table == "runs" else "run_id"
    order = " ORDER BY id" if table == "log" else ""
    rows = source.execute(f"SELECT {names} FROM {table} WHERE {key} = ?{order}", (run_id,))
    put = f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})"
    into.executemany(put, (tuple(row) for row in rows))
