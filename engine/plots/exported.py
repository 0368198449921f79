"""The plots of runs among what is exported, and how their report shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.plots import files as plots_files
from engine.plots import plots_of_run
from engine.plots.data import alt
from engine.rows import RunRow
from engine.tables.source import Source


def export_plots(store: Source, runs: Sequence[RunRow], folder: Path) -> tuple[list[Path], dict[str, list[str]]]:
    """Each run's plots as PNG and SVG into a folder that is there: (the files, Markdown lines by run id).

    Of several runs each file is behind its run's id. Where matplotlib is missing there are no files, and the lines say how to have them.
    """
    written: list[Path] = []
    shown: dict[str, list[str]] = {}
    drawable = plots_files.available()
    for run in runs:
        plots = plots_of_run(store, run)
        if not plots:
            continue
        if not drawable:
            shown[run.id] = [f"Plots were not drawn, for matplotlib is not installed. Install it, then export again: {plots_files.INSTALL}"]
            continue
        head = "" if len(runs) == 1 else f"{run.id}-"
        written += plots_files.write_all(plots, folder, head)
        shown[run.id] = [line for name, plot in plots.items() for line in (f"![{_inside(alt(plot))}]({head}{name}.png)", "")][:-1]
    return written, shown


def _inside(text: str) -> str:
    """Text between the brackets of a Markdown picture."""
    text = " ".join(text.split())
    return "".join(f"\\{each}" if each in "\\[]<`*_" else each for each in text)
