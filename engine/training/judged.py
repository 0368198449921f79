"""The clean rows of a stack whose victims have defences: which of them each victim's steps have, and with which labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from engine.training import host
from engine.training.recipe import Job


class CleanRows:
    """The labels of the clean rows and, where defences removed some, which are left, in the order of an epoch.

    Without defences the victims share one row of labels, and nothing is multiplied.
    """

    def __init__(self, jobs: Sequence[Job], y_N: Tensor) -> None:
        self.y_N, self.device = y_N, y_N.device
        self.kept_VN: np.ndarray | None = None  # bool; steps' shapes and counts follow from it, so it is here and there
        self._kept_VN: Tensor | None = None
        self.y_VN: Tensor | None = None
        if any(job.judged is not None for job in jobs):
            plain = host.to_host(y_N)
            every = np.ones(len(plain), bool)
            self.kept_VN = np.stack([every if job.judged is None else job.judged.kept_N for job in jobs])
            self._kept_VN = host.upload(self.kept_VN, self.device)
            if any(job.judged is not None and (job.judged.y_N != plain).any() for job in jobs):
                self.y_VN = host.upload(np.stack([plain if job.judged is None else job.judged.y_N for job in jobs]), self.device)

    def keep(self, index_V: np.ndarray) -> None:
        """Go on with these victims alone."""
        index = host.upload(index_V, self.device)
        if self.kept_VN is not None and self._kept_VN is not None:
            self.kept_VN, self._kept_VN = self.kept_VN[index_V], self._kept_VN[index]
        self.y_VN = None if self.y_VN is None else self.y_VN[index]

    def epoch(self, order_N: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Labels int64 [rows] or [victims, rows], and what is left of `dtype` [victims, rows] or None, both in the order of the epoch."""
        y = self.y_N[order_N] if self.y_VN is None else self.y_VN[:, order_N]
        return y, None if self._kept_VN is None else self._kept_VN[:, order_N].to(dtype)

    def counts(self, bounds: Sequence[tuple[int, int]], order_N: np.ndarray) -> np.ndarray:
        """How many clean rows steps with these bounds have: int64 [steps, 1], or [steps, victims] of what defences left."""
        if self.kept_VN is None:
            return np.array([[hi - lo] for lo, hi in bounds])
        return np.add.reduceat(self.kept_VN[:, order_N], [lo for lo, _ in bounds], axis=1, dtype=np.int64).T


def kept_points(jobs: Sequence[Job]) -> np.ndarray | None:
    """Which points defences left, bool [victims, points of the victim that has most]; None where no victim has a defence."""
    if all(job.judged is None for job in jobs):
        return None
    kept_VM = np.ones((len(jobs), max((len(job.rows) for job in jobs), default=0)), bool)
    for v, job in enumerate(jobs):
        if job.judged is not None:
            kept_VM[v, : len(job.rows)] = job.judged.kept_M
    return kept_VM
