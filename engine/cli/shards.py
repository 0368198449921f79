"""Commands about a plan that several machines share: plan, work, slurm, merge."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import text as cli_text
from engine.cli.text import DataOption, DevicesOption, ScenarioArgument, SetOption, SmokeOption
from engine.errors import Interrupted, RequestError, RunFailed
from engine.printable import require

if TYPE_CHECKING:
    from engine.runs.control import Control
    from engine.store import Store

SAY_S = 0.3
PlanOption = Annotated[
    Path | None, typer.Option("--plan", metavar="FILE", help="The plan, as `subpop plan` wrote it; what was discovered lies beside it.")
]


def plan(
    scenario: ScenarioArgument,
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE", help="Where to write it, as plan.json.")] = None,
    set_: SetOption = None,
    smoke: SmokeOption = False,
    device: DevicesOption = None,
    data: DataOption = None,
) -> None:
    """Make a scenario's plan, for several machines to share.

    Its subpopulations are discovered and sizes of stacks are timed here, on the device given. The plan says which victims train together,
    how a stack uses a CPU, under which schedule, and over what: the same plan comes to the same bits wherever it is trained. What was
    discovered is written beside it (plan.subpop), so that no shard needs to do it again. Then: `subpop slurm`, or `subpop work`.
    """
    from engine.cli.runs import default_name
    from engine.cli.scenarios import ready
    from engine.runs import shards
    from engine.runs import start as runs_
    from engine.runs.at_work import Terms
    from engine.runs.control import Control
    from engine.runs.worker import work as work_on
    from engine.store import Store

    if out is None:
        raise RequestError("where to?", where="-o", next="give a file, as -o plan.json")
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise RequestError("is a folder, or lies in none", where=str(out), next="give a file's path in a folder that is there")
    loaded, root = ready(scenario, set_, smoke, device, data)
    with TemporaryDirectory(prefix="subpop-plan-") as folder, Store.open(Path(folder) / "plan.db") as store:
        row = runs_.start(store, loaded, name=default_name(scenario, loaded), data_dir=root, spawn=False, check=False)
        control = Control()
        with _stopped_by_signals(control), _log_said(store, row.id):
            state = work_on(store, row.id, data_dir=root, control=control, terms=Terms(only_plan=True), quiet=True)
        if state == "failed":
            raise RunFailed(store.run(row.id).error)
        if control.stopping or store.plan(row.id) is None:
            raise Interrupted("interrupted: no plan was written")
        made = shards.write(store, row.id, out)
    victims = sum(len(stack.victims) for stack in made.stacks)
    cli_text.note(f"wrote {out} and {shards.discovered(out)}: {victims} victims in {len(made.stacks)} stacks, plan {made.digest[:12]}")


def work(
    scenario: ScenarioArgument,
    plan: PlanOption = None,
    shard: Annotated[str | None, typer.Option(metavar="I/N", help="Which shard of how many, as 3/8.")] = None,
    store: Annotated[
        Path | None, typer.Option("--store", metavar="FILE", help="The shard's own store, as part3.db; made where it is missing.")
    ] = None,
    set_: SetOption = None,
    smoke: SmokeOption = False,
    device: DevicesOption = None,
    data: DataOption = None,
) -> None:
    """Train one shard of a plan here, in this process.

    A shard is every N-th stack of the plan. Told to stop (TERM, USR1, Ctrl-C) it keeps the stacks that it has trained; the same command
    goes on from there, and says so where nothing is left. `subpop merge` puts the shards together.

    Exit status: 0 the shard is done, 1 it failed, 2 the request was wrong, 130 it was stopped.
    """
    from engine.cli.runs import default_name
    from engine.cli.scenarios import ready
    from engine.runs import plans, shards
    from engine.runs.at_work import Terms
    from engine.runs.control import Control
    from engine.runs.worker import work as work_on

    if plan is None or shard is None or store is None:
        lacks = "--plan" if plan is None else "--shard" if shard is None else "--store"
        raise RequestError("is missing", where=lacks, next="as: subpop work PRESET --plan plan.json --shard 3/8 --store part3.db")
    which, given = shards.shard_of(shard), plans.read(plan)
    loaded, root = ready(scenario, set_, smoke, device, data)
    plans.check(given, loaded, str(plan))
    control = Control()
    with _stopped_by_signals(control), shards.opened(store.expanduser().absolute()) as (part, bring):
        row = shards.prepared(part, loaded, given, plan, which, name=default_name(scenario, loaded), data_dir=root, path=store)
        if row.state == "done":
            cli_text.note(f"shard {which} is done already: {row.victims_done} victims in {store}")
            return
        shards.wait_for_silence(part, row.id, control, cli_text.note)
        terms = Terms(device=loaded.device, committed=bring)
        with _log_said(part, row.id):
            state = work_on(part, row.id, data_dir=root, control=control, terms=terms, quiet=True)
        row = part.run(row.id)
    if state == "failed":
        raise RunFailed(row.error, where=f"shard {which}")
    if state != "done":
        raise Interrupted(f"shard {which} is stopped, {row.victims_done} victims are kept", next="the same command goes on from there")
    cli_text.note(f"shard {which} is done: {row.victims_done} victims in {store}")


def slurm(
    scenario: ScenarioArgument,
    shards: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="How many tasks share the work.")] = 8,
    plan: Annotated[Path, typer.Option(metavar="FILE", help="The plan that they share, as `subpop plan` wrote it.")] = Path("plan.json"),
    set_: SetOption = None,
    smoke: SmokeOption = False,
    device: DevicesOption = None,
    data: DataOption = None,
) -> None:
    """Print an array job for SLURM that trains a plan in N shards: `subpop slurm PRESET --shards 8 > job.sh`, then `sbatch job.sh`.

    No server is needed: each task reads the plan and writes a store of its own (part1.db and so on) into the folder that the job is
    submitted from. A task that is told to stop before its time is over is queued again and goes on from what it has trained.
    """
    from engine.runs import plans
    from engine.runs import shards as shards_
    from engine.runs import slurm as slurm_
    from engine.scenario.parse import load

    # a line break would end the script's line, and what follows it be a command
    for where, words in (("SCENARIO", [scenario]), ("--plan", [str(plan)]), ("--set", set_ or ()), ("--data", [str(data or "")])):
        for word in words:
            require(word, where)
    settings = [*(set_ or ()), *([f"compute.device={device}"] if device is not None else [])]
    loaded = load(scenario, settings, smoke, cli_text.note)
    shards_.refuse_search(loaded)
    words = [scenario, *(word for each in set_ or () for word in ("--set", each)), *(["--smoke"] if smoke else [])]
    words += ["--device", device] if device is not None else []
    words += ["--data", str(data.expanduser().absolute())] if data is not None else []
    if plan.exists():
        plans.check(plans.read(plan), loaded, str(plan))
    else:
        import shlex

        cli_text.note(f"{plan} is not there yet; make it before you submit: {shlex.join(['subpop', 'plan', *words, '-o', str(plan)])}")
    cli_text.document(slurm_.script(words, title=loaded.title, shards=shards, plan=plan).rstrip("\n"))


def merge(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The store that the whole run goes into; made where it is missing.")],
    parts: Annotated[list[Path], typer.Argument(metavar="FILE...", help="The shards' stores, as part*.db: all of one plan.")],
) -> None:
    """Put the shards of a plan together as one run.

    Its tables are those of a run that trained the whole plan. Refused are shards of another plan, over other data or another discovery,
    stacks that are in none of the files, and stacks that are in two.
    """
    from engine.runs import merging
    from engine.store import Store

    if any(_same_file(part.expanduser(), out.expanduser()) for part in parts):
        raise RequestError("is one of the shards", where=str(out), next="give another file first, as merged.db")
    with merging.opened([part.expanduser() for part in parts]) as found:
        merging.check(found)
        with Store.open(out.expanduser()) as store:
            row = merging.merge(store, found)
    cli_text.line(row.id)
    cli_text.note(f"run {row.id} has all {row.victims_done} victims: subpop export {row.id} --store {out} --table worst --format md")


def _same_file(one: Path, other: Path) -> bool:
    """By whatever name or link."""
    return one.absolute() == other.absolute() or (one.exists() and other.exists() and one.samefile(other))


# ---- shared ---------------------------------------------------------------------------------------------------------


@contextmanager
def _stopped_by_signals(control: Control) -> Iterator[None]:
    """TERM, USR1 and Ctrl-C are stop requests meanwhile."""

    def stop(number: int, frame: FrameType | None) -> None:
        control.stop_soon()

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _log_said(store: Store, run_id: str) -> Iterator[None]:
    """The run's log on standard error, a line as it comes."""
    last = max((row.id for row in store.log_rows(run_id)), default=0)
    ended = threading.Event()

    def say() -> None:
        nonlocal last
        for row in store.log_rows(run_id, last):
            last = row.id
            if row.level != "error":  # told at the end, by who asked for the work
                level = "" if row.level == "info" else f"{row.level}: "
                cli_text.failure(f"{cli_text.clock(row.at)} {level}{row.message}")

    def follow() -> None:
        while not ended.wait(SAY_S):
            say()

    thread = threading.Thread(target=follow, name="log", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        say()
