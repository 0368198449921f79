"""Runs in the store: their rows, requests to them, their log, and who holds which device."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from engine import versions
from engine.errors import RequestError, StoreError, UnknownName
from engine.printable import require
from engine.rows import LogRow, RequestKind, RunRow
from engine.store.database import Database
from engine.system.processes import alive, process_start

# What a worker (or the process that starts one) may change of a run.
# fmt: off
UPDATABLE = frozenset([
    "name", "title", "note", "deviations", "state", "phase", "started_at", "finished_at", "host", "pid", "pid_start", "device",
    "victims_done", "victims_total", "progress", "eta_s", "victims_per_minute", "error",
])
# fmt: on

_SELECT = "SELECT runs.*, heartbeats.at AS heartbeat_at FROM runs LEFT JOIN heartbeats ON heartbeats.run_id = runs.id"


class RunRows(Database):
    """The part of the store that says which runs there are and how they stand."""

    # ---- a run's row ------------------------------------------------------------------------------------------------

    def create_run(
        self,
        *,
        name: str,
        title: str,
        scenario_toml: str,
        scenario_hash: str,
        deviations: Sequence[str] = (),
        data_dir: str = "",
        parent: str = "",
    ) -> RunRow:
        """A new run, queued, with nobody at work on it yet. data_dir: where its data was said to be; empty: the usual places.

        parent: the run that it attacks again, or empty.
        """
        with self.write() as db:
            while True:
                run_id = secrets.token_hex(3)
                if not db.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,)).fetchone():
                    break
            db.execute(
                "INSERT INTO runs (id, name, title, state, phase, scenario_toml, scenario_hash, created_at, deviations, data_dir, parent, "
                "schedule, statistics) VALUES (?, ?, ?, 'queued', 'waiting for its engine', ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    run_id,
                    name,
                    title,
                    scenario_toml,
                    scenario_hash,
                    self.now(),
                    json.dumps(list(deviations)),
                    data_dir,
                    parent,
                    versions.SCHEDULE,
                    versions.STATISTICS,
                ),
            )
        return self.run(run_id)

    def runs(self) -> list[RunRow]:
        """All runs, newest first."""
        now = self.now()
        return [_run_row(row, now) for row in self.read(f"{_SELECT} ORDER BY runs.number DESC")]

    def run(self, run_id: str) -> RunRow:
        """The run of exactly this id. Raises UnknownName."""
        rows = self.read(f"{_SELECT} WHERE runs.id = ?", (run_id,))
        if not rows:
            raise UnknownName("run", run_id, self._ids(), next="; `subpop runs` lists them")
        return _run_row(rows[0], self.now())

    def data_dir(self, run_id: str) -> Path | None:
        """Where a run's data was said to be when it was started; None: the usual places."""
        rows = self.read("SELECT data_dir FROM runs WHERE id = ?", (run_id,))
        return Path(rows[0]["data_dir"]) if rows and rows[0]["data_dir"] else None

    def find(self, text: str) -> RunRow:
        """The run a person means: an id, a prefix of one run's id, or "latest". Raises UnknownName, or RequestError where several fit."""
        ids = self._ids()
        if text == "latest" and ids:
            return self.run(ids[-1])
        fits = [text] if text in ids else [run_id for run_id in ids if text and run_id.startswith(text.lower())]
        if len(fits) > 1:
            raise RequestError(f"{len(fits)} runs begin with {text!r}: {', '.join(fits[:6])}", next="give more of the id")
        if not fits:
            raise UnknownName("run", text, ids[-12:], next="; `subpop runs` lists them")
        return self.run(fits[0])

    def _ids(self) -> list[str]:
        return [row["id"] for row in self.read("SELECT id FROM runs ORDER BY number")]

    def update_run(self, run_id: str, **fields: object) -> None:
        """Change some fields of a run's row, named as in RunRow. Raises StoreError where the run is gone."""
        if unknown := fields.keys() - UPDATABLE:
            raise ValueError(f"not fields of a run that may change: {', '.join(sorted(unknown))}")
        if "deviations" in fields:
            fields["deviations"] = json.dumps(list(fields["deviations"]))  # type: ignore[call-overload]
        with self.write() as db:
            _update(db, run_id, fields, self.path)

    def rename(self, run_id: str, name: str) -> None:
        """Give a run another name. RequestError for one that could not be shown on a terminal."""
        self.update_run(run_id, name=require(name, "the name"))

    def annotate(self, run_id: str, note: str) -> None:
        """Set a person's note on a run. RequestError for one that could not be shown on a terminal."""
        self.update_run(run_id, note=require(note, "the note"))

    def delete_run(self, run_id: str) -> None:
        """Remove a run and all that belongs to it, in one transaction. Raises RequestError while an engine is at work on it."""
        with self.write() as db:
            row = db.execute(f"{_SELECT} WHERE runs.id = ?", (run_id,)).fetchone()
            if row is None:
                raise UnknownName("run", run_id, [r["id"] for r in db.execute("SELECT id FROM runs")])
            if _run_row(row, self.now()).alive:
                raise RequestError(f"it is {row['state']}", where=f"run {run_id}", next=f"stop it first: subpop stop {run_id}")
            db.execute("DELETE FROM runs WHERE id = ?", (run_id,))  # everything else goes by ON DELETE CASCADE

    # ---- the worker that has it -------------------------------------------------------------------------------------

    def claim(self, run_id: str, host: str, pid: int) -> bool:
        """Take a run for the worker `pid` of this host; it is queued then. False where another living worker has it, or it is done."""
        with self.write() as db:
            row = db.execute(f"{_SELECT} WHERE runs.id = ?", (run_id,)).fetchone()
            if row is None:
                raise UnknownName("run", run_id, [r["id"] for r in db.execute("SELECT id FROM runs")])
            mine = row["host"] == host and row["pid"] == pid
            if row["state"] == "done" or (_run_row(row, self.now()).alive and not mine):
                return False
            fields = {"state": "queued", "phase": "loading libraries", "host": host, "pid": pid, "pid_start": process_start(pid) or ""}
            _update(db, run_id, {**fields, "error": "", "finished_at": None, "eta_s": None, "victims_per_minute": None}, self.path)
            _beat(db, run_id, self.now())
            return True

    def assign(self, run_id: str, host: str, pid: int) -> None:
        """Say which process was just started for a run, so that it counts as alive until it claims the run itself.

        Nothing happens where another living process has the run: the one just started will be refused by `claim`; nor where this one
        has claimed it already, for it may have ended by now, and how it ended stands.
        """
        with self.write() as db:
            row = db.execute(f"{_SELECT} WHERE runs.id = ?", (run_id,)).fetchone()
            if row is None or (row["host"], row["pid"]) == (host, pid):
                return
            if not alive(row["host"], row["pid"], row["pid_start"], row["heartbeat_at"], self.now()):
                fields = {"state": "queued", "phase": "loading libraries", "host": host, "pid": pid, "pid_start": process_start(pid) or ""}
                _update(db, run_id, fields, self.path)

    def disown(self, run_id: str) -> bool:
        """Mark a run whose engine is gone as stopped, for no worker is there to do it. False where it is alive or has ended."""
        with self.write() as db:
            row = db.execute(f"{_SELECT} WHERE runs.id = ?", (run_id,)).fetchone()
            if row is None or not _run_row(row, self.now()).lost:
                return False
            db.execute("DELETE FROM requests WHERE run_id = ?", (run_id,))
            db.execute("DELETE FROM leases WHERE run_id = ?", (run_id,))
            fields = {"state": "stopped", "phase": "", "finished_at": self.now(), "eta_s": None, "victims_per_minute": None}
            _update(db, run_id, fields, self.path)
            return True

    def heartbeat(self, run_id: str, **fields: object) -> None:
        """Say that the run's worker is alive now, and how far it has come, in one transaction."""
        with self.write() as db:
            _beat(db, run_id, self.now())
            _update(db, run_id, fields, self.path)

    def request(self, run_id: str, kind: RequestKind) -> None:
        """Ask a run's worker to pause, resume or stop."""
        if kind not in get_args(RequestKind):
            raise ValueError(f"no request called {kind!r}")
        self.run(run_id)
        with self.write() as db:
            db.execute("INSERT INTO requests (run_id, kind, at) VALUES (?, ?, ?)", (run_id, kind, self.now()))

    def stop_is_asked(self, run_id: str) -> bool:
        """Whether a stop waits to be heard by the run's worker."""
        return bool(self.read("SELECT 1 FROM requests WHERE run_id = ? AND kind = 'stop' LIMIT 1", (run_id,)))

    def take_requests(self, run_id: str) -> list[RequestKind]:
        """The requests that wait, oldest first; each is handed out once. Writes only where there are any."""
        if not self.read("SELECT 1 FROM requests WHERE run_id = ? LIMIT 1", (run_id,)):
            return []
        with self.write() as db:
            rows = db.execute("SELECT id, kind FROM requests WHERE run_id = ? ORDER BY id", (run_id,)).fetchall()
            db.execute("DELETE FROM requests WHERE run_id = ?", (run_id,))
        return [row["kind"] for row in rows]

    # ---- its log ----------------------------------------------------------------------------------------------------

    def log(self, run_id: str, level: str, message: str) -> None:
        """Add one line to a run's log; level is info, warning or error."""
        with self.write() as db:
            db.execute("INSERT INTO log (run_id, at, level, message) VALUES (?, ?, ?, ?)", (run_id, self.now(), level, message))

    def log_rows(self, run_id: str, after_id: int = 0) -> list[LogRow]:
        """The lines with an id above `after_id`, oldest first."""
        rows = self.read("SELECT id, at, level, message FROM log WHERE run_id = ? AND id > ? ORDER BY id", (run_id, after_id))
        return [LogRow(row["id"], row["at"], row["level"], row["message"]) for row in rows]

    # ---- devices ----------------------------------------------------------------------------------------------------

    def lease(self, device: str, run_id: str, host: str, pid: int) -> str | None:
        """Take a device of this host for a run, or stay in its queue. None: got it; else the id of the run to wait for.

        The older run goes first; who is dead loses its place, and the device if it held it. Ask again until it is None.
        """
        now = self.now()
        with self.write() as db:
            rows = db.execute(
                "SELECT leases.*, heartbeats.at AS heartbeat_at FROM leases LEFT JOIN heartbeats USING (run_id) "
                "WHERE host = ? AND device = ?",
                (host, device),
            ).fetchall()
            for row in rows:
                mine_of_old = row["run_id"] == run_id and row["pid"] != pid
                if mine_of_old or not alive(host, row["pid"], row["pid_start"], row["heartbeat_at"], now):
                    db.execute("DELETE FROM leases WHERE host = ? AND device = ? AND run_id = ?", (host, device, row["run_id"]))
            db.execute(
                "INSERT INTO leases (host, device, run_id, pid, pid_start, at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (host, device, run_id, pid, process_start(pid) or "", now),
            )
            first = db.execute(
                "SELECT run_id FROM leases JOIN runs ON runs.id = run_id WHERE leases.host = ? AND leases.device = ? "
                "ORDER BY held DESC, runs.number",
                (host, device),
            ).fetchone()["run_id"]
            if first != run_id:
                return str(first)
            db.execute("UPDATE leases SET held = 1 WHERE host = ? AND device = ? AND run_id = ?", (host, device, run_id))
            return None

    def release(self, run_id: str) -> None:
        """Give back every device that a run holds or waits for."""
        with self.write() as db:
            db.execute("DELETE FROM leases WHERE run_id = ?", (run_id,))


def _update(db: sqlite3.Connection, run_id: str, fields: dict[str, object], path: Path) -> None:
    if not fields:
        return
    columns = ", ".join(f"{name} = ?" for name in fields)
    if db.execute(f"UPDATE runs SET {columns} WHERE id = ?", (*fields.values(), run_id)).rowcount == 0:
        raise StoreError(f"run {run_id} is no longer in the store", where=str(path), next="it was deleted; start it again")


def _beat(db: sqlite3.Connection, run_id: str, now: float) -> None:
    db.execute("INSERT INTO heartbeats (run_id, at) VALUES (?, ?) ON CONFLICT (run_id) DO UPDATE SET at = excluded.at", (run_id, now))


def _run_row(row: sqlite3.Row, now: float) -> RunRow:
    fields = dict(row)
    del fields["number"], fields["data_dir"]
    said = versions.other_schedule(fields["schedule"])  # worked out, not stored: what is known of a schedule may change
    fields["deviations"] = (*json.loads(fields["deviations"]), *([said] if said else ()))
    at_work = fields["state"] in ("queued", "running", "paused")
    fields["alive"] = at_work and alive(row["host"], row["pid"], row["pid_start"], row["heartbeat_at"], now)
    return RunRow(**fields)
