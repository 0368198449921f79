"""A shard of a plan: some of its stacks, trained by a worker of its own into a store of its own, on whatever machine.

What was discovered lies beside the plan, as a bundle of the run that made it (`plan.json`, `plan.subpop`): whoever trains the plan takes it
over, for to discover it anew would cost as much again, and another number of cores comes to other last bits. Without it a run discovers for
itself, and ends in words where that is not what the plan was made over.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from engine.errors import RequestError, StoreError
from engine.rows import RunRow, Shard
from engine.runs import plans, start
from engine.runs.control import Control
from engine.runs.plans import Found, Given, Plan
from engine.store import MEMORY, Store
from engine.store.bundle import bundle, open_bundle
from engine.store.run_row import worker_of, working
from engine.system import processes
from engine.system.filesystem import network_kind

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from engine.scenario.sections import Scenario

MOST = 10_000


def shard_of(text: str) -> Shard:
    """ "3/8" as a shard."""
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]) <= MOST:
        raise RequestError(f"{text!r} is no shard", where="--shard", next="give which of how many, as 3/8: from 1/8 to 8/8")
    return Shard(int(match[1]), int(match[2]))


def discovered(plan_file: Path) -> Path:
    """Where the run that a plan was made by lies: beside it."""
    return plan_file.with_suffix(".subpop")


def write(store: Store, run_id: str, path: Path) -> Plan:
    """A run's plan into a file, and beside it what was discovered, as a bundle of the run. The plan last: who sees it finds both."""
    plan = plans.of_run(store, run_id)
    if path.suffix == ".subpop":
        raise RequestError("is what lies beside a plan", where=str(path), next="give the plan another ending, as plan.json")
    bundle(store, run_id, discovered(path))
    plans.write(plan, path)
    return plan


def given(plan_file: Path, scenario: Scenario) -> Given:
    """A plan for a run of this scenario. RequestError where it is of another, or what lies beside it is not of it."""
    plan = plans.read(plan_file)
    plans.check(plan, scenario, str(plan_file))
    return Given(plan, found_beside(plan_file, plan))


def found_beside(plan_file: Path, plan: Plan) -> Found | None:
    """What was discovered where the plan was made; None where that does not lie beside it."""
    beside = discovered(plan_file)
    if not beside.exists():
        return None
    with Store.open(MEMORY) as store:
        run_id = open_bundle(store, beside)
        if plans.of_run(store, run_id).digest != plan.digest:
            next = "take it away, or make both again: subpop plan"
            raise RequestError(f"is not what {plan_file} was made over", where=str(beside), next=next)
        stored = store.discovery(run_id, bulk=True)
        assert stored is not None  # it has a plan
        return Found(stored, store.account(run_id), store.run(run_id).deviations)


@contextmanager
def opened(path: Path) -> Iterator[tuple[Store, Callable[[], None]]]:
    """A shard's store, and what brings what was committed to `path`.

    On a network file system, where several processes must not use a store, a copy on this machine's disk is worked on, and written back
    whole whenever a stack is done.
    """
    if network_kind(path) is None:
        with Store.open(path) as store:
            yield store, lambda: None
        return
    with TemporaryDirectory(prefix="subpop-shard-") as folder:
        copy = Path(folder) / path.name
        try:
            if path.exists():
                shutil.copyfile(path, copy)
        except OSError as error:
            raise StoreError(f"cannot be read: {error.strerror}", where=str(path), next="check its permissions") from error
        with Store.open(copy) as store:
            store.copy_to(path)  # where that cannot be, it is said before there is work to lose
            yield store, lambda: store.copy_to(path)
            store.copy_to(path)


def wait_for_silence(store: Store, run_id: str, control: Control, say: Callable[[str], None]) -> None:
    """Wait until the engine that had a shard before counts as gone, where it cannot be looked at: it was killed on another machine, and the
    shard was queued again. One that is at work on this machine is left to `claim`, which refuses. Raises Interrupted when stopped.
    """
    said = False
    while (row := store.run(run_id)).may_live and processes.seen(worker_of(row)) is None:
        if not said:
            say(f"waiting: {working(row, store.now())}")
            said = True
        control.wait(1.0)


def prepared(
    store: Store, scenario: Scenario, plan: Plan, plan_file: Path, shard: Shard, *, name: str, data_dir: Path, path: Path
) -> RunRow:
    """The run of a shard in its store: the one that is there, to be gone on with, or a new one.

    path: the store's, as it was named. RequestError where the store holds anything else, or what lies beside the plan is not of it.
    """
    refuse_search(scenario)
    said = f"shard {shard} of its plan: some of its victims alone, until `subpop merge` puts the shards together"
    given = None if store.runs() else Given(plan, found_beside(plan_file, plan))  # before the others are held up: it takes seconds
    with _alone(store.path.parent):
        there = store.runs()
        if len(there) == 1 and there[0].deviations[:1] == (said,) and store.plan(there[0].id) is None:
            store.delete_run(there[0].id)  # whoever made it was killed before it had its plan
            there = []
        if not there:
            given = given or Given(plan, found_beside(plan_file, plan))
            return start.start(
                store, scenario, name=name, data_dir=data_dir, spawn=False, deviations=(said,), check=False, given=given, shard=shard
            )
    for row in there:
        planned = store.planned(row.id)
        if len(there) > 1 or planned is None or planned.shard is None:
            raise RequestError("is a store of other runs", where=str(path), next="give each shard a file of its own, as --store part3.db")
        if plans.of_run(store, row.id).digest != plan.digest:
            raise RequestError("holds a shard of another plan", where=str(path), next="give another file, or that plan")
        if planned.shard != shard:
            raise RequestError(f"holds shard {planned.shard}", where=str(path), next=f"give that, or for {shard} another file")
    return there[0]


def refuse_search(scenario: Scenario) -> None:
    """RequestError where a scenario goes on from what it saw: no shard sees all of it."""
    if scenario.evaluation.find is not None:
        what = "a search plans on from all victims so far, which no shard has"
        raise RequestError(what, where="evaluation.find", next="take it out, or run it whole: subpop run")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time, of those that make a shard's run in this folder of this machine: two would leave a store of two runs.

    The folder itself is locked: a file beside the store would be litter, and closing the store's own file would drop SQLite's locks.
    """
    lock = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
