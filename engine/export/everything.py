"""Everything of a run, or of several, in one folder: each table, plots, scenarios, provenance, and a report in words.

`predictions` goes out as Parquet alone: a row for every victim and test row, millions, is no table to read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from engine.account.words import NOT_STORED
from engine.errors import RequestError
from engine.export.export import Row, prepared, provenance_together
from engine.export.formats import FULL, WRITERS
from engine.export.page import page
from engine.export.report import report
from engine.export.report_compared import chapter
from engine.plots.exported import export_plots
from engine.printable import clean
from engine.rows import Record, RunRow, TableSpec, records
from engine.system.writing import write_file
from engine.tables import matching as comparing
from engine.tables.columns import SPECS
from engine.tables.source import Source

ABOUT = "about the data"  # in provenance.json
PARQUET = ("subpopulations", "victims", "damage")  # what programs begin with; with `predictions` all else can be worked out again


def export_all(
    store: Source,
    run_ids: Sequence[str],
    folder: Path,
    *,
    also: str | None = None,
    full: bool = False,
    progress: Callable[[str, float], None] | None = None,
) -> list[Path]:
    """Write all there is, and return the files written. The folder is made where it is missing; files of the same names are replaced.

    also: one more format that each table is written in; full: md and tex with every column and digit.
    RequestError where nothing can be exported yet, or the folder cannot be written.
    """
    runs = [store.run(run_id) for run_id in dict.fromkeys(run_ids)]
    table_names = [set(store.tables(run.id)) for run in runs]
    for run, tables in zip(runs, table_names, strict=True):
        if not tables:
            raise RequestError(
                f"it has no tables yet ({run.state}, {run.victims_done} of {run.victims_total} victims)",
                where=f"run {run.id}",
                next="wait for its first victims, or resume it",
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"cannot be made: {error.strerror}", where=str(folder), next="give another folder") from error
    written: list[Path] = []
    groups: dict[str, list[Record]] = {}
    for at, name in enumerate(SPECS):
        if progress:
            progress("writing tables", 0.9 * at / len(SPECS))
        try:
            spec, rows, provenance = prepared(store, [run.id for run in runs], name)
            kept = rows if name == "predictions" else tuple(rows)
        except RequestError:  # this run has none: it is not annotated, or has no optimised attack
            if name in set.intersection(*table_names):
                raise
            continue
        if name == "groups":
            groups = _by_run(spec, kept, runs)
        written += _write_table(folder, spec, provenance, kept, also, full)
    held = _compared(store, runs, set.intersection(*table_names))
    for spec, kept, notes in held.values():
        written += _write_table(folder, spec, provenance_together(store, runs, spec.name, notes), kept, also, full)
    if progress:
        progress("drawing plots", 0.9)
    plots, shown = export_plots(store, runs, folder)
    written += plots
    markdown = report(store, runs, shown, groups) + _chapter(held)
    texts = {"report.md": markdown, "report.html": page(markdown, runs[0].title, folder)}
    for run in runs:
        head = "" if len(runs) == 1 else f"{run.id}-"
        texts[f"{head}scenario.toml"] = run.scenario_toml
        run_facts = {"run": run.id, "title": run.title, "scenario": run.scenario_hash, "deviations": list(run.deviations)}
        account = store.account(run.id)
        about = {ABOUT: NOT_STORED if account is None else account.as_json()}
        stored = {**run_facts, "state": run.state, **store.provenance(run.id), **about}
        texts[f"{head}provenance.json"] = json.dumps(stored, ensure_ascii=False, indent=1) + "\n"
    for name, text in texts.items():
        path = folder / name
        write_file(path, lambda out, text=text: _write(out, text))  # type: ignore[misc]
        written.append(path)
    if progress:
        progress("writing tables", 1.0)
    return written


def _by_run(spec: TableSpec, rows: Iterable[Row], runs: Sequence[RunRow]) -> dict[str, list[Record]]:
    """A table's rows as records, by run id."""
    by_run: dict[str, list[Record]] = {}
    for record in records(spec, rows):
        by_run.setdefault(str(record.get("run", runs[0].id)), []).append(record)
    return by_run


def _write_table(
    folder: Path, spec: TableSpec, provenance: Mapping[str, str], rows: Iterable[Row], also: str | None, full: bool
) -> list[Path]:
    """In every format that it has, and that one more (not `predictions`: of a generator, once read, nothing is left); the files."""
    wanted = ["csv", *(["parquet"] if spec.name in PARQUET else []), *([also] if also else [])]
    if spec.name == "predictions":
        wanted = ["parquet"]
    paths = [folder / f"{spec.name}.{format}" for format in dict.fromkeys(wanted)]
    for path in paths:
        write = (FULL if full else WRITERS)[path.suffix[1:]]
        write_file(path, lambda out, write=write: write(spec, provenance, rows, out))  # type: ignore[misc]
    return paths


def _compared(store: Source, runs: Sequence[RunRow], tables: set[str]) -> dict[str, comparing.Compared]:
    """Two runs or more held against each other; empty of one, or before all have tables."""
    if len(runs) < 2 or "worst" not in tables:
        return {}
    return {name: made(store, [run.id for run in runs]) for name, made in comparing.MADE.items()}


def _chapter(held: Mapping[str, comparing.Compared]) -> str:
    if not held:
        return ""
    (_, compare, notes), (_, worst, _) = held["compare"], held["compare_worst"]
    return "\n".join(map(clean, chapter(compare, worst, notes))) + "\n"


def _write(out: object, text: str) -> None:
    out.write(text.encode("utf-8", "backslashreplace"))  # type: ignore[attr-defined]
