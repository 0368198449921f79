"""The devices of this machine, and what a scenario calls them. torch is imported only where a GPU is asked for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from engine.errors import RequestError, RunFailed
from engine.rows import Cores
from engine.system import children
from engine.system.processes import cores

GPU_NODES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA's, AMD's, Windows' for its Linux: none of them, no GPU
CLUSTER = "ray://"  # how the address of a cluster begins, which stands in a device's place
ASK_UUID = "import sys, torch; print(getattr(torch.cuda.get_device_properties(sys.argv[1]), 'uuid', sys.argv[1]))"


def resolve(device: str) -> str:
    """The device that a scenario's `compute.device` names here: "auto" is the first GPU where there is one, else the CPU.

    Raises RequestError where it is not a device or this machine has none of it.
    """
    if device == "cpu":
        return "cpu"
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cuda") or (kind == "auto" and number) or not (number.isdigit() or device == kind):
        raise RequestError(f"{device!r} is not a device", where="compute.device", next="use auto, cpu, cuda or cuda:1")
    if kind == "auto" and sys.platform == "linux" and not any(Path(node).exists() for node in GPU_NODES):
        return "cpu"  # as torch would say, seconds later

    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "auto":
        return "cuda:0" if gpus else "cpu"
    if int(number or 0) >= gpus:
        devices_of_host = ", ".join(["cpu", *(f"cuda:{i}" for i in range(gpus))])
        why = "" if torch.version.cuda or torch.version.hip else " (this torch was built for the CPU)"
        raise RequestError(f"this machine has no {device}{why}", where="compute.device", next=f"it has {devices_of_host}; or use auto")
    return f"cuda:{int(number or 0)}"


def is_cluster(device: str) -> bool:
    """Whether victims are trained elsewhere: by a cluster of that address."""
    return device.startswith(CLUSTER)


def where(device: str) -> str:
    """All of the devices that a scenario names, as its run's row has them: those of this machine by name, a cluster by its address."""
    return device if is_cluster(device) else ",".join(resolve_all(device))


def resolve_all(device: str) -> tuple[str, ...]:
    """The same of a list of devices, as "cuda:0,cuda:1"; "cuda:all" is every GPU of this machine. A CPU may be named several times.

    Of a cluster's address the device of this machine on which all is done but training victims.
    """
    if is_cluster(device):
        return (resolve("auto"),)
    if device == "cuda:all":
        resolve("cuda")  # which says why where there is none

        import torch

        return tuple(f"cuda:{i}" for i in range(torch.cuda.device_count()))
    if "," not in device:
        return (resolve(device),)
    names = [each.strip() for each in device.split(",")]
    if "auto" in names:
        raise RequestError(f"{device!r} is no list of devices", where="compute.device", next="name each, as cuda:0,cuda:1, or use cuda:all")
    found = tuple(resolve(name) for name in names)
    if "cpu" in found and any(name != "cpu" for name in found):
        what = f"{device!r} names the CPU and a GPU, where the same stack comes to other last bits"
        raise RequestError(what, where="compute.device", next="name devices of one sort")
    if twice := next((name for name in found if name != "cpu" and found.count(name) > 1), ""):
        raise RequestError(f"{device!r} names {twice} twice", where="compute.device", next="name each GPU once")
    return found


def cores_of(found: Sequence[str], threads: int | None) -> Cores:
    """How stacks use the CPU where nothing else is planned: all cores, shared among the CPUs that are named.

    threads: as the scenario sets it, of each.
    """
    each = max(1, cores() // max(1, found.count("cpu")))
    parts = (threads or each) if "cpu" in found else 1
    return Cores(parts, each)


def cores_of_cluster(threads: int | None) -> Cores:
    """The same of a cluster's devices, which are a core each. threads: as the scenario sets it."""
    return Cores(threads or 1, threads or 1)


def lease_name(device: str) -> str:
    """What a device is called in the store's queue: the same for every process, however CUDA_VISIBLE_DEVICES renumbers GPUs."""
    return "cpu" if device == "cpu" else f"cuda {_uuid(device)}"


@cache
def _uuid(device: str) -> str:
    """Asked by a child: who asks CUDA itself may hold a context on the GPU from then on, memory that the run whose turn it is could use."""
    done = subprocess.run(children.python("-c", ASK_UUID, device), capture_output=True, text=True)
    if done.returncode or not done.stdout.strip():
        why = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise RunFailed(f"{device} does not answer: {why}", where="compute.device", next="look at it with nvidia-smi, then resume")
    return done.stdout.strip()
