"""Runs held against each other as a screen needs them: both tables, what must be known of them, and whether they are still true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import SubpopError
from engine.rows import RunRow, TableSpec
from engine.tables.compare import COMPARISONS
from tui.presenters import format as fmt
from tui.presenters import runs as run_words

if TYPE_CHECKING:
    from engine.store import Store

Rows = tuple[tuple[object, ...], ...]
SEVERAL = " of several"  # behind the name of a table of more than one pair, which is looked at otherwise: it tells whose row is whose


@dataclass(frozen=True)
class Comparison:
    """A comparison of runs, the first of them the baseline. trouble: table -> why there is none yet, in the engine's words."""

    run_ids: tuple[str, ...]
    rows: dict[str, Rows] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    trouble: dict[str, str] = field(default_factory=dict)


def spec_of(name: str, count: int) -> TableSpec:
    """The spec of a comparison of `count` runs."""
    spec = COMPARISONS[name]
    return spec if count < 3 else replace(spec, name=spec.name + SEVERAL)


def compare(path: Path, run_ids: Sequence[str]) -> Comparison:
    """Both tables, over a connection of its own: for a thread, for it counts predictions. SubpopErrors end up in `trouble`."""
    from engine.runs.rebuild import rebuild
    from engine.store import Store
    from engine.tables.matching import MADE

    rows: dict[str, Rows] = {}
    trouble: dict[str, str] = {}
    notes: list[str] = []
    with Store.open(path, create=False, to_read=True) as store:
        rebuild(store, run_ids)
        for name in COMPARISONS:
            try:
                _, made, table_notes = MADE[name](store, run_ids)
            except SubpopError as error:
                trouble[name] = str(error)
            else:
                rows[name] = made
                notes += table_notes
    return Comparison(tuple(run_ids), rows, tuple(dict.fromkeys(notes)), trouble)


def stamp(store: Store, runs: Sequence[RunRow]) -> tuple[object, ...]:
    """A value that changes whenever something that a comparison is made of changes."""
    return tuple((run.id, tuple(store.tables(run.id).items())) for run in runs)


def title(runs: Sequence[RunRow], counted: Callable[[RunRow], str]) -> str:
    """The baseline, then those held against it. counted: the words behind a run's name."""
    baseline, *others = (f"{fmt.clean(run.name)} {run.id} ({counted(run)})" for run in runs)
    return f"{', '.join(others)} against {baseline}" if len(others) < 3 else f"{fmt.plural(len(others), 'run')} against {baseline}"


def counted(run: RunRow) -> str:
    return "done" if run.state == "done" else f"{run_words.state_word(run)}, {run.victims_done:,}/{run.victims_total or '?'}"


def split_notes(notes: Sequence[str]) -> tuple[list[str], list[str]]:
    """(what differs and what cannot be paired, deviations): the notes of a comparison by what they are about."""
    about = [note for note in notes if " against " in note.partition(":")[0]]
    return about, [note for note in notes if note not in about]
