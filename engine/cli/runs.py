"""Commands about runs: run, runs, watch, pause, resume, stop, delete."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import text as cli_text
from engine.cli.text import (
    ClusterOption,
    DataOption,
    DevicesOption,
    JsonOption,
    RunArgument,
    ScenarioArgument,
    SetOption,
    SmokeOption,
    StoreOption,
)
from engine.system.pace import in_words

if TYPE_CHECKING:
    from engine.rows import RunRow
    from engine.scenario.sections import Scenario
    from engine.store import Store


def run(
    scenario: ScenarioArgument,
    set_: SetOption = None,
    smoke: SmokeOption = False,
    detach: Annotated[bool, typer.Option("--detach", help="Start it, print its id and return; it goes on without this terminal.")] = False,
    device: DevicesOption = None,
    cluster: ClusterOption = None,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="FILE", help="Train this plan, as `subpop plan` wrote it, instead of making one: the same bits."),
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="A name for the run. Default: the scenario's.")] = None,
    find: Annotated[
        float | None,
        typer.Option(
            metavar="DAMAGE",
            help="Search for the alpha that does so much damage, as 0.2: refine the grid once where each subpopulation crosses it, then "
            "fresh trials there. See the table `dose`.",
        ),
    ] = None,
    store: StoreOption = None,
    data: DataOption = None,
) -> None:
    """Run a scenario to its tables.

    Its subpopulations are discovered, every victim is trained, and the tables fill as they are. The work happens in a process of its
    own, so closing the terminal does not end it. Ctrl-C asks it to stop (what is trained stays, and `subpop resume` goes on from
    there); a second Ctrl-C leaves at once.

    Exit status: 0 done, 1 the run failed, 2 the request was wrong, 130 interrupted or stopped.
    """
    from engine.cli.scenarios import at_cluster, ready
    from engine.cli.watch import follow
    from engine.runs import finding, shards
    from engine.runs import start as runs_
    from engine.store import Store

    with Store.open(store) as opened:
        wanted = [*(set_ or []), *([] if find is None else [f"evaluation.find={find}"])]
        loaded, root = ready(scenario, wanted, smoke, at_cluster(device, cluster), data)
        finding.check(loaded)
        given = None if plan is None else shards.given(plan, loaded)
        row = runs_.start(opened, loaded, name=name or default_name(scenario, loaded), data_dir=root, check=False, given=given)
        if detach:
            cli_text.line(row.id)
            cli_text.note(f"run {row.id} goes on by itself: subpop watch {row.id}")
            return
        follow(opened, row.id, stop_on_interrupt=True)


def default_name(source: str, scenario: Scenario) -> str:
    """A run is named after its preset or file, or after its data where those are others."""
    from engine.scenario import files, naming

    return naming.run_name(Path(source).stem, files.text_of(source)[2], scenario.model_dump())


def runs(store: StoreOption = None, json: JsonOption = False) -> None:
    """List all runs, the newest first."""
    from engine.scenario.claim import claim_of
    from engine.store import Store, default_path
    from engine.store.run_row import delete_it

    if not (store.expanduser() if store else default_path()).exists():
        rows: list[RunRow] = []
    else:
        with Store.open(store, create=False, to_read=True) as opened:
            rows = opened.runs()
    if json:
        cli_text.data([_public(row) for row in rows])
        return
    if not rows:
        cli_text.note("there are no runs yet: subpop run quickstart")
        return
    columns = ("run", "name", "state", "victims", "left", "device", "begun")
    cells = [
        (
            row.id,
            row.name + ("*" if row.deviations else "") + (f", again: of {row.parent}" if row.parent else ""),
            state_and_step(row),
            f"{row.victims_done}/{row.victims_total}" if row.victims_total else None,
            in_words(row.eta_s) if row.eta_s is not None and row.state == "running" else None,
            row.device,
            None if row.damaged else cli_text.ago(row.created_at),
        )
        for row in rows
    ]
    cli_text.table(columns, cells, right=("victims", "left"))
    for row in rows:
        if row.deviations:
            is_not = "is not the paper's" if claim_of(row.scenario_toml) else "is to be read with this"
            cli_text.line(f"* {row.id} {is_not}: {'; '.join(row.deviations)}")
        if row.damaged:
            cli_text.line(f"! {row.id} is damaged in the store: {row.damaged}; {delete_it(row)}")


def state_word(row: RunRow) -> str:
    """A run's state as a person should understand it."""
    return "damaged" if row.damaged else "lost" if row.lost else row.state


def state_and_step(row: RunRow) -> str:
    """A run's state, and where it is at while no victims say so."""
    waits = row.state == "queued" or (row.state == "running" and not row.victims_total)
    return f"{state_word(row)}: {row.phase}" if waits and row.phase and not row.lost and not row.damaged else state_word(row)


def _public(row: RunRow) -> dict[str, object]:
    fields = dataclasses.asdict(row)
    fields.pop("scenario_toml")
    return {**fields, "lost": row.lost}


def watch(run: RunArgument, store: StoreOption = None) -> None:
    """Watch a run to its end. Ctrl-C stops watching, never the run.

    Exit status: 0 the run is done, 1 it failed or its engine was lost, 130 it was stopped, or you stopped watching.
    """
    from engine.cli.watch import follow

    with opened_store(store, to_read=True) as opened:
        follow(opened, opened.find(run).id, stop_on_interrupt=False)


def pause(run: RunArgument, store: StoreOption = None) -> None:
    """Ask a run to pause.

    It keeps its place in memory and lets go of the processor within a few steps; `subpop resume` goes on.
    """
    from engine.runs import start as runs_

    with opened_store(store) as opened:
        row = opened.find(run)
        runs_.pause(opened, row.id)
        cli_text.note(f"asked run {row.id} to pause; go on with: subpop resume {row.id}")


ForceOption = Annotated[
    bool, typer.Option("--force", help="Also where its engine is silent but may live, unseen from here, as in another container.")
]


def resume(run: RunArgument, force: ForceOption = False, store: StoreOption = None) -> None:
    """Go on with a paused, stopped, failed or lost run.

    No victim that was committed is trained again. An engine that has been silent for a minute counts as gone; with --force one that is
    silent now, and should it wake up it ends without writing anything. Never one that still beats.
    """
    from engine.runs import start as runs_
    from engine.system import devices

    with opened_store(store) as opened:
        row = opened.find(run)
        if devices.is_cluster(row.device) and not row.alive:  # one that is paused has its cluster
            from engine.cli.scenarios import look_at_cluster
            from engine.scenario.parse import scenario_of

            look_at_cluster(scenario_of(row))
        runs_.resume(opened, row.id, force=force)
        cli_text.note(f"run {row.id} goes on: subpop watch {row.id}")


def stop(run: RunArgument, store: StoreOption = None) -> None:
    """Ask a run to stop. What is trained stays, and what is done of a discovery; `subpop resume` goes on from there."""
    from engine.runs import start as runs_
    from engine.store.run_row import last_beat

    with opened_store(store) as opened:
        row = opened.find(run, damaged=True)
        if row.damaged and not row.may_live:
            opened.find(row.id)  # which says what is damaged; while an engine is at work on it, it must be stopped to be deleted
        silent = runs_.stop(opened, row.id)
        beat = f" ({last_beat(row, opened.now())})" if row.may_live else ""
        cli_text.note(f"asked run {row.id} to stop{beat}; go on with: subpop resume {row.id}")
        if silent:
            cli_text.note(f"{silent}; then ask again")


def delete(
    run: RunArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. (Asked only on a terminal.)")] = False,
    force: ForceOption = False,
    store: StoreOption = None,
) -> None:
    """Delete a run and all of its results, for good. Never one whose engine still beats."""
    from engine.runs import start as runs_

    with opened_store(store) as opened:
        row = opened.find(run, damaged=True)
        if not yes and cli_text.on_terminal(sys.stdin) and not cli_text.confirmed(f"delete run {row.id} ({row.title}) and its results?"):
            cli_text.note("nothing was deleted")
            return
        runs_.delete(opened, row.id, force=force)
        cli_text.note(f"run {row.id} is deleted")


def opened_store(path: Path | None, *, to_read: bool = False) -> Store:
    """The store, which must be there: nothing can be said about a run without one. to_read: also one that cannot be written."""
    from engine.store import Store

    return Store.open(path, create=False, to_read=to_read)


def with_tables(opened: Store, runs: Sequence[str]) -> list[RunRow]:
    """The runs meant, whose tables are about to be read: old and damaged ones are made anew first, which is said."""
    from engine.runs.rebuild import rebuild

    rows = [opened.find(each) for each in runs]
    for run_id, why in rebuild(opened, [row.id for row in rows]).items():
        cli_text.note(f"run {run_id}: its tables {why}; they were made anew from its predictions")
    return [opened.run(row.id) for row in rows]
