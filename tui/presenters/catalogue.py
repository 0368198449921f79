"""The columns of one's own file as a table, and what it changes in a scenario to make one a feature, an annotation or the label."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import prod
from typing import Any, Literal

from engine.drafting.looks import Catalog, ColumnLook, Use
from engine.errors import nearest
from engine.rows import Column, TableSpec
from tui.presenters import format as fmt
from tui.presenters import tree
from tui.presenters.edited import Edited
from tui.presenters.form import Question

SPEC = TableSpec(
    "columns",
    (
        Column("name", "text", "as the file has it"),
        Column("read_as", "text", "what its cells are taken for"),
        Column("used", "text", "label, feature (fed to the model), annotation (matched on and shown, not fed), or left out"),
        Column("matched", "text", "subpopulations are formed by it"),
        Column("missing", "int", "rows without a value"),
        Column("different", "int", "values"),
        Column("tells", "fraction", "how well it alone tells the label: balanced accuracy, held out. ! is called a leak"),
        Column("leak", "text", "! where it tells the label too well to be known beforehand"),
        Column("example", "text", "one of its values, as the file writes it"),
        Column("why", "text", "why it is used so"),
    ),
    ("name",),
)
USELESS = ("empty", "unreadable")  # can only be left out
FORCED = ("identifier", "free text", "constant")  # left out by the loader unless they are forced to a type
LISTS = ("dataset.annotations", "dataset.drop", "dataset.numeric", "dataset.categorical")
FEATURES, BINS = "subpopulations.features", "subpopulations.bins"
LEAST = 10  # rows of a group, below which nothing can be measured on its share of the test rows
MANY = 12  # different numbers, from which on they are matched on in bins
DROPPED = "in dataset.drop"  # the catalogue's word for what the scenario itself leaves out
Turn = Literal["feature", "left out", "annotation"]
ORDER: tuple[Turn, ...] = ("feature", "left out", "annotation")


def cells(values: tree.Tree, column: ColumnLook) -> tuple[object, ...]:
    """A column's row. What it is used as is the scenario's word, which the file's process may not have heard yet."""
    use = use_of(values, column)
    leak = column.leak if use == "feature" else None
    return (
        column.name,
        column.read_as,
        use,
        "✓" if column.name in _listed(values, FEATURES) else "",
        column.missing or None,
        column.different,
        leak.score if leak else None,
        "!" if leak and leak.called else "",
        column.example,
        leak.why if leak and leak.called else column.why if use == column.use else "",
    )


def use_of(values: tree.Tree, column: ColumnLook) -> Use:
    """What a scenario uses a column as."""
    name, by_key = column.name, {key: _listed(values, key) for key in LISTS}
    for key, use in (("dataset.label", "label"), ("dataset.text", "text"), ("dataset.split_column", "split")):
        if tree.get(values, key) == name:
            return use  # type: ignore[return-value]
    if name in by_key["dataset.drop"]:
        return "left out"
    if name in by_key["dataset.annotations"]:
        return "annotation"
    if tree.get(values, "dataset.kind") == "text_table" or column.read_as in USELESS:
        return "left out"
    forced = name in by_key["dataset.numeric"] or name in by_key["dataset.categorical"]
    return "left out" if not forced and column.use == "left out" and column.why != DROPPED else "feature"


def about(values: tree.Tree, column: ColumnLook) -> list[str]:
    """Everything known about one column, a line each."""
    use = use_of(values, column)
    why = f": {column.why}" if column.why and use == column.use else ""
    known = [f"{column.read_as}, {use}{why}"]
    if column.leak is not None and use == "feature":
        sign = "! " if column.leak.called else ""
        known.append(f"{sign}alone it tells the label with a balanced accuracy of {column.leak.score:.2f}. {column.leak.why}".strip())
    if column.levels and column.levels[0][1] > 1:  # else each is a row of its own
        more = column.different - len(column.levels)
        shown = ", ".join(f"{level} {count:,}" for level, count in column.levels)
        known.append(f"{shown}{f', and {more:,} more' if more > 0 else ''}")
    if column.span is not None:
        low, median, high = column.span
        cuts = _bins(values).get(column.name)
        groups = f"; cut at {cuts_text(cuts)}" if cuts else ""
        known.append(f"min {fmt.cell(low)}, median {fmt.cell(median)}, max {fmt.cell(high)}{groups}")
    return known


# ---- what a key changes ---------------------------------------------------------------------------------------------


def turn(edited: Edited, column: ColumnLook) -> str:
    """Use the column as the next of: feature, left out, annotation. Returns why that cannot be done; "" where it was done."""
    use = use_of(edited.values, column)
    if use in ("label", "split", "text"):
        return f"{column.name} is the {use}; choose another {'with l' if use == 'label' else 'in the form'} first"
    texts = edited.get("dataset.kind") == "text_table"
    if column.read_as in USELESS:
        return f"{column.name} is {column.read_as}, so it can only be left out"
    order = ("left out", "annotation") if texts else ORDER
    to = order[(order.index(use) + 1) % len(order)] if use in order else order[0]
    _forget(edited, column.name, matched=to == "left out")
    if to == "annotation":
        _add(edited, "dataset.annotations", column.name)
    elif to == "left out" and not texts:
        _add(edited, "dataset.drop", column.name)
    elif to == "feature" and column.read_as in FORCED:
        _add(edited, "dataset.numeric" if column.span is not None else "dataset.categorical", column.name)
    return ""


def make_label(edited: Edited, column: ColumnLook) -> str:
    """Make the column the label. Returns why that cannot be done; "" where it was done."""
    if column.read_as in USELESS:
        return f"{column.name} is {column.read_as} and cannot be a label"
    if use_of(edited.values, column) == "text":
        return f"{column.name} holds the texts; it can be only one of them"
    _forget(edited, column.name, matched=True)
    for key in ("dataset.positive", "attack.target_label"):  # may name a class of the old one
        if edited.get(key) not in (None, "rarest", "least_likely", "flip"):
            edited.say(key, None)
    if edited.get("dataset.split_column") == column.name:
        edited.say("dataset.split_column", None)
    edited.say("dataset.label", column.name)
    return ""


def match(edited: Edited, column: ColumnLook, rows: int) -> str:
    """Form subpopulations by the column too, or no longer. Returns why that cannot be done; "" where it was done. rows: of the file."""
    name, use = column.name, use_of(edited.values, column)
    features = _listed(edited.values, FEATURES)
    if name in features:
        _remove(edited, FEATURES, name)
        _set_bins(edited, name, ())
        if len(features) == 1:
            edited.say("subpopulations.kind", "cluster_match")
        return ""
    if use in ("label", "split", "text") or column.read_as in USELESS:
        return f"{name} is {'the ' + use if use in ('label', 'split', 'text') else column.read_as}: no subpopulations are formed by it"
    if column.span is None and column.different * LEAST > rows:
        return f"{name} has {column.different:,} values in {rows:,} rows: its groups would be too small to measure anything on"
    if use == "left out":
        _forget(edited, name, matched=False)
        _add(edited, "dataset.annotations", name)
    if edited.get("subpopulations.kind") != "feature_match":
        edited.say("subpopulations.kind", "feature_match")
        edited.say(FEATURES, None)
        edited.say(BINS, None)
    _add(edited, FEATURES, name)
    return ""


def needs_bins(edited: Edited, column: ColumnLook) -> bool:
    """Whether it is matched on as so many numbers that each would be a subpopulation of its own."""
    matched = column.name in _listed(edited.values, FEATURES)
    return matched and column.span is not None and column.different > MANY and column.name not in _bins(edited.values)


def cuts_of(edited: Edited, column: ColumnLook) -> tuple[float, ...]:
    """The cuts that the scenario says, else the suggested ones."""
    return tuple(_bins(edited.values).get(column.name, column.cuts))


def cut(edited: Edited, column: ColumnLook, cuts: tuple[float, ...]) -> None:
    """Cut a column of numbers at `cuts`; without any, its numbers are matched on as they are."""
    _set_bins(edited, column.name, cuts)


def cuts_text(cuts: Any) -> str:
    return ", ".join(f"{cut:.12g}" for cut in cuts)


def cuts_read(text: str) -> tuple[tuple[float, ...], str]:
    """The cuts that a person wrote, as "30, 45, 60", and what is wrong with them ("" nothing)."""
    cuts: list[float] = []
    for part in text.replace(";", ",").replace("[", "").replace("]", "").split(","):
        for word in part.split():
            try:
                cuts.append(float(word))
            except ValueError:
                return (), f"{word!r} is not a number; as an example 30, 45, 60"
    if any(later <= earlier for earlier, later in pairwise(cuts)):
        return (), "each cut must be larger than the one before it"
    if not all(abs(each) < float("inf") for each in cuts):
        return (), "a cut must be a number with an end"
    return tuple(cuts), ""


def groups_text(cuts: tuple[float, ...]) -> str:
    """The groups that cuts make, as they will be called."""
    if not cuts:
        return "every number is a group of its own"
    inner = [f"{low:g} to {high:g}" for low, high in pairwise(cuts)]
    return " | ".join([f"below {cuts[0]:g}", *inner, f"{cuts[-1]:g} and more"])


# ---- what is wrong --------------------------------------------------------------------------------------------------


def unknown_columns(values: tree.Tree, questions: Mapping[str, Question], catalog: Catalog) -> dict[str, str]:
    """Key of a field -> the complaint that the file lacks a column which the field names, with the nearest name that it has."""
    names = [column.name for column in catalog.columns]
    complaints = {}
    for key, one in questions.items():
        field = one.field_in(values)
        if field is None or field.names != "columns":
            continue
        value = tree.get(values, key)
        columns_named = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        if lacking := [name for name in columns_named if isinstance(name, str) and name not in names]:
            near = nearest(lacking[0], names)
            complaints[key] = f"the file has no column {lacking[0]!r}" + (f"; did you mean {near!r}?" if near else "")
    return complaints


def groups(values: tree.Tree, catalog: Catalog) -> int | None:
    """How many combinations the features have at most; None where a column is not known."""
    sizes = []
    for name in _listed(values, FEATURES):
        column, cuts = catalog.column(name), _bins(values).get(name)
        if column is None:
            return None
        sizes.append((len(cuts) + 1 if cuts else column.different) + bool(column.missing))
    return prod(sizes) if sizes else None


# ---- the scenario's lists -------------------------------------------------------------------------------------------


def _listed(values: tree.Tree, key: str) -> list[str]:
    value = tree.get(values, key)
    return list(value) if isinstance(value, list) else []


def _bins(values: tree.Tree) -> dict[str, Any]:
    value = tree.get(values, BINS)
    return {name: cuts for name, cuts in value.items() if isinstance(cuts, list)} if isinstance(value, dict) else {}


def _add(edited: Edited, key: str, name: str) -> None:
    edited.say(key, [*(each for each in _listed(edited.values, key) if each != name), name])


def _remove(edited: Edited, key: str, name: str) -> None:
    listed = _listed(edited.values, key)
    if name in listed:
        edited.say(key, [each for each in listed if each != name] or None)


def _set_bins(edited: Edited, name: str, cuts: tuple[float, ...]) -> None:
    rest = {each: [*existing] for each, existing in _bins(edited.values).items() if each != name}
    edited.say(BINS, {**rest, **({name: [*cuts]} if cuts else {})} or None)


def _forget(edited: Edited, name: str, *, matched: bool) -> None:
    """Take a column out of every list. matched: of the features too."""
    for key in LISTS:
        _remove(edited, key, name)
    if matched and name in (features := _listed(edited.values, FEATURES)):
        _remove(edited, FEATURES, name)
        _set_bins(edited, name, ())
        if len(features) == 1:
            edited.say("subpopulations.kind", "cluster_match")
