"""What the idle app costs over a store of thousands of runs, one of them at work: CPU of its process, in a pseudo-terminal.

    python tests/tui/bench_idle.py [--runs 4000] [--seconds 20] [--checkout FOLDER]... [--rounds 2]

Each checkout (default: this one) makes its own store and shows it in Runs; they take turns, so that a busy machine is busy for all.
Wanted: under 4 % of a core.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.tui.bench_live import Watch, spent  # noqa: E402
from tests.tui.terminal import Terminal  # noqa: E402

SIZE = (120, 36)
APP = "import sys; sys.path.insert(0, {root!r}); from tui.app import main; main()"
# A store of runs that are done, and one at work, whose worker beats each second until standard input ends.
MAKER = """
import sys, threading, time
sys.path.insert(0, {root!r})
from pathlib import Path
from engine.store import Store
from engine.system.processes import identity
toml = Path({root!r}, "presets", "adult-clustermatch.toml").read_text()
with Store.open(Path({store!r}), durable=False) as store:
    for number in range({runs}):
        row = store.create_run(name=f"run {{number}}", title="UCI Adult", scenario_toml=toml, scenario_hash="0" * 16)
        store.update_run(row.id, state="done", victims_done=100, victims_total=100, progress=1.0, started_at=1.0, finished_at=2.0)
    row = store.create_run(name="at work", title="UCI Adult", scenario_toml=toml, scenario_hash="0" * 16)
    claim = store.claim(row.id, identity())
    theirs = store.fenced(row.id, claim)
    theirs.update_run(row.id, state="running", phase="training stack 1 of 9", victims_total=10_000)
    print("made", flush=True)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    beat = 0
    while not ended.wait(1.0):
        beat += 1
        theirs.heartbeat(row.id, progress=beat / 10_000, eta_s=float(10_000 - beat))
"""


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=4000)
    options.add_argument("--seconds", type=float, default=20.0)
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--checkout", type=Path, action="append", default=[])
    given = options.parse_args()
    checkouts = given.checkout or [ROOT]
    shares: dict[Path, list[float]] = {checkout: [] for checkout in checkouts}
    for _ in range(given.rounds):
        for checkout in checkouts:
            shares[checkout].append(measured(checkout.resolve(), given.runs, given.seconds))
    for checkout, each in shares.items():
        print(f"{checkout}: {statistics.median(each):.1%} of a core over {given.runs} runs ({', '.join(f'{share:.1%}' for share in each)})")


def measured(checkout: Path, runs: int, seconds: float) -> float:
    """The share of a core that the app of this checkout takes while nobody touches it."""
    with tempfile.TemporaryDirectory() as name:
        store = Path(name) / "runs.db"
        code = MAKER.format(root=str(checkout), store=str(store), runs=runs)
        maker = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert maker.stdin is not None
        assert maker.stdout is not None
        try:
            assert maker.stdout.readline() == "made\n"
            app, places = APP.format(root=str(checkout)), {"SUBPOP_CONFIG": name, "SUBPOP_STORE": str(store)}
            with Terminal([sys.executable, "-c", app], size=SIZE, environment=places) as terminal:
                watch = Watch(terminal)
                watch.until("quickstart")
                terminal.type("3")
                watch.until("Worst k")
                _idle(watch, 4.0)
                cpu, start = spent(terminal.process.pid), time.monotonic()
                _idle(watch, seconds)
                return (spent(terminal.process.pid) - cpu) / (time.monotonic() - start)
        finally:
            maker.stdin.close()
            maker.wait()
            maker.stdout.close()


def _idle(watch: Watch, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        watch.step()


if __name__ == "__main__":
    main()
