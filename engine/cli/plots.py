"""The command that draws: subpop plot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli import text as cli_text
from engine.cli.text import RunArgument, StoreOption
from engine.errors import RequestError, UnknownName

OTHERS = (".pdf", ".eps", ".ps", ".jpg", ".jpeg", ".gif", ".tif", ".tiff", ".webp")  # what somebody may ask for who means a file


def plot_names(incomplete: str) -> list[str]:
    """For shell completion."""
    from engine.plots import EVERY

    return [name for name in EVERY if name.startswith(incomplete)]


def plot(
    run: RunArgument,
    plot: Annotated[
        str | None,
        typer.Argument(
            metavar="[PLOT]",
            help="dose_response, damage_confidence, damage_size, distribution, published_corrected, and of a run that foretold damage "
            "predicted_measured and predicted_recall (default: these); or worst_trials.",
            autocompletion=plot_names,
            show_default=False,
        ),
    ] = None,
    subpopulation: Annotated[
        list[int] | None,
        typer.Option("--subpopulation", metavar="INDEX", help="dose_response: draw this one, with intervals. Repeatable; default: all."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="PATH",
            help="A file (.png or .svg; of one plot), or a folder (both of each). Default: RUN-plots.",
        ),
    ] = None,
    store: StoreOption = None,
) -> None:
    """Draw a run's plots as PNG and SVG files, as wide as a column of a paper. Works while the run is at work.

    dose_response: damage over the poison rate, the fitted curve and the damage to be reached. damage_confidence and damage_size: what
    foretells damage. distribution: the share of subpopulations with more damage than x. published_corrected: the worst k as published,
    corrected, and the paper's. predicted_measured, predicted_recall: damage against what clean models foretold, and how soon a sweep that
    begins with those foretold finds the worst. worst_trials: the worst k after the first 2, 3, ... trials, whether more would help; drawn
    where it is asked for, since it reads every victim. What makes them not the paper's is said below each.

    Needs matplotlib: in a checkout `uv sync --extra plots`; from a wheel, that wheel's path with [plots].
    """
    from engine.cli.runs import opened_store, with_tables
    from engine.plots import EVERY, plots_of_run
    from engine.plots.files import SUFFIXES, write, write_all

    if plot is not None and plot not in EVERY:
        raise UnknownName("plot", plot, EVERY)
    if subpopulation and plot not in (None, "dose_response"):
        raise RequestError("subpopulations are chosen for `dose_response`", where="--subpopulation", next="take it out, or draw that")
    name = plot or ("dose_response" if subpopulation else None)
    one_file = out is not None and out.suffix.lower() in SUFFIXES and not out.is_dir()
    if one_file and name is None:
        raise RequestError("one file is of one plot", where=f"-o {out}", next=f"say which ({', '.join(EVERY)}), or give a folder")
    if out is not None and not one_file and out.suffix.lower() in OTHERS and not out.is_dir():
        raise RequestError("a plot is written as .png or .svg", where=f"-o {out}", next="end its name in one of them")
    with opened_store(store, to_read=True) as opened:
        [row] = with_tables(opened, [run])
        if subpopulation:
            _check(subpopulation, opened.table(row.id, "dose") if "dose" in opened.tables(row.id) else None, row.id)
        drawn = plots_of_run(opened, row, None if name is None else (name,), subpopulations=subpopulation or None)
    if not drawn:
        raise RequestError(
            f"it has nothing to draw yet ({row.state}, {row.victims_done} of {row.victims_total} victims)",
            where=f"run {row.id}",
            next="wait for its first victims, or resume it",
        )
    if one_file and out is not None and name is not None:
        write(drawn[name], out)
        cli_text.note(f"wrote {out}")
        return
    folder = out or Path(f"{row.id}-plots")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"cannot be made: {error.strerror}", where=str(folder), next="give another folder") from error
    for path in write_all(drawn, folder, f"{row.id}-"):
        cli_text.note(f"wrote {path}")


def _check(chosen: list[int], doses, run_id: str) -> None:  # type: ignore[no-untyped-def]
    """That those chosen were attacked."""
    known = {} if doses is None else {row[0] for row in doses.rows}
    if wrong := [index for index in chosen if index not in known]:
        near = ", ".join(map(str, sorted(known)[:12]))
        hint = f"it attacked {near}{', ...' if len(known) > 12 else ''}" if known else "wait for its first victims"
        raise RequestError(f"run {run_id} did not attack subpopulation {wrong[0]}", where="--subpopulation", next=hint)
