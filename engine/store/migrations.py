"""The store's schema as numbered steps: plain functions, run in order, each in one transaction with its number.

Never edit one that shipped: add the next.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

APPLICATION_ID = 0x73_75_62_70  # "subp": tells a store from another program's database


def _001_runs_results_tables(db: sqlite3.Connection) -> None:
    """Runs with what travels to and from them; what victims did; tables made of it. Times are Unix seconds, cells and lists JSON."""
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(
        """CREATE TABLE runs (
            number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, title TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'paused', 'stopped', 'failed', 'done')),
            phase TEXT NOT NULL DEFAULT '', scenario_toml TEXT NOT NULL, scenario_hash TEXT NOT NULL,
            created_at REAL NOT NULL, started_at REAL, finished_at REAL,
            host TEXT NOT NULL DEFAULT '', pid INTEGER, pid_start TEXT NOT NULL DEFAULT '', device TEXT NOT NULL DEFAULT '',
            victims_done INTEGER NOT NULL DEFAULT 0, victims_total INTEGER NOT NULL DEFAULT 0, progress REAL NOT NULL DEFAULT 0,
            eta_s REAL, victims_per_minute REAL, error TEXT NOT NULL DEFAULT '', deviations TEXT NOT NULL DEFAULT '[]',
            note TEXT NOT NULL DEFAULT '', data_dir TEXT NOT NULL DEFAULT '')"""
    )
    # Apart from `runs`, so that a second's beat rewrites a few bytes and not the scenario's text.
    db.execute("CREATE TABLE heartbeats (run_id TEXT PRIMARY KEY REFERENCES runs(id) ON DELETE CASCADE, at REAL NOT NULL)")
    db.execute(
        """CREATE TABLE requests (id INTEGER PRIMARY KEY, run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
            kind TEXT NOT NULL CHECK (kind IN ('pause', 'resume', 'stop')), at REAL NOT NULL)"""
    )
    # A queue for each device of each host: the entry with `held` has it, the others wait in the order of their runs.
    db.execute(
        """CREATE TABLE leases (host TEXT NOT NULL, device TEXT NOT NULL, run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
            pid INTEGER NOT NULL, pid_start TEXT NOT NULL, held INTEGER NOT NULL DEFAULT 0, at REAL NOT NULL,
            PRIMARY KEY (host, device, run_id))"""
    )
    db.execute("CREATE UNIQUE INDEX one_holder ON leases (host, device) WHERE held")
    db.execute(
        """CREATE TABLE log (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
            at REAL NOT NULL, level TEXT NOT NULL CHECK (level IN ('info', 'warning', 'error')), message TEXT NOT NULL)"""
    )
    db.execute("CREATE INDEX log_by_run ON log (run_id, id)")
    db.execute(
        """CREATE TABLE discoveries (run_id TEXT PRIMARY KEY REFERENCES runs(id) ON DELETE CASCADE,
            classes TEXT NOT NULL, provenance TEXT NOT NULL, at REAL NOT NULL)"""
    )
    db.execute(
        """CREATE TABLE subpopulations (run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, number INTEGER NOT NULL,
            fields TEXT NOT NULL, PRIMARY KEY (run_id, number))"""
    )
    # Raw little-endian bytes, zlib-compressed; dtype and shape are checked on reading.
    db.execute(
        """CREATE TABLE arrays (run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, name TEXT NOT NULL,
            dtype TEXT NOT NULL, shape TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (run_id, name))"""
    )
    db.execute(
        """CREATE TABLE stacks (run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, number INTEGER NOT NULL,
            trial INTEGER NOT NULL, victims TEXT NOT NULL, done_at REAL, duration_s REAL, PRIMARY KEY (run_id, number))"""
    )
    db.execute(
        """CREATE TABLE victims (run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, number INTEGER NOT NULL,
            stack INTEGER NOT NULL,
            trial INTEGER NOT NULL, arm TEXT NOT NULL, subpopulation INTEGER, alpha REAL,
            poison_points INTEGER NOT NULL, already_target INTEGER NOT NULL, epochs INTEGER NOT NULL, train_loss REAL,
            test_rows INTEGER NOT NULL, predictions BLOB NOT NULL, PRIMARY KEY (run_id, number))"""
    )
    db.execute(
        """CREATE TABLE result_tables (run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, name TEXT NOT NULL, spec TEXT NOT NULL,
            revision INTEGER NOT NULL, order_revision INTEGER NOT NULL, PRIMARY KEY (run_id, name))"""
    )
    # A row that went keeps its key with cells NULL, so that a reader who last looked before learns of it.
    db.execute(
        """CREATE TABLE result_rows (run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, name TEXT NOT NULL, key TEXT NOT NULL,
            position INTEGER NOT NULL, cells TEXT, revision INTEGER NOT NULL, PRIMARY KEY (run_id, name, key))"""
    )
    db.execute("CREATE INDEX result_rows_by_revision ON result_rows (run_id, name, revision)")


def _002_parent_of_a_run(db: sqlite3.Connection) -> None:
    """Which run a run attacks again. No reference: what was reused is copied, so the parent may go."""
    db.execute("ALTER TABLE runs ADD COLUMN parent TEXT NOT NULL DEFAULT ''")


def _003_versions_of_a_run(db: sqlite3.Connection) -> None:
    """Under which schedule a run's victims were trained, by which statistics its stored tables were made; until now the first of each."""
    db.execute("ALTER TABLE runs ADD COLUMN schedule INTEGER NOT NULL DEFAULT 1")
    db.execute("ALTER TABLE runs ADD COLUMN statistics INTEGER NOT NULL DEFAULT 1")


def _004_whose_a_run_is(db: sqlite3.Connection) -> None:
    """Where a worker's process can be looked at, and its claim: a word of its own that each of its writes must find unchanged."""
    for table in ("runs", "leases"):
        db.execute(f"ALTER TABLE {table} ADD COLUMN boot TEXT NOT NULL DEFAULT ''")
        db.execute(f"ALTER TABLE {table} ADD COLUMN pid_namespace TEXT NOT NULL DEFAULT ''")
    db.execute("ALTER TABLE runs ADD COLUMN claim TEXT NOT NULL DEFAULT ''")


def _005_reading(db: sqlite3.Connection) -> None:
    """By which rules a run's data were read; until now the first."""
    db.execute("ALTER TABLE runs ADD COLUMN reading INTEGER NOT NULL DEFAULT 1")


def _006_account(db: sqlite3.Connection) -> None:
    """What the data were and what became of their columns, as JSON; NULL for what was discovered before."""
    db.execute("ALTER TABLE discoveries ADD COLUMN account TEXT")


def _007_digests(db: sqlite3.Connection) -> None:
    """A digest of each row of a run; NULL for what was written before. An array's bytes beyond its first part: SQLite bounds a value."""
    for table in ("runs", "discoveries", "subpopulations", "arrays", "stacks", "victims", "result_tables", "result_rows", "log"):
        db.execute(f"ALTER TABLE {table} ADD COLUMN digest BLOB")
    db.execute(
        """CREATE TABLE array_parts (run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, name TEXT NOT NULL,
            number INTEGER NOT NULL, data BLOB NOT NULL, digest BLOB, PRIMARY KEY (run_id, name, number))"""
    )


def _008_milestones(db: sqlite3.Connection) -> None:
    """What long work of a run has come to on its way, until its result is stored; made_of tells of which data, by which code."""
    db.execute(
        """CREATE TABLE milestones (run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, step TEXT NOT NULL,
            made_of TEXT NOT NULL, unfinished INTEGER NOT NULL, at REAL NOT NULL, PRIMARY KEY (run_id, step))"""
    )
    db.execute(
        """CREATE TABLE milestone_arrays (run_id TEXT NOT NULL, step TEXT NOT NULL, name TEXT NOT NULL, dtype TEXT NOT NULL,
            shape TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (run_id, step, name),
            FOREIGN KEY (run_id, step) REFERENCES milestones(run_id, step) ON DELETE CASCADE)"""
    )


def _009_changes_of_runs(db: sqlite3.Connection) -> None:
    """Which runs' rows changed last, so that who looks every second reads those alone, and an index of the few that are at work."""
    db.execute("CREATE TABLE run_changes (revision INTEGER PRIMARY KEY AUTOINCREMENT, number INTEGER NOT NULL UNIQUE)")
    db.execute("INSERT INTO run_changes (number) SELECT number FROM runs ORDER BY number")
    for name, event in (("made", "INSERT"), ("changed", "UPDATE")):
        db.execute(
            f"CREATE TRIGGER run_{name} AFTER {event} ON runs BEGIN INSERT OR REPLACE INTO run_changes (number) VALUES (NEW.number); END"
        )
    db.execute("CREATE TRIGGER run_deleted AFTER DELETE ON runs BEGIN DELETE FROM run_changes WHERE number = OLD.number; END")
    db.execute("CREATE INDEX runs_at_work ON runs (number) WHERE state IN ('queued', 'running', 'paused')")


def _010_what_memory_did_not_hold(db: sqlite3.Connection) -> None:
    """How many victims at a time a device was known not to hold when a stack was done: a resumed run trains the rest in the same halves."""
    db.execute("ALTER TABLE stacks ADD COLUMN too_many INTEGER")


def _011_judged(db: sqlite3.Connection) -> None:
    """What a victim's defence removed and relabelled; NULL for one without."""
    db.execute("ALTER TABLE victims ADD COLUMN judged BLOB")


def _012_plans(db: sqlite3.Connection) -> None:
    """How a plan's stacks use a CPU, over which discovery it was made, and which shard of it this is; none for what was planned before."""
    db.execute(
        """CREATE TABLE plans (run_id TEXT PRIMARY KEY REFERENCES runs(id) ON DELETE CASCADE, parts INTEGER NOT NULL,
            threads INTEGER NOT NULL, discovery TEXT NOT NULL, shard INTEGER, shards INTEGER, digest BLOB)"""
    )


def _013_parts(db: sqlite3.Connection) -> None:
    """What the models of a run's ensemble predict, one for each part of train."""
    db.execute(
        """CREATE TABLE parts (run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, number INTEGER NOT NULL,
            rows INTEGER NOT NULL, epochs INTEGER NOT NULL, train_loss REAL, duration_s REAL,
            test_rows INTEGER NOT NULL, predictions BLOB NOT NULL, digest BLOB, PRIMARY KEY (run_id, number))"""
    )


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    _001_runs_results_tables,
    _002_parent_of_a_run,
    _003_versions_of_a_run,
    _004_whose_a_run_is,
    _005_reading,
    _006_account,
    _007_digests,
    _008_milestones,
    _009_changes_of_runs,
    _010_what_memory_did_not_hold,
    _011_judged,
    _012_plans,
    _013_parts,
)


@contextmanager
def corrupt_in_words() -> Iterator[None]:
    """SQLite quotes a damaged schema in its message, and Python raises UnicodeDecodeError where that is no UTF-8: it means the same."""
    try:
        yield
    except UnicodeDecodeError as error:
        damaged = sqlite3.DatabaseError("malformed database schema")
        damaged.sqlite_errorname = "SQLITE_CORRUPT"
        raise damaged from error


def version(db: sqlite3.Connection) -> int:
    """How many migrations this file has had."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def foreign(db: sqlite3.Connection) -> bool:
    """Whether this database was made by another program: it has tables and not our mark."""
    mark = db.execute("PRAGMA application_id").fetchone()[0]
    tables = db.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0]
    return bool(tables) and mark != APPLICATION_ID


def migrate(db: sqlite3.Connection) -> None:
    """Bring an open database to the newest schema; what another process did in between is not done again."""
    while version(db) < len(MIGRATIONS):
        db.execute("BEGIN IMMEDIATE")
        try:
            done = version(db)
            if done < len(MIGRATIONS):
                MIGRATIONS[done](db)
                db.execute(f"PRAGMA user_version = {done + 1}")
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
