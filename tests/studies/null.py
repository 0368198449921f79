"""A real null: clean victims against clean victims under another batch order. The vulnerable list must be empty.

    uv run python -m tests.studies.null [--trials 5] [--draws 200]

Every "poisoned" victim of adult-clustermatch is a clean one with the trial's initial weights and a batch order of its own. So which of a
trial's victims is the clean one and which is aimed at what is a name alone: names are dealt anew in each draw, and in few draws may
anything be called. Both tests are told of: the one in use, and the moderated t that it falls back to.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from engine.evaluation.damage import damages
from engine.evaluation.layout import Layout
from engine.evaluation.vulnerable import LEAST_TRIALS, Q
from engine.pipeline import order as pipeline
from engine.rows import VictimResult, VictimSpec
from engine.tables.figures import Figures
from engine.training.dense import train_stacked
from engine.training.recipe import Job
from engine.training.trial import Trial
from engine.victims.choose import victims_of
from engine.victims.dense import predict
from engine.victims.family import training_of
from tests.studies.common import discovered, records, tables_of, world_of


def dealt(results: Sequence[VictimResult], random: np.random.Generator) -> list[VictimResult]:
    """The same models, who was clean and who was aimed at what dealt anew within each trial."""
    found = []
    for trial in sorted({result.spec.trial for result in results}):
        own = [result for result in results if result.spec.trial == trial]
        for result, other in zip(own, random.permutation(len(own)).tolist(), strict=True):
            found.append(replace(result, predictions=own[other].predictions))
    return found


def called(layout: Layout) -> int:
    return int(np.nansum(damages(layout).q_AS <= Q))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--draws", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    given, found = discovered("adult-clustermatch", "attack.alphas=[1]", f"evaluation.trials={options.trials}")
    cpu, clean = torch.device("cpu"), Job(np.empty(0, np.int64), np.empty(0, np.int64))
    victims, data = victims_of(given.model, found.dataset, given.seed), training_of(found.dataset)
    model, recipe = victims.model, victims.recipe
    per_trial = len(pipeline.victims_of_trial(given, found.subpopulations, 0, 0))

    def victim(spec: VictimSpec) -> VictimResult:
        init = victims.initial(given.seed, spec.trial, torch.float32)
        order = given.seed if spec.arm == "clean" else 10_000 + spec.index  # the seed of its batch order
        [fit] = train_stacked(lambda p: model.stack(p, cpu, torch.float32), [init], data, [clean], recipe, Trial(order, spec.trial))
        [predicted] = predict(model, [fit.params], found.dataset.test.x, cpu, torch.float32)
        return VictimResult(spec, predicted, 0, 0, fit.epochs, fit.train_loss)

    specs = [s for trial in range(options.trials) for s in pipeline.victims_of_trial(given, found.subpopulations, trial, trial * per_trial)]
    results = [victim(spec) for spec in specs]
    damage = records(tables_of(given, found, results)["damage"])
    vulnerable = [row["subpopulation"] for row in damage if row["vulnerable"]]
    print(f"{len(damage)} subpopulations, {options.trials} trials, mean damage {np.mean([row['damage'] for row in damage]):+.4f}")
    told = f", smallest q {min(row['q'] for row in damage):.3f}" if options.trials >= LEAST_TRIALS else ""
    print(f"largest damage {max(row['damage'] for row in damage):.4f}{told}, p from {sorted({str(row['p_from']) for row in damage})}")
    print(f"vulnerable: {vulnerable}")
    random, by_t, in_use = np.random.default_rng(0), [], []
    for _ in range(options.draws):
        layout = Figures(world_of(given, found, dealt(results, random))).layout
        in_use.append(called(layout))
        by_t.append(called(replace(layout, crossed=None)))
    for test, each in (("in use", in_use), ("moderated t", by_t)):
        print(f"{options.draws} draws, {test}: any called in {np.mean(np.array(each) > 0):.3f} of them, {np.mean(each):.3f} called a draw")


if __name__ == "__main__":
    main()
