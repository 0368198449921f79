"""The error tree, drawn once. Every message says what is wrong, where, and what to do next.

SubpopError                 exit status 1
├── RunFailed               the run itself failed                                    1
├── DiskFull                there was no room for what was asked for                 1
├── RequestError            the request was wrong                                    2
│   ├── ScenarioError       a scenario with one or more mistakes, all of them told
│   ├── UnknownName         a preset, run, table or dataset that does not exist
│   ├── MissingData         a file that is not here and could not be fetched
│   ├── BadData             a file that is here and cannot be used
│   └── StoreError          a results store that cannot be opened, read or written
│       ├── StoreGone       deleted, moved or replaced while it was in use
│       └── ClaimLost       a worker's run was given to another, or deleted
└── Interrupted             Ctrl-C                                                 130
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches


class SubpopError(Exception):
    """Base of every error that a person is meant to read.

    what: what is wrong. where: the file, key or row. next: what to do about it.
    """

    exit_status = 1

    def __init__(self, what: str, *, where: str = "", next: str = "") -> None:
        self.what, self.where, self.next = what, where, next
        super().__init__(str(self))

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}; {self.next}" if self.next else head


class RunFailed(SubpopError):
    """A run started and could not be finished."""


class DiskFull(SubpopError):
    """The request was right, and the disk has no room for what it writes."""


class RequestError(SubpopError):
    """What was asked for cannot be done as asked."""

    exit_status = 2


@dataclass(frozen=True)
class Mistake:
    """One mistake in a scenario: the dotted key, what is wrong with it, and its line where TOML gives one."""

    key: str
    what: str
    line: int | None = None

    def __str__(self) -> str:
        place = ", ".join(part for part in (f"line {self.line}" if self.line else "", self.key) if part)
        return f"{place}: {self.what}" if place else self.what


TOLD = 40  # mistakes of a scenario that its message has; a list may hold thousands


class ScenarioError(RequestError):
    """A scenario that does not validate; carries every mistake, and tells of the first `TOLD`."""

    def __init__(self, mistakes: Sequence[Mistake], *, where: str = "") -> None:
        self.mistakes = tuple(mistakes)
        n = len(self.mistakes)
        head = f"{n} mistake{'s' if n != 1 else ''} in the scenario"
        rest = [f"and {n - TOLD} more"] if n > TOLD else []
        super().__init__("\n  ".join([head, *map(str, self.mistakes[:TOLD]), *rest]), where=where)


class UnknownName(RequestError):
    """A name that is not among the known ones; suggests the nearest."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, next: str = "") -> None:
        names = sorted(known)
        near = nearest(name, names)
        hint = f"did you mean {near!r}?" if near else (f"known: {', '.join(names)}" if names else "there are none yet")
        super().__init__(f"no {kind} called {name!r}", next=f"{hint}{'' if next.startswith(';') else ' '}{next}".strip())


class MissingData(RequestError):
    """A dataset or weights file that is not on this machine."""


class BadData(RequestError):
    """A file that is here but is not what it should be."""


class StoreError(RequestError):
    """The results store cannot be used."""


class StoreGone(StoreError):
    """The store's file no longer bears its name: what is written to it would be found by nobody."""


class ClaimLost(StoreError):
    """A worker's write was refused: its run has been given to another worker, or deleted."""


class Interrupted(SubpopError):
    """Ctrl-C, or a stop asked for from elsewhere."""

    exit_status = 130


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to `name`, capitals aside, or None where nothing is close."""
    known = list(known)
    if same := [k for k in known if k.casefold() == name.casefold()]:
        return same[0]
    matches = get_close_matches(name, known, n=1, cutoff=0.6)
    return matches[0] if matches else None
