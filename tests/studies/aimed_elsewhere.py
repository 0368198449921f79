"""Populations of known damage with every victim in them: the clean one, and the one aimed at each subpopulation, on every subpopulation.

A victim's accuracy on a subpopulation is the subpopulation's own, moved by its trial, by the victim's own noise, by whole flips that
happen by chance to any victim (the clean one too) and, where the poison takes, by what it takes away. Rows are right by a normal deviate
of which a part is the row's own, the same for every victim. In a null nothing is taken away: aiming at a subpopulation does nothing to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

Random = np.random.Generator
FLIP = 0.9  # share of its rows that a flipped subpopulation loses, on average
CONCENTRATION = 15.0  # of the Beta that such a share is drawn from
OWN = 0.5  # share of the variance of a row's deviate that is the row's own
FRAGILE = 0.1  # in such a share of (trial, subpopulation) any victim may flip, at this rate:
FRAGILE_RATE = 0.3


@dataclass(frozen=True)
class Law:
    """How victims of one population are drawn. _S: by subpopulation; V = S: there is one victim aimed at each.

    base_S   accuracy of the clean victims;  rows_S: test rows
    takes_S  how likely the poison aimed at it takes, in a trial;  share_S: the share of its rows that it then takes, on average
    noise    s.d. of a victim's accuracy;  arm: of what a clean victim has in common on all subpopulations;  trial: of what all victims
             of a trial have in common on one;  uneven: s.d. of the logarithm of a trial's noise;  loud_V: a victim's noise over another's
    chance   how likely a victim flips whole by chance;  fragile: share of (trial, subpopulation) where FRAGILE_RATE of them do
    near_VS  how likely the poison aimed at v takes on s;  lift_S: what poison aimed elsewhere adds to its accuracy
    """

    base_S: np.ndarray
    rows_S: np.ndarray
    takes_S: np.ndarray
    share_S: np.ndarray
    near_VS: np.ndarray
    loud_V: np.ndarray
    lift_S: np.ndarray
    noise: float = 0.02
    arm: float = 0.0
    trial: float = 0.01
    uneven: float = 0.0
    chance: float = 0.0
    fragile: float = 0.0

    @property
    def damage_S(self) -> np.ndarray:
        """What is true: accuracy expected of a clean victim minus that of the victim aimed at it."""
        flips = 1 - (1 - self.fragile) * self.chance - self.fragile * FRAGILE_RATE
        return self.base_S * (flips + (1 - flips) * (1 - FLIP)) * self.takes_S * self.share_S


@dataclass(frozen=True)
class Drawn:
    """clean_TR: bool, right or not, subpopulation by subpopulation;  aimed_TR: by the victim aimed at the row's own;  right_TVS: int64,
    test rows of s that the victim aimed at v got right;  rows_S, damage_S: see `Law`."""

    clean_TR: np.ndarray
    aimed_TR: np.ndarray
    right_TVS: np.ndarray
    rows_S: np.ndarray
    damage_S: np.ndarray

    def first(self, trials: int) -> Drawn:
        return replace(self, clean_TR=self.clean_TR[:trials], aimed_TR=self.aimed_TR[:trials], right_TVS=self.right_TVS[:trials])


def draw(law: Law, trials: int, random: Random) -> Drawn:
    """One data set. Victim S of the drawing is the clean one."""
    S = len(law.rows_S)
    at_R, shape = np.repeat(np.arange(S), law.rows_S), (trials, S + 1, S)
    loud_T11 = np.exp(random.normal(0, law.uneven, (trials, 1, 1)))
    loud_V1 = np.append(law.loud_V, 1.0)[:, None]
    level = law.base_S + random.normal(0, law.trial, (trials, 1, S)) + law.noise * loud_T11 * loud_V1 * random.standard_normal(shape)
    level[:, S] += random.normal(0, law.arm, (trials, 1))
    elsewhere_VS = ~np.eye(S + 1, S, dtype=bool)
    elsewhere_VS[S] = False
    level += elsewhere_VS * law.lift_S
    rate_T1S = np.where(random.random((trials, 1, S)) < law.fragile, FRAGILE_RATE, law.chance)
    level = np.clip(level, 0, 1) * (1 - (random.random(shape) < rate_T1S) * share_of(FLIP, shape, random))
    takes_VS = np.vstack([np.where(np.eye(S, dtype=bool), law.takes_S, law.near_VS), np.zeros((1, S))])
    level *= 1 - (random.random(shape) < takes_VS) * share_of(law.share_S, shape, random)
    cut = ndtri(level).astype(np.float32)
    row_R = random.standard_normal(len(at_R), dtype=np.float32) * np.float32(OWN**0.5)
    ends_S = np.concatenate([[0], np.cumsum(law.rows_S)[:-1]])
    right_TVS, kept = np.empty((trials, S, S), np.int64), np.empty((2, trials, len(at_R)), bool)
    for t in range(trials):
        own_VR = random.standard_normal((S + 1, len(at_R)), dtype=np.float32)
        own_VR *= np.float32((1 - OWN) ** 0.5)
        right_VR = own_VR + row_R < cut[t][:, at_R]
        right_TVS[t] = np.add.reduceat(right_VR[:S], ends_S, axis=1, dtype=np.int64)
        kept[:, t] = right_VR[S], right_VR[at_R, np.arange(len(at_R))]
    return Drawn(kept[0], kept[1], right_TVS, law.rows_S, law.damage_S)


def share_of(mean: float | np.ndarray, shape: tuple[int, ...], random: Random) -> np.ndarray:
    mean = np.clip(mean, 1e-3, 1 - 1e-3)
    return random.beta(mean * CONCENTRATION, (1 - mean) * CONCENTRATION, shape)


# ---- the populations -------------------------------------------------------------------------------------------------


def law_of(size: int, random: Random, *, base: tuple[float, float] = (0.8, 0.97), rows: tuple[int, int] = (30, 150)) -> Law:
    """A population in which nothing is damaged."""
    none = np.zeros(size)
    return Law(
        base_S=random.uniform(*base, size),
        rows_S=random.integers(rows[0], rows[1] + 1, size),
        takes_S=none,
        share_S=np.full(size, FLIP),
        near_VS=np.zeros((size, size)),
        loud_V=np.ones(size),
        lift_S=none,
    )


def damaged(law: Law, share: float, random: Random, *, flipping: float = 0.5, most: float = 0.6) -> Law:
    """Such a share of its subpopulations truly damaged, by 0.05 to `most`; of them such a part by whole flips in some trials, the others
    a little in every trial."""
    size = len(law.rows_S)
    hit_S = random.permutation(size) < round(share * size)
    flips_S, loss_S = random.random(size) < flipping, random.uniform(0.05, most, size) / law.base_S
    takes_S = np.where(flips_S, np.minimum(loss_S / FLIP, 1.0), 1.0)
    return replace(law, takes_S=np.where(hit_S, takes_S, 0.0), share_S=np.where(flips_S, FLIP, loss_S))


def flips(share: float, random: Random) -> Law:
    """Whole flips with heavy tails, by the poison and by chance; half of the subpopulations damaged."""
    law = replace(law_of(29, random, base=(0.9, 1.0)), noise=0.01, chance=0.01, fragile=FRAGILE)
    return damaged(law, 0.5 * share, random, flipping=1.0, most=0.85)


def seldom(share: float, random: Random) -> Law:
    """As `flips`, chance flips three times as frequent, and only a fifth of the subpopulations damaged."""
    law = replace(law_of(29, random, base=(0.9, 1.0)), noise=0.01, chance=0.03, fragile=FRAGILE)
    return damaged(law, 0.2 * share, random, flipping=1.0, most=0.85)


def shared(share: float, random: Random) -> Law:
    """What the clean victim of a trial has in common on all subpopulations has s.d. 0.06; a third damaged."""
    return damaged(replace(law_of(29, random, base=(0.6, 0.8)), arm=0.06), 0.3 * share, random, flipping=0.0)


def sparse(share: float, random: Random) -> Law:
    """15 % damaged, and a shared clean arm."""
    return damaged(replace(law_of(29, random, base=(0.6, 0.8)), arm=0.06), 0.15 * share, random)


def five(share: float, random: Random) -> Law:
    """Five attacked, two of them damaged."""
    return damaged(replace(law_of(5, random), chance=0.01, fragile=FRAGILE), 0.4 * share, random)


def two(share: float, random: Random) -> Law:
    """Two attacked, one of them damaged."""
    return damaged(replace(law_of(2, random), chance=0.01, fragile=FRAGILE), 0.5 * share, random)


def two_shared(share: float, random: Random) -> Law:
    """Two attacked, one of them damaged, and a shared clean arm."""
    return damaged(replace(law_of(2, random, base=(0.6, 0.8)), arm=0.06), 0.5 * share, random)


def tiny(share: float, random: Random) -> Law:
    """8 to 12 test rows; a third damaged."""
    return damaged(replace(law_of(29, random, rows=(8, 12)), chance=0.01), 0.3 * share, random)


def uneven(share: float, random: Random) -> Law:
    """Trials far noisier than others; a third damaged."""
    return damaged(replace(law_of(29, random), noise=0.03, uneven=0.8), 0.3 * share, random)


def near(share: float, random: Random) -> Law:
    """As `flips`, and the poison aimed at three neighbours takes on it half as often. In the null its own never takes, theirs do."""
    law = damaged(replace(law_of(29, random, base=(0.9, 1.0)), noise=0.01, chance=0.01), 0.5, random, flipping=1.0, most=0.85)
    step_VS = (np.arange(29)[:, None] - np.arange(29)) % 29
    return replace(law, near_VS=np.isin(step_VS, (1, 2, 28)) * law.takes_S / 2, takes_S=law.takes_S * share)


def loud(share: float, random: Random) -> Law:
    """Victims noisier than others in all their trials (those with more poison, say), as far as they are on Adult; a third damaged."""
    law = replace(law_of(29, random), noise=0.03, loud_V=np.exp(random.normal(0, 0.2, 29)))
    return damaged(law, 0.3 * share, random)


def lifted(share: float, random: Random) -> Law:
    """Poison aimed elsewhere makes a third of the subpopulations more accurate by 0.03 than clean victims are; another third damaged."""
    law = damaged(replace(law_of(29, random, base=(0.7, 0.9)), noise=0.03), 0.3 * share, random)
    return replace(law, lift_S=0.03 * ((law.takes_S == 0) & (random.random(29) < 0.5)))


KINDS: dict[str, Callable[[float, Random], Law]] = {
    kind.__name__: kind for kind in (flips, seldom, shared, sparse, five, two, two_shared, tiny, uneven, near, loud, lifted)
}
