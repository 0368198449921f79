"""Tables to files. The screen and the command line call the same function, so their bytes are the same.

A path is written whole or not at all: a temporary file beside it, renamed at the end. Every export carries its provenance.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from engine import versions
from engine.errors import RequestError, UnknownName
from engine.export import together as export_together
from engine.export.formats import FULL, WRITERS
from engine.rows import RunRow, TableSpec, VictimResult
from engine.scenario.claim import claim_of
from engine.system.writing import in_words, write_file
from engine.tables import matching as comparing
from engine.tables.columns import MADE_AT_EXPORT, OPTIONAL, SPECS
from engine.tables.compare import COMPARISONS
from engine.tables.source import Source

if TYPE_CHECKING:
    from engine.tables.groups import Choice

Key = tuple[object, ...]
Row = tuple[object, ...]


def export(
    store: Source,
    run_id: str | Sequence[str],
    table: str,
    format: str,
    out: BinaryIO | Path | None = None,
    *,
    only: Sequence[Key] | None = None,
    choice: Choice | None = None,
    full: bool = False,
) -> int:
    """Write one table of a run, or of several together behind their systems' names; returns how many rows were written.

    out: a path (replaced whole, or left as it was), a binary stream, or None for standard output.
    only: keys of the rows to write, in the order to write them (what a screen shows); None: all, in stable order.
    choice: for `groups`, which attack and groups; None: the attack of largest damage.
    full: md and tex with every column and digit, as csv, json and parquet have them anyway.
    Raises UnknownName (table, format), RequestError (nothing there yet, a path that cannot be written), DiskFull, StoreError.
    A closed pipe is left to the caller as BrokenPipeError.
    """
    if table not in SPECS and table not in COMPARISONS:
        raise UnknownName("table", table, (*SPECS, *COMPARISONS))
    if format not in WRITERS:
        raise UnknownName("format", format, WRITERS)
    spec, rows, provenance = prepared(store, [run_id] if isinstance(run_id, str) else run_id, table, only=only, choice=choice)
    counted, write = _Count(rows), (FULL if full else WRITERS)[format]
    if isinstance(out, Path):
        write_file(out, lambda stream: write(spec, provenance, counted, stream))
    else:
        stream = sys.stdout.buffer if out is None else out
        with in_words("standard output" if out is None else "the output"):
            write(spec, provenance, counted, stream)
            stream.flush()
    return counted.count


def prepared(
    store: Source, run_ids: Sequence[str], table: str, *, only: Sequence[Key] | None = None, choice: Choice | None = None
) -> tuple[TableSpec, Iterable[Row], dict[str, str]]:
    """(spec, rows, provenance) of a table as it is exported; a table of several runs has their names before its own columns."""
    runs = [store.run(run_id) for run_id in dict.fromkeys(run_ids)]
    if not runs:
        raise RequestError("of which run?", where=table, next="give a run's id, or `latest`")
    if table in COMPARISONS:
        if only is not None:
            raise RequestError(f"`{table}` is exported whole", where=table, next="filter the file instead")
        held, compared, notes = comparing.MADE[table](store, [run.id for run in runs])
        return held, compared, provenance_together(store, runs, table, notes)
    if len(runs) == 1:
        spec, rows, shown = _rows(store, runs[0], table, only, choice)
        return spec, rows, provenance_of(runs[0], store.provenance(runs[0].id), table, shown)
    if only is not None:
        raise RequestError("rows are chosen of one run at a time", where=table, next="export the runs one by one")
    provenance = provenance_together(store, runs, table)
    if table == "matchers":
        made = export_together.matchers(store, runs)
        return made.spec, made.rows, provenance
    parts = [(run, *_rows(store, run, table, None, choice)[:2]) for run in runs]
    spec, rows = export_together.together(parts)
    return spec, rows, provenance


def provenance_together(store: Source, runs: Sequence[RunRow], table: str, notes: Sequence[str] = ()) -> dict[str, str]:
    """What stands in an export of several runs: each run's own keys behind its id, and what must be known of them together."""
    merged = {"table": table, "runs": "; ".join(run.id for run in runs)}
    for run in runs:
        of_run = provenance_of(run, store.provenance(run.id), table)
        merged |= {f"{run.id}.{key}": value for key, value in of_run.items() if key not in ("table", "run")}
    merged |= {"notes": "; ".join(notes)} if notes else {}
    merged |= {"deviations": deviations} if (deviations := "; ".join(f"{run.id}: {d}" for run in runs for d in run.deviations)) else {}
    return merged


def provenance_of(run: RunRow, stored: Mapping[str, Any], table: str, shown: str = "") -> dict[str, str]:
    """What stands in every export: the run, its scenario, what it is not, and whence its rows came. Flat, dotted keys, in stable order."""
    entries = {
        "table": table,
        "run": run.id,
        "title": run.title,
        "scenario": run.scenario_hash,
        "reproduces": claim_of(run.scenario_toml),
        "deviations": "; ".join(run.deviations),
        "state": run.state,
        "victims": f"{run.victims_done} of {run.victims_total}",
        "rows": shown,
        **dict(_flat(stored)),
        # the run's own, also where it is older than the word for it
        "schedule": versions.schedule_in_words(run.schedule),
        "statistics": str(run.statistics),
        "reading": versions.reading_in_words(run.reading),
        "unverified": versions.UNVERIFIED if run.unverified else "",
    }
    return {key: value for key, value in entries.items() if value}


def predictions(store: Source, run_id: str) -> Iterator[Row]:
    """Every victim's predicted class for every test row, one row at a time. Raises RequestError before the run's discovery."""
    discovery = store.discovery(run_id)
    if discovery is None:
        raise RequestError("its subpopulations are not known yet", where=f"run {run_id}", next="wait for its discovery, or resume it")
    classes = discovery.classes
    true = [classes[c] for c in discovery.y_test.tolist()]
    memberships = [None if s < 0 else s for s in discovery.membership.test.tolist()]
    return _prediction_rows(store.victims(run_id), classes, memberships, true)


def _prediction_rows(
    victims: Iterable[VictimResult], classes: Sequence[str], memberships: Sequence[int | None], true: Sequence[str]
) -> Iterator[Row]:
    for victim in victims:
        s = victim.spec
        head = (s.index, s.trial, s.arm, s.subpopulation, s.alpha)
        for row, predicted in enumerate(victim.predictions.tolist()):
            yield (*head, row, memberships[row], true[row], classes[predicted])


def _rows(store: Source, run: RunRow, name: str, only: Sequence[Key] | None, choice: Choice | None) -> tuple[TableSpec, Iterable[Row], str]:
    """(spec, rows, what part of the table they are, in words; empty for all of it)."""
    if name in MADE_AT_EXPORT:
        if only is not None:
            raise RequestError(f"`{name}` is exported whole", where=f"run {run.id}", next="filter the file instead")
        if name == "predictions":
            return SPECS[name], predictions(store, run.id), ""
        made = export_together.groups(store, run, choice) if name == "groups" else export_together.matchers(store, [run])
        return made.spec, made.rows, ""
    if name not in (available := store.tables(run.id)):
        if available and name in OPTIONAL:
            what, then = _ABSENT[name]
            raise RequestError(f"it has no `{name}`: that {what}", where=f"run {run.id}", next=then)
        raise RequestError(
            f"it has no `{name}` yet ({run.state}, {run.victims_done} of {run.victims_total} victims)",
            where=f"run {run.id}",
            next="wait for its first victims, or resume it",
        )
    table = store.table(run.id, name)
    if only is None:
        return table.spec, table.rows, ""
    places = [place for place, column in enumerate(table.spec.columns) if column.name in table.spec.key]
    names = [table.spec.columns[place].name for place in places]
    order = [names.index(column) for column in table.spec.key]
    by_key = {tuple(row[places[at]] for at in order): row for row in table.rows}
    gone = [key for key in only if tuple(key) not in by_key]
    if gone:
        raise RequestError(
            f"{len(gone)} of the rows to export are no longer in `{name}`", where=f"run {run.id}", next="look again and retry"
        )
    rows = [by_key[tuple(key)] for key in only]
    whole = tuple(rows) == table.rows
    return table.spec, rows, "" if whole else f"{len(rows)} of {len(table.rows)}, filtered and ordered by the reader"


_ABSENT = {
    "optimization": (
        "sets an optimised attack beside label flipping",
        'run attack.kind = "gradient" or "influence" with "label_flip" among evaluation.controls',
    ),
    "defenses": (
        "is of runs with a defence",
        "run it with --set defense.kind=trim, or another kind",
    ),
    "certificates": (
        "is of runs with an ensemble over parts of train",
        "run it with --set evaluation.certificates=50, or another number of parts",
    ),
    "susceptibility": (
        "is of runs that foretell damage by clean models",
        "run it with --set triage.predict=true",
    ),
    "attributes": (
        "needs annotations of the test rows, which were not stored with it",
        "run data that has them (columns of few levels) with this version",
    ),
}


def _flat(values: Mapping[str, Any], head: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{head}{key}.")
        elif isinstance(value, list | tuple):
            yield f"{head}{key}", "; ".join(map(str, value))
        elif value is not None:
            yield f"{head}{key}", str(value)


class _Count:
    """Counts rows as they pass."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows, self.count = rows, 0

    def __iter__(self) -> Iterator[Row]:
        for row in self.rows:
            self.count += 1
            yield row


# ---- files ----------------------------------------------------------------------------------------------------------
