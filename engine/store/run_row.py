"""A run's row as it is read: who is at work on it, and what of it is damaged and shown all the same."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from engine import versions
from engine.errors import UnknownName
from engine.rows import LogRow, RunRow
from engine.store import checks, digests
from engine.system import processes
from engine.system.processes import HEARTBEAT_DEAD_S, HEARTBEAT_LOST_S, Process

SELECT = "SELECT runs.*, heartbeats.at AS heartbeat_at FROM runs LEFT JOIN heartbeats ON heartbeats.run_id = runs.id"
NAMELESS = "damaged-"  # a run whose id is damaged goes by this and its number; no id holds a dash
_TEXTS = ("title", "phase", "scenario_toml", "scenario_hash", "host", "pid_start", "device", "error", "note", "parent", "pid_namespace")
# What a damaged value is shown as; None where nothing is said of it.
_SHOWN_AS: dict[str, object] = {
    **dict.fromkeys(_TEXTS, ""),
    **dict.fromkeys(("created_at", "progress"), 0.0),
    **dict.fromkeys(("victims_done", "victims_total"), 0),
    "name": "(damaged)",
    "state": "failed",
    "deviations": "[]",
    "boot": "",
    "schedule": versions.SCHEDULE,
    "statistics": 0,
    "reading": versions.READING,
}


def select_run(run_id: str) -> tuple[str, tuple[object, ...]]:
    """The query for one run's row. A run whose id is damaged goes by its number."""
    if run_id.startswith(NAMELESS) and (number := run_id.removeprefix(NAMELESS)).isdecimal() and len(number) < 18:
        return f"{SELECT} WHERE runs.number = ?", (int(number),)
    return f"{SELECT} WHERE runs.id = ?", (run_id,)


def known(db: sqlite3.Connection, run_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute(*select_run(run_id)).fetchone()
    if row is None:
        raise UnknownName("run", run_id, [id_of(each) for each in db.execute("SELECT id, number FROM runs")])
    return row


def id_of(row: sqlite3.Row) -> str:
    return str(row["id"]) if not checks.COLUMNS["runs"]["id"](row["id"]) else f"{NAMELESS}{row['number']}"


def worker_in(row: sqlite3.Row) -> Process:
    return Process(row["host"], row["boot"], row["pid_namespace"], row["pid"], row["pid_start"])


def worker_of(run: RunRow) -> Process:
    """The process that was last given a run."""
    return Process(run.host, run.boot, run.pid_namespace, run.pid, run.pid_start)


def last_beat(run: RunRow, now: float) -> str:
    return "it has not beaten yet" if run.heartbeat_at is None else f"last beat {max(0.0, now - run.heartbeat_at):.0f} s ago"


def working(run: RunRow, now: float) -> str:
    """That an engine is at work on a run, or may be, and when it last gave a sign."""
    who = f"process {run.pid} on {run.host}, {last_beat(run, now)}"
    if run.alive:
        return f"it is {run.state} ({who})"
    hidden = f"its engine is silent and cannot be looked at from here ({who})"
    return f"{hidden}; it counts as gone when it has been silent for {HEARTBEAT_DEAD_S:.0f} s"


def delete_it(run: RunRow) -> str:
    """What to do about a damaged run."""
    return f"restore the store from a copy, or delete the run: subpop delete {run.id}"


def run_row(row: sqlite3.Row, now: float) -> RunRow:
    fields = dict(row)
    damaged = _mend(fields, row)
    other_schedule = versions.other_schedule(fields["schedule"])  # worked out, not stored: what is known of a schedule may change
    fields["deviations"] = (*json.loads(fields["deviations"]), *([other_schedule] if other_schedule else ()))
    worker = Process(fields["host"], "" if damaged else fields["boot"], fields["pid_namespace"], fields["pid"], fields["pid_start"])
    at_work = fields["state"] in ("queued", "running", "paused")
    for name, silence_s in (("alive", HEARTBEAT_LOST_S), ("may_live", HEARTBEAT_DEAD_S)):
        fields[name] = at_work and processes.alive(worker, fields["heartbeat_at"], now, silence_s)
    unverified = row["digest"] is None
    for name in ("number", "data_dir", "claim", "digest"):
        del fields[name]
    return RunRow(**fields, damaged=damaged, unverified=unverified)


def _mend(fields: dict[str, Any], row: sqlite3.Row) -> str:
    """Put something that can be shown in the place of each damaged value; the first of them in words, or "".

    One row that cannot be read must not keep the others from being listed, nor itself from being deleted.
    """
    damage = ""
    for name, rule in checks.COLUMNS["runs"].items():
        if wrong := rule(fields[name]):
            damage = damage or f"{name} is {checks.shown(fields[name])}: {wrong}"
            fields[name] = id_of(row) if name == "id" else _SHOWN_AS.get(name)
    damage = damage or digests.wrong("runs", fields["id"], row, sealed=False)
    if checks.optional(checks.TIME)(fields["heartbeat_at"]):
        damage, fields["heartbeat_at"] = damage or "its heartbeat is no time", None
    return damage


def log_row(run_id: str, row: sqlite3.Row) -> LogRow:
    """One line of a log; a damaged one says so in its place."""
    misfit = any(rule(row[name]) for name, rule in checks.COLUMNS["log"].items())
    if misfit or digests.wrong("log", run_id, row, sealed=bool(row["sealed"])):
        return LogRow(row["id"], 0.0, "error", "this line of the log is damaged")
    return LogRow(row["id"], row["at"], row["level"], row["message"])
