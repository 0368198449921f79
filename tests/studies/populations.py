"""Simulated populations of known damage, each a hard case for an interval: whole-cell flips, shared clean arms, few rows, unlike trials.

A population is subpopulations drawn anew. A trial gives every subpopulation an accuracy of its clean victim and one of its poisoned
victim; rows are right by them. Of a subpopulation's rows some are the same in every trial (a row's own difficulty, one uniform number held
against all accuracies), the others are drawn again for each trial and arm. Data are what the engine's estimators take: int8 [trials,
rows], clean right - poisoned right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.evaluation.folds import FOLDS
from engine.evaluation.layout import Layout

PASTS = 60  # independent draws of past data that a truth is the mean over
EXACT = 4000  # trials that a true damage is the mean over, flips apart


@dataclass(frozen=True)
class Population:
    """Float64 [subpopulations] unless said.

    n_S       int64, test rows;  own_S: the share of them that is the same in every trial
    clean_S   accuracy of clean victims, damage_S: what is taken from it (before flips)
    sd_S      of a trial's own noise, each arm;  common: s.d. of what a trial's clean arm has in common;  poisoned_common: the same of its
              poisoned victims, the clean arm's apart
    flip_S    how often a poisoned victim loses the whole cell;  left_S: what share of rows it then gets right
    tail      degrees of freedom of the trial noise's t distribution; 0: normal
    unlike    s.d. of the logarithm of a trial's noise scale
    """

    n_S: np.ndarray
    own_S: np.ndarray
    clean_S: np.ndarray
    damage_S: np.ndarray
    sd_S: np.ndarray
    flip_S: np.ndarray
    left_S: np.ndarray
    common: float = 0.0
    tail: int = 0
    unlike: float = 0.0
    true_S: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        clean_TS, stay_TS = self.accuracies(EXACT, np.random.default_rng(0), flips=False)
        poisoned_S = (1 - self.flip_S) * stay_TS.mean(axis=0) + self.flip_S * self.left_S
        object.__setattr__(self, "true_S", clean_TS.mean(axis=0) - poisoned_S)

    def accuracies(self, trials: int, random: np.random.Generator, *, flips: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Clean and poisoned accuracies: float64 [trials, subpopulations], each in 0..1."""
        shape = (trials, len(self.n_S))
        scale_T1 = np.exp(self.unlike * random.standard_normal((trials, 1)))
        clean_TS, poisoned_TS = (self.sd_S * scale_T1 * self._noise(shape, random) for _ in range(2))
        common_T1 = self.common * scale_T1 * random.standard_normal((trials, 1))
        clean = np.clip(self.clean_S + common_T1 + clean_TS, 0.0, 1.0)
        poisoned = np.clip(self.clean_S - self.damage_S + poisoned_TS, 0.0, 1.0)
        if flips:
            poisoned = np.where(random.random(shape) < self.flip_S, self.left_S, poisoned)
        return clean, poisoned

    def _noise(self, shape: tuple[int, int], random: np.random.Generator) -> np.ndarray:
        if not self.tail:
            return random.standard_normal(shape)
        return random.standard_t(self.tail, shape) / np.sqrt(self.tail / (self.tail - 2))

    def draw(self, trials: int, random: np.random.Generator) -> np.ndarray:
        """Data of so many trials and every test row: int8 [trials, rows]."""
        clean_TS, poisoned_TS = self.accuracies(trials, random)
        at_R = np.repeat(np.arange(len(self.n_S)), self.n_S)
        same_R = random.random(len(at_R)) < self.own_S[at_R]
        right = []
        uniform_R = random.random(len(at_R))
        for accuracy_TS in (clean_TS, poisoned_TS):
            luck_TR = np.where(same_R, uniform_R, random.random((trials, len(at_R))))
            right.append((luck_TR < accuracy_TS[:, at_R]).astype(np.int8))
        return right[0] - right[1]

    def damages(self, trials: int, n_S: np.ndarray, copies: int, random: np.random.Generator) -> np.ndarray:
        """Mean damages over so many trials, as `draw` would have them, each copy with rows of its own: float64 [copies, subpopulations].

        Rows that are drawn again in every trial need not be drawn one by one.
        """
        size = len(n_S)
        drawn = [accuracy.reshape(copies, trials, size) for accuracy in self.accuracies(copies * trials, random)]
        same_CS = random.binomial(n_S, self.own_S, (copies, size))
        again = np.repeat((n_S - same_CS)[:, None], trials, axis=1)
        lost_CS = (random.binomial(again, drawn[0]) - random.binomial(again, drawn[1])).sum(axis=1)
        at_R = np.repeat(np.arange(size), n_S)
        starts = np.cumsum(n_S) - n_S
        luck_CR = random.random((copies, len(at_R)))
        luck_CR[(np.arange(len(at_R)) - starts[at_R]) >= same_CS[:, at_R]] = 2.0  # none of those that are the same: never right
        lost_CR = np.zeros(luck_CR.shape, dtype=np.int16)
        for t in range(trials):
            lost_CR += luck_CR < drawn[0][:, t, at_R]
            lost_CR -= luck_CR < drawn[1][:, t, at_R]
        return (lost_CS + np.add.reduceat(lost_CR, starts, axis=1, dtype=np.int64)) / (trials * n_S)

    def truths(self, trials: int, ks: Sequence[int], random: np.random.Generator) -> dict[int, float]:
        """The estimand of `worst.py`: what the k are truly worth that look worst in past data (a trial and a fold fewer), by k."""
        past_PS = self.damages(trials - 1, self.n_S - -(-self.n_S // FOLDS), PASTS, random)
        order_PS = np.argsort(-past_PS, axis=1, kind="stable")
        return {k: float(self.true_S[order_PS[:, :k]].mean()) for k in ks}

    def folds(self) -> np.ndarray:
        """Test rows in each fold: int64 [subpopulations, folds], as `folds.py` deals them."""
        return (self.n_S[:, None] + FOLDS - 1 - np.arange(FOLDS)) // FOLDS


def layout_of(diff_TR: np.ndarray, n_SF: np.ndarray) -> Layout:
    """A layout of one alpha from differences alone."""
    n_S = n_SF.sum(axis=1)
    trials, size = len(diff_TR), len(n_S)
    lost_TS = np.add.reduceat(diff_TR, np.cumsum(n_S) - n_S, axis=1, dtype=np.int64)
    zeros = np.zeros((1, trials, size), np.int64)
    return Layout(
        alphas=(1.0,),
        trials=tuple(range(trials)),
        have_ATS=np.ones((1, trials, size), bool),
        diff_ATR=diff_TR[None],
        right_ATS=-lost_TS[None],
        all_ATS=zeros,
        label_ATS=zeros,
        points_ATS=zeros,
        already_ATS=zeros,
        sum_ATS=zeros,
        aimed_AT=np.full((1, trials), size, np.int64),
        clean_TS=zeros[0],
        clean_all_T=np.zeros(trials, np.int64),
        clean_label_TS=zeros[0],
        n_S=n_S,
        n_SF=n_SF,
        n_all=int(n_S.sum()),
    )


# ---- kinds ----------------------------------------------------------------------------------------------------------

SIZE = 28


def plain(random: np.random.Generator, size: int, **given: object) -> Population:
    """Plain unless given otherwise: 30 to 200 rows, clean .72 to .88, no damage, quiet trials."""
    values: dict[str, object] = {
        "n_S": np.exp(random.uniform(np.log(30), np.log(200), size)).astype(np.int64),
        "own_S": random.uniform(0.5, 0.85, size),
        "clean_S": random.uniform(0.72, 0.88, size),
        "damage_S": np.zeros(size),
        "sd_S": random.uniform(0.008, 0.03, size),
        "flip_S": np.zeros(size),
        "left_S": np.zeros(size),
    }
    return Population(**{**values, **given})  # type: ignore[arg-type]


def skewed(random: np.random.Generator, size: int) -> np.ndarray:
    """Damages as attacks have them: mean .05, a few large."""
    return np.minimum(random.gamma(0.6, 0.08, size), 0.5)


def flips(random: np.random.Generator) -> Population:
    """Whole-cell flips with heavy tails: a third lose the whole cell in some trials, how often is anything; the rest hardly move."""
    often = np.where(random.random(SIZE) < 0.35, random.beta(0.6, 1.4, SIZE), 0.0)
    cell = often > 0
    return plain(
        random,
        SIZE,
        own_S=np.where(cell, random.uniform(0.02, 0.3, SIZE), random.uniform(0.5, 0.85, SIZE)),
        clean_S=np.where(cell, random.uniform(0.92, 1.0, SIZE), random.uniform(0.72, 0.9, SIZE)),
        flip_S=often,
        left_S=random.uniform(0.0, 0.25, SIZE),
        tail=3,
    )


def shared(random: np.random.Generator) -> Population:
    """A strongly shared clean arm: all accuracies of a trial's clean victim are moved together, by .06."""
    return plain(random, SIZE, damage_S=skewed(random, SIZE), common=0.06)


def sparse(random: np.random.Generator) -> Population:
    """15 % true damages, the others none, and a shared clean arm."""
    hit = np.zeros(SIZE)
    hit[random.permutation(SIZE)[:4]] = random.uniform(0.1, 0.4, 4)
    return plain(random, SIZE, damage_S=hit, common=0.06)


def five(random: np.random.Generator) -> Population:
    """Five to choose from."""
    return plain(random, 5, damage_S=skewed(random, 5), sd_S=random.uniform(0.02, 0.08, 5), common=0.02)


def few(random: np.random.Generator) -> Population:
    """8 to 12 test rows each."""
    return plain(random, SIZE, n_S=random.integers(8, 13, SIZE), damage_S=skewed(random, SIZE), common=0.02)


def unlike(random: np.random.Generator) -> Population:
    """Heteroscedastic: trials of unlike noise, and subpopulations too."""
    noise = np.exp(random.uniform(np.log(0.005), np.log(0.12), SIZE))
    return plain(random, SIZE, damage_S=skewed(random, SIZE), sd_S=noise, common=0.02, unlike=0.6)


def null(random: np.random.Generator) -> Population:
    """No damage; quiet trials."""
    return plain(random, SIZE, common=0.01)


KINDS: dict[str, Callable[[np.random.Generator], Population]] = {
    "flips": flips,
    "shared": shared,
    "sparse": sparse,
    "five": five,
    "few": few,
    "unlike": unlike,
    "null": null,
}
