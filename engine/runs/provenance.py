"""Whence a run's numbers come: code, libraries, data, device, seed. Nothing of the host, so that the same run says the same anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from engine import versions
from engine.system.installed import DISTRIBUTION, library_version
from engine.system.processes import cores

if TYPE_CHECKING:
    from engine.rows import Cores
    from engine.scenario.sections import Scenario

LIBRARIES = ("torch", "numpy", "scikit-learn", "pandas")


@cache
def code_version() -> str:
    """The package's version and a hash of the engine's sources, so that a changed checkout does not pass for a release."""
    root = Path(__file__).resolve().parent.parent
    sources = blake2b(digest_size=4)
    for file in sorted(root.rglob("*.py")):
        if file.name == "subpop_audit.py":  # the way in, which a wheel has elsewhere
            continue
        sources.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes() + b"\0")
    return f"{library_version(DISTRIBUTION)}+src.{sources.hexdigest()}"


def device_name(device: str, threads: int | None) -> str:
    """The device as a reader elsewhere understands it: the CPU's threads, for stacks are parted among them, or a GPU's make; of several
    (as "cpu,cpu") each make once, and how many.
    """
    if device.startswith("ray://"):
        return "a Ray cluster"  # its nodes are named when they have trained
    if "," in device:
        names = [device_name(each, threads) for each in device.split(",")]
        return ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
    if device == "cpu":
        return f"cpu, {threads or cores()} threads"
    import torch

    return f"{device.partition(':')[0]} ({torch.cuda.get_device_name(device)})"


def provenance(scenario: Scenario, device: str, checksums: Mapping[str, str], cores: Cores | None = None) -> dict[str, object]:
    """What is stored with a run's discovery and stands in every export. cores: as planned; None: the scenario's, or all."""
    parts = scenario.compute.threads if cores is None else cores.parts
    kind = scenario.dataset.kind
    rules = {"reading": versions.READING} if kind in versions.READ_BY_RULES else {}  # data read by other rules are other data
    return {
        "code": code_version(),
        "schedule": versions.schedule_in_words(versions.SCHEDULE),
        "reading": versions.reading_in_words(versions.READING),
        "libraries": {name: library_version(name) for name in LIBRARIES},
        "data": {"kind": kind, "checksums": dict(sorted(checksums.items())), **rules},
        "device": device_name(device, parts),
        "precision": scenario.compute.precision,
        "seed": scenario.seed,
        "trials": scenario.evaluation.trials,
        **({"first trial": scenario.evaluation.first_trial} if scenario.evaluation.first_trial else {}),
    }
