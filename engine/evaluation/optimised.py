"""What optimising the poison points gained by its own measure, before any victim: by subpopulation, from stored arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


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
    def of(cls, arrays: Mapping[str, np.ndarray], membership_aux: np.ndarray) -> Optimised:
        """From what a run stored: "moved.*" by point, or "influence.score" float64 [aux rows]; nothing where it has neither."""
        moved, scores = {}, {}
        if "moved.subpopulation" in arrays:
            of_point, before, after = (arrays[f"moved.{name}"] for name in ("subpopulation", "before", "after"))
            for s in np.unique(of_point).tolist():
                own = of_point == s
                rose, share = float((after[own] > before[own]).mean()), float(arrays["moved.share"][own].mean(dtype=np.float64))
                moved[s] = Gain(float(before[own].mean()), float(after[own].mean()), rose, share)
        if "influence.score" in arrays:
            score_A, member_A = arrays["influence.score"], np.asarray(membership_aux)
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
