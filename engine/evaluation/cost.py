"""What a defence costs where there is no poison: clean accuracy on each subpopulation and on everyone else, paired within a trial."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.evaluation.counts import Counts
from engine.evaluation.damage import ratio
from engine.rows import Arm


@dataclass(frozen=True)
class Cost:
    """Accuracy of the clean victims minus that of such victims on the same clean rows, mean over trials with both: float64, nan where none.

    target_S      on each subpopulation's test rows;  elsewhere_S: on all other test rows
    everyone_T    on all test rows, trial by trial
    """

    target_S: np.ndarray
    elsewhere_S: np.ndarray
    everyone_T: np.ndarray


def cost(counts: Counts, arm: Arm) -> Cost:
    """arm: of the victims that were trained on what was left of the clean ones' rows."""
    victims = counts.in_order()
    clean = {v.spec.trial: v for v in reversed(victims) if v.spec.arm == "clean"}
    left = {v.spec.trial: v for v in reversed(victims) if v.spec.arm == arm and v.spec.subpopulation is None}
    trials = sorted(clean.keys() & left.keys())
    S = counts.subpopulations
    lost_TS = np.array([clean[t].right_S - left[t].right_S for t in trials], np.int64).reshape(len(trials), S + 1)
    n_S, everyone_T = counts.total_SF.sum(axis=1), lost_TS.sum(axis=1)
    lost_S = lost_TS.sum(axis=0)
    return Cost(
        target_S=ratio(lost_S[:S], len(trials) * n_S[:S]),
        elsewhere_S=ratio(lost_S.sum() - lost_S[:S], len(trials) * (n_S.sum() - n_S[:S])),
        everyone_T=ratio(everyone_T, np.full(len(trials), n_S.sum())),
    )
