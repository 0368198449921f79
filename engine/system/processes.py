"""Whether a process that wrote its number down is still the one that bears it: numbers are reused, hosts differ, zombies linger."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

HEARTBEAT_S = 1.0  # a worker writes one this often
HEARTBEAT_LOST_S = 3.0  # on another host, a worker silent for longer is lost


def host_name() -> str:
    """This machine, as rows name it."""
    return socket.gethostname()


def process_start(pid: int) -> str | None:
    """A token that tells this process from any other that bore or will bear its number; None where it is gone or a zombie.

    Linux: the start time in clock ticks since boot (field 22 of /proc/PID/stat). Elsewhere: what `ps` gives as start time.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _process_start_ps(pid)
    except OSError:  # ProcessLookupError: gone between open and read
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces and brackets
    state, start = fields[0], fields[19]
    return None if state in "ZXx" else start


def _process_start_ps(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except PermissionError:
        pass
    except OSError:
        return None
    try:
        done = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, timeout=2, check=False)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    state, _, start = done.stdout.strip().partition(" ")
    return None if done.returncode or state.startswith("Z") else start.strip()


def alive(host: str, pid: int | None, pid_start: str, heartbeat_at: float | None, now: float) -> bool:
    """Whether the worker that recorded these is at work. Times are Unix seconds.

    Same host: its process exists, is no zombie and started when it said it did. Other hosts: its heartbeat is younger than 3 s.
    """
    if pid is None:
        return False
    if host == host_name():
        start = process_start(pid)
        return start is not None and start == pid_start
    return heartbeat_at is not None and now - heartbeat_at < HEARTBEAT_LOST_S


def cores() -> int:
    """How many CPU cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1
