"""How processes of our own are started: with this copy of the code, whatever lies in the working directory or on PYTHONPATH."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # the folder that holds our packages, installed or not


def python(*words: str) -> tuple[str, ...]:
    """This Python. -P: a file of the working directory is never imported in the place of ours."""
    return (sys.executable, "-P", *words)


def command(module: str, *words: str) -> tuple[str, ...]:
    """The command that runs a module of ours. Needs `environment`."""
    return python("-m", module, *words)


def program() -> str:
    """The command `subpop` as another shell of this machine finds it: by its path where it is installed beside this Python."""
    beside = Path(sys.executable).with_name("subpop")
    return str(beside) if beside.exists() else "subpop"


def environment() -> dict[str, str]:
    """This process's, with our packages found before a person's own of the same names."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
