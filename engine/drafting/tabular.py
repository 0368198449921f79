"""The draft of a table, or of a table of texts: label, columns to match on, notes before it is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.datasets.splits import split_named
from engine.datasets.tables.columns import Numbers, Unreadable, Words
from engine.datasets.tables.file import RawTable
from engine.datasets.tables.labels import labels_of
from engine.datasets.tables.leakage import Leak as Found
from engine.datasets.tables.leakage import leak_notes, leaks_of
from engine.datasets.tables.reading import read_label
from engine.datasets.tables.roles import array_of
from engine.datasets.wording import counted, listed
from engine.drafting import labels, texts
from engine.drafting.catalog import catalog, section_of
from engine.drafting.looks import Catalog, Draft, Kind, Leak
from engine.drafting.matching import Matching, bands, clusters_for, least_rows, matching
from engine.drafting.opening import Opener
from engine.drafting.sizes import SPLIT, Sizes, sizes
from engine.drafting.words import DraftSection, Key, document

if TYPE_CHECKING:
    import numpy as np

Columns = dict[str, Numbers | Words | Unreadable]
CANDIDATES = 6  # named where no label is known


def draft(place: Path, shown: str, title: str, name: str, label: str | None, opener: Opener, leaks: bool) -> Draft:
    """See `draft.draft`. place: where the file is; shown: its path as the scenario names it."""
    import numpy as np

    raw = opener.open(place)
    spelling = opener.spelling()
    columns: Columns = {
        each: opener.read(each, array, str(place), None, spelling) for each, array in zip(raw.names, raw.arrays, strict=True)
    }
    text = texts.text_column(raw, columns, label)
    split = _split_column(columns, {label, text})
    others = {each: column for each, column in columns.items() if each not in (text, split)}
    guess = labels.guess(raw, others, beside_text=text is not None)
    chosen, why = (labels.require(label, raw), "as asked for") if label is not None else (guess.label, guess.why)
    if chosen is None and text is not None and label is None:  # without a label it is any table
        text = None
    kind: Kind = "table" if text is None else "text_table"
    keys: dict[str, object] = {"kind": kind, **({"text": text} if text else {}), **({"label": chosen} if chosen else {})}
    keys |= {"split_column": split} if split else {}
    section, _ = section_of(keys, place)
    y = np.zeros(raw.rows, np.int64)
    classes: tuple[str, ...] = ()
    if chosen is not None:
        y, classes, _ = labels_of(section, raw)
    usable = np.flatnonzero(y >= 0)
    size = sizes(len(usable)) if text is None else texts.sizes(len(usable))
    seen = catalog(shown, section, opener)
    matched = _matched(seen, columns, y, classes, usable, size)
    if text is not None:
        seen = catalog(shown, section.model_copy(update={"annotations": matched.features}), opener, (), matched.features)
    else:
        seen = catalog(shown, section, opener, (), matched.features)
    notes = [*(f"! cannot be run as it is: {each}" for each in seen.wrong), *_notes(seen, raw, columns, chosen, place), *seen.notes]
    suspected = []
    if leaks and chosen is not None and text is None:
        scores = dict(opener.leaks())
        seen = seen.with_leaks(scores)
        suspected = _leak_words(scores)
        notes = [*suspected, *notes]
    ids = [each.name for each in seen.columns if each.use == "left out"]
    sections = [_dataset(kind, shown, chosen, text, split, guess, why, matched, size, seen, suspected, ids)]
    sections += [texts.model(raw, text) if text is not None else _model(size)]
    sections += [
        _subpopulations(matched, size, text is not None),
        _attack(text is not None),
        _evaluation(size),
        _smoke(matched, size, text is not None),
    ]
    toml = document(_head(shown, seen, chosen), title, sections)
    return Draft(shown, kind, title, name, toml, chosen, why, guess.candidates, tuple(dict.fromkeys(notes)), seen)


# ---- choices --------------------------------------------------------------------------------------------------------


def _split_column(columns: Columns, taken: set[str | None]) -> str | None:
    """A column of which every value names a split, train and a test among them."""
    for name, column in columns.items():
        if isinstance(column, Words) and name not in taken and 2 <= len(column.levels) <= 6 and not column.missing.any():
            named = {split_named(level) for level in column.levels}
            if None not in named and "train" in named and len(named) > 1:
                return name
    return None


def _matched(seen: Catalog, columns: Columns, y: np.ndarray, classes: Sequence[str], usable: np.ndarray, size: Sizes) -> Matching:
    """What to match on, of the columns that are fed (of texts: that could be annotations), but for any that gives the label away."""
    free = [each.name for each in seen.columns if each.use == "feature" or (seen.kind == "text_table" and each.use == "left out")]
    open_to = [column for name in free if isinstance(column := columns[name], Numbers | Words)]
    small = [column for column in open_to if isinstance(column, Numbers) or len(column.levels) <= 50]
    leaking = {leak.name for leak in leaks_of(small, y, classes, usable)} if classes else set()
    aux = size.aux / max(1, len(usable))
    return matching([column for column in small if column.name not in leaking], usable, aux, least_rows(size.aux))


def _notes(seen: Catalog, raw: RawTable, columns: Columns, label: str | None, place: Path) -> list[str]:
    """What is left out and why, every column of it; which columns are the label in other words."""
    notes = (
        [f"left out: {', '.join(f'{each.name!r} ({each.why})' for each in gone)}"]
        if (gone := [c for c in seen.columns if c.use == "left out"])
        else []
    )
    if label is not None and seen.kind == "table":
        label_column = read_label(label, array_of(raw, label), str(place))
        fed = [column for each in seen.columns if each.use == "feature" and isinstance(column := columns[each.name], Numbers | Words)]
        notes += [f"{name!r} says the same as the label {label!r} in every row: dataset.drop = [{name!r}] leaves it out"
                 for name in labels.same_as(label_column, fed)]  # fmt: skip
    return notes


def _leak_words(leaks: Mapping[str, Leak]) -> list[str]:
    """Columns that are called leaks, the surest first, one loud line each, with the way to leave it out."""
    called = sorted(((name, leak) for name, leak in leaks.items() if leak.called), key=lambda each: (-each[1].score, each[0]))
    return leak_notes([Found(name, leak.score, leak.why) for name, leak in called])


# ---- the text -------------------------------------------------------------------------------------------------------


def _head(shown: str, seen: Catalog, label: str | None) -> list[str]:
    what = "texts" if seen.kind == "text_table" else "columns"
    count = "" if what == "texts" else f" of {len(seen.columns)} columns"
    mix = ", ".join(f"{name} {rows:,}" for name, rows in seen.classes[:6])
    more = f" and {len(seen.classes) - 6} more classes" if len(seen.classes) > 6 else ""
    lines = [f"{counted(seen.rows, 'row')}{count} in {Path(shown).name}{f'; {label}: {mix}{more}' if mix else ''}"]
    return [*lines, "Made from the file alone. Look first: subpop discover THIS; the whole way on a sliver: subpop run THIS --smoke"]


def _dataset(
    kind: str, shown: str, label: str | None, text: str | None, split: str | None, guess: labels.Guess, why: str, matched: Matching,
    size: Sizes, seen: Catalog, suspected: Sequence[str], ids: Sequence[str],
) -> DraftSection:  # fmt: skip
    keys = [Key("kind", kind), Key("path", shown)]
    keys += [Key("text", text, "what the model reads")] if text else []
    if label is not None:
        keys.append(Key("label", label, why))
    else:
        best = [each.name for each in guess.candidates[:CANDIDATES]]
        keys.append(
            Key(
                "label",
                best[0] if best else "",
                f"which column is to be predicted? {why}" + (f": {listed(best)}" if best else ""),
                off=True,
            )
        )
    if split:
        keys.append(Key("split_column", split, "says which rows are train, aux and test"))
    else:
        keys.append(Key("split", list(SPLIT), "train, aux (the adversary's) and test"))
    if text:
        keys.append(
            Key(
                "annotations", list(matched.features), "columns to match on or describe with; no model reads them", off=not matched.features
            )
        )
    else:
        keys.append(Key("scale", "standard", "numbers to mean 0 and deviation 1"))
        keys.append(Key("annotations", [], "columns to match on that the model is not to be fed", off=True))
        leaky = [each.name for each in seen.columns if each.leak is not None and each.leak.called]
        keys.append(Key("drop", leaky, "not fed: what is known only after the outcome" if leaky else "columns not to be used", off=True))
    if size.rows:
        keys.append(Key("rows", size.rows, "of train, of aux and of test at most; take it out for all, which takes longer"))
    below = list(suspected)
    if text is None and ids:
        below.append(f"left out by itself (dataset.numeric or dataset.categorical takes it in): {', '.join(ids)}")
    return DraftSection("dataset", keys, below=below)


def _model(size: Sizes) -> DraftSection:
    return DraftSection(
        "model",
        [
            Key("kind", "mlp", "or logistic, gradient_boosting, random_forest"),
            Key("hidden", [32]),
            Key("epochs", size.epochs),
            Key("batch", size.batch),
            Key("lr", size.lr),
        ],
    )


def _subpopulations(matched: Matching, size: Sizes, texts: bool) -> DraftSection:
    least = least_rows(size.aux)
    if matched.features:
        keys = [Key("kind", "feature_match", "whoever is equal in these columns; cluster_match finds groups by itself")]
        keys.append(Key("features", list(matched.features), f"{matched.cells} subpopulations of enough rows"))
        keys += [
            Key(f"bins/{name}", [int(cut) if cut % 1 == 0 else cut for cut in cuts], bands(cuts)) for name, cuts in matched.bins.items()
        ]
    else:
        keys = [Key("kind", "cluster_match", "groups found in the rows; feature_match takes columns that you name")]
        keys.append(Key("clusters", clusters_for(size.aux), f"about {round(size.aux / clusters_for(size.aux)):,} auxiliary rows each"))
        keys += [Key("layer", "hidden", "what the model makes of a text"), Key("pca", 10)] if texts else []
    return DraftSection("subpopulations", [*keys, Key("min_size", least, "auxiliary rows; smaller ones are not attacked")])


def _attack(texts: bool) -> DraftSection:
    return DraftSection(
        "attack",
        [
            Key("kind", "label_flip"),
            Key("alphas", [1, 2] if texts else [0.5, 1, 2], "poison points for each auxiliary row of the subpopulation"),
            Key("target_label", "rarest", "the class rarest in the subpopulation"),
        ],
    )


def _evaluation(size: Sizes) -> DraftSection:
    return DraftSection("evaluation", [Key("trials", size.trials, "3 or more for intervals")])


def _smoke(matched: Matching, size: Sizes, texts: bool) -> DraftSection:
    """The whole way in a minute."""
    rows = 60 if texts else 400
    keys = [Key("dataset/rows", rows)] if size.train > rows else []
    keys += [Key("model/epochs", 1 if texts else min(5, size.epochs))]
    keys += (
        [Key("subpopulations/min_size", 5)]
        if matched.features
        else [Key("subpopulations/clusters", 3 if texts else 6), Key("subpopulations/min_size", 2)]
    )
    return DraftSection("smoke", [*keys, Key("attack/alphas", [1]), Key("evaluation/trials", 2)])
