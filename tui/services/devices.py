"""How much of this machine a run's engine uses: its processes from /proc, GPUs from nvidia-smi where there is one."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tui.presenters import format as fmt

LOOKS = 8  # processes whose memory is added up at a look: a gigabyte takes ten milliseconds or so


@dataclass(frozen=True)
class Use:
    """cores: busy ones, of all of an engine's processes, since the last look; memory: their resident bytes. None where it is not known."""

    cores: float | None = None
    memory: int | None = None
    machine_used: int | None = None
    machine_total: int | None = None
    gpu: str = ""

    def words(self) -> str:
        parts = []
        if self.cores is not None:
            parts.append(f"{self.cores:.1f} of {os.cpu_count()} cores")
        if self.memory is not None:
            parts.append(f"{fmt.size(self.memory)} memory")
        if self.machine_used is not None:
            parts.append(f"machine {fmt.size(self.machine_used)} of {fmt.size(self.machine_total)}")
        if self.gpu:
            parts.append(self.gpu)
        return " · ".join(parts)


class Meter:
    """Samples one engine, its process and all that it started; two looks give a rate. `read` is cheap, `gpu` waits for a program: call
    that in a thread."""

    def __init__(self) -> None:
        self._before: tuple[int, float, float] | None = None
        self._memory: dict[int, int] = {}  # of its processes, the one that was looked at longest ago first

    def read(self, pid: int | None, gpu: str = "") -> Use:
        cores = memory = None
        if pid is not None:
            try:
                of_root, resident = _stat(pid)
                others = descendants(pid)
                spent, now = of_root + sum(map(_spent_s, others)), time.monotonic()
                if self._before and self._before[0] == pid and now > self._before[2]:
                    cores = max(0.0, (spent - self._before[1]) / (now - self._before[2]))
                self._before = (pid, spent, now)
                memory = self._shared_out([pid, *others]) if others else resident
            except (OSError, ValueError, IndexError):
                self._before = None
        return Use(cores, memory, *machine_memory(), gpu)

    def _shared_out(self, pids: list[int]) -> int:
        """Bytes of them all, of which what forks share counts once. A few are looked at each time: a look walks through their memory."""
        known = {pid: bytes_ for pid, bytes_ in self._memory.items() if pid in pids}
        waiting = [*(pid for pid in pids if pid not in known), *known]
        self._memory = known
        for pid in waiting[:LOOKS]:
            known.pop(pid, None)
            known[pid] = _share_of_memory(pid)
        return sum(known.values())


def descendants(pid: int) -> list[int]:
    """All that a process started and that still is, each before what it started itself. Empty where the system does not say."""
    found, new = list[int](), [pid]
    while new:
        started = [child for parent in new for child in _children(parent) if child not in found]
        found, new = found + started, started
    return found


def _children(pid: int) -> list[int]:
    """A thread has children of its own."""
    children = list[int]()
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError, ValueError):  # it ended meanwhile
            children += map(int, file.read_text().split())
    return children


def _stat(pid: int) -> tuple[float, int]:
    """Seconds of the processor that it has used, with those of what it started that ended; and its resident bytes."""
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK"), int(fields[21]) * os.sysconf("SC_PAGE_SIZE")


def _spent_s(pid: int) -> float:
    try:
        return _stat(pid)[0]
    except (OSError, ValueError, IndexError):  # it ended meanwhile
        return 0.0


def _share_of_memory(pid: int) -> int:
    """Its resident bytes, of which what it shares with others counts in part."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(errors="replace").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return 0


def machine_memory() -> tuple[int | None, int | None]:
    """Used and total bytes of this machine."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        bytes_of = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines[:5]}
        return bytes_of["MemTotal"] - bytes_of["MemAvailable"], bytes_of["MemTotal"]
    except (OSError, ValueError, KeyError, IndexError):
        return None, None


def has_gpu() -> bool:
    """Whether there is a GPU to offer, as far as can be said at once."""
    return shutil.which("nvidia-smi") is not None


def known_cluster() -> str:
    """The address of a Ray cluster that this shell names, or ""."""
    named = os.environ.get("RAY_ADDRESS", "")
    return named if named.startswith("ray://") else ""


def no_cluster(address: str) -> str:
    """Why nothing can be launched on a cluster of that address, as far as can be said at once; "" where it may be."""
    if not re.fullmatch(r"ray://[^\s,/]+:\d{1,5}", address):
        return "a cluster has an address: give it as ray://HOST:PORT"
    if importlib.util.find_spec("ray") is None:
        return "a cluster needs the extra `ray`, which is not installed: the README says how"
    return ""


def gpu_words(device: str) -> str:
    """Use and memory of the GPUs that a run says it is on, of several the mean and the sum, or "" where that cannot be asked."""
    program = shutil.which("nvidia-smi")
    if program is None or "cuda" not in device:
        return ""
    numbers = [each.partition(":")[2] or "0" for each in device.split(",") if "cuda" in each]
    query = [program, "--query-gpu=utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits", "-i", ",".join(numbers)]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=5, check=True)
        gpus = [[int(part) for part in line.split(",")] for line in done.stdout.strip().splitlines()]
        busy, used, total = sum(gpu[0] for gpu in gpus) // len(gpus), sum(gpu[1] for gpu in gpus), sum(gpu[2] for gpu in gpus)
    except (OSError, ValueError, IndexError, ZeroDivisionError, subprocess.SubprocessError):
        return ""
    return f"{'GPU' if len(gpus) == 1 else f'{len(gpus)} GPUs'} {busy} % · {fmt.size(used * 2**20)} of {fmt.size(total * 2**20)}"


def machine() -> str:
    """What there is here to train on, as far as can be said without asking anything slow."""
    cores = f"{os.cpu_count()} cores"
    return f"{cores} and a GPU" if has_gpu() else f"{cores}, no GPU"
