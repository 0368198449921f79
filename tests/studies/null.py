"""A real null: clean victims against clean victims under another batch order. The vulnerable list must be empty.

    uv run python -m tests.studies.null [--trials 5]

Every "poisoned" victim of adult-clustermatch is a clean one with the trial's initial weights and a batch order of its own.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from engine.pipeline import order as pipeline
from engine.rows import VictimResult, VictimSpec
from engine.training.dense import train_stacked
from engine.training.recipe import Job
from engine.victims import family as victims
from tests.studies.common import discovered, records, tables_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    given, found = discovered("adult-clustermatch", "attack.alphas=[1]", f"evaluation.trials={options.trials}")
    cpu, clean = torch.device("cpu"), Job(np.empty(0, np.int64), np.empty(0, np.int64))
    model, data = victims.model_of(given.model, found.dataset), victims.training_of(found.dataset)
    recipe = victims.recipe(given.model)
    per_trial = len(pipeline.victims_of_trial(given, found.subpopulations, 0, 0))

    def victim(spec: VictimSpec) -> VictimResult:
        init = victims.initial(model, given.seed, spec.trial, torch.float32)
        order = given.seed if spec.arm == "clean" else 10_000 + spec.index  # the seed of its batch order
        [fit] = train_stacked(lambda p: model.stack(p, cpu, torch.float32), [init], data, [clean], recipe, seed=order, trial=spec.trial)
        [predicted] = victims.predict(model, [fit.params], found.dataset.test.x, cpu, torch.float32)
        return VictimResult(spec, predicted, 0, 0, fit.epochs, fit.train_loss)

    specs = [s for trial in range(options.trials) for s in pipeline.victims_of_trial(given, found.subpopulations, trial, trial * per_trial)]
    damage = records(tables_of(given, found, [victim(spec) for spec in specs])["damage"])
    vulnerable = [row["subpopulation"] for row in damage if row["vulnerable"]]
    print(f"{len(damage)} subpopulations, {options.trials} trials, mean damage {np.mean([row['damage'] for row in damage]):+.4f}")
    print(f"largest damage {max(row['damage'] for row in damage):.4f}, smallest q {min(row['q'] for row in damage):.3f}")
    print(f"vulnerable: {vulnerable}")


if __name__ == "__main__":
    main()
