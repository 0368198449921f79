"""Runs in the store: their rows, requests to them, their log, and who holds which device."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from engine import versions
from engine.errors import RequestError, StoreError, UnknownName
from engine.printable import require
from engine.rows import LogRow, RequestKind, RunRow
from engine.store import digests
from engine.store.database import Database
from engine.store.run_row import SELECT, delete_it, id_of, known, log_row, run_row, select_run, worker_in, working
from engine.system import processes
from engine.system.processes import HEARTBEAT_DEAD_S, Process

# What a worker (or the process that starts one) may change of a run.
# fmt: off
UPDATABLE = frozenset([
    "name", "title", "note", "deviations", "state", "phase", "started_at", "finished_at", "host", "pid", "pid_start", "device",
    "victims_done", "victims_total", "progress", "eta_s", "victims_per_minute", "error",
])
# fmt: on


@dataclass(frozen=True)
class RunList:
    """All runs as they were at one look; a row that did not change since the look before is the same object."""

    revision: int
    by_number: Mapping[int, RunRow]
    newest_first: tuple[RunRow, ...]


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
                "schedule, statistics, reading) VALUES (?, ?, ?, 'queued', 'waiting for its engine', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
                    versions.READING,
                ),
            )
            digests.seal_run(db, run_id)
        return self.run(run_id)

    def runs(self) -> list[RunRow]:
        """All runs, newest first."""
        now = self.now()
        return [run_row(row, now) for row in self.read(f"{SELECT} ORDER BY runs.number DESC")]

    def runs_since(self, last: RunList | None) -> RunList:
        """The same, of which only those are read that changed since the last look, or that are at work."""
        now = self.now()
        with self.snapshot() as db:
            revision = db.execute("SELECT max(revision) FROM run_changes").fetchone()[0] or 0
            if last is None:
                read = db.execute(SELECT).fetchall()
            else:
                read = db.execute(
                    f"{SELECT} WHERE runs.number IN (SELECT number FROM run_changes WHERE revision > ? "
                    "UNION SELECT number FROM runs WHERE state IN ('queued', 'running', 'paused'))",
                    (last.revision,),
                ).fetchall()
            rows = dict(last.by_number) if last else {}
            rows |= {row["number"]: run_row(row, now) for row in read}
            if len(rows) != db.execute("SELECT count(*) FROM runs").fetchone()[0]:
                there = {row["number"] for row in db.execute("SELECT number FROM runs")}
                rows = {number: row for number, row in rows.items() if number in there}
        if last is not None and rows.keys() == last.by_number.keys() and not read:
            return RunList(revision, last.by_number, last.newest_first)
        return RunList(revision, rows, tuple(rows[number] for number in sorted(rows, reverse=True)))

    def run(self, run_id: str) -> RunRow:
        """The run of exactly this id. Raises UnknownName."""
        rows = self.read(*select_run(run_id))
        if not rows:
            raise UnknownName("run", run_id, self._ids(), next="; `subpop runs` lists them")
        return run_row(rows[0], self.now())

    def data_dir(self, run_id: str) -> Path | None:
        """Where a run's data was said to be when it was started; None: the usual places."""
        rows = self.read("SELECT data_dir FROM runs WHERE id = ?", (run_id,))
        return Path(rows[0]["data_dir"]) if rows and rows[0]["data_dir"] else None

    def find(self, text: str, *, damaged: bool = False) -> RunRow:
        """The run a person means: an id, a prefix of one run's id, or "latest". Raises UnknownName, or RequestError where several fit.

        damaged: also one whose row is damaged, which is refused otherwise.
        """
        row = self._find(text)
        if row.damaged and not damaged:
            raise RequestError(f"its row in the store is damaged ({row.damaged})", where=f"run {row.id}", next=delete_it(row))
        return row

    def _find(self, text: str) -> RunRow:
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
        return [id_of(row) for row in self.read("SELECT id, number FROM runs ORDER BY number")]

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

    def delete_run(self, run_id: str, *, force: bool = False) -> None:
        """Remove a run and all that belongs to it, in one transaction. Raises RequestError while an engine is, or may be, at work on it.

        force: also where its engine is silent and may live; not while it beats.
        """
        with self.write() as db:
            row = known(db, run_id)
            run = run_row(row, self.now())
            if run.alive if force else run.may_live:
                now = "" if run.alive else f", or delete it now: subpop delete {run_id} --force"
                raise RequestError(working(run, self.now()), where=f"run {run_id}", next=f"stop it first: subpop stop {run_id}{now}")
            db.execute("DELETE FROM runs WHERE number = ?", (row["number"],))  # everything else goes by ON DELETE CASCADE

    # ---- the worker that has it -------------------------------------------------------------------------------------

    def claim(self, run_id: str, worker: Process) -> str | None:
        """Take a run for a worker; it is queued then. The claim, for `fenced`; None where another may be at work on it, or it is done.

        Whoever had a claim on it before can write nothing more of it.
        """
        with self.write() as db:
            row = known(db, run_id)
            if row["state"] == "done" or (run_row(row, self.now()).may_live and worker_in(row) != worker):
                return None
            claim = secrets.token_hex(8)
            db.execute("DELETE FROM leases WHERE run_id = ?", (run_id,))  # of the worker before
            fields: dict[str, object] = {"error": "", "finished_at": None, "eta_s": None, "victims_per_minute": None}
            _update(db, run_id, _given_to(worker, claim) | fields, self.path)
            _beat(db, run_id, self.now())
            return claim

    def assign(self, run_id: str, worker: Process) -> None:
        """Say which process was just started for a run, so that it counts as alive until it claims the run itself.

        Nothing happens where another living process has the run: the one just started will be refused by `claim`; nor where this one
        has claimed it already, for it may have ended by now, and how it ended stands.
        """
        with self.write() as db:
            row = db.execute(*select_run(run_id)).fetchone()
            if row is None or replace(before := worker_in(row), start=worker.start) == worker:  # it has no start where it has ended
                return
            if processes.alive(before, row["heartbeat_at"], self.now(), HEARTBEAT_DEAD_S):
                return
            _update(db, run_id, _given_to(worker, ""), self.path)
            _beat(db, run_id, self.now())

    def disown(self, run_id: str, *, force: bool = False) -> bool:
        """Mark a run whose engine is gone as stopped, for no worker is there to do it. False where it may be alive, or has ended.

        force: also where it is silent and may live; what it still writes is refused then.
        """
        with self.write() as db:
            row = db.execute(*select_run(run_id)).fetchone()
            if row is None or not (run := run_row(row, self.now())).lost or (run.may_live and not force):
                return False
            db.execute("DELETE FROM requests WHERE run_id = ?", (run_id,))
            db.execute("DELETE FROM leases WHERE run_id = ?", (run_id,))
            fields = {"state": "stopped", "phase": "", "finished_at": self.now(), "eta_s": None, "victims_per_minute": None}
            whose = {"claim": "", **({"pid": None, "pid_start": ""} if run.may_live else {})}  # taken by force: it is nobody's now
            _update(db, run_id, {**fields, **whose}, self.path)
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

    def is_asked(self, run_id: str, kind: RequestKind) -> bool:
        """Whether such a request waits to be heard by the run's worker."""
        return bool(self.read("SELECT 1 FROM requests WHERE run_id = ? AND kind = ? LIMIT 1", (run_id, kind)))

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
            digests.insert(db, "log", run_id, [{"at": self.now(), "level": level, "message": message}])

    def log_rows(self, run_id: str, after_id: int = 0) -> list[LogRow]:
        """The lines with an id above `after_id`, oldest first."""
        rows = self.read(
            f"SELECT id, at, level, message, digest, {digests.SEALED} FROM log WHERE run_id = ?1 AND id > ?2 ORDER BY id",
            (run_id, after_id),
        )
        return [log_row(run_id, row) for row in rows]

    # ---- devices ----------------------------------------------------------------------------------------------------

    def lease(self, device: str, run_id: str, worker: Process) -> str | None:
        """Take a device of the worker's host for a run, or stay in its queue. None: got it; else the id of the run to wait for.

        The older run goes first; who is dead loses its place, and the device if it held it. Ask again until it is None.
        """
        now, host = self.now(), worker.host
        with self.write() as db:
            rows = db.execute(
                "SELECT leases.*, heartbeats.at AS heartbeat_at FROM leases LEFT JOIN heartbeats USING (run_id) "
                "WHERE host = ? AND device = ?",
                (host, device),
            ).fetchall()
            for row in rows:
                mine_of_old = row["run_id"] == run_id and worker_in(row) != worker
                if mine_of_old or not processes.alive(worker_in(row), row["heartbeat_at"], now, HEARTBEAT_DEAD_S):
                    db.execute("DELETE FROM leases WHERE host = ? AND device = ? AND run_id = ?", (host, device, row["run_id"]))
            db.execute(
                "INSERT INTO leases (host, device, run_id, boot, pid_namespace, pid, pid_start, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING",
                (host, device, run_id, worker.boot, worker.namespace, worker.pid, worker.start, now),
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

    def queue_before(self, device: str, run_id: str, host: str) -> list[str]:
        """The runs that are given this device of a host before this run, the one that holds it first."""
        rows = self.read(
            "SELECT run_id FROM leases JOIN runs ON runs.id = run_id WHERE leases.host = ? AND leases.device = ? "
            "ORDER BY held DESC, runs.number",
            (host, device),
        )
        order = [str(row["run_id"]) for row in rows]
        return order[: order.index(run_id)] if run_id in order else order

    def release(self, run_id: str) -> None:
        """Give back every device that a run holds or waits for."""
        with self.write() as db:
            db.execute("DELETE FROM leases WHERE run_id = ?", (run_id,))


def _update(db: sqlite3.Connection, run_id: str, fields: dict[str, object], path: Path) -> None:
    if fields and not digests.update_run(db, run_id, fields):
        raise StoreError(f"run {run_id} is no longer in the store", where=str(path), next="it was deleted; start it again")


def _beat(db: sqlite3.Connection, run_id: str, now: float) -> None:
    db.execute("INSERT INTO heartbeats (run_id, at) VALUES (?, ?) ON CONFLICT (run_id) DO UPDATE SET at = excluded.at", (run_id, now))


def _given_to(worker: Process, claim: str) -> dict[str, object]:
    """What a run's row says when a worker has just got it."""
    where = {"host": worker.host, "boot": worker.boot, "pid_namespace": worker.namespace, "pid": worker.pid, "pid_start": worker.start}
    return {"state": "queued", "phase": "starting its engine", "claim": claim, **where}
