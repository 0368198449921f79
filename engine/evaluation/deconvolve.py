"""How the true damages of an alpha are distributed, once the noise that each was seen through is taken out.

Seen damages spread further than true ones, so shares of them above a threshold overstate. Each is taken as its true damage plus a normal
error of its own standard error; the distribution of the true ones over a grid is the most likely one (Kiefer and Wolfowitz 1956; Laird
1978), reached by EM from a flat start. A fixed number of steps keeps it from turning into a few spikes.

Whether a true damage is 0 or a little more no such distribution can tell. The share above 0 is therefore that of seen damages above 0 less
that of those below: as many as chance moved below 0 it moved above.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine import seeds

STEP = 0.005  # of the grid
EM_STEPS = 200
COPIES, COPY_STEPS = 100, 100  # of the bootstrap, from the whole's distribution


@dataclass(frozen=True)
class Mixture:
    """grid_G, weight_G: float64 [points], the distribution; seen_SG: float64, how likely each subpopulation's damage is at each point.

    posterior_SG   where each subpopulation's own true damage lies, rows sum to 1
    sign_S         int8, whether its seen damage is above 0, 0, or below
    """

    grid_G: np.ndarray
    weight_G: np.ndarray
    seen_SG: np.ndarray
    posterior_SG: np.ndarray
    sign_S: np.ndarray

    def share(self, least: float) -> float:
        """Of subpopulations whose true damage is at least so; of 0: more than none."""
        if least <= 0:
            return _rounded(max(float(self.sign_S.mean()), 0.0))
        return _rounded(self.weight_G @ self._reach(least))

    def quantile(self, share: float) -> float:
        """The damage that this share of subpopulations stays at or under."""
        return _quantile(self.grid_G, self.weight_G[None], share)[0]

    def mean(self) -> float:
        return _rounded(self.weight_G @ self.grid_G)

    def _reach(self, least: float) -> np.ndarray:
        return self.grid_G > least - STEP / 2

    def copies(self) -> Copies:
        """The same of subpopulations drawn anew from these, with replacement."""
        size = len(self.seen_SG)
        drawn_CS = seeds.generator(0, "damage distribution").multinomial(size, np.full(size, 1 / size), COPIES)
        return Copies(self, drawn_CS, em(self.seen_SG, drawn_CS, np.tile(self.weight_G, (COPIES, 1)), COPY_STEPS))


@dataclass(frozen=True)
class Copies:
    """Each method gives the 95 % interval of what `Mixture`'s gives.

    drawn_CS: int64 [copies, subpopulations], how often each was drawn; weight_CG: float64 [copies, points].
    """

    of: Mixture
    drawn_CS: np.ndarray
    weight_CG: np.ndarray

    def share(self, least: float) -> tuple[float, float]:
        if least <= 0:
            return _middle(np.maximum(self.drawn_CS @ self.of.sign_S / len(self.of.sign_S), 0.0))
        return _middle(self.weight_CG @ self.of._reach(least))

    def quantile(self, share: float) -> tuple[float, float]:
        return _middle(np.array(_quantile(self.of.grid_G, self.weight_CG, share)))

    def mean(self) -> tuple[float, float]:
        return _middle(self.weight_CG @ self.of.grid_G)


def deconvolve(damage_S: np.ndarray, se_S: np.ndarray) -> Mixture:
    """damage_S, se_S: float64 [subpopulations], at least one, none of them nan."""
    low, high = np.floor((damage_S.min() - 0.05) / STEP), np.ceil((damage_S.max() + 0.05) / STEP)
    grid_G = np.clip(np.arange(low, high + 1), round(-1 / STEP), round(1 / STEP)) * STEP
    grid_G = np.unique(grid_G)
    se_S = np.maximum(se_S, STEP / 2)  # a grid can tell no finer
    seen_SG = np.exp(-0.5 * ((damage_S[:, None] - grid_G) / se_S[:, None]) ** 2) + 1e-300
    flat_G = np.full((1, len(grid_G)), 1 / len(grid_G))
    weight_G = em(seen_SG, np.ones((1, len(damage_S))), flat_G, EM_STEPS)[0]
    posterior_SG = seen_SG * weight_G
    posterior_SG /= posterior_SG.sum(axis=1, keepdims=True)
    return Mixture(grid_G, weight_G, seen_SG, posterior_SG, np.sign(damage_S).astype(np.int8))


def em(seen_SG: np.ndarray, count_CS: np.ndarray, weight_CG: np.ndarray, steps: int) -> np.ndarray:
    """EM for the mixing weights of several samples at once: float64 [copies, points]. count_CS: how often each was drawn."""
    total = count_CS.sum(axis=1, keepdims=True)
    for _ in range(steps):
        weight_CG = weight_CG * ((count_CS / (weight_CG @ seen_SG.T)) @ seen_SG) / total
    return weight_CG


def _quantile(grid_G: np.ndarray, weight_CG: np.ndarray, share: float) -> list[float]:
    at_C = (weight_CG.cumsum(axis=1) < share - 1e-12).sum(axis=1)
    return [_rounded(grid_G[min(at, len(grid_G) - 1)]) for at in at_C]


def _middle(values_C: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values_C, [0.025, 0.975])
    return _rounded(low), _rounded(high)


def _rounded(value: float) -> float:
    """A share without the dust of weights that EM has all but given up."""
    return round(float(value), 6) + 0.0
