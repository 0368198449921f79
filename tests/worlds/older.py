"""A store as an older version left it."""

from __future__ import annotations

import sqlite3

from engine.store.digests import COVERED


def without_digests(db: sqlite3.Connection) -> None:
    """As before digests were kept: whoever then changes a value by hand damages nothing."""
    for table in COVERED:
        db.execute(f"UPDATE {table} SET digest = NULL")
