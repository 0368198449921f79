"""Where data lies: one folder, with one folder per dataset in it. Standard library and platformdirs only."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.errors import BadData

Progress = Callable[[str, float], None]  # what is being done, and how much of it is done: 0..1


@dataclass(frozen=True)
class DataState:
    """Whether a dataset's files are on this machine.

    present everything that `load` needs is in place, as far as names and sizes tell (checksums are checked by `load`)
    detail  one line for a person: where it is, or what is missing
    files   the files that were found or are wanted
    """

    present: bool
    detail: str
    files: tuple[Path, ...] = ()


def data_dir(explicit: Path | None = None) -> Path:
    """The folder of datasets: `explicit` (`--data`), else `$SUBPOP_DATA`, else the user cache directory. It need not exist."""
    if explicit is not None:
        return Path(explicit).expanduser()
    if from_env := os.environ.get("SUBPOP_DATA"):
        return Path(from_env).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("subpop", appauthor=False) / "data"


def silent(what: str, done: float) -> None:
    """Progress that nobody watches."""


def require_file(path: Path) -> None:
    """BadData for what is neither file nor folder: a pipe would be waited for, and a device never ends.

    A folder is told when it is read.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise BadData("is a pipe, a device or the like, not a file", where=str(path), next="put the file itself there")
