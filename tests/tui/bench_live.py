"""What the app costs while 300 rows change at 5 Hz, and how far it lags behind: two processes and a pseudo-terminal.

    python tests/tui/bench_live.py [--rows 300] [--hz 5] [--seconds 20]

Wanted: under 15 % of a core, under 30 KB/s to the terminal, 95 % of commits on screen within 250 ms, the cursor on the same
subpopulation throughout while rows re-sort, and keys answered at once after `j` was held.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.tui.terminal import Picture, Terminal  # noqa: E402

SIZE = (120, 36)
OURS = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tui.app import main; main()"
TICK = os.sysconf("SC_CLK_TCK")


def spent(pid: int) -> float:
    """CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


class Watch:
    """Reads a terminal into a picture and keeps count."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal, self.picture, self.bytes = terminal, Picture(SIZE), 0

    def step(self, seconds: float = 0.05) -> None:
        before = len(self.terminal.raw)
        self.terminal.read_some(seconds)
        new = self.terminal.raw[before:]
        self.bytes += len(new)
        self.picture.feed(new)

    def until(self, wanted: str, seconds: float = 20) -> float:
        start = time.monotonic()
        while not any(wanted in line for line in self.picture.lines):
            if time.monotonic() - start > seconds:
                raise AssertionError(f"{wanted!r} never came:\n" + "\n".join(self.picture.lines))
            self.step()
        return time.monotonic() - start

    def cursor(self) -> str:
        """The damage row under the cursor: its # and subpopulation."""
        found = [re.match(r"❯.?(\d+ +\S+)", line) for line in self.picture.lines[8:]]
        return next((match[1] for match in found if match), "")


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, default=300)
    options.add_argument("--hz", type=float, default=5.0)
    options.add_argument("--seconds", type=float, default=20.0)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        store = Path(name) / "runs.db"
        unsorted = {"views": {"damage while it fills": {"sort": None, "column": "damage"}}}
        (Path(name) / "app.json").write_text(json.dumps(unsorted))
        command = [sys.executable, str(ROOT / "tests/worlds/app.py"), str(store), "--rows", str(given.rows), "--hz", str(given.hz)]
        worker = subprocess.Popen([*command, "--seconds", str(3 * given.seconds + 60)], stdout=subprocess.PIPE, text=True)
        commits: dict[int, float] = {}

        def listen() -> None:
            assert worker.stdout is not None
            for line in worker.stdout:
                tick, at, _ = line.split()
                commits[int(tick)] = float(at)

        threading.Thread(target=listen, daemon=True).start()
        try:
            while not commits:
                time.sleep(0.05)
            with Terminal(
                [sys.executable, "-c", OURS], size=SIZE, environment={"SUBPOP_CONFIG": name, "SUBPOP_STORE": str(store)}
            ) as terminal:
                measure(Watch(terminal), commits, given.seconds)
        finally:
            worker.kill()
            worker.wait()


def measure(watch: Watch, commits: dict[int, float], seconds: float) -> None:
    pid, terminal = watch.terminal.process.pid, watch.terminal
    watch.until("quickstart")
    terminal.type("3")
    watch.until("Worst k")
    end = time.monotonic() + 2
    while time.monotonic() < end:
        watch.step()
    lags, seen = [], -1
    cpu, start, count = spent(pid), time.monotonic(), watch.bytes
    while time.monotonic() - start < seconds:
        watch.step()
        now = time.monotonic()
        row = next((line for line in watch.picture.lines[8:] if re.match(r". ?0 +\S", line[:9])), "")
        found = re.search(r" 0\.5 +(0\.\d{3}) ", row)
        tick = round(float(found[1]) * 1000) if found else -1
        if tick != seen and tick in commits:
            lags.append(now - commits[tick])
            seen = tick
    passed = time.monotonic() - start
    rate = (watch.bytes - count) / passed
    lags.sort()
    p95 = lags[int(len(lags) * 0.95)]
    print(f"300 rows at 5 Hz, {passed:.0f} s, {len(lags)} commits seen, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"  CPU of the app      {(spent(pid) - cpu) / passed:6.1%} of a core")
    print(f"  to the terminal     {rate / 1000:6.1f} KB/s")
    print(f"  commit to screen    {statistics.median(lags) * 1000:6.0f} ms median, {p95 * 1000:.0f} ms p95, {lags[-1] * 1000:.0f} ms worst")

    # Sorted by damage: every commit re-sorts all rows. The cursor must stay on its subpopulation.
    terminal.type("w")
    watch.step(0.5)
    for key in "sjjj":
        terminal.type(key)
        watch.step(0.2)
    settle = time.monotonic() + 1.5
    while time.monotonic() < settle:
        watch.step()
    if not any("by damage" in line for line in watch.picture.lines):
        raise AssertionError("not sorted by damage:\n" + "\n".join(watch.picture.lines))
    where, places, wrong = watch.cursor(), set(), 0
    cpu, start, count = spent(pid), time.monotonic(), watch.bytes
    while time.monotonic() - start < seconds / 2:
        watch.step()
        here = watch.cursor()
        places.add(next((y for y, line in enumerate(watch.picture.lines) if y > 8 and line.startswith("❯")), None))
        wrong += bool(here) and here != where
    passed = time.monotonic() - start
    print(f"re-sorting by damage at every commit, {passed:.0f} s")
    print(f"  CPU of the app      {(spent(pid) - cpu) / passed:6.1%} of a core")
    print(f"  to the terminal     {(watch.bytes - count) / 1000 / passed:6.1f} KB/s")
    stayed = "yes" if where and not wrong else f"NO, {wrong} times elsewhere"
    print(f"  the cursor          on {where!r} throughout: {stayed}; on screen lines {sorted(p for p in places if p)}")
    for _ in range(90):
        terminal.type("j")
        watch.step(1 / 30)
    terminal.type(":")
    print(f"  held j, 90 at 30/s  the next key is answered after {watch.until('Commands', 10) * 1000:.0f} ms")
    terminal.type("\x1b")
    watch.step(0.5)
    terminal.type("q")


if __name__ == "__main__":
    main()
