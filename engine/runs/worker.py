"""The process that carries a run out: `python -m engine.runs.worker RUN [--store FILE] [--data DIR]`.

It claims the run, waits for its device, discovers and plans once, then trains stack by stack and commits each as it is done. It obeys
requests from the store, outlives its terminal and its parent, and leaves whatever it committed for the next worker to go on from.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from engine.errors import ClaimLost, Interrupted, RequestError, RunFailed, StoreError, SubpopError
from engine.printable import clean_lines
from engine.rows import RunState
from engine.runs.at_work import DEFAULT_TERMS, Status, Terms
from engine.runs.control import Control
from engine.runs.executors.devices import CHILD
from engine.runs.heartbeat import Heartbeat
from engine.runs.resumable import refuse_other_versions
from engine.runs.work import carry_out
from engine.scenario.parse import stored
from engine.store import Store
from engine.store.run_row import working
from engine.system import processes

if TYPE_CHECKING:
    from engine.runs.pipeline import Pipeline


def work(
    store: Store,
    run_id: str,
    *,
    data_dir: Path | None = None,
    pipeline: Pipeline | None = None,
    control: Control | None = None,
    terms: Terms = DEFAULT_TERMS,
    quiet: bool = False,
) -> RunState:
    """Carry a run out in this process, and say how it ended: done, stopped or failed. What it committed stays in any case.

    pipeline: None means the engine's own. quiet: how it failed is told by the caller, not on standard error.
    Raises RequestError where another worker has the run or it is done already, RunFailed where
    not even the end could be written down, ClaimLost where the run was given to another worker or deleted under way.
    """
    refuse_other_versions(store.run(run_id))
    claim = store.claim(run_id, processes.identity())
    if claim is None:
        row = store.run(run_id)
        why = "it is done" if row.state == "done" else f"another engine is at work on it: {working(row, store.now())}"
        raise RequestError(why, where=f"run {run_id}", next="start a new run, or watch this one: subpop watch " + run_id)
    store = store.fenced(run_id, claim)
    status, control = Status(), control or Control()
    status.control = control
    heartbeat = Heartbeat(store.path, run_id, claim, control, status.fields)
    heartbeat.start()
    end: dict[str, object]
    try:
        carry_out(store, run_id, data_dir, pipeline, control, status, terms)
        end = {"state": "done", "phase": "", "progress": 1.0}
    except (Interrupted, KeyboardInterrupt):
        end = {"state": "stopped", "phase": ""}
    except ClaimLost:  # the run is another's: how that one ends is not ours to say
        raise
    except Exception as error:
        end = {"state": "failed", "phase": "", "error": _say(store, run_id, error, quiet=quiet)}
    finally:
        heartbeat.stop()
    end |= {"finished_at": store.now(), "eta_s": None, "victims_per_minute": None}
    try:
        store.update_run(run_id, **end)
        store.release(run_id)
        if end["state"] != "failed":
            store.log(run_id, "info", str(end["state"]))
    except ClaimLost:
        raise
    except StoreError as error:
        raise RunFailed(f"it ended ({end['state']}) and that could not be stored: {error}", where=f"run {run_id}") from error
    return end["state"]  # type: ignore[return-value]


def _say(store: Store, run_id: str, error: Exception, *, quiet: bool) -> str:
    """The error in words, after it went to the log, and its traceback to standard error; to both where it is none of ours."""
    ours = isinstance(error, SubpopError)
    words = str(error) if ours else f"unexpected {type(error).__name__}: {error}; the log has the traceback"
    trace = "".join(traceback.format_exception(error))
    if not quiet:
        _print(f"run {run_id} failed: {words}\n{trace}")
    try:
        store.log(run_id, "error", words if ours else f"{words}\n{trace}")
    except StoreError as full:
        _print(f"run {run_id}: the store did not take the log either: {full}")
    return words


def _print(text: str) -> None:
    """To standard error, which is a file beside the store: where that disk is full there is nowhere to say it."""
    with contextlib.suppress(OSError):
        print("\n".join(clean_lines(text)), file=sys.stderr, flush=True)  # noqa: T201


# ---- the process ----------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None, *, pipeline: Pipeline | None = None, child: Sequence[str] = CHILD) -> int:
    """The worker's process. Exit status: 0 done, 1 failed, 2 the request was wrong, 130 stopped."""
    parser = argparse.ArgumentParser(prog="python -m engine.runs.worker", description="Carry out one run of a results store.")
    parser.add_argument("run", help="the run's id")
    parser.add_argument("--store", type=Path, help="the results store; default: $SUBPOP_STORE, else the user data directory")
    parser.add_argument("--data", type=Path, help="where the datasets are; default: as when the run was started")
    args = parser.parse_args(argv)
    control = Control()
    _outlive_the_terminal(control)
    try:
        with Store.open(args.store, create=False) as store:
            row = store.find(args.run)
            _be_nice(row.scenario_toml)
            state = work(store, row.id, data_dir=args.data, pipeline=pipeline, control=control, terms=Terms(child=child))
    except SubpopError as error:
        _print(str(error))
        return error.exit_status
    return {"done": 0, "stopped": 130}.get(state, 1)


def _outlive_the_terminal(control: Control) -> None:
    """A session of its own, deaf to hangups; SIGTERM and Ctrl-C are stop requests."""
    with contextlib.suppress(OSError):  # already a leader, as when started by `engine.run`
        os.setsid()

    def stop(number: int, frame: FrameType | None) -> None:
        control.stop_soon()

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _be_nice(scenario_toml: str) -> None:
    """Give way to other work on a shared machine by the scenario's `compute.nice`."""
    with contextlib.suppress(SubpopError, OSError):  # a scenario that does not parse is told by `work`
        os.nice(stored(scenario_toml).compute.nice)


if __name__ == "__main__":
    sys.exit(main())
