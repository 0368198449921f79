"""Kill a real run's worker with SIGKILL at random moments, resume it each time, and compare every table with an undisturbed run's.

    python -m tests.runs.kill_and_resume adult-clustermatch --set evaluation.trials=2 --kills 20 [--data DIR] [--smoke]

The stack plan is pinned (`--victims-per-stack`), so both runs train the same victims in the same company; the tables must then be equal
byte for byte, as exported. Exit status 0 where they are and no committed stack was trained again; 1 otherwise.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from engine.export.export import export
from engine.rows import RunRow
from engine.runs import start as run
from engine.scenario.parse import load
from engine.scenario.sections import Scenario
from engine.store import Store
from engine.tables.columns import SPECS

POLL_S = 0.02


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", help="a preset or a TOML file")
    parser.add_argument("--set", action="append", default=[], help="a scenario key, as model.epochs=5")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--victims-per-stack", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    args = parser.parse_args()
    pinned = [*args.set, f"compute.victims_per_stack={args.victims_per_stack}"]
    scenario = load(args.scenario, pinned, args.smoke)
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "runs.db") as store:
        whole = undisturbed(store, scenario, args.data)
        expected = exported(store, whole.id)
        rng, kills, runs = random.Random(args.seed), Counter[str](), list[str]()
        while sum(kills.values()) < args.kills:  # a run that ends before the last kill is followed by another
            runs.append(disturbed(store, scenario, args.data, rng, whole, kills, args.kills))
        wrong = 0
        for run_id in runs:
            unequal = [name for name, data in exported(store, run_id).items() if data != expected[name]]
            repeated = trained_again(store, run_id)
            wrong += len(unequal) + repeated
            plan = store.plan(run_id) or ()
            print(f"run {run_id}: {len(expected) - len(unequal)} of {len(expected)} exports equal byte for byte, "
                  f"{repeated} of {len(plan)} committed stacks trained again, {starts(store, run_id)} stacks begun")  # fmt: skip
            for name in unequal:
                print(f"  differs: {name}")
        print(f"{sum(kills.values())} kills: " + ", ".join(f"{n} while {phase}" for phase, n in kills.most_common()))
        size = sum(map(len, expected.values()))
        print(f"compared: {size:,} bytes, sha256 {hashlib.sha256(b''.join(expected.values())).hexdigest()[:16]}")
        print("equal" if not wrong else "NOT EQUAL")
        return int(wrong > 0)


def undisturbed(store: Store, scenario: Scenario, data: Path | None) -> RunRow:
    row = run.start(store, scenario, name="undisturbed", data_dir=data)
    row = wait(store, row.id, until=float("inf"))
    if row.state != "done" or row.started_at is None or row.finished_at is None:
        sys.exit(f"the undisturbed run {row.state}: {row.error}")
    stacks = len(store.plan(row.id) or ())
    print(f"undisturbed run {row.id}: {row.victims_done} victims in {stacks} stacks, {row.finished_at - row.created_at:.1f} s, "
          f"{row.finished_at - row.started_at:.1f} s of them at work")  # fmt: skip
    return row


def disturbed(
    store: Store, scenario: Scenario, data: Path | None, rng: random.Random, whole: RunRow, kills: Counter[str], most: int
) -> str:
    """One run, killed again and again until it is done or there were enough; returns its id."""
    row = run.start(store, scenario, name="disturbed", data_dir=data)
    assert whole.started_at is not None
    assert whole.finished_at is not None
    start_s, work_s = whole.started_at - whole.created_at, whole.finished_at - whole.started_at
    while sum(kills.values()) < most:
        if rng.random() < 0.8:  # most often while it works, now and then while it starts
            while (row := store.run(row.id)).state == "queued" and row.alive:
                time.sleep(POLL_S)
            moment_s = rng.uniform(0, max(work_s / 4, 1.0))
        else:
            moment_s = rng.uniform(0, start_s)
        row = wait(store, row.id, until=time.monotonic() + moment_s)
        if row.state in ("done", "failed", "stopped"):
            break
        if row.pid is None:
            continue
        os.kill(row.pid, signal.SIGKILL)
        killed_at = time.monotonic()
        kills[" ".join(row.phase.split(",")[0].split()[:2]).rstrip("0123456789 ")] += 1
        while not (row := store.run(row.id)).lost and row.state != "done":
            time.sleep(POLL_S)
        print(
            f"  killed while {row.phase!r}, {row.victims_done} victims committed; seen as lost after {time.monotonic() - killed_at:.2f} s"
        )
        if row.state != "done":
            run.resume(store, row.id)
    row = wait(store, row.id, until=float("inf"))
    if row.state != "done":
        sys.exit(f"the disturbed run {row.state}: {row.error}")
    return row.id


def wait(store: Store, run_id: str, until: float) -> RunRow:
    while (row := store.run(run_id)).state not in ("done", "failed", "stopped") and time.monotonic() < until:
        if row.lost and until == float("inf"):
            sys.exit(f"run {run_id} was lost unasked: {run.log_file(store, run_id).read_text()}")
        time.sleep(POLL_S)
    return row


def exported(store: Store, run_id: str) -> dict[str, bytes]:
    """Every table in two formats, the run's own id left out."""
    files = {}
    for table in SPECS:
        for format in ("csv", "json"):
            out = io.BytesIO()
            export(store, run_id, table, format, out)
            files[f"{table}.{format}"] = out.getvalue().replace(run_id.encode(), b"RUN")
    return files


def trained_again(store: Store, run_id: str) -> int:
    """How many stacks were begun after their commit, by the worker's log."""
    done: set[str] = set()
    again: set[str] = set()
    for line in store.log_rows(run_id):
        verb, _, number = line.message.split(":")[0].partition(" stack ")
        if verb == "training" and number in done:
            again.add(number)
        elif verb == "committed":
            done.add(number)
    return len(again)


def starts(store: Store, run_id: str) -> int:
    return sum(line.message.startswith("training stack") for line in store.log_rows(run_id))


if __name__ == "__main__":
    sys.exit(main())
