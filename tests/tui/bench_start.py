"""Time to first paint of the app beside a minimal Textual app, from the start of the process, in a pseudo-terminal.

    python tests/tui/bench_start.py [--runs 10]

Prints medians and their ratio (wanted: at most 1.5), and which heavy modules are loaded at the app's first paint (wanted: none).
"""

from __future__ import annotations

import argparse
import compileall
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.tui.terminal import Terminal  # noqa: E402

HEAVY = ("torch", "numpy", "pandas", "pydantic", "sklearn", "scipy", "pyarrow", "typer")
MINIMAL = """
from textual.app import App
from textual.widgets import Static

class Minimal(App):
    def compose(self):
        yield Static("first paint")

Minimal().run()
"""
OURS = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tui.app import main; main()"
LOADED = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from tui.app import SubpopApp
class Spy(SubpopApp):
    def on_mount(self):
        super().on_mount()
        self.call_after_refresh(self.tell)
    def tell(self):
        self.loaded = " ".join(name for name in {HEAVY!r} if name in sys.modules) or "none"
        self.exit()
app = Spy()
app.run()
print("LOADED:", app.loaded)
"""


def first_paint(code: str, wanted: str, folder: Path) -> float:
    """Seconds from the start of the process until `wanted` was written to the terminal."""
    start = time.perf_counter()
    with Terminal(
        [sys.executable, "-c", code], environment={"SUBPOP_CONFIG": str(folder), "SUBPOP_STORE": str(folder / "runs.db")}
    ) as terminal:
        terminal.until(wanted, 30)
        return time.perf_counter() - start


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=10)
    runs = options.parse_args().runs
    for package in ("engine", "tui"):
        compileall.compile_dir(ROOT / package, quiet=1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first_paint(OURS, "Plan", folder)
        first_paint(MINIMAL, "first paint", folder)
        minimal, ours, listed = [], [], []
        for _ in range(runs):
            minimal.append(first_paint(MINIMAL, "first paint", folder))
            ours.append(first_paint(OURS, "Plan", folder))
            listed.append(first_paint(OURS, "quickstart", folder))
        with Terminal([sys.executable, "-c", LOADED], environment={"SUBPOP_CONFIG": str(folder)}) as terminal:
            terminal.until("LOADED:", 30)
            terminal.read(0.2)
            loaded = terminal.text.rpartition("LOADED:")[2].split("\n")[0].strip()
    print(f"first paint, median of {runs}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"  minimal Textual app  {statistics.median(minimal) * 1000:6.0f} ms   least {min(minimal) * 1000:.0f}")
    ratios = f"{statistics.median(ours) / statistics.median(minimal):.2f} of medians, {min(ours) / min(minimal):.2f} of leasts"
    print(f"  subpop               {statistics.median(ours) * 1000:6.0f} ms   least {min(ours) * 1000:.0f}   ratio {ratios}")
    print(f"  presets listed       {statistics.median(listed) * 1000:6.0f} ms   least {min(listed) * 1000:.0f}")
    print(f"heavy modules loaded at first paint: {loaded}")


if __name__ == "__main__":
    main()
