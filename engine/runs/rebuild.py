"""Tables that older statistics made, made anew from the stored predictions: `python -m engine.runs.rebuild RUN [--store FILE]`.

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


def is_old(run: RunRow) -> bool:
    """Whether the run's stored tables are those of older statistics, and nobody is at work on it."""
    return run.statistics < versions.STATISTICS and not (run.may_live or run.damaged)


def rebuild(store: Store, run_ids: Iterable[str]) -> tuple[str, ...]:
    """Make the old tables among these runs' anew; the ids of those that were. BadData where what is stored does not fit together.

    Where the store cannot be written they are made in a private copy, which this connection reads from then on.
    """
    old = [run for run in (store.run(run_id) for run_id in dict.fromkeys(run_ids)) if is_old(run)]
    if not old:
        return ()
    with store.privately() if store.read_only or store.disk_is_full() else nullcontext():
        return tuple(run.id for run in old if _rebuilt(store, run))


def _rebuilt(store: Store, run: RunRow) -> bool:
    """False where there is nothing to make tables of."""
    stored = store.discovery(run.id)
    if stored is None or not store.tables(run.id):
        return False
    from engine.scenario.parse import scenario_of
    from engine.tables import world as tables
    from engine.tables.build import build

    scenario = scenario_of(run)
    store.write_tables(run.id, build(tables.World.start(scenario, stored, store.victims(run.id))))
    of = f"those of statistics {run.statistics}" if run.statistics else "those that came in its bundle"
    store.log(run.id, "info", f"tables made anew from predictions, by statistics {versions.STATISTICS}, in the place of {of}")
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
