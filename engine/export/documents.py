"""A table as people read it: few columns with heads in words, three digits, a value and its interval in one cell.

What md and tex show unless the full table is asked for, and what `subpop export` shows on a terminal. A column that says nothing in any row
(a published value where there is none) is left out. Programs read csv, json and Parquet, which keep every column and digit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.export.heads import HEADS, NOTHING, Head, count, fraction, number, text
from engine.rows import Column, TableSpec
from engine.tables.columns import SPECS
from engine.tables.compare import COMPARISONS as COMPARED

Row = tuple[object, ...]


@dataclass(frozen=True)
class Document:
    """heads, whether each column's text stands at the left, and the rows' cells; always: (head, cell) of texts that all rows share."""

    heads: tuple[str, ...]
    left: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    always: tuple[tuple[str, str], ...]


_FORMS: dict[str, Callable[..., str]] = {"int": count, "fraction": fraction, "float": number, "text": text, "bool": text}


def heads_of(spec: TableSpec) -> tuple[Head, ...]:
    """A table's document columns. Those of a table of several runs begin with the columns that tell the runs apart."""
    names = {column.name for column in spec.columns}
    heads = tuple(head for head in HEADS.get(spec.name, ()) if set(head.of) <= names)
    if not heads:
        return tuple(_plain(column) for column in spec.columns)
    standard = {column.name for column in (SPECS.get(spec.name) or COMPARED[spec.name]).columns}
    return (*(_plain(column) for column in spec.columns if column.name not in standard), *heads)


def document(spec: TableSpec, rows: Iterable[Row]) -> Document:
    """The table as people read it."""
    at, rows = {column.name: place for place, column in enumerate(spec.columns)}, tuple(rows)
    heads = heads_of(spec)
    places = [tuple(at[name] for name in head.of) for head in heads]
    cells = [tuple(head.form(*(row[i] for i in of)) for head, of in zip(heads, places, strict=True)) for row in rows]
    filled = [i for i, head in enumerate(heads) if not cells or head.of[0] in spec.key or any(row[i] != NOTHING for row in cells)]
    same = [i for i in filled if heads[i].left and len(cells) > 1 and len({row[i] for row in cells}) == 1]
    kept = [i for i in filled if i not in same]
    return Document(
        heads=tuple(heads[i].text for i in kept),
        left=tuple(heads[i].left for i in kept),
        rows=tuple(tuple(row[i] for i in kept) for row in cells),
        always=(*((heads[i].text, cells[0][i]) for i in same), *_sources(rows, at)),
    )


def _sources(rows: Sequence[Row], at: Mapping[str, int]) -> tuple[tuple[str, str], ...]:
    """Where the paper's values stand and how sure their reading is, once each."""
    if "published_as" not in at:
        return ()
    sources = dict.fromkeys(str(row[at["published_as"]]).partition("; rerun")[0] for row in rows if row[at["published_as"]])
    return (("paper", "; ".join(sources)),) if sources else ()


def _plain(column: Column) -> Head:
    return Head(column.name.replace("_", " "), (column.name,), _FORMS[column.kind], left=column.kind in ("text", "bool"))


# ---- what stands around it ------------------------------------------------------------------------------------------

SHORT = (
    "run",
    "runs",
    "title",
    "rows",
    "deviations",
    "notes",
    "state",
    "victims",
    "schedule",
    "scenario",
)  # of the provenance, what a reader needs


def caption(spec: TableSpec, provenance: Mapping[str, str]) -> str:
    """One sentence: what the table holds, and of which run."""
    title = provenance.get("title") or f"runs {provenance.get('runs', '')}"
    return f"{title}: {spec.help[:1].lower()}{spec.help[1:]}." if spec.help else f"{title}."


def claim_in(provenance: Mapping[str, str]) -> str:
    """What the run, or any of several, sets out to reproduce."""
    return next((value for key, value in provenance.items() if key == "reproduces" or key.endswith(".reproduces")), "")


def short(provenance: Mapping[str, str]) -> list[tuple[str, str]]:
    """The part of the provenance that a document carries; of several runs, each one's title too."""
    return [(key, value) for key, value in provenance.items() if key in SHORT or key.endswith(".title")]
