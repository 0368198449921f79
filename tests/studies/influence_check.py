"""Whether influence foretells retraining: predicted and true change of the attacker's loss for random groups of poison points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from engine.attacks import influence, softmax
from engine.attacks.softmax_regression import Regression, fit
from engine.seeds import generator


def changes(
    regression: Regression,
    candidates: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    sizes: Sequence[int],
    groups: int,
    seed: int,
    weight_decay: float,
    damping: float,
) -> tuple[np.ndarray, np.ndarray]:
    """(predicted, true) fall of the attacker's loss, float64 [subpopulations x sizes x groups], nats.

    candidates: (aux rows, poison labels) of each subpopulation; a group is so many of them, drawn with replacement. predicted: the sum
    of their scores. true: the attacker's loss before, less that after the layer was fitted anew, to convergence, on aux and the group.
    """
    scores, _ = influence.scores_of(regression, candidates)
    x, y = regression.features_NK, regression.labels_N
    predicted, true = [], []
    for s, ((rows, labels), score) in enumerate(zip(candidates, scores, strict=True)):
        own, wrong = x[torch.from_numpy(rows).to(x.device)], torch.from_numpy(labels).to(x.device)

        def attacker(theta_KO: torch.Tensor, own: torch.Tensor = own, wrong: torch.Tensor = wrong) -> float:
            return float(softmax.losses(own @ theta_KO, wrong).mean())

        before = attacker(regression.theta_KO)
        for size in sizes:
            for group in range(groups):
                picks = generator(seed, "influence groups", s, size, group).integers(0, len(rows), size)
                at = torch.from_numpy(picks).to(x.device)
                anew = fit(
                    torch.cat([x, own[at]]), torch.cat([y, wrong[at]]), regression.theta_KO, weight_decay=weight_decay, damping=damping
                )
                predicted.append(float(score[picks].sum()))
                true.append(before - attacker(anew.theta_KO))
    return np.array(predicted), np.array(true)
