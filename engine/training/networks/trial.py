"""What all victims of a trial share while networks are trained."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.training.models import NetworkModel
from engine.training.networks.rows import Lengths
from engine.training.recipe import Recipe, Training
from engine.training.schedule import Schedule
from engine.training.trial import Trial


@dataclass(frozen=True)
class NetworkTrial:
    """init and data lie on the device already."""

    model: NetworkModel
    init: Sequence[Tensor]
    data: Training
    recipe: Recipe
    trial: Trial
    lengths: Lengths | None = None  # of rows of tokens, where batches are cut to their longest

    @property
    def device(self) -> torch.device:
        return self.data.y_N.device

    @property
    def dtype(self) -> torch.dtype:
        return self.init[0].dtype

    @property
    def schedule(self) -> Schedule:
        return Schedule(len(self.data.y_N), self.recipe.batch, self.trial.seed, self.trial.number)

    def precision(self) -> AbstractContextManager[None]:
        """Products in bfloat16 within it, where that was asked for."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.trial.how.autocast else nullcontext()

    def loss_wanted(self, epoch: int) -> bool:
        """Only the plateau rule asks for every epoch's loss; the last epoch's is reported."""
        return self.recipe.stop == "plateau" or epoch + 1 == self.recipe.epochs or self.trial.max_steps is not None
