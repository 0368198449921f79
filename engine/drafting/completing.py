"""Paths as they are typed: the folders and the files of one's own that go on so."""

from __future__ import annotations

import os
from pathlib import Path

from engine.drafting.sniffing import may_be_read

MOST = 200  # paths told
MOST_LOOKED_AT = 20_000  # entries of a folder


def complete(prefix: str, folder: Path) -> list[str]:
    """Paths that begin with `prefix` as it is typed ("~" and all), folders with a slash behind, folders first, by name.

    folder: what a relative path is seen from. Hidden entries only where the prefix asks for one. Empty where nothing can be read.
    """
    head, _, start = prefix.rpartition("/")
    typed = f"{head}/" if "/" in prefix else ""
    if prefix == "~":
        return ["~/"]
    try:
        directory = folder / Path(typed or ".").expanduser()
        with os.scandir(directory) as entries:
            matching = [entry for _, entry in zip(range(MOST_LOOKED_AT), entries, strict=False) if _goes_on(entry.name, start)]
        folders = [f"{typed}{entry.name}/" for entry in matching if _is_folder(entry)]
        files = [f"{typed}{entry.name}" for entry in matching if not _is_folder(entry) and may_be_read(Path(entry.path))]
    except (OSError, ValueError, RuntimeError):  # no such folder, no such user's home, a character no name may have
        return []
    return [*sorted(folders, key=str.casefold), *sorted(files, key=str.casefold)][:MOST]


def _goes_on(name: str, start: str) -> bool:
    return name.casefold().startswith(start.casefold()) and (start.startswith(".") or not name.startswith("."))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
