"""The model that the adversary trains on its auxiliary rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from engine.rows import Dataset, Rows
from engine.scenario import ModelSection, Scenario
from engine.seeds import generator, seed_for
from engine.training.recipe import Job, Trained, Training
from engine.training.stacked import Control
from engine.victims import fit_stack, model_of


class Adversary:
    """Trained once on all of aux and once for every fold; asked for confidences, the representation and the choice of labels."""

    def __init__(
        self,
        section: ModelSection,
        scenario: Scenario,
        dataset: Dataset,
        device: torch.device,
        progress: Callable[[str, float], None],
        control: Control | None,
    ) -> None:
        self.section, self.scenario, self.dataset, self.device = section, scenario, dataset, device
        self.progress, self.control = progress, control
        self.model = model_of(section, dataset)
        progress("training the adversary's model", 0.1)
        self.whole = self._fit(np.arange(len(dataset.aux)), fold=0)

    def _fit(self, index: np.ndarray, fold: int) -> Trained:
        aux = self.dataset.aux
        data = Training(torch.from_numpy(aux.x[index]), torch.from_numpy(aux.y[index]), torch.from_numpy(aux.x[:0]))
        seed = seed_for(self.scenario.seed, "adversary")
        clean = Job(np.empty(0, np.int64), np.empty(0, np.int64))
        return fit_stack(self.model, self.section, data, [clean], seed, fold, self.device, torch.float32, self.control)[0]

    def _probabilities(self, trained: Trained, x: np.ndarray) -> np.ndarray:
        x_BF = torch.from_numpy(x).to(self.device, trained.params[0].dtype)
        return self.model.probabilities(self.model.logits(trained.params, x_BF)).float().cpu().numpy()

    def fitted(self, x: np.ndarray) -> np.ndarray:
        """Probabilities [rows, classes] of the model that saw all of aux."""
        return self._probabilities(self.whole, x)

    def cross_fitted(self, folds: int) -> np.ndarray:
        """Probabilities [aux rows, classes], each row's by a model that did not see it; one fold means in-sample, as published."""
        aux = self.dataset.aux
        if folds == 1:
            return self.fitted(aux.x)
        fold_A = _stratified_folds(aux.y, folds, self.scenario.seed)
        proba = np.empty((len(aux), len(self.dataset.classes)), np.float32)
        for fold in range(folds):
            self.progress(f"confidence, fold {fold + 1} of {folds}", 0.2 + 0.7 * fold / folds)
            held_out = fold_A == fold
            proba[held_out] = self._probabilities(self._fit(np.flatnonzero(~held_out), fold + 1), aux.x[held_out])
        return proba

    def representation(self, rows: Rows) -> np.ndarray:
        """The last hidden layer [rows, width]."""
        x_BF = torch.from_numpy(rows.x).to(self.device)
        return self.model.hidden_of(self.whole.params, x_BF).float().cpu().numpy()


def _stratified_folds(y: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """A fold number for each row, each class spread evenly over the folds."""
    order = generator(seed, "confidence folds").permutation(len(y))
    by_class = order[np.argsort(y[order], kind="stable")]
    fold = np.empty(len(y), np.int64)
    fold[by_class] = np.arange(len(y)) % folds
    return fold
