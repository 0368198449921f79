"""Poison points chosen by damped influence functions on the last layer (Koh and Liang 2017): those that most lower the attacker's loss.

The adversary's last layer is fitted to convergence on its own hidden features (`softmax_regression.py`). Adding a point z with weight 1/n
to the n auxiliary rows moves the weights by -H^-1 grad_z / n to first order, H being the Hessian of the mean training loss with its weight
decay and damping on the diagonal. So the attacker's loss, the mean cross-entropy of the subpopulation's points with their poison labels,
falls by

    score(z) = grad_attacker^T H^-1 grad_z / n        nats

Candidates are the subpopulation's own rows with their poison labels, those that bear it already among them. A victim's poison is the best
of them, again from the best when there are more points than rows: the same in every trial, a smaller alpha's the first of a larger one's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from engine.arrays import Influence, Prepared
from engine.attacks import label_flip, softmax
from engine.attacks.draw import no_rows
from engine.attacks.model import AdversaryModel, Check, Progress
from engine.attacks.softmax_regression import Regression, fit
from engine.errors import BadData
from engine.milestones import NOTHING_KEPT, Milestones
from engine.rows import Dataset, Membership, Subpopulation
from engine.scenario.sections import InfluenceSection
from engine.system.threads import all_cores

PHASE = "influence of every candidate"


def prepare(
    attack: InfluenceSection,
    subpopulations: Sequence[Subpopulation],
    dataset: Dataset,
    membership: Membership,
    adversary: AdversaryModel,
    *,
    seed: int,
    trials: Sequence[int],
    proba_aux: np.ndarray | None,
    progress: Progress,
    check: Check,
    milestones: Milestones,
) -> Influence:
    """The score of every candidate; nan where the row's subpopulation is not attacked."""
    progress(PHASE, 0.0)
    with all_cores(adversary.params[0].device):

        def report(steps: int, norm: float) -> None:
            check()
            progress(f"{PHASE}, the last layer's fit, step {steps}, gradient {norm:.1g}", 0.0)

        regression = fitted(adversary, dataset.aux.y, attack.damping, report, milestones)
        members = [(s, np.flatnonzero(membership.aux == s.index)) for s in subpopulations if s.attacked]
        progress(f"{PHASE}, of {len(members)} subpopulations", 0.4)
        candidates = [(rows, label_flip.labels(s, dataset, rows, proba_aux)) for s, rows in members if len(rows)]
        scores, residual = scores_of(regression, candidates, milestones, check)
        check()
        progress(PHASE, 1.0)
    score_A = np.full(len(dataset.aux), np.nan)
    for (rows, _), score in zip(candidates, scores, strict=True):
        score_A[rows] = score
    return Influence(score_A, np.array([regression.gradient_norm, regression.steps, residual]))


def fitted(
    adversary: AdversaryModel,
    y_aux: np.ndarray,
    damping: float,
    report: Callable[[int, float], None] = lambda steps, norm: None,
    milestones: Milestones = NOTHING_KEPT,
) -> Regression:
    """The adversary's last layer, from where its training left it to convergence on aux. report is told each step and the norm."""

    device = adversary.params[0].device

    def on_device(values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.float64)).to(device)

    kernel_KO, bias_O = adversary.head()
    start_KO = torch.cat([on_device(kernel_KO), on_device(bias_O)[None]])
    labels = torch.from_numpy(np.asarray(y_aux, np.int64)).to(device)
    features_NK = softmax.with_one(on_device(adversary.hidden_aux))
    return fit(features_NK, labels, start_KO, weight_decay=adversary.weight_decay, damping=damping, report=report, milestones=milestones)


def attacker_gradients(regression: Regression, candidates: Sequence[tuple[np.ndarray, np.ndarray]]) -> Tensor:
    """Gradient of each subpopulation's attacker's loss [subpopulations, width + 1, outputs]. candidates: (rows, poison labels) of each."""
    parts = []
    for rows, labels in candidates:
        features, residual = _of(regression, rows, labels)
        parts.append(features.T @ residual / len(rows))
    return torch.stack(parts)


def scores_of(
    regression: Regression,
    candidates: Sequence[tuple[np.ndarray, np.ndarray]],
    milestones: Milestones = NOTHING_KEPT,
    check: Check = lambda: None,
) -> tuple[list[np.ndarray], float]:
    """Score of every candidate, float64 [rows] a subpopulation, nats; and the residual of the solution."""
    if not candidates:
        return [], 0.0
    toward_SKO, residual = regression.solve(attacker_gradients(regression, candidates), milestones, check)
    scores = []
    for toward_KO, (rows, labels) in zip(toward_SKO, candidates, strict=True):
        features, residual_BO = _of(regression, rows, labels)
        scores.append((((features @ toward_KO) * residual_BO).sum(1) / len(regression.labels_N)).cpu().numpy())
    return scores, residual


def _of(regression: Regression, rows: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
    """Features and residuals of rows with these labels."""
    device = regression.features_NK.device
    features = regression.features_NK[torch.from_numpy(rows).to(device)]
    return features, softmax.residuals(features @ regression.theta_KO, torch.from_numpy(labels).to(device))


def choose(
    subpopulation: Subpopulation, members: np.ndarray, points: int, prepared: Prepared | None, *, seed: int, trial: int
) -> tuple[np.ndarray, None]:
    """The best rows, best first, ties by row, again from the best when they are used up: int64 [points]. Neither seed nor trial matters."""
    if not isinstance(prepared, Influence):
        raise BadData("the influence of poison candidates is missing", where="stored discovery", next="start the run anew")
    if points and not len(members):
        raise no_rows(subpopulation.index, points)
    best = members[np.argsort(-prepared.score[members], kind="stable")]
    return best[np.arange(points) % max(len(best), 1)].astype(np.int64), None
