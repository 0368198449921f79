"""What a reader must know of a run's data, as plain values: stored with the run, shown wherever its numbers are explained.

Every text in it is one clean line (see `engine.printable`), so that it can be shown anywhere and be checked in a stranger's bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

Use = Literal["number", "one_hot", "text", "picture", "annotation", "label", "split", "left_out"]
USES: tuple[str, ...] = get_args(Use)


@dataclass(frozen=True)
class ColumnAccount:
    """One column of the source and what became of it.

    use         what it serves as; what is fed can be matched on as well
    features    how many numbers a model reads of it; 0 where it is not fed
    levels      different values that are told apart, of words; 0 of numbers
    missing     rows, of those that can be used, in which it has no value
    leak        balanced accuracy with which it alone tells the label, where that is nearly all; else None
    why         why it is left out, or whence it comes where it is none of the file's
    """

    name: str
    use: Use
    features: int = 0
    levels: int = 0
    missing: int = 0
    leak: float | None = None
    why: str = ""


@dataclass(frozen=True)
class SplitAccount:
    """One split: its rows, and how many are of each class, in the order of the account's classes."""

    name: str
    rows: int
    classes: tuple[int, ...]


@dataclass(frozen=True)
class FileAccount:
    """A source file by its name alone, and its checksum ("sha256:...")."""

    name: str
    checksum: str


@dataclass(frozen=True)
class Repeated:
    """Rows that stand in two splits, as a model reads them, labels aside.

    what            what was compared, as "row in every feature"
    test_in_train   test rows that train has as well, `relabelled` of them with other labels there alone
    aux_in_train, test_in_aux   the same of the adversary's rows
    """

    what: str
    test_in_train: int
    relabelled: int
    aux_in_train: int
    test_in_aux: int


@dataclass(frozen=True)
class PicturesAccount:
    """The pictures of all splits as a model reads them: pixels a side, and bits of each of the three colours."""

    pictures: int
    height: int
    width: int
    bits: int


@dataclass(frozen=True)
class TextsAccount:
    """The texts of all splits: words (parted by blanks) of the shortest, the median and the longest, characters of the longest.

    length, cut     tokens of a text that the model reads, and how many texts fill them all; 0 and 0 where no model has read them
    """

    texts: int
    fewest_words: int
    median_words: int
    most_words: int
    most_characters: int
    length: int = 0
    cut: int = 0


@dataclass(frozen=True)
class DataFacts:
    """What a loader alone knows of its rows; the rest of an account is counted from the rows themselves.

    source_rows     rows, pictures or texts that were there to use; 0 where a loader does not say
    """

    columns: tuple[ColumnAccount, ...] = ()
    source_rows: int = 0
    repeated: Repeated | None = None


@dataclass(frozen=True)
class DataAccount:
    """All of it. splits: train, aux and test. reading: the version of the rules by which it was read."""

    kind: str
    classes: tuple[str, ...]
    splits: tuple[SplitAccount, ...]
    files: tuple[FileAccount, ...]
    features: int
    columns: tuple[ColumnAccount, ...]
    reading: int
    source_rows: int = 0
    repeated: Repeated | None = None
    pictures: PicturesAccount | None = None
    texts: TextsAccount | None = None
    notes: tuple[str, ...] = ()
    deviations: tuple[str, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON; see `of_json`."""
        return asdict(self)


NESTED: dict[str, Any] = {"repeated": Repeated, "pictures": PicturesAccount, "texts": TextsAccount}
NESTED_LISTS: dict[str, Any] = {"splits": SplitAccount, "files": FileAccount, "columns": ColumnAccount}


def of_json(values: Mapping[str, Any]) -> DataAccount:
    """The account that `as_json` gave. Fields that this version does not know are dropped. KeyError, TypeError: one is missing."""
    fields = _known(DataAccount, values)
    for name, kind in NESTED.items():
        if fields.get(name) is not None:
            fields[name] = _made(kind, fields[name])
    for name, kind in NESTED_LISTS.items():
        fields[name] = tuple(_made(kind, entry) for entry in fields[name])
    made: DataAccount = _made(DataAccount, fields)
    return made


def _known(cls: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in dict(values).items() if name in cls.__dataclass_fields__}


def _made(cls: Any, values: Mapping[str, Any]) -> Any:
    return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in _known(cls, values).items()})
