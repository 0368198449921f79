"""How a victim is trained, whichever trainer does it, and when it stops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Recipe:
    """Adam on the mean loss of a step plus the penalty weight_decay * |kernels|^2 / 2 (divided by the step's rows where `per_rows`).

    Units of the published frameworks: scikit-learn's alpha is weight_decay with per_rows; Keras' l2(x) on a kernel is weight_decay 2 x.
    optimizer "adamw", of text encoders: no penalty; the kernels shrink by lr * weight_decay at each step (Loshchilov and Hutter, 2019).
    """

    epochs: int
    batch: int
    lr: float
    weight_decay: float = 0.0
    per_rows: bool = False
    stop: Literal["epochs", "plateau"] = "epochs"
    tol: float = 1e-4
    patience: int = 10
    augment: bool = False
    optimizer: Literal["adam", "adamw"] = "adam"


@dataclass(frozen=True)
class Training:
    """The rows a trial's victims train on, on their device.

    x_NF   float [train rows, features], or pictures, uint8 [train rows, height, width, 3];   y_N   int64 [train rows]
    x_AF   the same of aux rows: the pool that poison points copy
    """

    x_NF: Tensor
    y_N: Tensor
    x_AF: Tensor

    def to(self, device: torch.device, dtype: torch.dtype) -> Training:
        """Pictures stay uint8: they are made numbers a batch at a time."""
        x_NF, x_AF = (x.to(device, dtype if x.is_floating_point() else x.dtype) for x in (self.x_NF, self.x_AF))
        return Training(x_NF, self.y_N.to(device), x_AF)


@dataclass(frozen=True)
class Judged:
    """What a defence left of one victim's rows.

    kept_N   bool [train rows], kept_M   bool [points]: a row that is not kept takes part in no step's mean, as if it were not there
    y_N      int64 [train rows], the labels that these are trained with (a point's stands in its job)
    """

    kept_N: np.ndarray
    kept_M: np.ndarray
    y_N: np.ndarray


@dataclass(frozen=True)
class Job:
    """One victim's poison: rows of the pool, int64 [points], and the labels they are given, int64 [points]. Empty for a clean victim.

    delta: float32 [points, height, width, 3], how its pixels (0 to 1) were moved; None where they are copies.
    judged: of a victim with a defence; None: all rows, as they are.
    """

    rows: np.ndarray
    labels: np.ndarray
    delta: np.ndarray | None = None
    judged: Judged | None = None


@dataclass(frozen=True)
class Trained:
    """A victim as training left it."""

    params: list[Tensor]
    epochs: int
    train_loss: float  # mean over the last epoch's rows, nats, penalty included


class Plateau:
    """scikit-learn's stopping rule, for many victims at once (MLPClassifier, `n_iter_no_change`).

    A victim stops when its epoch's training loss has failed to improve on the best by `tol` for more than `patience` epochs in a row.
    """

    def __init__(self, victims: int, recipe: Recipe) -> None:
        self.recipe = recipe
        self.best_V = np.full(victims, np.inf)
        self.stale_V = np.zeros(victims, np.int64)

    def stopped(self, epoch: int, loss_V: np.ndarray) -> np.ndarray:
        """Which victims stop after `epoch` (from 0) with this loss, bool [victims]."""
        if self.recipe.stop == "plateau":
            self.stale_V = np.where(loss_V > self.best_V - self.recipe.tol, self.stale_V + 1, 0)
            self.best_V = np.minimum(self.best_V, loss_V)
        return (self.stale_V > self.recipe.patience) | (epoch + 1 >= self.recipe.epochs)

    def keep(self, index_V: np.ndarray) -> None:
        self.best_V, self.stale_V = self.best_V[index_V], self.stale_V[index_V]
