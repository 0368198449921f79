"""What the families that are trained by gradient descent share: initial weights, the recipe, the questions of attacks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch

from engine.milestones import Arrays
from engine.scenario.sections import TrainedKeys
from engine.seeds import seed_for
from engine.training.recipe import Recipe, Trained
from engine.training.trial import How
from engine.victims.family import Family

Ask = Callable[[torch.Tensor], torch.Tensor]
WEIGHTS = "weights."  # and a number: the parameters of a victim that is put away
Trainable = TypeVar("Trainable", bound=TrainedKeys)


class Drawn(Protocol):
    """A model whose victims start from drawn weights."""

    def init(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]: ...


Model = TypeVar("Model", bound=Drawn)


class ByGradient(Family[Trainable, Trained], Generic[Trainable, Model]):
    """A family whose victims are lists of tensors."""

    @cached_property
    def model(self) -> Model:
        """What the victims share, as wide as the dataset's rows and classes ask for."""
        return self.build()

    @abstractmethod
    def build(self) -> Model:
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
        )

    def asked(self, train_rows: int, test_rows: int) -> float:
        """The share of a victim's work that is asking it about the test rows: a row costs a third of what it costs in training."""
        return test_rows / (test_rows + 3 * self.section.epochs * train_rows) if test_rows else 0.0

    def initial(self, seed: int, trial: int, dtype: torch.dtype) -> list[torch.Tensor]:
        """A trial's initial weights: the same for every arm and subpopulation."""
        return self.model.init(torch.Generator().manual_seed(seed_for(seed, "initial weights", trial)), dtype)

    def as_arrays(self, fitted: Trained) -> Arrays:
        arrays = {f"{WEIGHTS}{i}": p.detach().cpu().contiguous().numpy() for i, p in enumerate(fitted.params)}
        return {**arrays, "epochs": np.array([fitted.epochs]), "train_loss": np.array([fitted.train_loss])}

    def of_arrays(self, arrays: Arrays, how: How) -> Trained:
        weights = [
            torch.from_numpy(arrays[f"{WEIGHTS}{i}"]).to(how.device) for i in range(sum(name.startswith(WEIGHTS) for name in arrays))
        ]
        return Trained(weights, int(arrays["epochs"][0]), float(arrays["train_loss"][0]))

    def params(self, fitted: Trained) -> Sequence[torch.Tensor]:
        return fitted.params

    @property
    def weight_decay(self) -> float:
        section = self.section
        return section.weight_decay / (section.batch if section.weight_decay_per == "rows" else 1)


def numbers(tensor: torch.Tensor) -> np.ndarray:
    """float32 on the CPU."""
    array: np.ndarray = tensor.float().cpu().numpy()
    return array
