"""Does the corrected interval cover? Simulated worlds of known damage, 2,000 of each kind, at 3, 5 and 10 trials.

    python -m tests.studies.simulate [--worlds 2000] [--kind adult] [--trials 3 5 10] [--seed 0]

Each world draws its subpopulations anew: how the clean and the poisoned victims' accuracies on one vary over trials (Beta, by mean and
standard deviation), how alike a row behaves from trial to trial, how many test rows. A trial's noise is partly common to subpopulations.
The truth of a world, for T trials and k, is the estimand of `worst.py`: the mean, over independent draws of past data (new trials, new test
rows; T - 1 trials, four fifths of the rows), of the true damage of the k that look worst in them. It is taken from PASTS draws.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.special import betaincinv, ndtr, ndtri

from engine import seeds
from engine.evaluation import worst
from engine.evaluation.folds import FOLDS

KS = (1, 5, 10)
PASTS = 60
STEPS = 256  # of the quantile tables of accuracies
SHARED = 0.1  # share of a trial's noise that subpopulations have in common, with random sign
PAIRED = 0.2  # correlation of a trial's clean and poisoned accuracy, measured on Adult

# Adult, ClusterMatch, alpha = 1, the paper's protocol: (test rows, clean mean, clean sd, poisoned mean, poisoned sd over 30 trials, share
# of the rows' variance that is the row's own), for every cluster of 11 to 400 auxiliary rows with at least 30 test rows.
ADULT = (
    (358, 0.977, 0.003, 0.883, 0.081, 0.54),
    (342, 0.809, 0.010, 0.801, 0.012, 0.84),
    (297, 0.770, 0.007, 0.777, 0.011, 0.78),
    (225, 0.776, 0.008, 0.752, 0.018, 0.85),
    (182, 0.730, 0.013, 0.725, 0.016, 0.74),
    (126, 0.973, 0.116, 0.539, 0.397, 0.18),
    (178, 0.784, 0.031, 0.703, 0.044, 0.70),
    (162, 0.653, 0.014, 0.655, 0.014, 0.84),
    (150, 0.815, 0.013, 0.792, 0.024, 0.77),
    (130, 0.749, 0.011, 0.738, 0.016, 0.83),
    (119, 0.966, 0.144, 0.573, 0.389, 0.18),
    (135, 1.000, 0.000, 0.462, 0.488, 0.03),
    (92, 0.955, 0.024, 0.817, 0.271, 0.08),
    (99, 0.957, 0.043, 0.651, 0.292, 0.37),
    (81, 0.930, 0.022, 0.682, 0.271, 0.26),
    (82, 0.759, 0.019, 0.749, 0.040, 0.73),
    (85, 1.000, 0.000, 0.300, 0.461, 0.01),
    (57, 0.549, 0.315, 0.487, 0.303, 0.16),
    (52, 0.490, 0.028, 0.481, 0.036, 0.74),
    (36, 1.000, 0.000, 0.859, 0.344, 0.02),
    (49, 0.920, 0.216, 0.772, 0.310, 0.22),
    (43, 0.692, 0.182, 0.619, 0.208, 0.32),
    (34, 0.899, 0.099, 0.803, 0.173, 0.42),
)


@dataclass(frozen=True)
class World:
    """n_S: test rows; clean_SQ, poisoned_SQ: quantiles of a trial's accuracy; own_S: latent correlation of a row's trials; sign_S: of the
    common noise; true_S: the damage expected over trials and rows."""

    n_S: np.ndarray
    clean_SQ: np.ndarray
    poisoned_SQ: np.ndarray
    own_S: np.ndarray
    sign_S: np.ndarray
    true_S: np.ndarray


def world_of(rows: np.ndarray, random: np.random.Generator) -> World:
    """A world of subpopulations given as rows of (test rows, clean mean, clean sd, poisoned mean, poisoned sd, the rows' own share)."""
    clean_SQ, poisoned_SQ = quantiles(rows[:, 1], rows[:, 2]), quantiles(rows[:, 3], rows[:, 4])
    true_S = clean_SQ.mean(axis=1) - poisoned_SQ.mean(axis=1)
    own_S = np.sin(np.pi / 2 * rows[:, 5])  # of two halves cut from normals with this correlation, the share that agrees
    return World(rows[:, 0].astype(int), clean_SQ, poisoned_SQ, own_S, random.choice([-1.0, 1.0], len(rows)), true_S)


def adult(random: np.random.Generator) -> World:
    """28 clusters drawn from Adult's, each a little moved."""
    rows = np.array(ADULT)[random.integers(0, len(ADULT), 28)]
    rows[:, 0] = np.maximum(30, rows[:, 0] * random.uniform(0.7, 1.3, 28))
    rows[:, 3] = np.clip(rows[:, 3] + random.normal(0, 0.03, 28), 0.02, 0.99)
    return world_of(rows, random)


def calm(random: np.random.Generator) -> World:
    """28 to 100 subpopulations of 30 to 130 test rows whose trials differ by 0.03 to 0.08: damages skewed, mean 0.05, none flips whole."""
    size = int(random.integers(28, 101))
    clean_S, damage_S = random.beta(12, 2, size), np.minimum(random.gamma(0.6, 0.08, size), 0.6)
    sd = random.uniform(0.03, 0.08)
    columns = [random.integers(30, 131, size), clean_S, np.full(size, sd / 2), np.maximum(clean_S - damage_S, 0.02)]
    return world_of(np.stack([*columns, np.full(size, sd), random.uniform(0.3, 0.9, size)], axis=1), random)


def null(random: np.random.Generator) -> World:
    """No damage at all: the poisoned arm is the clean one under another seed. Clusters as unsteady as Adult's clean ones."""
    rows = np.array(ADULT)[random.integers(0, len(ADULT), 28)]
    rows[:, 3:5] = rows[:, 1:3]
    return world_of(rows, random)


KINDS: dict[str, Callable[[np.random.Generator], World]] = {"adult": adult, "calm": calm, "null": null}


def quantiles(mean_S: np.ndarray, sd_S: np.ndarray) -> np.ndarray:
    """STEPS equally likely values of a Beta of this mean and sd: float64 [subpopulations, STEPS]; one value where sd is 0."""
    steps = (np.arange(STEPS) + 0.5) / STEPS
    room_S = mean_S * (1 - mean_S)
    steady_S = (sd_S == 0) | (room_S == 0)
    size_S = np.where(steady_S, 1.0, np.maximum(room_S / np.where(steady_S, 1.0, sd_S**2) - 1, 0.02))
    safe_S = np.where(steady_S, 0.5, mean_S)
    drawn_SQ = betaincinv((safe_S * size_S)[:, None], ((1 - safe_S) * size_S)[:, None], steps)
    return np.where(steady_S[:, None], mean_S[:, None], drawn_SQ)


def draw(world: World, trials: int, n_S: np.ndarray, copies: int, random: np.random.Generator) -> np.ndarray:
    """Data: int8 [copies, trials, rows], clean right - poisoned right, subpopulation by subpopulation (n_S rows of each)."""
    size, at_R = len(n_S), np.repeat(np.arange(len(n_S)), n_S)
    shape = (copies, trials)
    common = random.standard_normal((*shape, 2, 1)) * world.sign_S * sqrt(SHARED)
    own = random.standard_normal((*shape, 2, size)) * sqrt(1 - SHARED)
    clean_z, other_z = common[..., 0, :] + own[..., 0, :], common[..., 1, :] + own[..., 1, :]
    cut = [
        ndtri(accuracy)
        for accuracy in (
            _pick(world.clean_SQ, clean_z),
            _pick(world.poisoned_SQ, PAIRED * clean_z + sqrt(1 - PAIRED**2) * other_z),
        )
    ]
    row = random.standard_normal((copies, 1, len(at_R)), dtype=np.float32) * np.sqrt(world.own_S).astype(np.float32)[at_R]
    left = np.sqrt(1 - world.own_S).astype(np.float32)[at_R]
    right = [row + left * random.standard_normal((*shape, len(at_R)), dtype=np.float32) < c.astype(np.float32)[..., at_R] for c in cut]
    return right[0].astype(np.int8) - right[1].astype(np.int8)


def _pick(values_SQ: np.ndarray, z: np.ndarray) -> np.ndarray:
    place = np.minimum((ndtr(z) * STEPS).astype(int), STEPS - 1)
    return values_SQ[np.arange(len(values_SQ)), place]


def truths(world: World, trials: int, ks: Sequence[int], random: np.random.Generator) -> dict[int, float]:
    """What picks from such past data are truly worth, by k."""
    n_S = world.n_S - np.ceil(world.n_S / FOLDS).astype(int)
    lost = draw(world, trials - 1, n_S, PASTS, random).sum(axis=1, dtype=np.int64)
    running = np.concatenate([np.zeros((PASTS, 1), dtype=np.int64), lost.cumsum(axis=1)], axis=1)
    ends = np.concatenate([[0], n_S.cumsum()])
    damage_PS = np.diff(running[:, ends], axis=1) / n_S
    order_PS = np.argsort(-damage_PS, axis=1, kind="stable")
    return {k: float(world.true_S[order_PS[:, :k]].mean()) for k in ks}


@dataclass(frozen=True)
class Outcome:
    """One world, one k: the truth, the two estimates and the interval."""

    truth: float
    published: float
    corrected: float
    low: float
    high: float


def outcomes(world: World, trials: int, random: np.random.Generator, ks: Sequence[int] = KS) -> dict[int, Outcome]:
    """One data set of a world through the real estimators."""
    diff_TR = draw(world, trials, world.n_S, 1, random)[0]
    n_SF = (world.n_S[:, None] + FOLDS - 1 - np.arange(FOLDS)) // FOLDS
    scored = worst.choose(np.arange(len(world.n_S)), diff_TR, n_SF)
    limits, true = worst.intervals(scored, ks), truths(world, trials, ks, random)
    damage_S = scored.lost_TEF.sum(axis=(0, 2)) / (trials * world.n_S)
    everyone = np.ones(len(world.n_S), dtype=bool)
    found = {}
    for k in ks:
        published = worst.as_published(damage_S, everyone, k)[1]
        assert published is not None
        found[k] = Outcome(true[k], published, worst.corrected(scored, k), *limits[k])
    return found


@dataclass(frozen=True)
class Line:
    """One line of the coverage table. Fractions; bias and width are means over worlds; error: Monte-Carlo standard error of coverage."""

    kind: str
    trials: int
    k: int
    worlds: int
    coverage: float
    error: float
    width: float
    truth: float
    bias_corrected: float
    bias_published: float


def coverage(kind: str, trials: int, worlds: int, seed: int) -> list[Line]:
    """The coverage of one kind of world at so many trials, for each k."""
    seen: dict[int, list[Outcome]] = {k: [] for k in KS}
    for number in range(worlds):
        random = seeds.generator(seed, "simulated world", kind, trials, number)
        for k, outcome in outcomes(KINDS[kind](random), trials, random).items():
            seen[k].append(outcome)
    lines = []
    for k, found in seen.items():
        truth, published, corrected, low, high = np.array([[o.truth, o.published, o.corrected, o.low, o.high] for o in found]).T
        share = float(((low <= truth) & (truth <= high)).mean())
        error = sqrt(max(share * (1 - share), 0.25 / worlds) / worlds)
        biases = float((corrected - truth).mean()), float((published - truth).mean())
        lines.append(Line(kind, trials, k, worlds, share, error, float((high - low).mean()), float(truth.mean()), *biases))
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the coverage table."""
    parser = argparse.ArgumentParser(prog="python -m tests.studies.simulate", description="Coverage of the corrected worst-k interval.")
    parser.add_argument("--worlds", type=int, default=2000)
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--trials", type=int, nargs="+", default=[3, 5, 10])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    sys.stdout.write(
        "| world | trials | k | covers | ± | mean width | truth | bias corrected | bias as published |\n" + "| --- " * 9 + "|\n"
    )
    for kind in given.kind:
        for trials in given.trials:
            for line in coverage(kind, trials, given.worlds, given.seed):
                sys.stdout.write(
                    f"| {line.kind} | {line.trials} | {line.k} | {line.coverage:.3f} | {line.error:.3f} | {line.width:.3f} "
                    f"| {line.truth:.3f} | {line.bias_corrected:+.4f} | {line.bias_published:+.4f} |\n"
                )
                sys.stdout.flush()


if __name__ == "__main__":
    main()
