"""Whether influence foretells retraining on a preset's own rows, and how long it takes.

    uv run python -m tests.studies.influence [adult-clustermatch] [--subpopulations 8] [--groups 5] [--set model.epochs=5]...

The last layer is fitted anew, to convergence, with random groups of poison points added; the fall of the attacker's loss is set beside
the sum of their scores (Koh and Liang 2017, figure 2). On Adult, 96 groups of 5 to 96 points in six subpopulations: Spearman 0.999, and the
true fall is 0.11 of what is predicted, for the loss of whole groups saturates: scores rank groups, they do not measure them.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from engine.attacks import influence, label_flip
from engine.evaluation.confidence import spearman
from engine.pipeline.adversary import Adversary
from engine.rows import Dataset
from engine.scenario.sections import InfluenceSection, Scenario
from engine.system.processes import cores
from engine.victims.choose import see, victims_of
from tests.studies.common import discovered, quiet
from tests.studies.influence_check import changes
from tests.worlds.attacks import prepare

SHARES = (0.1, 0.25, 0.5, 1.0)  # of the subpopulation's aux rows


def adversary_of(given: Scenario, dataset: Dataset) -> tuple[Dataset, Adversary]:
    """The rows as the adversary's model reads them, and that model, trained again."""
    section = given.adversary.model or given.model
    seen = dataset if section == given.model else see(section, dataset, given.seed, report=quiet)
    return seen, Adversary(victims_of(section, seen, given.seed), given, torch.device("cpu"), quiet, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", nargs="?", default="adult-clustermatch")
    parser.add_argument("--subpopulations", type=int, default=8)
    parser.add_argument("--groups", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    options = parser.parse_args()
    given, found = discovered(options.preset, *options.overrides)
    seen, adversary = adversary_of(given, found.dataset)
    attack = InfluenceSection(alphas=given.attack.alphas, target_label=given.attack.target_label, per=given.attack.per)
    proba = found.arrays.proba_aux_AC
    began = time.perf_counter()
    prepared = prepare(attack, found.subpopulations, seen, found.membership, adversary, seed=given.seed, trials=range(1), proba_aux=proba)
    norm, steps, residual = prepared["influence.check"]
    print(f"{len(seen.aux)} rows, width {adversary.hidden_aux.shape[1]}: {time.perf_counter() - began:.1f} s")
    print(f"gradient norm {norm:.1e} after {steps:.0f} Newton steps, residual of the solution {residual:.1e}")
    torch.set_num_threads(cores())
    regression = influence.fitted(adversary, seen.aux.y, attack.damping)
    chosen = [s for s in found.subpopulations if s.attacked][: options.subpopulations]
    everything: list[tuple[np.ndarray, np.ndarray]] = []
    for s in chosen:
        rows = np.flatnonzero(found.membership.aux == s.index)
        candidates = [(rows, label_flip.labels(s, seen, rows, proba))]
        sizes = sorted({max(1, int(share * len(rows))) for share in SHARES})
        predicted, true = changes(
            regression,
            candidates,
            sizes=sizes,
            groups=options.groups,
            seed=s.index,
            weight_decay=adversary.weight_decay,
            damping=attack.damping,
        )
        everything.append((predicted, true))
        print(f"subpopulation {s.index}, {len(rows)} rows, groups of {sizes}: Spearman {spearman(predicted.tolist(), true.tolist()):.3f}")
    predicted, true = (np.concatenate(side) for side in zip(*everything, strict=True))
    slope = float((predicted * true).sum() / (predicted**2).sum())
    print(f"{len(predicted)} groups: Spearman {spearman(predicted.tolist(), true.tolist()):.3f}, true = {slope:.2f} predicted")


if __name__ == "__main__":
    main()
