"""What the votes of models on disjoint parts of train certify: deep partition aggregation (Levine and Feizi 2021, theorem 1).

A point that is inserted into train changes one part and so one vote, wherever it is put and whatever label it bears; so does one that is
taken out or given another label. The class c with most votes, the lower of equals, stays while for every other class d
votes(c) - points >= votes(d) + points, or > where d is the lower and would win a tie. Nothing is assumed of the models but that each is a
function of its own part.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from engine.errors import BadData
from engine.rows import PartResult


@dataclass(frozen=True)
class Certified:
    """vote_N: int64 [rows], the class with most votes; points_N: int64 [rows], how many points cannot change it."""

    vote_N: np.ndarray
    points_N: np.ndarray


def certified(votes_NC: np.ndarray) -> Certified:
    """votes_NC: int [rows, classes], how many models say so."""
    votes_NC = votes_NC.astype(np.int64)
    n, classes = votes_NC.shape
    vote_N = votes_NC.argmax(1)
    most_N1 = votes_NC.max(1, keepdims=True)
    wins_ties_NC = np.arange(classes) < vote_N[:, None]
    lead_NC = most_N1 - votes_NC - wins_ties_NC
    lead_NC[np.arange(n), vote_N] = np.iinfo(np.int64).max  # over itself it has no lead to lose
    return Certified(vote_N, lead_NC.min(1) // 2)


def counted(predictions_KN: np.ndarray, classes: int) -> np.ndarray:
    """Votes int64 [rows, classes] of models' predicted classes, uint8 [models, rows]."""
    return np.stack([(predictions_KN == c).sum(0) for c in range(classes)], 1)


def withstood(points_N: np.ndarray, right_N: np.ndarray | None = None) -> int | None:
    """The largest number of points that half of these rows withstand, or so many of them that are right; None where fewer than half are."""
    n = len(points_N)
    if not n:
        return None
    held_N = np.sort(points_N if right_N is None else points_N[right_N])[::-1]
    half = -(-n // 2)
    return int(held_N[half - 1]) if len(held_N) >= half else None


def most_points(k: int) -> int:
    """What no row withstands more of, though all k parts agree on the lowest class; one less for other classes where k is even."""
    return k // 2


@dataclass
class Ensemble:
    """The models of a run's ensemble as they are committed. k: how many parts there are; 0: no ensemble. classes: of the dataset."""

    k: int
    classes: int
    y_test: np.ndarray
    parts: dict[int, PartResult] = field(default_factory=dict)

    def add(self, parts: Iterable[PartResult]) -> None:
        """Take further models; those that are there already are left out. BadData where what is stored does not fit together."""
        for part in parts:
            fits = 0 <= part.number < self.k and part.predictions.shape == self.y_test.shape
            if not fits or (len(part.predictions) and int(part.predictions.max()) >= self.classes):
                what = f"the model of part {part.number} is none of an ensemble of {self.k} on {len(self.y_test)} test rows"
                raise BadData(what, where="the store", next="start the run anew")
            self.parts.setdefault(part.number, part)

    @property
    def complete(self) -> bool:
        return self.k > 0 and len(self.parts) == self.k

    @cached_property
    def certified(self) -> Certified:
        """Of every test row; ask only a complete one."""
        predictions_KN = np.stack([self.parts[number].predictions for number in range(self.k)])
        return certified(counted(predictions_KN, self.classes))

    @cached_property
    def right_N(self) -> np.ndarray:
        """bool [test rows]: the vote is the true class."""
        return self.certified.vote_N == self.y_test

    @property
    def rows(self) -> list[int]:
        """Of each part, by number."""
        return [self.parts[number].rows for number in sorted(self.parts)]
