"""How a text file is laid out as a table: what stands above the header, what separates fields, whether the header is one."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.datasets.wording import counted, listed, shortened
from engine.errors import BadData

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
NAMED_SEPARATOR = re.compile(r'^"?sep=(.|\\t)"?\s*$', re.IGNORECASE)
COMMENT = re.compile(r"^\s*(#|//|%)")
OTHER_TEXTS = (  # what a text file is that begins so
    (re.compile(r"^\s*\[\s*[\[{]"), "a JSON array", "write one object a line (JSON Lines), or export it as CSV"),
    (re.compile(r"^\s*(<\?xml|<!doctype|<html|<[a-z]+>)", re.IGNORECASE), "XML or HTML", "export the table as CSV"),
    (re.compile(r"^(\s*%[^\n]*\n)*\s*@relation\b", re.IGNORECASE), "an ARFF file", "export it as CSV"),
)
SAMPLE = 2_000  # rows below the header that it is compared with


@dataclass(frozen=True)
class Layout:
    """skip: lines above the header; header: its cells, not trimmed."""

    separator: str
    skip: int
    header: list[str]
    notes: tuple[str, ...]


def layout_of(path: Path, head: str) -> Layout:
    """head: the file's beginning. BadData where it is text of another kind."""
    for pattern, what, advice in OTHER_TEXTS:
        if pattern.match(head):
            raise BadData(f"this is {what}, not a CSV or a Parquet file", where=str(path), next=advice)
    lines = head.splitlines(keepends=True)
    notes: list[str] = []
    separator, skip = None, 0
    if lines and (named := NAMED_SEPARATOR.match(lines[0])):
        separator, skip = ("\t" if named[1] == "\\t" else named[1]), 1
    above = skip
    while above < len(lines) and (COMMENT.match(lines[above]) or (above > skip and not lines[above].strip())):
        above += 1
    separator = separator or _separator("".join(lines[above:]))
    if above > skip and above < len(lines):
        if _is_header(lines[above - 1], lines[above], separator):  # "#id,name": its last comment names the columns
            above -= 1
        if above > skip:
            notes.append(f"{counted(above - skip, 'comment line')} above the header left out")
        skip = above
    rest = "".join(lines[skip:])
    header = next(iter(_records(rest, separator)), [])
    if header and COMMENT.match(header[0]):
        header = [header[0].lstrip("#/% "), *header[1:]]
    if not any(cell.strip() for cell in header):
        raise BadData("there is no header row: the file has only empty lines", where=str(path), next="its first line must name the columns")
    if len(header) == 1:
        _refuse_blanks(path, rest)
    if separator != ",":
        notes.insert(0, f"read as {SEPARATORS.get(separator, repr(separator))}-separated")
    return Layout(separator, skip, header, tuple(notes))


def refuse_header_of_data(path: Path, header: Sequence[str], columns: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """BadData where the first line looks like the others; a note where one of its cells does. columns: the first values below each."""
    numeric = [float(cell) for cell in header if is_number(cell)]
    ordered = len(numeric) > 1 and numeric == sorted(set(numeric)) and all(value % 1 == 0 for value in numeric)
    like, unlike = [], 0
    for cell, values in zip((cell.strip() for cell in header), columns, strict=True):
        present = [value.strip() for value in values if value.strip()]
        count = Counter(present)
        if is_number(cell):
            if sum(map(is_number, present)) >= 0.9 * len(present) and not ordered:  # "2019", "2020", "2021" are names
                like.append(cell)
            else:
                unlike += 1
        elif cell and count[cell] >= 2 and len(count) <= 0.5 * len(present):
            like.append(cell)
        elif len(count) < 0.8 * len(present) or not present or not cell:
            unlike += 1
    if len(like) > 1 and not unlike:
        raise BadData(
            f"the first line looks like the rows below it ({listed([shortened(cell) for cell in header], 6)}): "
            "does the file lack a header row?",
            where=str(path),
            next="write a first line that names the columns",
        )
    if like and not unlike:
        return (f"the header names {shortened(like[0])!r}, which is also a value below it: does the file lack a header row?",)
    return ()


def _separator(head: str) -> str:
    """The separator that splits the first records into the most fields, evenly. A file of one column has none: comma."""
    best, most = ",", 1
    for separator in SEPARATORS:
        records = _records(head, separator)
        width = len(records[0]) if records else 0
        even = sum(len(row) == width for row in records)
        if width > most and even >= 0.5 * len(records):
            best, most = separator, width
    return best


def _records(head: str, separator: str) -> list[list[str]]:
    """The first records that are not empty, as far as they can be read."""
    records: list[list[str]] = []
    try:
        for record in csv.reader(io.StringIO(head, newline=None), delimiter=separator):
            records += [record] if record else []
            if len(records) == 50:
                break
    except csv.Error:  # a field longer than csv's limit: what came before will do
        pass
    return records


def _is_header(comment: str, below: str, separator: str) -> bool:
    """Whether a commented line names the columns of the line below: as many fields, and no number among them, as there is below."""
    names = next(iter(_records(comment, separator)), [])
    values = next(iter(_records(below, separator)), [])
    if len(names) != len(values) or len(names) < 2:
        return False
    return not any(is_number(name) for name in names) and any(is_number(value) for value in values)


def _refuse_blanks(path: Path, rest: str) -> None:
    """BadData where the fields of a file of one column are parted by blanks."""
    widths = [len(line.split()) for line in rest.splitlines()[:50] if line.strip()]
    if len(widths) > 2 and widths[0] > 1 and len(set(widths)) == 1:
        raise BadData(
            f"its {widths[0]} columns are separated by blanks", where=str(path), next="write it with commas or tabs between fields"
        )


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
