"""The command that writes what a run came to: `subpop export`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import text as cli_text
from engine.cli.runs import opened_store, with_tables
from engine.cli.text import DataOption, RunsArgument, StoreOption
from engine.errors import RequestError
from engine.export import FORMATS

if TYPE_CHECKING:
    from engine.rows import TableSpec


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
