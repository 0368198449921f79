"""Commands about results: check, bundle, open, rename, note."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine import cli_text
from engine.cli_text import RunArgument, StoreOption
from engine.errors import RequestError

FAILED = 3


def check(
    run: RunArgument,
    max_damage: Annotated[float, typer.Option("--max-damage", metavar="X", help="The most target damage that passes, a fraction.")],
    k: Annotated[int, typer.Option("--k", help="Judge the corrected worst 1, 5 or 10.")] = 1,
    alpha: Annotated[list[float] | None, typer.Option("--alpha", help="Only at this poison rate. Repeatable; default: all.")] = None,
    store: StoreOption = None,
) -> None:
    """Judge a finished run, for a pipeline.

    It fails where the corrected worst k exceeds X, or where a vulnerable subpopulation's damage exceeds X for sure (the lower end of its
    95 % interval). Each reason is a line. Damage that may exceed it by chance is told and does not fail.

    Exit status: 0 passed; 3 failed; 2 it cannot be judged (not done, fewer than three trials, or a wrong request).
    """
    from engine.verdict import verdict

    if not 0 <= max_damage <= 1:
        raise RequestError(f"{max_damage:g} is not a fraction", where="--max-damage", next="give a number from 0 to 1, as 0.1")
    with _store(store) as opened:
        row = opened.find(run)
        found = verdict(opened, row, max_damage, k=k, alphas=tuple(alpha or ()))
    for reason in found.reasons:
        cli_text.line(f"failed: {reason}")
    for remark in found.remarks:
        cli_text.note(f"note: {remark}")
    for deviation in row.deviations:
        cli_text.note(f"not the paper's: {deviation}")
    if not found.passed:
        raise typer.Exit(FAILED)
    cli_text.line(f"passed: no damage above {max_damage:g} is shown by run {row.id}")


def bundle(
    run: RunArgument,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The file to write, as run.subpop.")],
    store: StoreOption = None,
) -> None:
    """Write a run, with all that it found, as one file to hand on. `subpop open FILE` takes it into another store."""
    from engine.store_bundle import bundle as write

    with _store(store) as opened:
        row = opened.find(run)
        write(opened, row.id, out)
    cli_text.note(f"wrote {out}: run {row.id}, {row.name}; open it elsewhere with: subpop open {out}")


def open_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `subpop bundle` made.")],
    store: StoreOption = None,
) -> None:
    """Take a run that somebody bundled into the store, under its own id, which is printed."""
    from engine.store import Store
    from engine.store_bundle import open_bundle

    with Store.open(store) as opened:
        run_id = open_bundle(opened, file)
        row = opened.run(run_id)
    cli_text.line(run_id)
    cli_text.note(f"run {run_id} ({row.name}, {row.state}) is here: subpop export {run_id} --table worst --format md")


def rename(run: RunArgument, name: Annotated[str, typer.Argument(metavar="NAME")], store: StoreOption = None) -> None:
    """Give a run another name."""
    if not name.strip():
        raise RequestError("a name needs a letter", where="NAME", next="give another")
    with _store(store) as opened:
        row = opened.find(run)
        opened.rename(row.id, " ".join(name.split())[:60])
    cli_text.note(f"run {row.id} is now called {' '.join(name.split())[:60]}")


def note(run: RunArgument, text: Annotated[str, typer.Argument(metavar="TEXT")], store: StoreOption = None) -> None:
    """Set the note of a run, which its report carries; an empty text takes it away."""
    with _store(store) as opened:
        row = opened.find(run)
        opened.annotate(row.id, " ".join(text.split()))
    cli_text.note(f"the note of run {row.id} is {'set' if text.strip() else 'gone'}")


def _store(path: Path | None):  # type: ignore[no-untyped-def]
    from engine.cli_runs import opened_store

    return opened_store(path)
