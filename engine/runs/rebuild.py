"""Tables that older statistics made, or that are damaged, made anew from the stored predictions: `python -m engine.runs.rebuild RUN
[--store FILE]`.

Tables are a pure function of what is stored, so a run of any age shows what today's statistics say of it, and says so in its log. A run at
work is left to its worker, whose next commit makes them anew.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path

from engine import versions
from engine.errors import SubpopError
from engine.rows import RunRow
from engine.store import Store

OLDER, BUNDLED, DAMAGED = "were made by older statistics", "are not taken from a bundle", "were damaged in the store"


def is_old(run: RunRow) -> bool:
    """Whether the run's stored tables are those of older statistics, and nobody is at work on it."""
    return run.statistics < versions.STATISTICS and _is_idle(run)


def rebuild(store: Store, run_ids: Iterable[str]) -> dict[str, str]:
    """Make these runs' tables anew where they are not as they should be; id -> why, of those that were.

    Reads all tables of the runs that nobody is at work on. Where the store cannot be written they are made in a private copy, which this
    connection reads from then on. BadData where what is stored does not fit together, StoreError where what tables are made of is damaged.
    """
    due = {run.id: (run, why) for run in (store.run(run_id) for run_id in dict.fromkeys(run_ids)) if (why := _why(store, run))}
    if not due:
        return {}
    with store.privately() if store.read_only or store.disk_is_full() else nullcontext():
        return {run_id: why for run_id, (run, why) in due.items() if _rebuilt(store, run, why)}


def _why(store: Store, run: RunRow) -> str:
    """Why a run's tables are to be made anew; "" where they are not."""
    if is_old(run):
        return OLDER if run.statistics else BUNDLED
    return DAMAGED if _is_idle(run) and store.damaged_tables(run.id) else ""


def _is_idle(run: RunRow) -> bool:
    return not (run.may_live or run.damaged)


def _rebuilt(store: Store, run: RunRow, why: str) -> bool:
    """False where there is nothing to make tables of."""
    stored = store.discovery(run.id)
    if stored is None:
        return False
    from engine.scenario.parse import scenario_of
    from engine.tables import world as tables
    from engine.tables.build import build

    scenario = scenario_of(run)
    store.write_tables(run.id, build(tables.World.start(scenario, stored, store.victims(run.id), store.parts(run.id))))
    store.log(run.id, "info", f"its tables {why}: made anew from its predictions, by statistics {versions.STATISTICS}")
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """The process that an app starts, which itself loads no numpy."""
    parser = argparse.ArgumentParser(prog="python -m engine.runs.rebuild", description="Make tables of older statistics anew.")
    parser.add_argument("run", nargs="+", help="runs' ids")
    parser.add_argument("--store", type=Path, help="the results store; default: $SUBPOP_STORE, else the user data directory")
    args = parser.parse_args(argv)
    try:
        with Store.open(args.store, create=False) as store:
            rebuild(store, [store.find(run).id for run in args.run])
    except SubpopError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
