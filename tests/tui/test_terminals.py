"""The app in real (pseudo-)terminals: hostile ones, ones that go away, and engines that die. One process each, so these are few."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.store import Store
from tests.tui.terminal import Picture, Terminal
from tests.worlds import app as worlds

ROOT = Path(__file__).resolve().parents[2]
OURS = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tui.app import main; sys.exit(main())"]


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    return {"SUBPOP_CONFIG": str(tmp_path / "config"), "SUBPOP_STORE": str(tmp_path / "runs.db"), "PYTHONWARNINGS": "ignore"}


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A live worker on a run, started from outside the app."""
    command = [sys.executable, str(ROOT / "tests/worlds/app.py"), str(tmp_path / "runs.db"), "--rows", "90", "--seconds", "60"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_without_a_terminal_it_says_so_in_one_line_and_ends_with_2(places: dict[str, str]) -> None:
    done = subprocess.run(OURS, input="", capture_output=True, text=True, env={**os.environ, **places}, check=False, timeout=30)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert "needs a terminal" in done.stderr


@pytest.mark.parametrize("term", ["dumb", ""])
def test_on_a_dumb_terminal_it_says_so_in_one_line_and_ends_with_2(places: dict[str, str], term: str) -> None:
    with Terminal(OURS, environment={**places, "TERM": term}) as terminal:
        terminal.until("cannot draw", 20)
        assert terminal.process.wait(10) == 2
        assert len(terminal.text.strip().splitlines()) == 1


@pytest.mark.parametrize("said", [{"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_where_the_locale_is_not_utf_8_it_says_so_in_one_line_and_ends_with_2(places: dict[str, str], said: dict[str, str]) -> None:
    with Terminal(OURS, environment={**places, **said}) as terminal:
        terminal.until("set LC_ALL=C.UTF-8", 20)
        assert terminal.process.wait(10) == 2
        assert len(terminal.text.strip().splitlines()) == 1


def test_tiny_terminals_and_a_storm_of_sizes_leave_no_traceback(places: dict[str, str], tmp_path: Path) -> None:
    with Store.open(tmp_path / "runs.db") as store:
        worlds.make_run(store)
    with Terminal(OURS, size=(40, 10), environment={**places, "NO_COLOR": "1"}) as terminal:
        terminal.until("quickstart", 20)
        for key in ("3", "4", "2", "?", "\x1b", ":", "\x1b", "1"):
            terminal.type(key)
            terminal.read(0.25)
            for size in ((1, 1), (200, 60), (3, 40), (80, 2), (40, 10), (120, 36)):
                terminal.resize(size)
                terminal.read(0.02)
        terminal.resize((100, 30))
        terminal.read(0.5)
        terminal.type("/" + "x" * 5000 + "\x1b[200~" + "paste" * 20_000 + "\x1b[201~")
        terminal.read(1.0)
        assert terminal.process.poll() is None
        terminal.type("\x1b")
        terminal.read(0.5)
        terminal.type("q")
        terminal.read(0.5)
        assert terminal.process.wait(10) == 0
        assert "Traceback" not in terminal.text


def test_the_terminal_taken_away_ends_the_app_and_not_the_run(
    places: dict[str, str], tmp_path: Path, worker: subprocess.Popen[str]
) -> None:
    with Terminal(OURS, environment=places) as terminal:
        terminal.until("quickstart", 20)
        terminal.type("3")
        terminal.until("Worst k", 20)
        terminal.hang_up()
        terminal.process.send_signal(signal.SIGHUP)
        terminal.process.wait(15)
    assert worker.poll() is None
    with Terminal(OURS, environment=places) as again:
        again.until("live", 20)
        again.type("3")
        again.until("training trial 2 of 3", 20)


def test_the_app_killed_leaves_the_run_and_the_next_app_finds_it(places: dict[str, str], worker: subprocess.Popen[str]) -> None:
    with Terminal(OURS, environment=places) as terminal:
        terminal.until("live", 20)
        terminal.process.kill()
        terminal.process.wait(10)
    assert worker.poll() is None
    with Terminal(OURS, environment=places) as again:
        again.until("live", 20)
        again.type("q")
        again.until("still at work: live", 20)
        assert again.process.wait(10) == 0


def test_an_engine_killed_is_said_within_three_seconds(places: dict[str, str], worker: subprocess.Popen[str]) -> None:
    with Terminal(OURS, environment=places) as terminal:
        terminal.until("quickstart", 20)
        terminal.type("3")
        terminal.until("training trial 2 of 3", 20)
        worker.kill()
        worker.wait()
        start = time.monotonic()
        terminal.until("ENGINE LOST", 10)
        assert time.monotonic() - start < 3
        terminal.read(1.0)
        assert "r Resume" in terminal.text


# ---- stopped, and continued -----------------------------------------------------------------------------------------

SHELL = (
    "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:], process_group=0).returncode)"  # a job of its own, as shells make them
)


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def until_state(pid: int, state: str) -> None:
    for _ in range(200):
        if state_of(pid) == state:
            return
        time.sleep(0.02)
    raise AssertionError(f"it is {state_of(pid)}, not {state}")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="states of processes are read from /proc")
def test_after_ctrl_z_and_fg_the_whole_screen_is_painted(places: dict[str, str]) -> None:
    with Terminal([sys.executable, "-c", SHELL, *OURS], environment=places) as terminal:
        terminal.until("quickstart", 20)
        shell = terminal.process.pid
        [app] = map(int, Path(f"/proc/{shell}/task/{shell}/children").read_text().split())
        terminal.read(0.5)
        for way in ("ctrl+z", "a signal"):
            before = len(terminal.raw)
            if way == "ctrl+z":
                terminal.type("\x1a")
            else:
                os.kill(app, signal.SIGTSTP)
            terminal.read(0.3)
            until_state(app, "T")
            assert b"\x1b[?1049l" in terminal.raw[before:], "the shell's own screen is back"
            before = len(terminal.raw)
            os.kill(app, signal.SIGCONT)
            terminal.read(1.0)
            picture = Picture((120, 36))
            picture.feed(terminal.raw[before:])
            assert "1 Plan" in picture.lines[0]
            assert any("adult-clustermatch" in line for line in picture.lines)
            assert "q quit" in picture.lines[35]
        terminal.type("q")
        terminal.read(0.5)
        assert terminal.process.wait(10) == 0
        assert "Traceback" not in terminal.text


def test_where_there_is_no_shell_ctrl_z_stops_nothing(places: dict[str, str]) -> None:
    with Terminal(OURS, environment=places) as terminal:
        terminal.until("quickstart", 20)
        terminal.type("\x1a")
        terminal.until("there is no shell to go back to", 5)
        terminal.type("q")
        terminal.read(0.5)
        assert terminal.process.wait(10) == 0
