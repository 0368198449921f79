"""Label sanitation by nearest neighbours (Paudice et al. 2018; at hidden states: Peri et al. 2020).

A row is outvoted when the share of its k nearest rows that have its own label is below 1 - eta. It gets the label that most of them have
(the smallest of equals), or is removed. All rows are asked at once, by the labels they came with. Poison copies rows, often the same row
twice: copies are neighbours at distance 0, as any other rows.

The rows that all victims share have their graph worked out once, and a victim adds its points to it: `joined` is what `neighbours` gives
of all rows together. Columns are scaled by the shared rows then, whose mean and deviation a victim's few points hardly move.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.defenses.seen import Asked, Judgement, Seen
from engine.scenario.sections import KnnSection

AT_ONCE = 2**24  # distances held at a time: 64 MiB


def asks(section: KnnSection) -> frozenset[Asked]:
    return frozenset({"input" if section.layer == "input" else "hidden"})


def judge(section: KnnSection, seen: Seen, remove: int, draws: np.random.Generator) -> Judgement:
    near_RK = _near(section, seen)
    outvoted_R, most_R = votes(near_RK, seen.labels_R, section.eta)
    against_R = (seen.labels_R[near_RK] != seen.labels_R[:, None]).mean(1)
    if section.action == "remove":
        return Judgement(~outvoted_R, seen.labels_R, against_R)
    return Judgement(np.ones(len(seen), bool), np.where(outvoted_R, most_R, seen.labels_R), against_R)


def _near(section: KnnSection, seen: Seen) -> np.ndarray:
    """Each row's nearest others, int64 [rows, k]."""
    x_RF = seen.input_RF if section.layer == "input" else seen.hidden_RW
    assert x_RF is not None
    if section.layer == "input" and seen.shared is not None:
        key = ("knn", section.neighbors, section.scaling)
        if key not in seen.shared.made:
            seen.shared.made[key] = Graph.of(seen.shared.input_NF, section.neighbors, section.scaling)
        graph: Graph = seen.shared.made[key]
        return graph.joined(x_RF[len(seen.shared.input_NF) :])
    return neighbours(Scale.of(x_RF, section.scaling)(x_RF), section.neighbors)


@dataclass(frozen=True)
class Scale:
    """Columns of mean 0 and deviation 1 over some rows; a column that has one value there is left at 0 deviations."""

    mean_F: np.ndarray
    deviation_F: np.ndarray

    @classmethod
    def of(cls, x_RF: np.ndarray, scaling: str) -> Scale:
        if scaling == "none":
            return cls(np.zeros(x_RF.shape[1]), np.ones(x_RF.shape[1]))
        deviation_F = x_RF.std(0, dtype=np.float64)
        return cls(x_RF.mean(0, dtype=np.float64), np.where(deviation_F > 0, deviation_F, 1.0))

    def __call__(self, x_RF: np.ndarray) -> np.ndarray:
        """float32."""
        return ((x_RF - self.mean_F) / self.deviation_F).astype(np.float32)


@dataclass(frozen=True)
class Graph:
    """The shared rows, scaled, with each one's nearest others: int64 [rows, k], and how far these are, less the row's own square."""

    scale: Scale
    x_NF: np.ndarray
    square_N: np.ndarray
    near_NK: np.ndarray
    far_NK: np.ndarray

    @classmethod
    def of(cls, x_NF: np.ndarray, k: int, scaling: str) -> Graph:
        scale = Scale.of(x_NF, scaling)
        x_NF = scale(x_NF)
        square_N, near_NK = np.einsum("nf,nf->n", x_NF, x_NF), neighbours(x_NF, k)
        far_NK = np.concatenate(
            [square_N[near] - 2 * np.einsum("kf,f->k", x_NF[near], x_F) for near, x_F in zip(near_NK, x_NF, strict=True)]
        ).reshape(near_NK.shape)
        return cls(scale, x_NF, square_N, near_NK, far_NK)

    def joined(self, points_MF: np.ndarray) -> np.ndarray:
        """The same of the shared rows and these points after them: int64 [rows + points, k]."""
        if not len(points_MF):
            return self.near_NK
        k, count = self.near_NK.shape[1], len(self.x_NF)
        p_MF = self.scale(points_MF)
        square_M, product_NM = np.einsum("mf,mf->m", p_MF, p_MF), self.x_NF @ p_MF.T
        far_NC = np.concatenate([self.far_NK, square_M - 2 * product_NM], 1)
        number_NC = np.concatenate([self.near_NK, np.broadcast_to(np.arange(count, count + len(p_MF)), product_NM.shape)], 1)
        near_NK = np.take_along_axis(number_NC, np.argpartition(far_NC, k - 1, axis=1)[:, :k], 1)
        others_MM = square_M - 2 * (p_MF @ p_MF.T)
        np.fill_diagonal(others_MM, np.inf)
        far_MR = np.concatenate([self.square_N - 2 * product_NM.T, others_MM], 1)
        return np.concatenate([near_NK, np.argpartition(far_MR, k - 1, axis=1)[:, :k]])


def neighbours(x_RF: np.ndarray, k: int) -> np.ndarray:
    """Each row's k nearest other rows, int64 [rows, k], in no order; k is below the number of rows."""
    square_R = np.einsum("rf,rf->r", x_RF, x_RF)
    step = max(1, AT_ONCE // len(x_RF))
    near = []
    for lo in range(0, len(x_RF), step):
        # without the row's own square, which changes no order
        distance_BR = square_R - 2 * (x_RF[lo : lo + step] @ x_RF.T)
        np.fill_diagonal(distance_BR[:, lo:], np.inf)
        near.append(np.argpartition(distance_BR, k - 1, axis=1)[:, :k])
    return np.concatenate(near)


def votes(near_RK: np.ndarray, labels_R: np.ndarray, eta: float) -> tuple[np.ndarray, np.ndarray]:
    """Which rows are outvoted, bool [rows], and the label that most neighbours have, int64 [rows]."""
    given_RK = labels_R[near_RK]
    count_RC = np.stack([(given_RK == label).sum(1) for label in range(int(labels_R.max()) + 1)], 1)
    own_R = count_RC[np.arange(len(labels_R)), labels_R]
    return own_R < (1 - eta) * near_RK.shape[1] - 1e-9, count_RC.argmax(1)
