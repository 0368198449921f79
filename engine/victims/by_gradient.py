"""What the families that are trained by gradient descent share: initial weights, the recipe, the questions of attacks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from engine.rows import Dataset
from engine.scenario.sections import TrainedKeys
from engine.seeds import seed_for
from engine.training.recipe import Recipe, Trained
from engine.victims.family import Family


class ByGradient(Family[Trained]):
    """A family whose victims are lists of tensors. model: what they share, as wide as the dataset's rows and classes ask for."""

    section: TrainedKeys

    @cached_property
    def model(self) -> Any:
        """A model of `engine/models`, of this family's own type."""
        return self.model_of(self.section, self.dataset)

    @classmethod
    @abstractmethod
    def model_of(cls, section: Any, dataset: Dataset) -> Any:
        """The scenario's model, for the dataset's rows and classes."""

    @property
    def recipe(self) -> Recipe:
        """How the scenario's model is trained."""
        section = self.section
        return Recipe(
            epochs=section.epochs,
            batch=section.batch,
            lr=section.lr,
            weight_decay=section.weight_decay,
            per_rows=section.weight_decay_per == "rows",
            stop=section.stop,
            tol=section.tol,
            patience=section.patience,
            augment=getattr(section, "augment", False),
            optimizer=getattr(section, "optimizer", "adam"),
        )

    def initial(self, seed: int, trial: int, dtype: torch.dtype) -> list[torch.Tensor]:
        """A trial's initial weights: the same for every arm and subpopulation."""
        params: list[torch.Tensor] = self.model.init(torch.Generator().manual_seed(seed_for(seed, "initial weights", trial)), dtype)
        return params

    def params(self, fitted: Trained) -> Sequence[torch.Tensor]:
        return fitted.params

    def head(self, fitted: Trained) -> tuple[torch.Tensor, torch.Tensor]:
        return self.model.head_of(fitted.params)

    @property
    def weight_decay(self) -> float:
        section = self.section
        return section.weight_decay / (section.batch if section.weight_decay_per == "rows" else 1)

    def notes(self) -> tuple[str, ...]:
        return self.model.notes() if hasattr(self.model, "notes") else ()


def numbers(of: torch.Tensor) -> np.ndarray:
    """float32 on the CPU."""
    found: np.ndarray = of.float().cpu().numpy()
    return found


Ask = Callable[[torch.Tensor], torch.Tensor]
