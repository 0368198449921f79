"""JSON Lines as named columns of text: one object a line, every key a column, numbers and truths as JSON writes them."""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from pathlib import Path
from typing import IO, Any, cast

from engine.datasets.tables.file import RawTable
from engine.datasets.tables.formats import is_pipe_or_device
from engine.datasets.wording import counted, shortened
from engine.errors import BadData

ENDINGS = (".jsonl", ".ndjson", ".jsonlines", ".jsonl.gz", ".ndjson.gz")
BOM = b"\xef\xbb\xbf"
MOST_COLUMNS = 10_000
ARRAY = re.compile(r"\s*\[\s*([\[{]|$)")  # of objects or of rows, or the bracket alone, as it is printed over lines


def is_lines(path: Path, encoding: str | None = None) -> bool:
    """Whether a file is to be read as JSON Lines: by its name, or because it begins with an object."""
    if is_pipe_or_device(path):  # told by whoever reads it
        return False
    if path.name.lower().endswith(ENDINGS):
        return True
    try:
        with _open(path) as file:
            head = file.read(1 << 10).removeprefix(BOM)
            head = head if encoding is None else head[: len(head) // 4 * 4].decode(encoding, "ignore").encode()
            return head.lstrip().startswith((b'{"', b"{'", b"{ "))
    except (OSError, EOFError, zlib.error):  # told by whoever reads it
        return False


def read_lines(path: Path, encoding: str | None = None) -> RawTable:
    """Every object of the file; a key that a line lacks is missing there. BadData, with the line, where one is no object.

    encoding: of its text; UTF-8 where it is None.
    """
    import pyarrow as pa

    columns: dict[str, list[str | None]] = {}
    rows = garbled = 0
    try:
        with _open(path) as file, io.TextIOWrapper(file, encoding or "utf-8-sig", "surrogateescape", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    text = line.encode("utf-8", "surrogateescape").decode("utf-8")
                except UnicodeDecodeError:
                    text, garbled = line.encode("utf-8", "surrogateescape").decode("utf-8", "replace"), garbled + 1
                for name, value in _object(path, number, text).items():
                    column = columns.setdefault(name.strip() or "unnamed", [])
                    column += [None] * (rows - len(column))
                    if len(column) == rows:  # a key that stands twice in a line, once with blanks around it, counts once
                        column.append(_text(value))
                rows += 1
                if len(columns) > MOST_COLUMNS:
                    raise BadData(
                        f"has more than {MOST_COLUMNS:,} different keys", where=str(path), next="is each line a row of one table?"
                    )
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        raise BadData(f"cannot be read: {error}", where=str(path), next="is it whole? get or write it again") from error
    if not rows:
        raise BadData("there is no row in it", where=str(path), next="each line must be one JSON object")
    for column in columns.values():
        column += [None] * (rows - len(column))
    arrays = tuple(pa.chunked_array([pa.array(column, pa.large_string())]) for column in columns.values())
    notes = (f"not UTF-8, read with the bytes in question replaced: {counted(garbled, 'line')}",) if garbled else ()
    return RawTable(path, tuple(columns), arrays, rows, {}, notes)


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    if number == 1 and ARRAY.match(line):
        raise BadData("this is a JSON array, not JSON Lines", where=str(path), next="write one object a line, or export it as CSV")
    try:
        parsed = json.loads(line)
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else "it is nested too deep"
        raise BadData(
            f"line {number:,} is not JSON: {why} ({shortened(line)!r})", where=str(path), next="each line must be one JSON object"
        ) from error
    if not isinstance(parsed, dict):
        raise BadData(
            f"line {number:,} holds {shortened(line)!r}, which is no object", where=str(path), next='each line must be as {"text": "..."}'
        )
    return parsed


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode("utf-8")  # JSON can spell halves of characters


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return cast("IO[bytes]", gzip.open(path)) if zipped else path.open("rb")
