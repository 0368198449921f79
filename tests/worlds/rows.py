"""Tiny worlds that several tests train on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from engine.models.dense.mlp import Mlp
from engine.training.recipe import Job, Judged, Trained, Training

CPU = torch.device("cpu")


def rows(n: int, features: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Separable-ish classes with noise: x float64 [n, features], y int64 [n]."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((classes, features)) * 1.5
    y = rng.integers(0, classes, n)
    return centres[y] + rng.standard_normal((n, features)), y


def training(
    n: int = 130, features: int = 7, classes: int = 2, *, dtype: torch.dtype = torch.float64, device: torch.device = CPU
) -> Training:
    x, y = rows(n, features, classes)
    pool, _ = rows(80, features, classes, seed=1)
    return Training(torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(pool)).to(device, dtype)


def jobs(sizes: list[int], classes: int = 2, pool: int = 80) -> list[Job]:
    """One victim for each number of poison points."""
    rng = np.random.default_rng(5)
    return [Job(rng.integers(0, pool, n), rng.integers(0, classes, n)) for n in sizes]


def judged(jobs: Sequence[Job], y_N: np.ndarray, classes: int = 2) -> list[Job]:
    """The same victims with defences: some rows removed, some relabelled, of the last nearly all, so that steps are left with none."""
    rng = np.random.default_rng(6)
    out = []
    for v, job in enumerate(jobs):
        share = 0.97 if v == len(jobs) - 1 else (0.0, 0.2, 0.5)[v % 3]
        relabelled = rng.random(len(y_N)) < 0.1
        labels = np.where(relabelled, rng.integers(0, classes, len(y_N)), y_N) if v % 2 else y_N
        out.append(replace(job, judged=Judged(rng.random(len(y_N)) >= share, rng.random(len(job.rows)) >= share, labels)))
    return out


def init(model: Mlp, dtype: torch.dtype = torch.float64, seed: int = 3) -> list[torch.Tensor]:
    return model.init(torch.Generator().manual_seed(seed), dtype)


def worst_gap(a: Sequence[Trained], b: Sequence[Trained]) -> float:
    """The largest difference between any parameter of two trainings of the same victims."""
    return max(float((p - q).abs().max()) for s, t in zip(a, b, strict=True) for p, q in zip(s.params, t.params, strict=True))
