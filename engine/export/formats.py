"""A table as bytes: csv, parquet, json, md, tex. Rows are written as they come, at full precision, with their provenance.

md and tex are documents, of few columns in words (`documents.py`); `FULL` has them with every column and digit.

Each writer takes (spec, provenance, rows, out). Text goes out as UTF-8 with `\\n`. A missing value is empty in csv, null in json and
parquet, an en dash in md and tex. Data is kept as it is in csv, json and parquet, control characters too: programs read them, join them
with the data by these very texts, and a result must not differ from what it is about. md and tex are for eyes, and are cleaned for them.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, BinaryIO

from engine.export.documents import caption, claim_in, document, short
from engine.printable import clean
from engine.rows import Column, TableSpec
from engine.scenario.claim import lead

Rows = Iterable[tuple[object, ...]]
Provenance = Mapping[str, str]
CHUNK = 20_000  # rows held at a time
PAGE = 45  # rows of a table in LaTeX that a page holds
WRAPPED = 30  # characters; longer texts are wrapped in LaTeX, which does so only in columns of a given width


def write_csv(spec: TableSpec, provenance: Provenance, rows: Rows, out: BinaryIO) -> None:
    """Comma-separated, after `# key: value` lines. Text that a spreadsheet would run as a formula is given a leading apostrophe."""
    with _Text(out) as text:
        for key, value in provenance.items():
            text.write(f"# {key}: {_one_line(value)}\n")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([column.name for column in spec.columns])
        special = [(place, _CSV[column.kind]) for place, column in enumerate(spec.columns) if column.kind in _CSV]
        for chunk in _chunks(rows):
            columns: list[Iterable[object]] = list(zip(*chunk, strict=True))
            for place, change in special:
                changed = {cell: change(cell) for cell in set(columns[place])}  # few differ
                columns[place] = [changed[cell] for cell in columns[place]]
            writer.writerows(zip(*columns, strict=True))


def write_json(spec: TableSpec, provenance: Provenance, rows: Rows, out: BinaryIO) -> None:
    """{"provenance": {...}, "table": name, "rows": [{column: cell}, ...]}, one row a line."""
    names = [column.name for column in spec.columns]
    with _Text(out) as text:
        text.write('{"provenance": ' + json.dumps(dict(provenance), ensure_ascii=False, indent=1))
        text.write(',\n"table": ' + json.dumps(spec.name) + ',\n"rows": [')
        for place, row in enumerate(rows):
            cells = json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, allow_nan=False)
            text.write(("\n" if place == 0 else ",\n") + cells)
        text.write("\n]}\n")


def write_md(spec: TableSpec, provenance: Provenance, rows: Rows, out: BinaryIO) -> None:
    """A document in Markdown: what the table holds, the table, and the part of its provenance that a reader needs."""
    if spec.name == "predictions":  # millions of rows, which are not held at once
        write_full_md(spec, provenance, rows, out)
        return
    doc = document(spec, rows)
    with _Text(out) as text:
        text.write(f"{_md(caption(spec, provenance))}\n\n")
        _md_table(text, doc.heads, doc.left, doc.rows)
        text.write("\n")
        for key, value in (*doc.always, *short(provenance)):
            text.write(f"- {_md(key)}: {_md(_one_line(value))}\n")


def write_full_md(spec: TableSpec, provenance: Provenance, rows: Rows, out: BinaryIO) -> None:
    """The whole table in Markdown, then its provenance as a list that is seen when rendered."""
    with _Text(out) as text:
        cells = (tuple(map(_plain, row)) for row in rows)
        _md_table(text, [column.name for column in spec.columns], [_left(column) for column in spec.columns], cells)
        text.write("\n")
        for key, value in provenance.items():
            text.write(f"- {_md(key)}: {_md(_one_line(value))}\n")


def _md_table(text: io.TextIOWrapper, heads: Iterable[str], left: Iterable[bool], rows: Iterable[tuple[str, ...]]) -> None:
    text.write("| " + " | ".join(map(_md, heads)) + " |\n")
    text.write("| " + " | ".join("---" if each else "---:" for each in left) + " |\n")
    for row in rows:
        text.write("| " + " | ".join(map(_md, row)) + " |\n")


def write_tex(spec: TableSpec, provenance: Provenance, rows: Rows, out: BinaryIO) -> None:
    """A document in LaTeX with a caption and a label (tab:NAME), to be \\input as it is: a float as wide as the line at most, or, where the
    rows do not fit a page, a longtable.
    """
    if spec.name == "predictions":
        write_full_tex(spec, provenance, rows, out)
        return
    doc = document(spec, rows)
    widest = [max((len(row[i]) for row in doc.rows), default=0) for i in range(len(doc.heads))]
    wrapped = [left and width > WRAPPED for left, width in zip(doc.left, widest, strict=True)]
    long = len(doc.rows) > PAGE
    share = (0.25 if long else 0.5) / max(sum(wrapped), 1)  # of the line: what the columns of long texts have
    ragged = f">{{\\raggedright\\arraybackslash}}p{{{share:.2f}\\linewidth}}"
    columns = "".join(ragged if wrap else "l" if left else "r" for wrap, left in zip(wrapped, doc.left, strict=True))
    name = spec.name.replace("_", "-")
    title = f"\\caption{{{_tex(caption(spec, provenance))}}}\\label{{tab:{name}}}"
    head = f"\\toprule\n{_tex_row(doc.heads)}\\midrule\n"
    with _Text(out) as text:
        for key, value in short(provenance):
            text.write(f"% {key}: {_one_line(value)}\n")
        if long:
            text.write("% \\usepackage{array,booktabs,longtable}\n{\\tiny\\setlength{\\tabcolsep}{3pt}\n")
            text.write(f"\\begin{{longtable}}{{{columns}}}\n{title} \\\\\n{head}\\endhead\n")
        else:
            text.write("% \\usepackage{array,booktabs,graphicx}\n\\begin{table}\n\\centering\n")
            text.write(f"{title}\n\\resizebox{{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}}{{!}}{{%\n")
            text.write(f"\\begin{{tabular}}{{{columns}}}\n{head}")
        for row in doc.rows:
            text.write(_tex_row(row))
        text.write("\\bottomrule\n")
        deviations = provenance.get("deviations")
        for word, cell in (*doc.always, *(((lead(claim_in(provenance)), deviations),) if deviations else ())):
            line = f"\\footnotesize {_tex(word)}: {_tex(_one_line(cell))}"
            text.write(f"\\multicolumn{{{len(doc.heads)}}}{{p{{\\linewidth}}}}{{{line}}} \\\\\n")
        text.write("\\end{longtable}}\n" if long else "\\end{tabular}}\n\\end{table}\n")


def _tex_row(cells: Iterable[str]) -> str:
    return " & ".join(map(_tex, cells)) + " \\\\\n"


def write_full_tex(spec: TableSpec, provenance: Provenance, rows: Rows, out: BinaryIO) -> None:
    """The whole table as a booktabs tabular after `% key: value` lines; what it must be read with is a visible last line."""
    with _Text(out) as text:
        for key, value in provenance.items():
            text.write(f"% {key}: {_one_line(value)}\n")
        text.write("% \\usepackage{booktabs}\n")
        text.write("\\begin{tabular}{" + "".join("l" if _left(column) else "r" for column in spec.columns) + "}\n\\toprule\n")
        text.write(" & ".join(_tex(column.name) for column in spec.columns) + " \\\\\n\\midrule\n")
        for row in rows:
            text.write(" & ".join(_tex(_plain(cell)) for cell in row) + " \\\\\n")
        text.write("\\bottomrule\n")
        if deviations := provenance.get("deviations"):
            word = lead(claim_in(provenance)).capitalize()
            text.write(f"\\multicolumn{{{len(spec.columns)}}}{{l}}{{\\footnotesize {word}: {_tex(_one_line(deviations))}}} \\\\\n")
        text.write("\\end{tabular}\n")


def write_parquet(spec: TableSpec, provenance: Provenance, rows: Rows, out: BinaryIO) -> None:
    """Typed columns; provenance is JSON under the file's metadata key "provenance"."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"text": pa.string(), "int": pa.int64(), "fraction": pa.float64(), "float": pa.float64(), "bool": pa.bool_()}
    metadata = {"provenance": json.dumps(dict(provenance), ensure_ascii=False), "table": spec.name}
    schema = pa.schema([(column.name, types[column.kind]) for column in spec.columns], metadata=metadata)
    with pq.ParquetWriter(pa.PythonFile(_Counted(out), mode="w"), schema) as writer:
        for chunk in _chunks(rows):
            columns = zip(*chunk, strict=True)
            arrays = [pa.array([_arrow(cell) for cell in cells], field.type) for cells, field in zip(columns, schema, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))


WRITERS: dict[str, Callable[[TableSpec, Provenance, Rows, BinaryIO], None]] = {
    "csv": write_csv,
    "parquet": write_parquet,
    "json": write_json,
    "md": write_md,
    "tex": write_tex,
}
FULL = {**WRITERS, "md": write_full_md, "tex": write_full_tex}


# ---- cells ----------------------------------------------------------------------------------------------------------


def _plain(cell: object) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return repr(cell) if isinstance(cell, float) else str(cell)


def _csv_bool(cell: object) -> object:
    return cell if cell is None else ("true" if cell else "false")


def _csv_text(cell: object) -> object:
    """A formula is disarmed as OWASP advises; a signed number is left alone, for it does nothing."""
    if not isinstance(cell, str) or not cell.lstrip().startswith(("=", "+", "-", "@", "\t", "\r")):
        return cell
    try:
        float(cell)
    except ValueError:
        return "'" + cell
    return cell


_CSV: dict[str, Callable[[object], object]] = {"bool": _csv_bool, "text": _csv_text}


def _one_line(text: str) -> str:
    """Without line breaks and control characters: a comment must not end early, and a terminal must not be told anything."""
    return clean(text)


def _md(text: str) -> str:
    return re.sub(r"([\\|<*\[`])", r"\\\1", _one_line(text))


_TEX = {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    '"': "\\textquotedbl{}",
    "–": "--",
    "—": "---",
    "≥": "$\\geq$",
    "≤": "$\\leq$",
    "≠": "$\\neq$",
    "×": "$\\times$",
    "−": "$-$",
    "…": "\\dots{}",
    **{char: "\\" + char for char in "&%$#_{}"},
}
_TEX_SPECIAL = re.compile("[" + re.escape("".join(_TEX)) + "]")


def _tex(text: str) -> str:
    return _TEX_SPECIAL.sub(lambda match: _TEX[match[0]], _one_line(text))


def _left(column: Column) -> bool:
    return column.kind in ("text", "bool")


def _arrow(cell: object) -> object:
    return cell.encode("utf-8", "backslashreplace").decode() if isinstance(cell, str) else cell


# ---- streams --------------------------------------------------------------------------------------------------------


class _Text:
    """A text stream over `out` that leaves it open."""

    def __init__(self, out: BinaryIO) -> None:
        self.stream = io.TextIOWrapper(out, encoding="utf-8", errors="backslashreplace", newline="\n", write_through=False)

    def __enter__(self) -> io.TextIOWrapper:
        return self.stream

    def __exit__(self, *_: object) -> None:
        self.stream.detach()  # flushes


class _Counted(io.RawIOBase):
    """A pipe cannot tell where it is; parquet needs to know."""

    def __init__(self, out: BinaryIO) -> None:
        self.out, self.written = out, 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self.out.write(data)
        self.written += size
        return size

    def tell(self) -> int:
        return self.written


def _chunks(rows: Rows) -> Iterator[list[tuple[object, ...]]]:
    left = iter(rows)
    while chunk := list(islice(left, CHUNK)):
        yield chunk
