"""What a file of one's own looks like, as plain values: columns, their catalogue, the draft of a scenario. JSON-able, nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

ReadAs = Literal[
    "number", "money", "per cent", "months", "duration", "date", "yes/no", "category", "code", "free text", "identifier", "constant",
    "empty", "unreadable",
]  # fmt: skip
Use = Literal["label", "feature", "annotation", "text", "split", "left out"]
Kind = Literal["table", "text_table", "image_folder"]


@dataclass(frozen=True)
class Leak:
    """How well a column alone tells the label. score: balanced accuracy, held out; called: a leak, by the loader; why: in words, or ""."""

    score: float
    called: bool
    why: str = ""


@dataclass(frozen=True)
class ColumnLook:
    """One column of a file and what a scenario makes of it.

    read_as    what its cells are taken for
    missing    rows without a value; different: values that are told apart, as they are read; example: one of them as the file writes it
    use        label, feature (fed to the model), annotation (matched on and shown, not fed), text (what a model of texts reads), split, or
               left out; why: why that, empty for a plain feature
    matched    the scenario's subpopulations are formed by it
    levels     the most frequent values with their rows, of a column of words; empty of numbers
    cuts       where a column of numbers may be cut into groups of about one size, in round numbers; empty of words
    leak       None until it is worked out, and for columns that are not fed
    span       the least, the median and the largest of a column of numbers; None of words
    """

    name: str
    read_as: ReadAs
    missing: int
    different: int
    example: str
    use: Use
    why: str = ""
    matched: bool = False
    levels: tuple[tuple[str, int], ...] = ()
    cuts: tuple[float, ...] = ()
    leak: Leak | None = None
    span: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Catalog:
    """A file's columns, in its order.

    format   "csv", "parquet" or "json lines"; kind: what the scenario's dataset is
    notes    how the file was read, and what is odd about it
    classes  the label's classes with their rows; empty where there is no label that can be one
    wrong    what the loader would refuse the scenario's dataset for: a column that is not there, a label that is a measurement
    """

    path: str
    format: str
    kind: Kind
    rows: int
    columns: tuple[ColumnLook, ...]
    notes: tuple[str, ...] = ()
    classes: tuple[tuple[str, int], ...] = ()
    wrong: tuple[str, ...] = ()

    def column(self, name: str) -> ColumnLook | None:
        return next((column for column in self.columns if column.name == name), None)

    def with_leaks(self, leaks: Mapping[str, Leak]) -> Catalog:
        return replace(self, columns=tuple(replace(column, leak=leaks.get(column.name)) for column in self.columns))


@dataclass(frozen=True)
class Candidate:
    """A column that could be the label. why: what speaks for it, in words."""

    name: str
    why: str


@dataclass(frozen=True)
class Pictures:
    """A folder of pictures. classes: with their pictures, of all splits; sizes: widths and heights in words; splits: folders that are."""

    classes: tuple[tuple[str, int], ...]
    sizes: str
    splits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Draft:
    """A scenario to start from.

    name        what its run is called; title: what the scenario is
    toml        the whole scenario, with comments. Where label is None its label is a comment that names the candidates
    label_why   why this column is the label, or why none is
    candidates  columns that could be it, the best first
    notes       what a person must know before it is run
    catalog     the columns under this scenario; None for pictures
    pictures    None for tables
    """

    path: str
    kind: Kind
    title: str
    name: str
    toml: str
    label: str | None
    label_why: str
    candidates: tuple[Candidate, ...] = ()
    notes: tuple[str, ...] = ()
    catalog: Catalog | None = None
    pictures: Pictures | None = None


def as_json(value: Catalog | Draft) -> dict[str, Any]:
    """A tree of plain values that `catalog_of` and `draft_of` read back."""
    return asdict(value)


def catalog_of(tree: Mapping[str, Any]) -> Catalog:
    """The catalogue of what `as_json` made, before or after JSON."""
    columns = tuple(_column(each) for each in tree["columns"])
    return Catalog(
        **{**tree, "columns": columns, **{name: tuple(tree[name]) for name in ("notes", "wrong")}, "classes": _pairs(tree["classes"])}
    )


def draft_of(tree: Mapping[str, Any]) -> Draft:
    """The draft of what `as_json` made, before or after JSON."""
    catalog, pictures = tree["catalog"], tree["pictures"]
    return Draft(
        **{
            **tree,
            "candidates": tuple(Candidate(**each) for each in tree["candidates"]),
            "notes": tuple(tree["notes"]),
            "catalog": None if catalog is None else catalog_of(catalog),
            "pictures": None if pictures is None else Pictures(_pairs(pictures["classes"]), pictures["sizes"], tuple(pictures["splits"])),
        }
    )


def leaks_of(tree: Mapping[str, Any]) -> dict[str, Leak]:
    """The leaks of an answer of the process: name -> [score, called, why]."""
    return {name: Leak(float(score), bool(called), str(why)) for name, (score, called, why) in tree.items()}


def _column(tree: Mapping[str, Any]) -> ColumnLook:
    leak, span = tree["leak"], tree["span"]
    return ColumnLook(
        **{
            **tree,
            "span": None if span is None else tuple(span),
            "levels": _pairs(tree["levels"]),
            "cuts": tuple(tree["cuts"]),
            "leak": None if leak is None else Leak(**leak),
        }
    )


def _pairs(items: Any) -> tuple[tuple[str, int], ...]:
    return tuple((str(name), int(count)) for name, count in items)
