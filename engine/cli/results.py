"""Commands about results: compare, check, bundle, open, rename, note."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from engine import versions
from engine.cli import text as cli_text
from engine.cli.text import RunArgument, RunsArgument, StoreOption
from engine.errors import RequestError, UnknownName
from engine.export import FORMATS
from engine.printable import require
from engine.rows import TableSpec

FAILED = 3


TABLES = ("compare", "compare_worst")
SHOWN = {
    "compare": "subpopulation description alpha baseline_damage other_damage matched difference low high differs note",
    "compare_worst": "alpha k baseline_as_published other_as_published baseline_corrected other_corrected difference low high note",
}


def compare(
    run: RunsArgument,
    table: Annotated[
        str | None,
        typer.Option(
            "--table",
            metavar="|".join(TABLES),
            help="Default: both, to read; of a file or a format, compare.",
            autocompletion=lambda incomplete: [name for name in TABLES if name.startswith(incomplete)],
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", metavar="csv|parquet|json|md|tex", help="Default: columns to read; with -o its ending, else csv."),
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="PATH", help="A file to write. Default, and `-`: stdout.")] = None,
    full: Annotated[bool, typer.Option("--full", help="md and tex: every column and digit, as csv, json and parquet have them.")] = False,
    store: StoreOption = None,
) -> None:
    """Hold runs against the first of them: how much more damage each other attack does, and how sure that is.

    compare: one row per subpopulation that both attack and alpha. A difference is the other's damage minus the baseline's, paired within
    a trial where both have it (same seed and number, same test rows); two victims of a trial share initial weights and batch order only
    where model and dataset agree. `differs` allows for how many rows were looked at, and is withheld below three matched trials.

    compare_worst: the worst k of each run, its own, as published and corrected, with the interval of the corrected values' difference.

    The damages of a run with a defence are those of its victims under it: several defences, and none, stand side by side.

    Clusters of another clustering hold other rows: of such runs there is compare_worst alone. What differs between the scenarios, and why
    something is not paired, is said below the tables, and stands in every file.
    """
    from engine.cli.runs import with_tables
    from engine.export.export import export
    from engine.tables import matching as comparing

    if table is not None and table not in TABLES:
        raise UnknownName("table", table, TABLES)
    with _store(store, to_read=True) as opened:
        ids = [row.id for row in with_tables(opened, run)]
        if format_ is None and (out is None or str(out) == "-"):
            notes: tuple[str, ...] = ()
            for name in TABLES if table is None else (table,):
                spec, rows, pairing_notes = comparing.MADE[name](opened, ids)
                notes = tuple(dict.fromkeys((*notes, *pairing_notes)))
                _show(spec, rows)
            for each in notes:
                cli_text.line(f"- {each}")
            return
        if out is not None and str(out) != "-":
            ending = out.suffix.lower().removeprefix(".")
            export(opened, ids, table or TABLES[0], format_ or (ending if ending in FORMATS else "csv"), out, full=full)
            cli_text.note(f"wrote {out}")
            return
        if format_ == "parquet" and sys.stdout.isatty():
            raise RequestError("parquet is not text, and this is a terminal", where="--format", next="give a file with -o, or use a pipe")
        sys.stdout.flush()
        export(opened, ids, table or TABLES[0], format_ or "csv", sys.stdout.buffer, full=full)
        sys.stdout.buffer.flush()


def _show(spec: TableSpec, rows: Sequence[tuple[object, ...]]) -> None:
    """One table of each pair of runs, the columns that a reader needs first."""
    names = [column.name for column in spec.columns]
    shown = [names.index(name) for name in SHOWN[spec.name].split()]
    right = [column.name for column in spec.columns if column.kind in ("int", "float", "fraction")]
    for baseline, other in dict.fromkeys((row[0], row[1]) for row in rows):
        cli_text.line(f"{spec.name}: baseline {baseline}, other {other}")
        cells = [[_number(row[at], spec.columns[at].kind) for at in shown] for row in rows if row[:2] == (baseline, other)]
        cli_text.table([names[at] for at in shown], cells, right=right)
        cli_text.line()


def _number(cell: object, kind: str) -> object:
    return f"{cell:g}" if kind == "float" and isinstance(cell, float) else cell


def check(
    run: RunArgument,
    max_damage: Annotated[float, typer.Option("--max-damage", metavar="X", help="The most target damage that passes, a fraction.")],
    k: Annotated[int, typer.Option("--k", help="Judge the corrected worst 1, 5 or 10.")] = 1,
    alpha: Annotated[list[float] | None, typer.Option("--alpha", help="Only at this poison rate. Repeatable; default: all.")] = None,
    store: StoreOption = None,
) -> None:
    """Judge a finished run, for a pipeline.

    It fails where the corrected worst k exceeds X for sure, or a vulnerable subpopulation's damage does: both by the lower end of their
    95 % intervals. Each reason is a line. Damage that may exceed X by chance is told and does not fail.

    Exit status: 0 passed; 3 failed; 2 it cannot be judged (not done, fewer than three trials, or a wrong request).
    """
    from engine.cli.runs import with_tables
    from engine.export.verdict import verdict
    from engine.scenario.claim import claim_of, lead

    if not 0 <= max_damage <= 1:
        raise RequestError(f"{max_damage:g} is not a fraction", where="--max-damage", next="give a number from 0 to 1, as 0.1")
    with _store(store, to_read=True) as opened:
        [row] = with_tables(opened, [run])
        outcome = verdict(opened, row, max_damage, k=k, alphas=tuple(alpha or ()))
    for reason in outcome.reasons:
        cli_text.line(f"failed: {reason}")
    for remark in outcome.remarks:
        cli_text.note(f"note: {remark}")
    for deviation in row.deviations:
        cli_text.note(f"{lead(claim_of(row.scenario_toml))}: {deviation}")
    if not outcome.passed:
        raise typer.Exit(FAILED)
    cli_text.line(f"passed: no damage above {max_damage:g} is shown by run {row.id}")


def bundle(
    run: RunArgument,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The file to write, as run.subpop.")],
    store: StoreOption = None,
) -> None:
    """Write a run, with all that it found, as one file to hand on. `subpop open FILE` takes it into another store."""
    from engine.store.bundle import bundle as write

    with _store(store, to_read=True) as opened:
        row = opened.find(run)
        write(opened, row.id, out)
    cli_text.note(f"wrote {out}: run {row.id}, {row.name}; open it elsewhere with: subpop open {out}")


def open_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `subpop bundle` made.")],
    store: StoreOption = None,
) -> None:
    """Take a run that somebody bundled into the store, under its own id, which is printed.

    Its tables are not taken: damages, intervals and verdicts are worked out again from the predictions in it. The rest is taken at its
    word, for nothing here could show otherwise: data and provenance, subpopulations with their confidences, and the predictions.
    """
    from engine.errors import SubpopError
    from engine.runs.rebuild import rebuild
    from engine.store import Store
    from engine.store.bundle import open_bundle

    with Store.open(store) as opened:
        run_id = open_bundle(opened, file)
        try:
            rebuild(opened, [run_id])
            worked_out = "its tables were worked out again from its predictions"
        except SubpopError as error:
            worked_out = f"its tables could not be worked out again ({error})"
        row = opened.run(run_id)
    cli_text.line(run_id)
    cli_text.note(f"{worked_out}; taken at its word: scenario, data and provenance, subpopulations and their confidences, predictions, log")
    if row.unverified:
        cli_text.note(f"note: unverified: {versions.UNVERIFIED}")
    cli_text.note(f"run {run_id} ({row.name}, {row.state}) is here: subpop export {run_id} --table worst --format md")
    if difference := versions.other_schedule(row.schedule):
        cli_text.note(f"note: {difference}")


def rename(run: RunArgument, name: Annotated[str, typer.Argument(metavar="NAME")], store: StoreOption = None) -> None:
    """Give a run another name."""
    words = " ".join(require(name, "NAME").split())[:60]
    if not words:
        raise RequestError("a name needs a letter", where="NAME", next="give another")
    with _store(store) as opened:
        row = opened.find(run)
        opened.rename(row.id, words)
    cli_text.note(f"run {row.id} is now called {words}")


def note(run: RunArgument, text: Annotated[str, typer.Argument(metavar="TEXT")], store: StoreOption = None) -> None:
    """Set the note of a run, which its report carries; an empty text takes it away."""
    words = " ".join(require(text, "TEXT").split())
    with _store(store) as opened:
        row = opened.find(run)
        opened.annotate(row.id, words)
    cli_text.note(f"the note of run {row.id} is {'set' if words else 'gone'}")


def _store(path: Path | None, *, to_read: bool = False):  # type: ignore[no-untyped-def]
    from engine.cli.runs import opened_store

    return opened_store(path, to_read=to_read)
