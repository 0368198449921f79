"""Start, pause, resume, stop and delete a run's process. Imports no torch: screens and the command line call this."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import RequestError, RunFailed
from engine.printable import NO_TEXT, is_bytes, name_of, require
from engine.rows import RunRow, Shard
from engine.runs.control import PAUSING, STOPPING
from engine.runs.resumable import refuse_other_versions
from engine.store import Store
from engine.store.run_row import delete_it, worker_of, working
from engine.system import children, processes

if TYPE_CHECKING:
    from engine.runs.plans import Given
    from engine.scenario.sections import Scenario

WORKER = children.command("engine.runs.worker")


def start(
    store: Store,
    scenario: Scenario,
    *,
    name: str | None = None,
    data_dir: Path | None = None,
    spawn: bool = True,
    worker: Sequence[str] = WORKER,
    parent: str = "",
    deviations: Sequence[str] = (),
    check: bool = True,
    given: Given | None = None,
    shard: Shard | None = None,
) -> RunRow:
    """A new run of a scenario, with a worker at work on it in a session of its own (or, without `spawn`, waiting to be resumed).

    data_dir: as given by --data; kept with the run for its resumes. Where None, $SUBPOP_DATA as it is now is kept.
    worker: the command that carries runs out; tests have their own.
    parent, deviations: of a run that attacks another's subpopulations again, see `engine.runs.again`.
    given: a plan, instead of making its own; shard: which of its stacks are trained here, see `engine.runs.shards`.
    check: False where it was asked already whether it can be carried out (see `engine.precheck`).
    Raises RequestError for a name that could not be shown on a terminal, and for what a worker would refuse at its first look; no run
    is made then.
    """
    from engine import datasets, precheck
    from engine.scenario import identity

    store.check_writable()
    if given is not None and given.found is not None:
        from engine.runs import plans

        plans.check_victims(given.plan, scenario, given.found.discovery.subpopulations)
    if check:
        precheck.check(scenario, datasets.data_dir(Path(data_dir) if data_dir else None))
    chosen_dir = data_dir or os.environ.get("SUBPOP_DATA")
    if chosen_dir and is_bytes(str(chosen_dir)):  # a run keeps it for its resumes, as text
        raise RequestError(NO_TEXT, where="the data folder", next="give it another name, or a link to it with one")
    row = store.create_run(
        name=require(name, "the name") if name else name_of(scenario.title),
        title=scenario.title,
        scenario_toml=identity.dump(scenario),
        scenario_hash=identity.digest(scenario),
        data_dir=str(Path(chosen_dir).expanduser().absolute()) if chosen_dir else "",
        parent=parent,
        deviations=deviations,
    )
    if given is not None:
        _take_over(store, row.id, scenario, given, shard)
    if spawn:
        _spawn(store, row.id, worker)
    return store.run(row.id)


def _take_over(store: Store, run_id: str, scenario: Scenario, given: Given, shard: Shard | None) -> None:
    """The plan, and what it was made over where that is there too: its numbers come from here, and say so."""
    from engine.runs.provenance import provenance
    from engine.system import devices

    if given.found is not None:
        found = given.found.discovery
        where = devices.where(scenario.device)
        now = provenance(scenario, where, found.provenance["data"]["checksums"], given.plan.cores)
        others = [what for what in ("code", "libraries") if found.provenance.get(what) != now[what]]
        said = [f"its subpopulations were discovered with other {' and '.join(others)} than it was trained with"] if others else []
        store.update_run(run_id, deviations=tuple(dict.fromkeys((*store.run(run_id).deviations, *given.found.deviations, *said))))
        store.save_discovery(
            run_id,
            subpopulations=found.subpopulations,
            membership=found.membership,
            y_test=found.y_test,
            classes=found.classes,
            provenance=now,
            arrays=found.arrays,
            account=given.found.account,
        )
    store.save_plan(run_id, given.plan.stacks, given.plan.planned(shard))


def pause(store: Store, run_id: str) -> None:
    """Ask a run to hold where it is; it takes effect within about a second. Raises RequestError where it is not at work."""
    row = _at_work(store, run_id, "pause")
    if row.state != "paused":
        store.request(row.id, "pause")


def resume(store: Store, run_id: str, *, worker: Sequence[str] = WORKER, force: bool = False) -> None:
    """Let a paused run go on, or start a new worker on one that was stopped, failed or lost: it repeats no committed victim.

    force: also where its engine is silent and may live; should it wake up, it can write nothing more of the run, and ends.
    Raises RequestError where it is done, about to stop (that cannot be taken back), or its engine may live where it cannot be looked at.
    """
    store.check_writable()
    row = store.run(run_id)
    if row.damaged:
        raise RequestError(f"its row in the store is damaged ({row.damaged})", where=f"run {run_id}", next=delete_it(row))
    if row.state == "done":
        raise RequestError("it is done", where=f"run {run_id}", next=f"see its tables: subpop export {run_id} --table worst")
    refuse_other_versions(row)
    if row.alive:
        if row.phase.endswith(STOPPING) or store.is_asked(run_id, "stop"):
            raise RequestError("it is stopping", where=f"run {run_id}", next="resume it when it has stopped, within seconds")
        if row.state != "paused" and not (row.phase.endswith(PAUSING) or store.is_asked(run_id, "pause")):
            raise RequestError(working(row, store.now()), where=f"run {run_id}", next=f"there is nothing to resume: subpop watch {run_id}")
        store.request(run_id, "resume")
        return
    if row.may_live and not (force and store.disown(run_id, force=True)):
        advice = f"resume it where it runs, or again when it is gone, or take it now: subpop resume {run_id} --force"
        raise RequestError(working(row, store.now()), where=f"run {run_id}", next=advice)
    store.take_requests(run_id)  # what was asked of the old worker is not meant for the new one
    _spawn(store, run_id, worker)


def stop(store: Store, run_id: str) -> str:
    """Ask a run to end, giving up the stack in flight; it can be resumed. Raises RequestError where it has ended already.

    Says what is to be known where its engine is silent but may live: the request waits for it; else "".
    """
    if store.disown(run_id):  # its engine is gone: nobody else is there to say that it stopped
        return ""
    row = store.run(run_id)
    silent = row.may_live and not row.alive
    store.request(run_id if silent else _at_work(store, run_id, "stop").id, "stop")
    return working(row, store.now()) if silent else ""


def delete(store: Store, run_id: str, *, force: bool = False) -> None:
    """Remove a run, its results and its log file. Raises RequestError while it is at work. force: see `Store.delete_run`."""
    store.delete_run(run_id, force=force)
    log_file(store, run_id).unlink(missing_ok=True)


def is_alive(row: RunRow) -> bool:
    """Whether a worker is at work on this run now, by a look at its process, or by its heartbeat where that cannot be looked at."""
    return row.state in ("queued", "running", "paused") and processes.alive(worker_of(row), row.heartbeat_at, time.time())


def log_file(store: Store, run_id: str) -> Path:
    """Where a worker's standard output and error go: what could not be written to the store is there."""
    return store.path.with_name(f"{store.path.stem}-logs") / f"{run_id}.log"


def _at_work(store: Store, run_id: str, verb: str) -> RunRow:
    row = store.run(run_id)
    if row.may_live and not row.alive:
        raise RequestError(f"{working(row, store.now())}, so it cannot {verb} now", where=f"run {run_id}", next="try again when it beats")
    if row.lost:
        raise RequestError(f"its engine is gone, so it cannot {verb}", where=f"run {run_id}", next=f"go on with: subpop resume {run_id}")
    if not row.alive:
        raise RequestError(f"it is {row.state}, so it cannot {verb}", where=f"run {run_id}", next="subpop runs shows what is at work")
    return row


def _spawn(store: Store, run_id: str, worker: Sequence[str]) -> None:
    command = [*worker, run_id, "--store", str(store.path)]
    log = log_file(store, run_id)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env=children.environment()
            )
    except OSError as error:
        raise RunFailed(
            f"its engine could not be started ({error})", where=f"run {run_id}", next=f"then: subpop resume {run_id}"
        ) from error
    store.assign(run_id, processes.identity(process.pid))
    # Collects the worker's exit, so that it leaves no zombie in a long-lived app. The worker outlives this process all the same.
    threading.Thread(target=process.wait, name=f"worker {run_id}", daemon=True).start()
