"""Do the intervals hold? Simulated populations of known damage (`populations.py`), each cell of 400 through the engine's own estimators.

    uv run python -m tests.studies.coverage [--populations 400] [--kind flips shared] [--trials 3 5 10] [--seed 0]

Three tables, nominal 95 %:

- the corrected worst k: how often its interval holds the truth, its mean width, and the oracle's: twice the 95th percentile of the
  estimates' distance from the truth, the shortest interval of that coverage centred on the estimator;
- a subpopulation's damage: the same, and of the five that look worst (chosen by looking: it may not hold there, and is told);
- the prediction interval: how often another run of as many trials (or of --others-trials) is published below it and above it (want .025
  each). Another run of other subpopulations drawn alike, which the interval is for (every interval against every such run of the cell),
  and one of the same subpopulations.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine import seeds
from engine.evaluation import prediction, worst
from engine.evaluation.damage import damages
from tests.studies.populations import KINDS, layout_of

KS = (1, 5, 10)
LOOKED = 5
AGAIN = 20  # further runs of the same subpopulations


@dataclass(frozen=True)
class Seen:
    """One population through the estimators, float64.

    [ks]: truth_K, corrected_K and its interval low_K, high_K, and the prediction interval's ends below_K, above_K
    [ks]: other_K, published by another run, drawn alike, over the others' trials
    [ks, runs]: again_KM, published by others of the same subpopulations
    [subpopulations]: damage_S, its interval least_S, most_S, and true_S
    """

    truth_K: np.ndarray
    corrected_K: np.ndarray
    low_K: np.ndarray
    high_K: np.ndarray
    below_K: np.ndarray
    above_K: np.ndarray
    other_K: np.ndarray
    again_KM: np.ndarray
    damage_S: np.ndarray
    true_S: np.ndarray
    least_S: np.ndarray
    most_S: np.ndarray


def seen(kind: str, trials: int, seed: int, number: int, others_trials: int) -> Seen:
    random = seeds.generator(seed, "simulated population", kind, trials, number)
    population = KINDS[kind](random)
    n_SF, everyone = population.folds(), np.ones(len(population.n_S), dtype=bool)
    diff_TR, truth = population.draw(trials, random), population.truths(trials, KS, random)
    layout = layout_of(diff_TR, n_SF)
    found = damages(layout)
    damage_S = found.damage_AS[0]
    rows = worst.worst_of(layout, 0, damage_S, everyone, everyone, KS)
    others = prediction.replications(layout, 0, prediction.members_of(damage_S, found.se_AS[0], everyone), others_trials)
    predicted = [others.worst(k) for k in KS]

    again_MS = -np.sort(-population.damages(others_trials, population.n_S, AGAIN, random), axis=1)
    other = KINDS[kind](random)
    other_S = -np.sort(-other.damages(others_trials, other.n_S, 1, random)[0])

    def of(values: Sequence[float | None]) -> np.ndarray:
        return np.array(values, dtype=float)

    return Seen(
        truth_K=of([truth[k] for k in KS]),
        corrected_K=of([row.corrected for row in rows]),
        low_K=of([row.low for row in rows]),
        high_K=of([row.high for row in rows]),
        below_K=of([each.low for each in predicted]),
        above_K=of([each.high for each in predicted]),
        other_K=of([other_S[:k].mean() for k in KS]),
        again_KM=np.array([again_MS[:, :k].mean(axis=1) for k in KS]),
        damage_S=damage_S,
        true_S=population.true_S,
        least_S=found.low_AS[0],
        most_S=found.high_AS[0],
    )


def cell(kind: str, trials: int, populations: int, seed: int, others_trials: int | None = None) -> list[Seen]:
    """others_trials: of the runs that the prediction interval is held against; as many as each has where not given."""
    return [seen(kind, trials, seed, number, others_trials or trials) for number in range(populations)]


def stacked(found: Sequence[Seen], name: str) -> np.ndarray:
    return np.stack([getattr(each, name) for each in found])


@dataclass(frozen=True)
class Held:
    """coverage, width: mean of the intervals; oracle: width of the shortest of nominal coverage."""

    coverage: float
    width: float
    oracle: float


def held(truth: np.ndarray, estimate: np.ndarray, low: np.ndarray, high: np.ndarray) -> Held:
    inside = (low <= truth) & (truth <= high)
    return Held(float(inside.mean()), float((high - low).mean()), 2 * float(np.quantile(np.abs(estimate - truth), worst.interval.LEVEL)))


def held_worst(found: Sequence[Seen]) -> list[Held]:
    """By k."""
    parts = [stacked(found, name) for name in ("truth_K", "corrected_K", "low_K", "high_K")]
    return [held(*(part[:, i] for part in parts)) for i in range(len(KS))]


def held_damage(found: Sequence[Seen]) -> tuple[Held, Held]:
    """Of all, and of those that look worst."""
    parts = [stacked(found, name) for name in ("true_S", "damage_S", "least_S", "most_S")]
    order = np.argsort(-parts[1], axis=1)[:, :LOOKED]
    return held(*parts), held(*(np.take_along_axis(part, order, axis=1) for part in parts))


@dataclass(frozen=True)
class Missed:
    """How often another run lies below and above the prediction interval: drawn alike, and of the same subpopulations."""

    below: float
    above: float
    below_again: float
    above_again: float
    width: float


def missed(found: Sequence[Seen]) -> list[Missed]:
    """By k."""
    other_KP, below_KP, above_KP = (stacked(found, name).T for name in ("other_K", "below_K", "above_K"))
    again_KPM = stacked(found, "again_KM").transpose(1, 0, 2)
    return [
        Missed(
            below=float((other[None] < low[:, None]).mean()),
            above=float((other[None] > high[:, None]).mean()),
            below_again=float((again < low[:, None]).mean()),
            above_again=float((again > high[:, None]).mean()),
            width=float((high - low).mean()),
        )
        for other, again, low, high in zip(other_KP, again_KPM, below_KP, above_KP, strict=True)
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--populations", type=int, default=400)
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--trials", type=int, nargs="+", default=[3, 5, 10])
    parser.add_argument("--others-trials", type=int, help="of the runs that prediction intervals are held against; as many where not given")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    cells = {
        (kind, trials): cell(kind, trials, given.populations, given.seed, given.others_trials)
        for kind in given.kind
        for trials in given.trials
    }
    out = sys.stdout.write
    out("Corrected worst k\n| population | trials |" + "".join(f" k {k}: covers | width | over oracle's |" for k in KS) + "\n")
    for (kind, trials), found in cells.items():
        told = "".join(f" {h.coverage:.3f} | {h.width:.3f} | {h.width / h.oracle:.2f} |" for h in held_worst(found))
        out(f"| {kind} | {trials} |{told}\n")
    out(f"\nDamage of a subpopulation\n| population | trials | covers | width | over oracle's | worst {LOOKED}: covers | width |\n")
    for (kind, trials), found in cells.items():
        every, looked = held_damage(found)
        out(f"| {kind} | {trials} | {every.coverage:.3f} | {every.width:.3f} | {every.width / every.oracle:.2f} ")
        out(f"| {looked.coverage:.3f} | {looked.width:.3f} |\n")
    out("\nPrediction interval: another run is (in brackets: another of the same subpopulations)\n| population | trials |")
    out("".join(f" k {k}: below | above | width |" for k in KS) + "\n")
    for (kind, trials), found in cells.items():
        told = "".join(
            f" {m.below:.3f} ({m.below_again:.3f}) | {m.above:.3f} ({m.above_again:.3f}) | {m.width:.3f} |" for m in missed(found)
        )
        out(f"| {kind} | {trials} |{told}\n")


if __name__ == "__main__":
    main()
