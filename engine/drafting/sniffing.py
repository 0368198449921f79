"""What a path is, from its first bytes: a table, a folder of pictures, a scenario; or a refusal in words. Nothing heavy is loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from engine.datasets.image_folder import split_folders
from engine.datasets.tables.formats import format_of, head_of
from engine.datasets.tables.layout import layout_of
from engine.datasets.texts.lines import is_lines
from engine.errors import BadData

Sort = Literal["csv", "parquet", "json lines", "pictures", "scenario"]

# What a folder offers of its files as one types; what is opened is judged by what is in it.
TABLES = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat", ".parquet", ".pq", ".jsonl", ".ndjson", ".jsonlines", ".json")
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pnm", ".pfm")
MOST_LOOKED_AT = 5_000  # entries of a folder in which a picture is looked for
NEXT = "give a CSV, TSV, Parquet or JSON Lines file, or a folder that has a folder of pictures for each class"


def may_be_read(path: Path) -> bool:
    """Whether a file's name says that it may be a table or a scenario."""
    name = path.name.lower().removesuffix(".gz")
    return name.endswith((*TABLES, ".toml"))


def sniff(path: Path) -> Sort:
    """What the path is. MissingData where there is nothing; BadData, with what to do, where no scenario can be made of it."""
    try:
        if path.is_dir():
            _require_pictures(path)
            return "pictures"
    except (OSError, ValueError) as error:
        raise BadData(
            f"cannot be looked at: {getattr(error, 'strerror', None) or error}", where=str(path), next="check the path"
        ) from error
    kind = format_of(path)
    if kind == "parquet":
        return "parquet"
    if path.suffix.lower() == ".toml":
        return "scenario"
    if path.suffix.lower() in PICTURES:
        raise BadData("this is one picture", where=str(path), next="give the folder that has a folder of pictures for each class")
    if is_lines(path):
        return "json lines"
    _require_rows(path)
    return "csv"


def _require_rows(path: Path) -> None:
    """BadData where a text file, as far as its beginning tells, is no table or has a header alone."""
    head, whole = head_of(path)
    if head is None:
        return  # in an encoding of two bytes, or not to be unpacked: whoever reads it all tells more
    layout = layout_of(path, head)
    lines = [line for line in head.splitlines()[layout.skip :] if line.strip()]
    if whole and len(lines) < 2:
        raise BadData("there is a header row and no row of data", where=str(path), next="add rows, or choose another file")


def _require_pictures(path: Path) -> None:
    """BadData where a folder has no folders with pictures in them."""
    try:
        homes, _ = split_folders(path)
        folders = [path / home for home in homes] or [path]
        classes = [
            Path(entry.path) for folder in folders for entry in sorted(os.scandir(folder), key=lambda entry: entry.name) if entry.is_dir()
        ]
        if any(_has_picture(each) for each in classes):
            return
    except OSError as error:
        raise BadData(f"cannot be read: {error.strerror}", where=str(path), next="check the folder's permissions") from error
    file_names = sorted(entry.name for entry in os.scandir(path) if entry.is_file())
    tables = [name for name in file_names if may_be_read(Path(name))]
    if tables:
        raise BadData(
            "this is a folder, and it has no folders of pictures", where=str(path), next=f"give one file of it, as {path / tables[0]}"
        )
    if any(name.lower().endswith(PICTURES) for name in file_names):
        raise BadData(
            "its pictures are in no folder of their class", where=str(path), next="put those of each class into a folder that is called so"
        )
    raise BadData("this is a folder without folders of pictures", where=str(path), next=NEXT)


def _has_picture(folder: Path) -> bool:
    looked = 0
    for _, _, names in os.walk(folder):
        if any(name.lower().endswith(PICTURES) for name in names):
            return True
        looked += len(names)
        if looked > MOST_LOOKED_AT:
            break
    return False
