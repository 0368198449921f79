"""An account of data in words: the one place where they are made. Pure; the same lines stand on every screen and in every file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.account.data import ColumnAccount, DataAccount, Repeated, Use

TITLE = "About the data"
NOT_STORED = "not stored with this run: an older version made it"
USES: dict[Use, str] = {
    "label": "label",
    "split": "says the split",
    "text": "texts, read by the model",
    "picture": "pictures, read by the model",
    "number": "fed as numbers",
    "one_hot": "fed as 0 or 1 a level",
    "annotation": "not fed, for matching and describing",
    "left_out": "left out",
}
Tone = Literal["plain", "warning", "note"]


@dataclass(frozen=True)
class Line:
    """One line. head: what it is about ("train", "left out"), or "". tone: a warning is shown prominently, a note less so."""

    head: str
    text: str
    tone: Tone = "plain"

    def __str__(self) -> str:
        return f"{self.head}: {self.text}" if self.head else self.text


def lines(account: DataAccount) -> list[Line]:
    """All that the account says, warnings first, every column in it."""
    return [*warnings(account), *sizes(account), *by_use(account), *notes(account)]


def warnings(account: DataAccount) -> list[Line]:
    """What makes the data other than they seem or than the paper's."""
    return [Line("", text, "warning") for text in account.deviations]


def notes(account: DataAccount) -> list[Line]:
    """What was done to the data and what is odd about them."""
    repeated = repeated_lines(account.repeated, _rows_of(account, "test"), _word(account))
    return [Line("", text, "note") for text in (*account.notes, *repeated)]


def counted_notes(account: DataAccount) -> str:
    """How much there is to read of it: "2 warnings and 5 notes on the data"; "" where there is nothing."""
    counts = [_counted(len(group), noun) for group, noun in ((warnings(account), "warning"), (notes(account), "note")) if group]
    return f"{' and '.join(counts)} on the data" if counts else ""


# ---- sizes ----------------------------------------------------------------------------------------------------------


def sizes(account: DataAccount) -> Iterator[Line]:
    """Files, rows and classes of each split, base rate, what a model reads."""
    files = ", ".join(f"{file.name} ({file.checksum})" for file in account.files)
    yield Line("data", f"{account.kind}{f' from {files}' if files else ''}; read by rules {account.reading}")
    for split in account.splits:
        yield Line(split.name, f"{_counted(split.rows, _word(account))}: {mix(account.classes, split.classes)}")
    yield Line("base rate", base_rate(account))
    used = sum(split.rows for split in account.splits)
    if 0 < used < account.source_rows:
        yield Line("not used", f"{account.source_rows - used:,} of {_counted(account.source_rows, _word(account))}")
    if (pictures := account.pictures) is not None:
        yield Line("pictures", f"{pictures.height}×{pictures.width} pixels of three colours, {pictures.bits} bits each")
    if account.texts is not None:
        yield Line("texts", _texts(account))
    elif account.features and account.pictures is None:
        fed = sum(column.features > 0 for column in account.columns)
        of = f", of {_counted(fed, 'column')}" if fed else ""
        yield Line("features", f"{_counted(account.features, 'number')} a row{of}")


def mix(classes: Sequence[str], rows: Sequence[int]) -> str:
    """Every class with its rows and share, the largest first: "'no' 570 (95.0 %), 'yes' 30 (5.0 %)"."""
    total = sum(rows) or 1
    ordered = sorted(zip(classes, rows, strict=True), key=lambda pair: -pair[1])
    return ", ".join(f"{name!r} {n:,} ({100 * n / total:.1f} %)" for name, n in ordered)


def base_rate(account: DataAccount) -> str:
    """How often who always says the most frequent class of train is right in test."""
    by_name = {split.name: split for split in account.splits}
    train, test = by_name["train"], by_name["test"]
    most = max(range(len(account.classes)), key=lambda c: train.classes[c])
    share = test.classes[most] / test.rows if test.rows else 0.0
    name = account.classes[most]
    return f"{name!r}, the most frequent class of train, is {100 * share:.1f} % of test: who always says it is right so often"


def _texts(account: DataAccount) -> str:
    texts = account.texts
    assert texts is not None
    sentence = f"{texts.fewest_words:,} to {texts.most_words:,} words, the median {texts.median_words:,}"
    sentence += f"; the longest {texts.most_characters:,} characters"
    if texts.length:
        sentence += f"; the model reads {texts.length:,} tokens of each, which cuts (or just fits) {texts.cut:,} of {texts.texts:,}"
    return sentence


def repeated_lines(repeated: Repeated | None, test_rows: int, word: str = "row") -> list[str]:
    """What stands in two splits, where anything does: it tests memory, not the model."""
    if repeated is None:
        return []
    lines = []
    if repeated.test_in_train:
        more = f", {repeated.relabelled:,} of them with another label there" if repeated.relabelled else ""
        lines.append(f"the same {repeated.what} in train: {_counted(repeated.test_in_train, f'test {word}')} of {test_rows:,}{more}")
    if repeated.aux_in_train or repeated.test_in_aux:
        lines.append(
            f"the same {repeated.what} as one of train: {_counted(repeated.aux_in_train, f'aux {word}')}; as one of aux: "
            f"{_counted(repeated.test_in_aux, f'test {word}')}"
        )
    return lines


# ---- columns --------------------------------------------------------------------------------------------------------


def by_use(account: DataAccount) -> Iterator[Line]:
    """Columns by what became of them, each named, however many."""
    for use, words in USES.items():
        columns = [column for column in account.columns if column.use == use]
        if columns:
            names = ", ".join(repr(column.name) + (f" ({more})" if (more := details(column)) else "") for column in columns)
            yield Line(words if len(columns) == 1 else f"{words} ({len(columns):,})", names)


def details(column: ColumnAccount) -> str:
    """What one column holds beside its use, in words; "" where there is nothing to add."""
    parts = [column.why] if column.why else []
    if column.levels:
        parts.append(_counted(column.levels, "level"))
    if column.features != (column.levels if column.use == "one_hot" else min(column.features, 1)):
        parts.append(_counted(column.features, "feature"))
    if column.missing:
        parts.append(f"missing in {_counted(column.missing, 'row')}")
    if column.leak is not None:
        parts.append(f"LABEL LEAKAGE? balanced accuracy alone {column.leak:.2f}")
    return ", ".join(parts)


def column_rows(account: DataAccount) -> list[tuple[str, str, str]]:
    """(column, what became of it, what else there is to say), in the file's order: for tables."""
    return [(column.name, USES[column.use], details(column)) for column in account.columns]


# ---- shared ---------------------------------------------------------------------------------------------------------


def _word(account: DataAccount) -> str:
    return "picture" if account.pictures is not None else "text" if account.texts is not None else "row"


def _rows_of(account: DataAccount, name: str) -> int:
    return next((split.rows for split in account.splits if split.name == name), 0)


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
