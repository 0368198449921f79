"""What an engine uses, where several processes train: all of them, also those that ended since."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.worlds.waiting import until
from tui.services.devices import Meter, descendants

# a process that does nothing beside two forks, one of them by a thread, which forks again; the other is at work when told to, and ends
ENGINE = """
import os, sys, threading, time
memory = bytearray(64 << 20)
def sleep():
    if not os.fork():
        os.fork()
        time.sleep(20)
        os._exit(0)
threading.Thread(target=sleep).start()
first = os.fork()
if not first:
    sys.stdin.readline()
    while time.process_time() < 0.4:
        pass
    os._exit(0)
os.waitpid(first, 0)
print(flush=True)
time.sleep(20)
"""


@pytest.fixture
def engine() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", ENGINE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as process:
        yield process
        for pid in [*descendants(process.pid), process.pid]:
            subprocess.run(["kill", "-9", str(pid)], check=False)


def test_all_processes_of_an_engine_are_measured(engine: subprocess.Popen[bytes]) -> None:
    meter = Meter()
    assert engine.stdin is not None
    assert engine.stdout is not None
    until(lambda: len(descendants(engine.pid)) == 3)
    before, begun_s = meter.read(engine.pid), time.monotonic()
    assert before.cores is None
    engine.stdin.write(b"\n")
    engine.stdin.flush()
    engine.stdout.readline()  # one has ended: what it used is the engine's still
    use = meter.read(engine.pid)
    assert use.cores is not None
    assert use.memory is not None
    assert use.cores * (time.monotonic() - begun_s) > 0.3, "the engine's own process does nothing"
    assert 64 << 20 < use.memory < 2 * (64 << 20), "what forks share counts once"


def test_a_process_that_is_gone_is_not_measured() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    use = Meter().read(process.pid)
    assert (use.cores, use.memory) == (None, None)
