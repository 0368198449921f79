"""How many test rows should a subpopulation have for a corrected worst k to pick it? Simulated populations of Adult's sizes.

    uv run python -m tests.studies.eligible [--populations 400] [--kind small flips_small] [--trials 3 5 10] [--least 5 8 10 15 20 30]

Question is the expected damage of an adversary who may pick among **all** attacked subpopulations that can be scored (five test rows, one a
fold), for that is who the owner must fear. For every least number of test rows:

- the root mean squared error of the corrected value against that, and its bias: leaving out the small ones is a bias, letting them in adds
  their noise;
- how often its interval holds it, and how often it holds what it claims (the expected damage among its own eligible ones);
- its mean width, and how many of how many are eligible.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from engine import seeds
from engine.evaluation import worst
from engine.evaluation.damage import damages
from engine.evaluation.folds import FOLDS
from tests.studies.populations import Population, layout_of, plain, skewed

KS = (1, 5, 10)
LEAST = (5, 8, 10, 15, 20, 30)
# test rows of the attacked subpopulations of adult-clustermatch, seed 0
ADULT = (7, 7, 8, 8, 9, 10, 10, 12, 12, 13, 15, 17, 17, 21, 23, 25, 26, 27, 34, 36, 43, 49, 52, 57, 81, 82, 85, 92, 99)


def sizes(random: np.random.Generator) -> np.ndarray:
    """Test rows of 28 subpopulations, drawn from Adult's, each a little moved: int64, at least five."""
    return np.maximum(np.array(ADULT)[random.integers(0, len(ADULT), 28)] * random.uniform(0.8, 1.25, 28), FOLDS).astype(np.int64)


def small(random: np.random.Generator) -> Population:
    """Damages as attacks have them, whatever the size."""
    n_S = sizes(random)
    return plain(random, len(n_S), n_S=n_S, damage_S=skewed(random, len(n_S)), common=0.02)


def small_suffer(random: np.random.Generator) -> Population:
    """The fewer rows the more damage: leaving out the small ones leaves out the worst."""
    n_S = sizes(random)
    return plain(random, len(n_S), n_S=n_S, damage_S=np.minimum(skewed(random, len(n_S)) * (40 / n_S) ** 0.5, 0.6), common=0.02)


def flips_small(random: np.random.Generator) -> Population:
    """A third lose the whole cell in some trials; sizes as Adult's."""
    n_S = sizes(random)
    size = len(n_S)
    often = np.where(random.random(size) < 0.35, random.beta(0.6, 1.4, size), 0.0)
    cell = often > 0
    return plain(
        random,
        size,
        n_S=n_S,
        own_S=np.where(cell, random.uniform(0.02, 0.3, size), random.uniform(0.5, 0.85, size)),
        clean_S=np.where(cell, random.uniform(0.92, 1.0, size), random.uniform(0.72, 0.9, size)),
        flip_S=often,
        left_S=random.uniform(0.0, 0.25, size),
        tail=3,
    )


def nothing(random: np.random.Generator) -> Population:
    """No damage: whatever a corrected value is away from 0 is luck that it let through."""
    n_S = sizes(random)
    return plain(random, len(n_S), n_S=n_S, common=0.01)


KINDS: dict[str, Callable[[np.random.Generator], Population]] = {
    "small": small,
    "small_suffer": small_suffer,
    "flips_small": flips_small,
    "nothing": nothing,
}


@dataclass(frozen=True)
class Seen:
    """Float64 [ks] of one population and one least number of rows; eligible: how many."""

    everyone_K: np.ndarray
    own_K: np.ndarray
    corrected_K: np.ndarray
    low_K: np.ndarray
    high_K: np.ndarray
    eligible: int


def seen(kind: str, trials: int, seed: int, number: int, least: Sequence[int]) -> dict[int, Seen]:
    random = seeds.generator(seed, "small subpopulations", kind, trials, number)
    population = KINDS[kind](random)
    layout = layout_of(population.draw(trials, random), population.folds())
    damage_S, everyone = damages(layout).damage_AS[0], population.n_S >= FOLDS
    past_PS = population.damages(trials - 1, population.n_S - -(-population.n_S // FOLDS), 200, random)

    def truth(among_S: np.ndarray) -> np.ndarray:
        order_PS = np.argsort(-np.where(among_S, past_PS, -np.inf), axis=1, kind="stable")
        return np.array([population.true_S[order_PS[:, : min(k, int(among_S.sum()))]].mean() for k in KS])

    found = {}
    for rows in least:
        enough_S = population.n_S >= rows
        if not enough_S.any():
            continue
        each = worst.worst_of(layout, 0, damage_S, everyone, enough_S, KS)
        values = [np.array([getattr(row, name) for row in each], dtype=float) for name in ("corrected", "low", "high")]
        found[rows] = Seen(truth(everyone), truth(enough_S), *values, int(enough_S.sum()))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--populations", type=int, default=400)
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--trials", type=int, nargs="+", default=[3, 5, 10])
    parser.add_argument("--least", type=int, nargs="+", default=list(LEAST))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    head = "".join(f" k {k}: error | bias | covers all | covers own | width |" for k in KS)
    sys.stdout.write(f"| population | trials | rows | eligible |{head}\n" + "| --- " * (4 + 5 * len(KS)) + "|\n")
    for kind in given.kind:
        for trials in given.trials:
            runs = [seen(kind, trials, given.seed, number, given.least) for number in range(given.populations)]
            for rows in given.least:
                of = [run[rows] for run in runs if rows in run]
                every, own, value, low, high = (
                    np.stack([getattr(each, name) for each in of]) for name in ("everyone_K", "own_K", "corrected_K", "low_K", "high_K")
                )
                told = "".join(
                    f" {np.sqrt(((value - every)[:, i] ** 2).mean()):.4f} | {(value - every)[:, i].mean():+.4f} "
                    f"| {((low <= every) & (every <= high))[:, i].mean():.3f} | {((low <= own) & (own <= high))[:, i].mean():.3f} "
                    f"| {(high - low)[:, i].mean():.3f} |"
                    for i in range(len(KS))
                )
                sys.stdout.write(f"| {kind} | {trials} | {rows} | {np.mean([each.eligible for each in of]):.1f} |{told}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
