"""Kill a real run's workers with SIGKILL at chosen and random moments, resume each time, and compare every table with an undisturbed run's.

    python -m tests.studies.kill_storm quickstart|adult|pictures|optimised [--kills 25] [--seed 0] [--data DIR]

The workers are those of the product, `python -P -m engine.runs.worker`; in the worlds named EAGER they put away what they have done after
each step, not every ten seconds, for a smoke run has no step that long. Most moments lie within a phase that is waited for: the start, the
discovery, the plan, a stack in training, the commit at its end; now and then a forked part of a stack is killed alone, or the run is asked
to stop. The stack plan is pinned, so both runs train the same victims in the same company. Exit status 0 where all exports are equal byte
for byte, no committed stack was trained again, no milestone was reached twice and no process is left; 1 otherwise.
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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import RequestError, SubpopError
from engine.export.export import export
from engine.rows import RunRow
from engine.runs import milestones, worker
from engine.runs import start as run
from engine.scenario.parse import load
from engine.scenario.sections import Scenario
from engine.store import Store
from engine.tables.columns import SPECS

POLL_S = 0.002
GONE_S = 5.0  # how long a part may take to see that its parent is gone
EAGER = ("optimised",)
DISCOVERING = ("training the adversary", "confidence", "representing", "forming", "optimising", "features of")
COMMIT = "within a few hundredths of a commit"
OUTSIDE = (*DISCOVERING, "planning", COMMIT)
# what is killed, in turn: outside training about half of the time
TURNS = ("discovery", "start", "discovery", "planning", "training", "commit", "part", "commit", "training", "discovery")


@dataclass(frozen=True)
class World:
    preset: str
    overrides: tuple[str, ...]


WORLDS = {
    "quickstart": World("quickstart", ("compute.victims_per_stack=3", "compute.threads=2", "evaluation.trials=3")),
    "adult": World("adult-clustermatch", ("compute.victims_per_stack=6", "compute.threads=2")),
    "pictures": World("utkface-vgg-ll", ("compute.victims_per_stack=3", "compute.threads=2")),
    "optimised": World("utkface-vgg-ll-optimized", ("compute.victims_per_stack=6", "compute.threads=2", "attack.steps=16")),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", choices=[*WORLDS])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--turns", default=",".join(TURNS), help="what is killed, in turn")
    args = parser.parse_args()
    world, begun = WORLDS[args.world], time.monotonic()
    scenario = load(world.preset, [*world.overrides], True)
    command = (sys.executable, "-P", "-m", "tests.studies.kill_storm", "--eager-worker") if args.world in EAGER else run.WORKER
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "runs.db") as store:
        whole = undisturbed(store, scenario, args.data)
        expected = exported(store, whole.id)
        storm = Storm(store, random.Random(args.seed), command, store.stack_durations(whole.id), args.kills, args.turns.split(","))
        runs: list[str] = []
        while storm.left:  # a run that ends before the last kill is followed by another
            runs.append(storm.over(scenario, args.data))
        wrong = storm.orphans
        for run_id in runs:
            unequal = [name for name, data in exported(store, run_id).items() if data != expected[name]]
            repeated = trained_again(store, run_id)
            wrong += len(unequal) + repeated
            plan = store.plan(run_id) or ()
            print(f"run {run_id}: {len(expected) - len(unequal)} of {len(expected)} exports equal byte for byte, "
                  f"{repeated} of {len(plan)} committed stacks trained again, {starts(store, run_id)} stacks begun, "
                  f"{kept(store, run_id)} steps of the discovery kept")  # fmt: skip
            for name in unequal:
                print(f"  differs: {name}")
        outside = sum(n for phase, n in storm.kills.items() if phase.startswith(OUTSIDE))
        print(f"{args.world}: {sum(storm.kills.values())} moments, {outside} of them in discovery, planning or commits: "
              + ", ".join(f"{n} {phase}" for phase, n in storm.kills.most_common()))  # fmt: skip
        size = sum(map(len, expected.values()))
        print(f"compared: {size:,} bytes, sha256 {hashlib.sha256(b''.join(expected.values())).hexdigest()[:16]}; "
              f"{storm.orphans} orphans; {time.monotonic() - begun:.0f} s")  # fmt: skip
        print("equal" if not wrong else "NOT EQUAL")
        return int(wrong > 0)


def undisturbed(store: Store, scenario: Scenario, data: Path | None) -> RunRow:
    row = run.start(store, scenario, name="undisturbed", data_dir=data)
    row = wait(store, row.id, ended, most_s=1800.0)
    if row.state != "done" or row.started_at is None or row.finished_at is None:
        sys.exit(f"the undisturbed run {row.state}: {row.error}")
    stacks = len(store.plan(row.id) or ())
    print(f"undisturbed run {row.id}: {row.victims_done} victims in {stacks} stacks, {row.finished_at - row.created_at:.1f} s, "
          f"{row.finished_at - row.started_at:.1f} s of them at work")  # fmt: skip
    return row


class Storm:
    """durations: seconds that each stack took undisturbed. kills: where a run was when it was killed -> how often."""

    def __init__(
        self, store: Store, rng: random.Random, command: Sequence[str], durations: dict[int, float], most: int, turns: Sequence[str]
    ) -> None:
        self.store, self.rng, self.command, self.durations, self.most, self.turns = store, rng, command, durations, most, turns
        self.kills, self.orphans, self.turn = Counter[str](), 0, 0

    @property
    def left(self) -> int:
        return self.most - sum(self.kills.values())

    def over(self, scenario: Scenario, data: Path | None) -> str:
        """One run, killed again and again until it is done or there were enough; returns its id."""
        run_id = run.start(self.store, scenario, name="disturbed", data_dir=data, worker=self.command).id
        while self.left:
            row = self._moment(run_id, self.turns[self.turn % len(self.turns)])
            self.turn += 1
            if row.state == "done":
                break
            while not (row := self.store.run(run_id)).lost and row.state not in ("done", "failed", "stopped"):
                time.sleep(POLL_S)
            if row.state == "done":
                break
            self._no_orphans(run_id)
            run.resume(self.store, run_id, worker=self.command)
        row = wait(self.store, run_id, ended)
        if row.state != "done":
            sys.exit(f"the disturbed run {row.state}: {row.error}\n{run.log_file(self.store, run_id).read_text()}")
        self._no_orphans(run_id)
        return run_id

    def _moment(self, run_id: str, what: str) -> RunRow:
        """Wait for such a moment, or for a later one where it is past, and kill. Returns the run as it was then."""
        awaited = {"discovery": DISCOVERING, "optimising": ("optimising",), "planning": ("planning",), "start": ("",)}
        row = wait(
            self.store, run_id, lambda row: ended(row) or (row.phase.startswith((*awaited.get(what, ()), "training stack")) and row.alive)
        )
        if ended(row):
            return row
        if row.phase.startswith("training stack") and what in ("discovery", "optimising", "planning"):
            what = "training"  # it is past
        if what == "start":
            time.sleep(self.rng.uniform(0, 2.5))
        elif what == "planning":
            time.sleep(self.rng.uniform(0, 0.01))
        elif what in ("discovery", "optimising"):
            time.sleep(self.rng.choice([0.0, 0.1, 0.3, 1.0]) * self.rng.random())
        elif what == "commit":  # the last hundredths of a stack, and the first of what follows
            index = int(row.phase.split()[2]) - 1
            time.sleep(max(0.0, self.durations[index] + self.rng.uniform(-0.05, 0.05)))
        else:
            time.sleep(self.rng.uniform(0, max(self.durations.values())))
        if what == "optimising" and self.turn % 2:
            return self._stop(run_id)
        if what == "part":
            return self._kill_a_part(run_id)
        return self._kill(run_id, commit=what == "commit")

    def _kill(self, run_id: str, *, commit: bool = False) -> RunRow:
        row = self.store.run(run_id)
        if ended(row) or row.pid is None:
            return row
        try:
            os.kill(row.pid, signal.SIGKILL)
        except ProcessLookupError:
            return self.store.run(run_id)
        phase = " ".join(row.phase.split(",")[0].split()[:3]).rstrip("0123456789 ") or "starting"
        self.kills[COMMIT if commit else phase] += 1
        return row

    def _stop(self, run_id: str) -> RunRow:
        """Asked to, as by the app's x."""
        row = self.store.run(run_id)
        if not ended(row):
            run.stop(self.store, run_id)
            self.kills["optimising poison points, stopped"] += 1
        return row

    def _kill_a_part(self, run_id: str) -> RunRow:
        """One forked part of the stack in training, alone; its run then fails in words. Where there is none, the worker."""
        for _ in range(200):
            row = self.store.run(run_id)
            if ended(row) or row.pid is None:
                return row
            if parts := children(row.pid):
                try:
                    os.kill(parts[0], signal.SIGKILL)
                except ProcessLookupError:
                    continue
                row = wait(self.store, run_id, lambda row: ended(row) or row.lost or row.phase.startswith("training stack"))
                row = wait(self.store, run_id, ended, most_s=2.0)
                if row.state == "failed":
                    assert "a part of the stack ended without a word" in row.error, row.error
                    self.kills["a part alone"] += 1
                    return row
                continue  # it had done its part already
            time.sleep(POLL_S)
        return self._kill(run_id)

    def _no_orphans(self, run_id: str) -> None:
        """Count the processes of the run that outlive its worker."""
        end = time.monotonic() + GONE_S
        while left := processes_of(self.store, run_id):
            if time.monotonic() > end:
                self.orphans += len(left)
                print(f"  orphans: {left}")
                return
            time.sleep(0.02)


def ended(row: RunRow) -> bool:
    return row.state in ("done", "failed", "stopped")


def wait(store: Store, run_id: str, until: Callable[[RunRow], bool], most_s: float = 300.0) -> RunRow:
    end = time.monotonic() + most_s
    while not until(row := store.run(run_id)) and time.monotonic() < end:
        if row.lost:
            sys.exit(f"run {run_id} was lost unasked: {run.log_file(store, run_id).read_text()}")
        time.sleep(POLL_S)
    return row


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def processes_of(store: Store, run_id: str) -> list[int]:
    """Workers of the run and parts of them, zombies aside."""
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if run_id.encode() in words and str(store.path).encode() in words:
            pids.append(int(folder.name))
    return pids


def exported(store: Store, run_id: str, tables: Iterable[str] = SPECS) -> dict[str, bytes]:
    """Every table in two formats, the run's own id left out."""
    files = {}
    for table in tables:
        for format in ("csv", "json"):
            out = io.BytesIO()
            try:
                export(store, run_id, table, format, out)
            except RequestError as error:  # a table that such a run has not
                out.write(str(error).encode())
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


def kept(store: Store, run_id: str) -> int:
    """How many steps of the discovery the worker that finished it found done."""
    lines = [line.message for line in store.log_rows(run_id) if line.message.endswith("done before: they were kept")]
    return int(lines[-1].split()[0]) if lines else 0


def eager_worker(arguments: Sequence[str]) -> int:
    """The product's worker, which puts away each step when it is done."""
    milestones.EVERY_S = milestones.STATE_EVERY_S = 0.0
    milestones.STATE_SHARE, milestones.BYTES_A_SECOND = 0.5, 1e15
    return worker.main(arguments)


if __name__ == "__main__":
    try:
        sys.exit(eager_worker(sys.argv[2:]) if sys.argv[1:2] == ["--eager-worker"] else main())
    except SubpopError as error:
        sys.exit(str(error))
