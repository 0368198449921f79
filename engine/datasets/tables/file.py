"""One's own CSV or Parquet file as named Arrow columns, or a refusal in words. Nothing is decided here about what a column means.

CSV: the separator is sniffed, the encoding is UTF-8 (with or without BOM), UTF-16 with BOM, or else Windows-1252, and
every field is kept as text; quotes, newlines inside them and gzip are read. Rows are streamed; nothing is held twice.
"""

from __future__ import annotations

import codecs
import csv
import io
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.datasets.tables.formats import HEAD_BYTES, format_of, open_bytes
from engine.datasets.tables.layout import SAMPLE, SEPARATORS, Layout, layout_of, refuse_header_of_data
from engine.datasets.wording import counted
from engine.errors import BadData

if TYPE_CHECKING:
    import pyarrow as pa

NOT_WINDOWS = (0x81, 0x8D, 0x8F, 0x90, 0x9D)  # bytes that Windows-1252 leaves undefined
BLOCK_BYTES, LARGEST_ROW_BYTES = 1 << 22, 1 << 28


@dataclass(frozen=True)
class RawTable:
    """Columns in the file's order under unique names; `arrays` are Arrow arrays [rows], of text where the file is a CSV.

    repeated  names that the file bears more than once: name -> how often
    notes     how the file was read
    """

    path: Path
    names: tuple[str, ...]
    arrays: tuple[pa.ChunkedArray, ...]
    rows: int
    repeated: dict[str, int]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Text:
    """What one pass over a CSV's bytes tells: its encoding, how many quotes it has, and its beginning, decoded."""

    encoding: str
    notes: tuple[str, ...]
    quotes: int
    head: str
    breaks: int = -1  # line breaks, an ending one left out; -1 where there are others than LF and CRLF

    @property
    def odd_quotes(self) -> bool:
        return self.quotes % 2 == 1

    @property
    def codec(self) -> str:
        return "utf-8-sig" if self.encoding == "utf8" else self.encoding


def read(path: Path, encoding: str | None = None) -> RawTable:
    """The file's columns. encoding: of a CSV, found where it is None. MissingData where there is no file; BadData where it is no table."""
    kind = format_of(path)
    if kind != "parquet":
        return _csv(path, kind == "gzip", encoding)
    if encoding is not None:
        raise BadData("a Parquet file needs no encoding", where=str(path), next="take dataset.encoding out")
    return _parquet(path)


# ---- CSV ------------------------------------------------------------------------------------------------------------


def _csv(path: Path, zipped: bool, encoding: str | None) -> RawTable:
    text = _examine(path, zipped, encoding)
    layout = layout_of(path, text.head)
    table, table_notes = _table(path, zipped, text, layout)
    names, repeated, notes = _unique_names(layout.header)
    table = table.slice(1)  # its first row is the header
    if text.odd_quotes and not table_notes and table.num_rows and "\n" in str(table.column(len(names) - 1)[-1].as_py()):
        raise BadData(
            f'a quote (") that opens in row {table.num_rows + 1:,} is never closed (the header is row 1)',
            where=str(path),
            next="close it, or double it where it is meant as a character",
        )
    if not table.num_rows:
        raise BadData("there is a header row and no row of data", where=str(path), next="add rows, or choose another file")
    notes += refuse_header_of_data(path, layout.header, [column.slice(0, SAMPLE).to_pylist() for column in table.columns])
    return RawTable(path, names, tuple(table.columns), table.num_rows, repeated, (*text.notes, *layout.notes, *table_notes, *notes))


def _table(path: Path, zipped: bool, text: _Text, layout: Layout) -> tuple[pa.Table, tuple[str, ...]]:
    """Every record, the header among them. Quotes of which records span lines are told, or, between tabs, read as they stand."""
    refusal: BadData | None = None
    try:
        table = _parse(path, zipped, text, layout)
    except BadData as error:
        table, refusal = None, error
    lines = table is not None and text.breaks == table.num_rows - 1 + layout.skip  # one record a line
    spanning = 0 if table is None or not text.quotes or lines else _spanning(table)
    if layout.separator == "\t" and (refusal is not None or spanning or text.odd_quotes) and text.quotes:
        try:
            plain = _parse(path, zipped, text, layout, quotes=False)
            return plain, ('quotes (") read as they stand: taken for marks around a field, they would make one record of several lines',)
        except BadData:
            pass
    if table is None:
        assert refusal is not None
        raise refusal
    if not spanning or text.odd_quotes:
        return table, ()
    _refuse_stray_quotes(path, zipped, text, layout)
    return table, (f"{counted(spanning, 'record')} of several lines, in quotes",)


def _spanning(table: pa.Table) -> int:
    """How many records hold a line break."""
    from pyarrow import compute

    any_break = None
    for column in table.columns:
        breaks = compute.match_substring_regex(column, "[\r\n]")
        any_break = breaks if any_break is None else compute.or_(any_break, breaks)
    return int(compute.sum(any_break).as_py() or 0)


def _refuse_stray_quotes(path: Path, zipped: bool, text: _Text, layout: Layout) -> None:
    """BadData where a closing quote is followed by more of its field: it was not meant to close one, and lines between were swallowed."""
    with open_bytes(path, zipped) as file, io.TextIOWrapper(file, encoding=text.codec, errors="replace", newline="") as lines:
        for _ in range(layout.skip):
            next(lines, "")
        reader = csv.reader(lines, delimiter=layout.separator, strict=True)
        before = 0
        try:
            for _ in reader:
                before = reader.line_num
        except csv.Error as error:
            if "expected after" in str(error):
                raise BadData(
                    f'a quote (") opens in line {before + layout.skip + 1:,}, and where the next one stands, in line '
                    f"{reader.line_num + layout.skip:,}, the field goes on: it swallows the lines between",
                    where=str(path),
                    next="double quotes that are meant as characters",
                ) from error


def _examine(path: Path, zipped: bool, encoding: str | None) -> _Text:
    """One pass over the bytes. BadData where they are not text."""
    quotes, lines, bad_line, undefined, zeros, head = 0, 1, 0, False, False, b""
    returns, last = 0, b""  # carriage returns before no line feed; the byte before the chunk
    utf8 = codecs.getincrementaldecoder("utf-8")()
    try:
        with open_bytes(path, zipped) as file:
            more = True
            while more:
                chunk = file.read(1 << 20)
                more = bool(chunk)
                head = head or chunk[:HEAD_BYTES]
                quotes += chunk.count(b'"')
                zeros = zeros or b"\0" in chunk
                undefined = undefined or any(byte in chunk for byte in NOT_WINDOWS)
                if not bad_line:
                    try:
                        utf8.decode(chunk, final=not more)
                    except UnicodeDecodeError as error:
                        bad_line = lines + chunk.count(b"\n", 0, error.start)
                lines += chunk.count(b"\n")
                returns += chunk.count(b"\r") - chunk.count(b"\r\n") - (last == b"\r" and chunk.startswith(b"\n"))
                last = chunk[-1:] or last
    except (OSError, EOFError, zlib.error) as error:  # gzip's: not gzip, cut short, garbled
        raise BadData(f"cannot be read: {error}", where=str(path), next="is it whole? get or write it again") from error
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _Text("utf-16", ("read as UTF-16",), quotes, head[: len(head) // 2 * 2].decode("utf-16", "ignore"))
    if encoding is not None:
        return _Text(encoding, (), quotes, head.decode(encoding, "ignore"))
    if zeros:
        raise BadData("this is not text: it has zero bytes", where=str(path), next="export it as CSV (UTF-8) or Parquet")
    if not bad_line:
        breaks = -1 if returns else lines - 1 - (last == b"\n")
        return _Text("utf8", (), quotes, head.decode("utf-8-sig", "ignore"), breaks)
    encoding = "latin-1" if undefined else "cp1252"
    note = f"not UTF-8 (line {bad_line:,}): read as {'Windows-1252' if encoding == 'cp1252' else 'Latin-1'}"
    return _Text(encoding, (note,), quotes, head.decode(encoding))


def _parse(path: Path, zipped: bool, text: _Text, layout: Layout, quotes: bool = True) -> pa.Table:
    """Every record as text fields as many as the header has, the header among them. BadData where records have other widths."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    width, separator = len(layout.header), layout.separator

    misfits: list[tuple[int, int]] = []  # row in the file, the header being 1, and its fields

    def note_misfit(row: object) -> str:
        misfits.append((row.number, row.actual_columns))  # type: ignore[attr-defined]
        return "skip"

    convert = arrow_csv.ConvertOptions(column_types={f"f{i}": pa.large_string() for i in range(width)}, strings_can_be_null=False)
    parse = arrow_csv.ParseOptions(
        delimiter=separator, newlines_in_values=quotes, quote_char='"' if quotes else False, invalid_row_handler=note_misfit
    )
    for block in (BLOCK_BYTES, LARGEST_ROW_BYTES):
        misfits.clear()
        options = arrow_csv.ReadOptions(
            use_threads=False,  # threads lose the row numbers
            autogenerate_column_names=True,
            skip_rows=layout.skip,
            block_size=block,
            encoding=text.encoding,
        )
        try:
            with open_bytes(path, zipped) as file:
                table = arrow_csv.read_csv(file, read_options=options, parse_options=parse, convert_options=convert)
            break
        except (pa.ArrowInvalid, UnicodeError) as error:
            if "straddling" in str(error) and block < LARGEST_ROW_BYTES:
                continue  # one record longer than a block
            advice = "look for a quote that is never closed" if "straddling" in str(error) else "export it again as CSV (UTF-8) or Parquet"
            raise BadData(f"cannot be read as CSV: {str(error).splitlines()[0]}", where=str(path), next=advice) from error
    name = SEPARATORS.get(separator, f"{separator!r} sign")
    if misfits:
        row, fields = misfits[0]
        more = f"; {len(misfits):,} rows do not fit" if len(misfits) > 1 else ""
        if text.odd_quotes:
            more += '; and the quotes (") in the file do not pair up: one opened in that row or above is never closed'
        raise BadData(
            f"row {row:,} has {counted(fields, 'field')} where the header has {width} (the header is row 1){more}",
            where=str(path),
            next=f"fields are taken to be separated by {name}s; quote fields that hold one, and fill short rows up",
        )
    return table


# ---- Parquet --------------------------------------------------------------------------------------------------------


def _parquet(path: Path) -> RawTable:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            table = file.read()
        table.validate(full=True)  # text that is not UTF-8 would fail only later, out of reach of words
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadData(
            f"cannot be read as Parquet: {str(error).splitlines()[0]}", where=str(path), next="is it whole? write it again"
        ) from error
    names, repeated, notes = _unique_names(table.column_names)
    if not table.num_rows:
        raise BadData("there are columns and no rows", where=str(path), next="add rows, or choose another file")
    return RawTable(path, names, tuple(table.columns), table.num_rows, repeated, notes)


def _unique_names(header: Sequence[str]) -> tuple[tuple[str, ...], dict[str, int], tuple[str, ...]]:
    """Trimmed, none empty, none twice: a repeated "a" becomes "a", "a (2)". Says what was renamed."""
    stripped = [name.strip() or f"column {i}" for i, name in enumerate(header, 1)]
    count = Counter(stripped)
    taken, seen, names = set(stripped), Counter[str](), []
    for name in stripped:
        seen[name] += 1
        unique, number = name, seen[name]
        while seen[name] > 1 and unique in taken:
            unique, number = f"{name} ({number})", number + 1
        taken.add(unique)
        names.append(unique)
    repeated = {name: n for name, n in count.items() if n > 1}
    notes = tuple(
        f"{n} columns are called {name!r}: the later ones are read as {name + ' (2)'!r} and so on" for name, n in repeated.items()
    )
    unnamed = sum(not name.strip() for name in header)
    return (
        tuple(names),
        repeated,
        notes + ((f"{counted(unnamed, 'column')} without a name, called 'column N' here, N counted from the left",) if unnamed else ()),
    )
