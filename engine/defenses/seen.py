"""What a defence is told of one victim's rows and what it makes of them; the module of a kind by its name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast

import numpy as np

from engine.scenario.modules import module
from engine.scenario.sections import DefenseSection

Asked = Literal["losses", "hidden", "input", "poison"]


@dataclass(frozen=True)
class Shared:
    """The first rows, as the model reads them, float32 [rows, features], which all victims of a run share; made: what a defence has worked
    out of them alone, by what it depends on.
    """

    input_NF: np.ndarray
    made: dict[tuple[object, ...], Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """The rows of one victim, train first and then its points; nothing but `poison_R` says which is which. R rows.

    labels_R     int64
    losses_R     float64, nats, of each under the label it has, by the model fitted on the rows that were kept last
    hidden_RW    float32, what that model's last layer reads;  input_RF: float32, what its first does
    poison_R     bool, for the oracle alone
    shared       what of the first rows is the same for all victims; None: nothing is kept from victim to victim
    What a defence does not ask for is None.
    """

    labels_R: np.ndarray
    losses_R: np.ndarray | None = None
    hidden_RW: np.ndarray | None = None
    input_RF: np.ndarray | None = None
    poison_R: np.ndarray | None = None
    shared: Shared | None = None

    def __len__(self) -> int:
        return len(self.labels_R)


@dataclass(frozen=True)
class Judgement:
    """What a defence makes of a victim's rows, in their order.

    kept_R: bool;  labels_R: int64, as they are to be trained with
    score_R: float64, how suspect each is: what has more is removed sooner, whatever the budget. None where there is no such order
    """

    kept_R: np.ndarray
    labels_R: np.ndarray
    score_R: np.ndarray | None = None


class Defence(Protocol):
    """What the module of a kind has. Each takes its own section."""

    def asks(self, section: Any, /) -> frozenset[Asked]:
        """What it wants to be told."""
        ...

    def judge(self, section: Any, seen: Seen, remove: int, draws: np.random.Generator, /) -> Judgement:
        """remove: how many rows, for a kind that has a budget. draws: of this victim alone."""
        ...


def defence_of(section: DefenseSection) -> Defence:
    """The module of the section's kind, opened when asked for."""
    return cast(Defence, module("defenses", section.kind))


def without(seen: Seen, at: np.ndarray, score_R: np.ndarray | None = None) -> Judgement:
    """The rows at these places removed."""
    kept_R = np.ones(len(seen), bool)
    kept_R[at] = False
    return Judgement(kept_R, seen.labels_R, score_R)


def largest(score_R: np.ndarray, count: int) -> np.ndarray:
    """The places of the `count` largest scores; of equal ones the first. int64."""
    return np.argsort(-score_R, kind="stable")[: max(0, count)]


def permuted(seen: Seen, draws: np.random.Generator) -> Seen:
    """The same told of other rows: a defence that looks must do no better than chance then."""
    order = draws.permutation(len(seen))
    losses_R, hidden_RW, input_RF, poison_R = (
        None if value is None else value[order] for value in (seen.losses_R, seen.hidden_RW, seen.input_RF, seen.poison_R)
    )
    return Seen(seen.labels_R, losses_R, hidden_RW, input_RF, poison_R)
