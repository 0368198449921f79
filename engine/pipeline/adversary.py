"""The model that the adversary trains on its auxiliary rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Generic, cast

import numpy as np
import torch

from engine.attacks.model import Network
from engine.milestones import Arrays, of_texts, texts_of
from engine.rows import Rows
from engine.scenario.sections import Scenario
from engine.seeds import generator, seed_for
from engine.training.parts import NoMemory, can_fork, train_in_parts
from engine.training.recipe import Job, Trained, Training
from engine.training.trial import How, OnStep, Stands, Trial
from engine.victims.family import Family, Fitted, Keys, tensor, workers

FEW_CELLS = 2**21  # of aux: models and clusters of so many take seconds
BESIDE = "forming subpopulations, training the adversary's models"


class Adversary(Generic[Keys, Fitted]):
    """Trained once on all of aux and once for every fold; asked for confidences, the representation, labels and gradients.

    victims: of its model, over the dataset as this model reads it (see `Family.see`). What is trained and asked is put away in its
    milestones: where all that is wanted of a model is there already, it is not trained again.
    """

    def __init__(
        self,
        victims: Family[Keys, Fitted],
        scenario: Scenario,
        device: torch.device,
        progress: Callable[[str, float], None],
        on_step: OnStep | None,
    ) -> None:
        self.scenario, self.victims, self.dataset = scenario, victims, victims.dataset
        self.how, self.milestones = How(device, torch.float32), victims.milestones
        self.progress, self.on_step = progress, on_step
        self._in_turn = False  # memory did not hold them side by side
        self._ahead: dict[int, Fitted] = {}  # trained before they were asked for, by the number that `_fit` knows them by

    def beside(self, work: Callable[[], Arrays]) -> Arrays:
        """What `work` comes to. Where training has use for one core a model and there are more, it is a process of its own, and the models
        that confidences will be asked of are trained beside it, as long as a core is free for them.

        Of few rows alone: nothing of it is put away before all is done.
        """
        cores, folds = self._cores(), self.scenario.evaluation.confidence_folds
        if cores < 2 or self.dataset.aux.x.size > FEW_CELLS:
            return work()
        rows, fold_A = len(self.dataset.aux), _stratified_folds(self.dataset.aux.y, folds, self.scenario.seed)
        seen = {0: np.arange(rows), **({fold + 1: np.flatnonzero(fold_A != fold) for fold in np.unique(fold_A)} if folds > 1 else {})}
        models, first = list(seen), len(seen)  # tasks 0 .. first - 1 are the models, `first` is the work

        def carry_out(tasks: Sequence[int], report: Callable[[float], None], on_halved: Callable[[int], None]) -> list[Trained]:
            [task] = tasks
            done = (
                _as_trained(work()) if task == first else cast(Trained, self._fit(seen[models[task]], models[task], report, in_a_part=True))
            )
            report(1.0)
            return [done]

        def control(done: float) -> None:
            if self.on_step:
                self.on_step(done, first + 1)
            self.progress(BESIDE, done / (first + 1))

        tasks = [[first], *([task] for task in range(first))]
        try:
            done = train_in_parts(carry_out, tasks, control, lambda victims: None, at_once=cores)
        except NoMemory:  # which may hold them in turn
            self._in_turn = True
            return work()
        self._ahead = {models[task]: cast(Fitted, done[task]) for task in range(first)}
        return _as_arrays(done[first])

    def _cores(self) -> int:
        """How many models are trained side by side."""
        alike = self.how.device.type == "cpu" and self.victims.ONE_CORE and can_fork() and not self._in_turn
        return workers(self.scenario, self.how.device) if alike else 1

    @cached_property
    def whole(self) -> Fitted:
        """The model that saw all of aux."""
        what, every = "training the adversary's model", np.arange(len(self.dataset.aux))
        return self._trained("the adversary's model", every, 0, lambda share: self.progress(what, share))

    def _trained(self, name: str, index: np.ndarray, fold: int, report: Callable[[float], None]) -> Fitted:
        """As `_fit`; put away under the name where its victims are made of arrays, and always by way of them, so that bits do not depend on
        whether it was.
        """
        fitted: list[Fitted] = []

        def make() -> Arrays:
            fitted.append(self._fit(index, fold, report, name))
            return self.victims.as_arrays(fitted[0]) or {}

        arrays = self.milestones.step(name, make)
        if arrays:
            return self.victims.of_arrays(arrays, self.how)
        return fitted[0] if fitted else self._fit(index, fold, report, name)

    def _fit(self, index: np.ndarray, fold: int, report: Callable[[float], None], name: str = "", *, in_a_part: bool = False) -> Fitted:
        """report is told the share of the training that is done. name: under which its milestones know where the training stands.
        in_a_part: of a forked process, whose parent alone hears requests.
        """
        if fold in self._ahead:
            return self._ahead.pop(fold)
        report(0.0)

        def on_step(done: float, total: float) -> None:
            if self.on_step and not in_a_part:
                self.on_step(done, total)
            report(done / total if total else 0.0)

        aux = self.dataset.aux
        data = Training(torch.from_numpy(aux.x[index]), torch.from_numpy(aux.y[index]), tensor(aux.x[:0]))
        clean = Job(np.empty(0, np.int64), np.empty(0, np.int64))
        # one network alone has all of the machine's cores as threads
        cores = 1 if in_a_part else workers(self.scenario, self.how.device)
        stands = Stands(self.milestones, name) if name and not in_a_part else None
        trial = Trial(seed_for(self.scenario.seed, "adversary"), fold, self.how, on_step, cores, stands=stands)
        return self.victims.fit(data, [clean], trial)[0]

    def _probabilities(self, fitted: Fitted, x: np.ndarray) -> np.ndarray:
        return self.victims.probabilities(fitted, x, self.how)

    def in_sample(self) -> np.ndarray:
        """Probabilities [aux rows, classes] of the model that saw all of aux."""
        return self.milestones.step("confidence, in-sample", lambda: {"p": self._probabilities(self.whole, self.dataset.aux.x)})["p"]

    def on_test(self) -> np.ndarray:
        """The same of the test rows."""
        return self.milestones.step("confidence on test rows", lambda: {"p": self._probabilities(self.whole, self.dataset.test.x)})["p"]

    def cross_fitted(self, folds: int) -> np.ndarray:
        """Probabilities [aux rows, classes], each row's by a model that did not see it; one fold means in-sample, as published."""
        aux = self.dataset.aux
        if folds == 1:
            return self.in_sample()
        fold_A = _stratified_folds(aux.y, folds, self.scenario.seed)
        proba = np.empty((len(aux), len(self.dataset.classes)), np.float32)
        fits: dict[int, Fitted] = {}
        for fold in range(folds):
            held_out = fold_A == fold
            if not held_out.any():  # more folds than rows
                continue

            name = f"confidence, fold {fold + 1} of {folds}"

            def report(share: float, fold: int = fold, name: str = name) -> None:
                self.progress(name, (fold + share) / folds)

            def ask(held_out: np.ndarray = held_out, fold: int = fold, name: str = name) -> Arrays:
                if fold not in fits:
                    fits.update(self._of_folds(fold_A, fold, name, report))
                return {"p": self._probabilities(fits.pop(fold), aux.x[held_out])}

            proba[held_out] = self.milestones.step(name, ask)["p"]
        return proba

    def _of_folds(self, fold_A: np.ndarray, first: int, name: str, report: Callable[[float], None]) -> dict[int, Fitted]:
        """The models that did not see fold `first` and, as many as there are cores for, those of the folds after it; by fold."""
        some = [fold for fold in range(first, int(fold_A.max()) + 1) if (fold_A == fold).any()][: self._cores()]
        if len(some) < 2 or first + 1 in self._ahead:
            return {first: self._fit(np.flatnonzero(fold_A != first), first + 1, report, name)}

        def train(part: Sequence[int], on_share: Callable[[float], None], on_halved: Callable[[int], None]) -> list[Trained]:
            fits = [self._fit(np.flatnonzero(fold_A != fold), fold + 1, on_share, in_a_part=True) for fold in part]
            return cast(list[Trained], fits)

        def control(done: float) -> None:
            if self.on_step:
                self.on_step(done, len(some))
            report(done)

        try:
            return cast(dict[int, Fitted], train_in_parts(train, [[fold] for fold in some], control, lambda victims: None))
        except NoMemory:
            self._in_turn = True
            return self._of_folds(fold_A, first, name, report)

    def representation(self, layer: str) -> Callable[[Rows], np.ndarray]:
        """What subpopulations are formed in; see `Family.representation`."""
        return self.victims.representation(self.whole, layer, self.how, self.progress)

    # ---- what attacks ask -----------------------------------------------------------------------------------------------

    @cached_property
    def hidden_aux(self) -> np.ndarray:
        """What the last layer reads of every aux row: float32 [aux rows, width]."""
        return self.victims.hidden(self.whole, self.dataset.aux.x, self.how, self.progress)

    def head(self) -> tuple[np.ndarray, np.ndarray]:
        """The last layer: kernel float64 [width, outputs] and bias [outputs]; one output where two classes share a logit."""
        kernel, bias = self.victims.head(self.whole)
        return kernel.detach().double().cpu().numpy(), bias.detach().double().cpu().numpy()

    @property
    def weight_decay(self) -> float:
        """As the head was trained with; see `Family.weight_decay`."""
        return self.victims.weight_decay

    @property
    def differentiable(self) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """See `Family.differentiable`."""
        return self.victims.differentiable(self.whole, self.how)

    def pixels(self, images: np.ndarray) -> torch.Tensor:
        """Pictures uint8 [B, height, width, 3] -> pixels 0..1, float32 [B, 3, height, width], on the device."""
        return self.victims.pixels(images, self.how)

    @property
    def network(self) -> Network | None:
        """The whole network, where it was trained whole; its weights are `params`."""
        return self.victims.network()

    @property
    def params(self) -> Sequence[torch.Tensor]:
        return self.victims.params(self.whole)


def _as_trained(arrays: Arrays) -> Trained:
    """Arrays as what a part of a stack can hand over."""
    return Trained([torch.from_numpy(np.array(each)) for each in (of_texts(list(arrays)), *arrays.values())], 0, 0.0)


def _as_arrays(trained: Trained) -> Arrays:
    names, *arrays = (tensor.numpy() for tensor in trained.params)
    return dict(zip(texts_of(names), arrays, strict=True))


def _stratified_folds(y: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """A fold number for each row, each class spread evenly over the folds."""
    order = generator(seed, "confidence folds").permutation(len(y))
    by_class = order[np.argsort(y[order], kind="stable")]
    fold = np.empty(len(y), np.int64)
    fold[by_class] = np.arange(len(y)) % folds
    return fold
