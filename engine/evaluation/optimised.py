"""What optimising the poison points gained by its own measure, before any victim: by subpopulation, from stored arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.arrays import DiscoveryArrays


@dataclass(frozen=True)
class Gain:
    """Means over points. improved: share of them whose objective rose; moved: mean |pixel change| over the bound; None where none moves."""

    before: float
    after: float
    improved: float | None = None
    moved: float | None = None


@dataclass(frozen=True)
class Optimised:
    """moved: subpopulation -> its moved points' gain, each point once. scores: subpopulation -> influence of its candidates, best first."""

    moved: Mapping[int, Gain]
    scores: Mapping[int, np.ndarray]

    @classmethod
    def of(cls, arrays: DiscoveryArrays, membership_aux: np.ndarray) -> Optimised:
        """From what a run stored: its moved points, or the influence of its candidates; nothing where it has neither."""
        moved, scores = {}, {}
        if (points := arrays.moved) is not None:
            for s in np.unique(points.subpopulation).tolist():
                of_s = points.subpopulation == s
                before, after = points.before[of_s], points.after[of_s]
                rose, share = float((after > before).mean()), float(points.share[of_s].mean(dtype=np.float64))
                moved[s] = Gain(float(before.mean()), float(after.mean()), rose, share)
        if arrays.influence is not None:
            score_A, member_A = arrays.influence.score, np.asarray(membership_aux)
            for s in np.unique(member_A[~np.isnan(score_A)]).tolist():
                scores[s] = np.sort(score_A[member_A == s])[::-1]
        return cls(moved, scores)

    def gain(self, subpopulation: int, points: float) -> Gain | None:
        """Of so many poison points; None where nothing is known. By influence: of a random draw, and of the best taken in turn."""
        if subpopulation in self.moved:
            return self.moved[subpopulation]
        score = self.scores.get(subpopulation)
        if score is None or not points > 0:
            return None
        return Gain(float(score.mean()), float(score[np.arange(int(points)) % len(score)].mean()))
