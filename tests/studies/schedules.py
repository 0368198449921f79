"""Does sharing clean batches move the mean damage? The authors' shuffle of train and poison (`union`) against ours, real Adult.

    uv run python -m tests.studies.schedules [--subpopulations 30] [--trials 12] [--alpha 1] [--seed 0]

Prints the mean damage under each schedule and the interval of their difference, over trials. About eight minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import replace

import numpy as np
import torch
from joblib import Parallel, delayed
from scipy import stats

from engine.pipeline import order as pipeline
from engine.pipeline.discovery import Discovery
from engine.rows import VictimResult
from engine.scenario.sections import Scenario
from engine.victims import family as victims
from tests.studies.common import discovered, only
from tests.studies.union import train_union

LEAST_TEST_ROWS = 25  # 30 of the tuples have as many


def union_predictions(given: Scenario, found: Discovery, specs: list) -> np.ndarray:
    """uint8 [victims, test rows], trained one by one under the authors' schedule."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # rows come as memory maps, and are only read
    model, data = victims.model_of(given.model, found.dataset), victims.training_of(found.dataset)
    recipe, params = victims.recipe(given.model), []
    for spec in specs:
        job = victims.job_of(pipeline.poison_of(given, found, spec))
        init = victims.initial(model, given.seed, spec.trial, torch.float32)
        params.append(train_union(model, init, data, job, recipe, seed=given.seed, trial=spec.trial).params)
    return victims.predict(model, params, found.dataset.test.x, torch.device("cpu"), torch.float32)


def mean_damage(found: Discovery, results: list[VictimResult]) -> float:
    """Over the subpopulations of one trial, clean minus poisoned accuracy on their test rows."""
    y, member = found.dataset.test.y, found.membership.test
    clean = next(r for r in results if r.spec.arm == "clean").predictions == y
    damages = []
    for result in results:
        if result.spec.subpopulation is not None:
            rows = member == result.spec.subpopulation
            damages.append(clean[rows].mean() - (result.predictions == y)[rows].mean())
    return float(np.mean(damages))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subpopulations", type=int, default=30)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    given, found = discovered(
        "adult-featurematch",
        f"attack.alphas=[{options.alpha}]",
        f"evaluation.trials={options.trials}",
        f"seed={options.seed}",
        "subpopulations.max_size=100000",
    )
    found = only(found, options.subpopulations, LEAST_TEST_ROWS)
    plan = pipeline.plan(given, found, "cpu", log=lambda line: None)
    shared, union = [], []
    for trial in range(options.trials):
        specs = [spec for stack in plan if stack.trial == trial for spec in stack.victims]
        ours = [r for stack in plan if stack.trial == trial for r in pipeline.train_stack(given, found, stack, "cpu")]
        halves = Parallel(n_jobs=2)(delayed(union_predictions)(given, found, specs[part::2]) for part in (0, 1))
        theirs = list(ours)
        for part, half in enumerate(halves):
            theirs[part::2] = [replace(r, predictions=p) for r, p in zip(ours[part::2], half, strict=True)]
        shared.append(mean_damage(found, ours))
        union.append(mean_damage(found, theirs))
        print(f"trial {trial}: {len(specs) - 1} subpopulations, mean damage shared {shared[-1]:.4f}, union {union[-1]:.4f}", flush=True)
    difference = np.subtract(shared, union)
    half = stats.t.ppf(0.975, options.trials - 1) * difference.std(ddof=1) / options.trials**0.5
    print(f"alpha {options.alpha:g}: shared {np.mean(shared):.4f}, union {np.mean(union):.4f}")
    print(f"difference {difference.mean():+.4f} (95 % interval {difference.mean() - half:+.4f} to {difference.mean() + half:+.4f})")


if __name__ == "__main__":
    main()
