"""What an engine uses, where several processes train: all of them, also those that ended since."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.worlds.waiting import until
from tui.services.devices import Meter, descendants

# a process that does nothing while two forks, one by a thread, are at work; one of them ends early, and one forks again
ENGINE = """
import os, sys, threading, time
memory = bytearray(64 << 20)
def busy(s):
    end = time.monotonic() + s
    while time.monotonic() < end:
        pass
    os._exit(0)
def fork(s):
    pid = os.fork()
    if not pid:
        if s < 1 or not os.fork():
            busy(s)
        time.sleep(20)
        os._exit(0)
    return pid
threading.Thread(target=fork, args=(20,)).start()
first = fork(0.4)
print(flush=True)
os.waitpid(first, 0)
print(flush=True)
time.sleep(20)
"""


@pytest.fixture
def engine() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", ENGINE], stdout=subprocess.PIPE, start_new_session=True) as process:
        yield process
        for pid in [*descendants(process.pid), process.pid]:
            subprocess.run(["kill", "-9", str(pid)], check=False)


def test_all_processes_of_an_engine_are_measured(engine: subprocess.Popen[bytes]) -> None:
    meter = Meter()
    assert engine.stdout is not None
    engine.stdout.readline()
    until(lambda: len(descendants(engine.pid)) == 3)
    before, begun_s = meter.read(engine.pid), time.monotonic()
    assert before.cores is None
    engine.stdout.readline()  # one has ended: what it used is the engine's still
    time.sleep(0.2)
    use = meter.read(engine.pid)
    assert use.cores is not None
    assert use.memory is not None
    busy_s = use.cores * (time.monotonic() - begun_s)
    assert busy_s > 0.2, "the engine's own process does nothing"
    assert 64 << 20 < use.memory < 2 * (64 << 20), "what forks share counts once"


def test_a_process_that_is_gone_is_not_measured() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    use = Meter().read(process.pid)
    assert (use.cores, use.memory) == (None, None)
