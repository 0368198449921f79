"""A digest of every stored row, so that what is read is what was written: each row is held against its own before anything is made of it.

A digest binds a row's values to its table, its run and its key, so that two rows that changed places are noticed too; the digest of a
discovery and of a table bind the rows under them as well, so that none can go missing. SQLite's own checks see neither.

They tell damage (a bit that flipped, a page that was lost), not forgery: who writes a file on purpose can work them out again.

A run that an older version wrote has none (NULL): it is unverified, never damaged. A run that has one has them throughout.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from engine.errors import StoreError
from engine.store import checks

BYTES = checks.DIGEST_BYTES
Row = sqlite3.Row | Mapping[str, Any]
# A column that a later migration adds must be NULL where it says nothing: then the digests of rows from before it still hold.
COVERED = {table: tuple(name for name in columns if name != "digest") for table, columns in checks.COLUMNS.items()}
_LABELS = {table: tuple((name, f"{name}\0".encode()) for name in names) for table, names in COVERED.items()}
SEALED = "(SELECT digest IS NOT NULL FROM runs WHERE id = ?1) AS sealed"  # for a query whose first value is the run's id


def digest_of(table: str, run_id: str, row: Row, under: bytes = b"") -> bytes:
    """Of one row's values; NULLs are passed over. under: the digests of the rows that belong to it, in their order."""
    parts = [f"{table}\0{run_id}\0".encode("utf-8", "surrogatepass")]
    for name, label in _LABELS[table]:
        value = row[name]
        if value is None or value != value:  # SQLite keeps NaN as NULL
            continue
        kind, data = _encoded(value)
        parts += (label, kind, b"%d\0" % len(data), data)
    if under:
        parts += (b"under\0%d\0" % len(under), under)
    return blake2b(b"".join(parts), digest_size=BYTES, person=b"subpop row").digest()


def _encoded(value: object) -> tuple[bytes, bytes]:
    """5 and 5.0 are the same: which of them SQLite gives back is the column's to say."""
    if isinstance(value, str):
        return b"t", value.encode("utf-8", "surrogatepass")
    if isinstance(value, int):
        return b"n", b"%d" % value
    if isinstance(value, bytes):
        return b"b", value
    if isinstance(value, float):
        return b"n", (str(int(value)) if value.is_integer() else repr(float(value))).encode()
    raise TypeError(f"a value of type {type(value).__name__} in a row to be stored")


def wrong(table: str, run_id: str, row: Row, *, sealed: bool, under: bytes = b"") -> str:
    """What is wrong with a row that was read, in words; "" where it is as it was written, or cannot be judged.

    sealed: whether its run has digests, and so each of its rows must have one.
    """
    if row["digest"] is None:
        return "its digest is missing" if sealed else ""
    try:
        good = row["digest"] == digest_of(table, run_id, row, under)
    except TypeError:
        good = False
    return "" if good else "it is not as it was written"


def check(table: str, run_id: str, row: Row, *, where: str, next: str, under: bytes = b"") -> None:
    """StoreError where a row, read with SEALED, is not as it was written."""
    if why := wrong(table, run_id, row, sealed=bool(row["sealed"]), under=under):
        raise damaged(why, where=where, next=next)


def damaged(why: str, *, where: str, next: str) -> StoreError:
    return StoreError(f"a stored value is damaged ({why})", where=where, next=next)


def columns(table: str) -> str:
    """What a query must ask for to hold a table's rows against their digests."""
    return ", ".join((*COVERED[table], "digest"))


def insert(db: sqlite3.Connection, table: str, run_id: str, rows: Iterable[dict[str, Any]], under: bytes = b"") -> list[bytes]:
    """Inside a transaction: add rows, of all columns of the table, with their digests, which are returned."""
    names = COVERED[table]
    sql = f"INSERT INTO {table} (run_id, {', '.join(names)}, digest) VALUES ({', '.join('?' * (len(names) + 2))})"
    written = []
    for row in rows:
        digest = digest_of(table, run_id, row, under)
        db.execute(sql, (run_id, *(row[name] for name in names), digest))
        written.append(digest)
    return written


def under_discovery(db: sqlite3.Connection, run_id: str) -> bytes:
    """Inside a transaction: what a discovery's digest binds of the rows that belong to it."""
    queries = (
        "SELECT digest FROM subpopulations WHERE run_id = ? ORDER BY number",
        "SELECT digest FROM arrays WHERE run_id = ? ORDER BY name",
        "SELECT digest FROM array_parts WHERE run_id = ? ORDER BY name, number",
    )
    return b"|".join(joined(db.execute(query, (run_id,)).fetchall()) for query in queries)


def joined(rows: Sequence[Row]) -> bytes:
    """The digests of rows, one after the other, whatever stands in their place."""
    return b"".join(row["digest"] if isinstance(row["digest"], bytes) else repr(row["digest"]).encode() for row in rows)


# ---- the run's own row ----------------------------------------------------------------------------------------------


def update_run(db: sqlite3.Connection, run_id: str, fields: Mapping[str, object]) -> bool:
    """Inside a transaction: change a run's row and its digest; False where there is none. What was damaged or unverified stays so."""
    before = db.execute("SELECT * FROM runs WHERE id = ?", (run_id,)).fetchone()
    if before is None:
        return False
    if fields:
        db.execute(f"UPDATE runs SET {', '.join(f'{name} = ?' for name in fields)} WHERE id = ?", (*fields.values(), run_id))
        if before["digest"] is not None and not wrong("runs", run_id, before, sealed=True):
            seal_run(db, run_id)
    return True


def seal_run(db: sqlite3.Connection, run_id: str) -> None:
    """Inside a transaction: give a run's row the digest of what it now holds."""
    row = db.execute("SELECT * FROM runs WHERE id = ?", (run_id,)).fetchone()  # as SQLite gives it back
    db.execute("UPDATE runs SET digest = ? WHERE id = ?", (digest_of("runs", run_id, row), run_id))


# ---- a whole run ----------------------------------------------------------------------------------------------------


def damage_of(db: sqlite3.Connection, run_id: str) -> Iterator[str]:
    """Every row of a run that is not as it was written, in words. Reads all of it, a row at a time."""
    run = db.execute("SELECT * FROM runs WHERE id = ?", (run_id,)).fetchone()
    sealed = run["digest"] is not None
    for table in COVERED:
        key = "id" if table == "runs" else "run_id"
        for row in db.execute(f"SELECT {columns(table)} FROM {table} WHERE {key} = ?", (run_id,)):
            under = b""
            if table == "discoveries":
                under = under_discovery(db, run_id)
            elif table == "result_tables":
                under = under_table(db, run_id, row["name"])
            if why := wrong(table, run_id, row, sealed=sealed, under=under):
                yield f"table {table}, {_place(table, row)}: {why}"
    if sealed:
        (planned,) = db.execute("SELECT ifnull(sum(json_array_length(victims)), 0) FROM stacks WHERE run_id = ?", (run_id,)).fetchone()
        if planned and planned != run["victims_total"]:
            yield f"table stacks: {planned} victims are planned where there were {run['victims_total']}"
        sums = "SELECT (SELECT count(*) FROM victims WHERE run_id = ?1), ifnull(sum(json_array_length(victims)), 0) FROM stacks "
        done, due = db.execute(f"{sums} WHERE run_id = ?1 AND done_at IS NOT NULL", (run_id,)).fetchone()
        if done != due:
            yield f"table victims: there are {done} where {due} were committed"


def under_table(db: sqlite3.Connection, run_id: str, name: str) -> bytes:
    """What a result table's digest binds: the digests of the rows that it has, in their order."""
    query = "SELECT digest FROM result_rows WHERE run_id = ? AND name = ? AND cells IS NOT NULL ORDER BY position"
    return joined(db.execute(query, (run_id, name)).fetchall())


def _place(table: str, row: Row) -> str:
    """Which row of its table, as far as that can be said."""
    names = [name for name in ("name", "number", "key") if name in COVERED[table]]
    return ", ".join(f"{name} {checks.shown(row[name])}" for name in names) or "its row"
