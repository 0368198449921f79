"""Whether a process that wrote its number down is still the one that bears it: numbers are reused, hosts differ, zombies linger.

A number means something in its own PID namespace alone, between one boot of one machine and the next: there a look at the process is
certain. From elsewhere (another container, another machine) nothing but the heartbeat tells of it.
"""

from __future__ import annotations

import os
import socket
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HEARTBEAT_S = 1.0  # a worker writes one this often
HEARTBEAT_LOST_S = 3.0  # where only that can tell, a worker silent for longer is shown as lost
HEARTBEAT_DEAD_S = 60.0  # and only one silent for longer may lose its run: it may be suspended, or starved of the processor


@dataclass(frozen=True)
class Process:
    """Which process, on whatever machine. Empty boot: not known, as of rows that an older version wrote; it cannot be looked at then."""

    host: str
    boot: str
    namespace: str  # the PID namespace that the number is of
    pid: int | None
    start: str


def identity(pid: int | None = None) -> Process:
    """A process of this PID namespace; None: this one."""
    number = os.getpid() if pid is None else pid
    return Process(host_name(), boot(), pid_namespace(), number, process_start(number) or "")


def host_name() -> str:
    """This machine, as rows name it."""
    return socket.gethostname()


@cache
def boot() -> str:
    """Tells this boot of this machine from any other; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        pass
    try:
        command = ["sysctl", "-n", "kern.bootsessionuuid"]  # macOS
        return subprocess.run(command, capture_output=True, text=True, timeout=2, check=False).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def pid_namespace() -> str:
    """The PID namespace of this process, as Linux names it; "one" where a system has no such thing; empty where /proc is another's."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):  # numbers there are not ours (`unshare --pid` without --mount-proc)
            return ""
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return "" if Path("/proc/self").exists() else "one"


def process_start(pid: int) -> str | None:
    """A token that tells this process from any other that bore or will bear its number; None where it is gone or a zombie.

    Linux: the start time in clock ticks since boot (field 22 of /proc/PID/stat). Elsewhere: what `ps` gives as start time.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
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


def seen(worker: Process) -> bool | None:
    """Whether this process is running, as the system says; None where it is of another boot or in another PID namespace.

    The name of the host does not matter: it can be changed, and a boot is one machine's.
    """
    if worker.pid is None:
        return False
    if not (worker.boot and worker.namespace) or (worker.boot, worker.namespace) != (boot(), pid_namespace()):
        return None
    start = process_start(worker.pid)
    if start is None and _hidden(worker.pid):
        return None
    return start is not None and start == worker.start


def _hidden(pid: int) -> bool:
    """Whether a process exists that /proc does not show, as other users' where it is mounted with hidepid."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return not Path(f"/proc/{pid}/stat").exists()
    except (OSError, OverflowError):
        return False
    return False


def alive(worker: Process, heartbeat_at: float | None, now: float, silence_s: float = HEARTBEAT_LOST_S) -> bool:
    """Whether the worker that recorded these is at work. Times are Unix seconds.

    A look at its process decides; where that is not possible, whether its heartbeat is younger than `silence_s`. One as far in the
    future was written before the clock was set back: whoever lives has written another since.
    """
    known = seen(worker)
    return known if known is not None else heartbeat_at is not None and abs(now - heartbeat_at) < silence_s


def cores() -> int:
    """How many CPU cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1
