"""Commands about runs: run, runs, watch, pause, resume, stop, delete, export."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Mapping, Sequence
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
    RunsArgument,
    ScenarioArgument,
    SetOption,
    SmokeOption,
    StoreOption,
)
from engine.errors import RequestError
from engine.export import FORMATS
from engine.system.pace import in_words

if TYPE_CHECKING:
    from engine.rows import RunRow, TableSpec
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


def export(
    run: RunsArgument,
    table: Annotated[
        str | None,
        typer.Option(
            "--table",
            metavar="TABLE",
            help="damage, worst, collateral, confidence, distribution, dose, attributes, groups, matchers, optimization, defenses, "
            "certificates, susceptibility, subpopulations, victims, predictions; or all: every table, the scenario, the provenance and a "
            "report, into the folder -o.",
            autocompletion=lambda incomplete: [name for name in (*_tables(), "all") if name.startswith(incomplete)],
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="|".join(FORMATS),
            help="Default: what the ending of PATH says; on a terminal columns to read; else csv. With all: one more format of each table.",
            autocompletion=lambda incomplete: [name for name in FORMATS if name.startswith(incomplete)],
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="PATH", help="A file to write. Default, and `-`: stdout.")] = None,
    full: Annotated[bool, typer.Option("--full", help="md and tex: every column and digit, as csv, json and parquet have them.")] = False,
    contact_sheet: Annotated[
        bool,
        typer.Option(
            "--contact-sheet", help="Instead of a table a PNG (with -o): each subpopulation's most typical pictures and its poison."
        ),
    ] = False,
    subpopulation: Annotated[int | None, typer.Option(metavar="INDEX", help="groups: the attacked one. Default: the worst.")] = None,
    alpha: Annotated[float | None, typer.Option(help="groups: the poison rate of that attack. Default: the largest.")] = None,
    by: Annotated[
        list[str] | None, typer.Option("--by", metavar="A,B", help="groups: cross these columns too, as race,sex. Repeatable.")
    ] = None,
    store: StoreOption = None,
    data: DataOption = None,
) -> None:
    """Write a table of a run, with its provenance. Works while the run is at work: what is not there yet is empty.

    Of several runs, one table: each run's rows behind the name of its system. `matchers` sets a run of FeatureMatch beside one of
    ClusterMatch on the same data and model; `groups` tells of one attack, hardest hit group first.

    Damage is a fraction: accuracy on the subpopulation's test rows, clean minus poisoned, paired within a trial; intervals are 95 %.

    The table `worst` shows every worst-k twice. As published: chosen and reported on the same trials, which overstates. Corrected: each
    (trial, fifth of the test rows) is scored on subpopulations chosen by the other trials and fifths. The corrected value estimates the
    expected damage of an adversary who picks targets from past trials, given this split and clustering. With one trial there is none.

    A published value stands beside the measured one; `outside` says where it lies outside the interval in which another's as-published
    value would fall. In `distribution` corrected means: with the noise of trials and of test rows taken out.
    """
    from engine.export import export as export_
    from engine.tables.groups import Choice

    if contact_sheet:
        if len(run) > 1:
            raise RequestError("a contact sheet is of one run", where="--contact-sheet", next="give one run")
        _contact_sheet(run[0], table, out, store, data)
        return
    if table is None:
        raise RequestError("which table?", where="--table", next=f"there are: {', '.join(_tables())}, all")
    if table == "all":
        _all(run, format_, out, store, full=full)
        return
    to_stdout = out is None or str(out) == "-"
    to_read = to_stdout and format_ is None and not full and cli_text.on_terminal(sys.stdout)
    chosen = format_ or _format_of(out)
    if table != "groups" and (subpopulation is not None or alpha is not None or by):
        raise RequestError("these choose an attack for `groups`", where="--subpopulation, --alpha, --by", next="use --table groups")
    choice = Choice(subpopulation, alpha, tuple(tuple(part.strip() for part in each.split(",")) for each in by or ()))
    with opened_store(store, to_read=True) as opened:
        ids = [row.id for row in with_tables(opened, run)]
        if out is not None and not to_stdout:
            export_.export(opened, ids, table, chosen, out, choice=choice, full=full)
            cli_text.note(f"wrote {out}")
            return
        if to_read and table != "predictions":  # a row for every victim and test row is nothing to read
            _read(*export_.prepared(opened, ids, table, choice=choice))
            return
        if chosen == "parquet" and sys.stdout.isatty():
            raise RequestError("parquet is not text, and this is a terminal", where="--format", next="give a file with -o, or use a pipe")
        sys.stdout.flush()
        export_.export(opened, ids, table, chosen, sys.stdout.buffer, choice=choice, full=full)
        sys.stdout.buffer.flush()


def _read(spec: TableSpec, rows: Iterable[tuple[object, ...]], provenance: Mapping[str, str]) -> None:
    """A table on a terminal: the columns of its document, and what must be known of the run."""
    from engine.export.documents import caption, document

    doc = document(spec, rows)
    cli_text.line(caption(spec, provenance))
    away = cli_text.readable(doc.heads, doc.left, doc.rows)
    for key, value in (*doc.always, *((key, provenance[key]) for key in ("deviations", "notes") if key in provenance)):
        cli_text.line(f"{key}: {value}")
    more = f"{', '.join(doc.heads[-away:])}: on a wider terminal, or --format md; " if away else ""
    cli_text.note(f"{more}every column and digit: --format csv, or a pipe")


def _all(runs: list[str], format_: str | None, out: Path | None, store: Path | None, *, full: bool) -> None:
    """Everything of the runs into a folder."""
    from engine.export.everything import export_all

    if out is None or str(out) == "-":
        raise RequestError("all tables need a folder", where="--table all", next="give one with -o")
    with opened_store(store, to_read=True) as opened, cli_text.progress() as report:
        written = export_all(opened, [row.id for row in with_tables(opened, runs)], out, also=format_, full=full, progress=report)
    cli_text.note(f"wrote {len(written)} files into {out}: begin with {out / 'report.md'}")


def _contact_sheet(run: str, table: str | None, out: Path | None, store: Path | None, data: Path | None) -> None:
    """The pictures of a run's subpopulations, from the store and the data."""
    from engine import datasets
    from engine.preview import contact_sheet

    if table is not None:
        raise RequestError("a contact sheet is no table", where="--contact-sheet", next="take out --table, or this")
    if out is None or str(out) == "-":
        raise RequestError("a contact sheet is a PNG", where="--contact-sheet", next="give a file with -o")
    with opened_store(store, to_read=True) as opened, cli_text.progress() as report:
        row = opened.find(run)
        discovery = opened.discovery(row.id, bulk=True)
        count = contact_sheet.write(row, discovery, datasets.data_dir(data), out, progress=report)
    cli_text.note(f"wrote {out}: {count} subpopulations")


def _format_of(out: Path | None) -> str:
    ending = out.suffix.lower().removeprefix(".") if out else ""
    return ending if ending in FORMATS else "csv"


def _tables() -> list[str]:
    from engine.tables.columns import SPECS

    return list(SPECS)


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
