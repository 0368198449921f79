"""What the worker of a run and its children say to each other, over a socket that nobody else has: pickled by the standard library.

What they say is unpickled, and nothing else is. It never comes from a file, nor from outside: the socket is a pair made by the worker,
whose other end its own child inherits. With a cluster's trainers the same goes through Ray, whose nodes are trusted: they run our code.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.rows import StackPlan, VictimResult

# ---- to a child: first of all, and again where it changes, the `Job` ------------------------------------------------


@dataclass(frozen=True)
class Train:
    """Train this stack. too_many: what is known of the memory by now; who trains with whom depends on it."""

    stack: StackPlan
    too_many: int | None


@dataclass(frozen=True)
class Hold:
    """Stand still, or (not `still`) go on."""

    still: bool


# ---- from a child ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ready:
    """Its libraries are loaded: it listens."""


@dataclass(frozen=True)
class Step:
    done: float
    total: float


@dataclass(frozen=True)
class Said:
    """A line for the run's log."""

    message: str


@dataclass(frozen=True)
class Done:
    victims: list[VictimResult]
    too_many: int | None


@dataclass(frozen=True)
class Failed:
    """Its stack could not be trained, in words. The child ends."""

    what: str
    where: str = ""
    next: str = ""
