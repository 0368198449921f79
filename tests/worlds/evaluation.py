"""A 120-row world of seven subpopulations for tests of numbers: every prediction by a seeded draw, one subpopulation badly broken."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from engine import paper
from engine.arrays import DiscoveryArrays, Foretold
from engine.rows import Membership, Subpopulation, VictimResult, VictimSpec
from engine.tables.world import Facts

CLASSES = ("<=50K", ">50K", "n/a")
ROWS, SUBPOPULATIONS = 120, 7


@dataclass(frozen=True)
class Discovered:
    subpopulations: tuple[Subpopulation, ...]
    membership: Membership
    y_test: np.ndarray
    classes: tuple[str, ...]
    arrays: DiscoveryArrays = field(default_factory=DiscoveryArrays)


FACTS = Facts(
    seed=3,
    alphas=(0.5, 1.0),
    controls=("off_target", "true_label"),
    min_test_rows=8,
    min_size=10,
    max_size=60,
    reproduces="Table 4, UCI Adult",
    system=paper.SYSTEMS["UCI Adult"],
)


def discovered(seed: int = 0) -> Discovered:
    """Seven subpopulations, of which the last but one has few test rows and the last is not attacked; some rows are in none."""
    random = np.random.default_rng(seed)
    test = random.choice([-1, 0, 1, 2, 3, 4, 6], ROWS, p=[0.1, 0.1, 0.15, 0.15, 0.2, 0.2, 0.1]).astype(np.int32)
    test[:5] = 5
    y_test = random.integers(0, 3, ROWS)
    found = tuple(
        Subpopulation(
            index=s,
            description=f"group {s}" if s else "=cmd | 50 % <b> & more",
            train_rows=20 + s,
            aux_rows=9 + 11 * s,
            test_rows=int((test == s).sum()),
            class_mix={"<=50K": 0.75, ">50K": 0.25},
            confidence=0.5 + s / 20,
            confidence_in_sample=0.6 + s / 20,
            clean_accuracy=0.8,
            target_label=">50K" if s % 3 else None,
            attacked=s != 6,
            reason="" if s != 6 else "too large",
        )
        for s in range(SUBPOPULATIONS)
    )
    return Discovered(found, Membership(test, test, test), y_test, CLASSES)


def foretold(found: Discovered, seed: int = 7) -> Discovered:
    """The same with what clean models might have foretold: subpopulation 3 the worst, of 5 nothing on test rows, of the last nothing."""
    random = np.random.default_rng(seed)
    aux = np.round(random.uniform(-0.05, 0.4, (2, SUBPOPULATIONS)), 3)
    aux[:, 3], aux[:, 6] = 0.7, np.nan
    test = aux + 0.05
    test[:, 5] = np.nan
    marked = tuple(replace(s, predicted=None if np.isnan(aux[1, s.index]) else float(aux[1, s.index])) for s in found.subpopulations)
    arrays = replace(found.arrays, foretold=Foretold(np.array(FACTS.alphas), aux, test))
    return replace(found, subpopulations=marked, arrays=arrays)


def victims(found: Discovered, trials: int = 3, seed: int = 1) -> list[VictimResult]:
    """Every victim of the plan: clean, poisoned and true-label; subpopulation 3 loses most of its rows."""
    random = np.random.default_rng(seed)
    results: list[VictimResult] = []

    def add(spec: VictimSpec, right: np.ndarray, points: int) -> None:
        wrong = (found.y_test + random.integers(1, 3, ROWS)) % 3
        predictions = np.where(right, found.y_test, wrong).astype(np.uint8)
        results.append(VictimResult(replace(spec, index=len(results)), predictions, points, points // 4, 10, 0.25 + trial / 8))

    for trial in range(trials):
        clean = random.random(ROWS) < 0.85
        add(VictimSpec(0, trial, "clean"), clean, 0)
        for alpha in FACTS.alphas:
            for s in range(6):
                moved = random.random(ROWS) < 0.05
                broken = (found.membership.test == s) & (random.random(ROWS) < (0.8 if s == 3 else 0.1) * alpha)
                points = int(alpha * found.subpopulations[s].aux_rows)
                add(VictimSpec(0, trial, "poisoned", s, alpha), (clean ^ moved) & ~broken, points)
                add(VictimSpec(0, trial, "true_label", s, alpha), clean ^ (random.random(ROWS) < 0.03), points)
    return results
