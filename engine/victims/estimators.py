"""scikit-learn's estimators: a victim is one call of `fit`, several side by side, a forked process and one thread each.

A kind is a module of its name in engine/models/estimators/, opened when asked for. All that a victim draws comes from one seed of its
trial, the same for every arm; no threads share a victim, so that its predictions depend neither on the machine's cores nor on the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from engine.errors import RequestError
from engine.features.opened import Opened
from engine.rows import Dataset
from engine.scenario.modules import module
from engine.scenario.sections import EstimatorKeys
from engine.seeds import seed_for
from engine.training.parts import can_fork, train_in_parts
from engine.training.recipe import Job, Trained, Training
from engine.training.trial import How, Trial
from engine.victims.family import LEAST_PROBABILITY, Family, Outcome, Report, Seconds

STACK_S = 20.0  # a stack takes about so long: what a crash may lose; victims gain nothing by company


class Classifier(Protocol):
    """What is asked of scikit-learn's classifiers."""

    classes_: np.ndarray

    def fit(self, x: np.ndarray, y: np.ndarray, /) -> object: ...
    def predict(self, x: np.ndarray, /) -> np.ndarray: ...
    def predict_proba(self, x: np.ndarray, /) -> np.ndarray: ...


class EstimatorKind(Protocol):
    """What the module of a kind of estimator has. Each kind takes its own section, and what it made of it."""

    def estimator(self, section: Any, random_state: int, /) -> Classifier: ...
    def can_fit(self, section: Any, rows_C: np.ndarray, /) -> bool: ...
    def passes(self, fitted: Any, /) -> int: ...
    def deviations(self, section: Any, /) -> tuple[str, ...]: ...
    def notes(self, section: Any, /) -> tuple[str, ...]: ...


class Estimators(Family[EstimatorKeys, Classifier]):
    """Victims that scikit-learn trains."""

    @classmethod
    def see(
        cls, section: EstimatorKeys, dataset: Dataset, seed: int, *, data_dir: Path | None, device: str, report: Report, opened: Opened
    ) -> Dataset:
        if dataset.train.images is None and dataset.train.texts is None:
            return dataset
        has = "pictures" if dataset.train.images is not None else "texts"
        what = f"{section.kind} reads rows of numbers, and this dataset has {has}"
        raise RequestError(what, where="model.kind", next=f"use a model of {has}")

    @property
    def _kind(self) -> EstimatorKind:
        return kind_of(self.section)

    def can_fit(self, y_N: np.ndarray) -> bool:
        return super().can_fit(y_N) and self._kind.can_fit(self.section, np.unique(y_N, return_counts=True)[1])

    def fit(self, data: Training, jobs: Sequence[Job], trial: Trial) -> list[Classifier]:
        """One after the other, in this process: for the few that are kept whole."""
        fitted: list[Classifier] = []
        self._each(data, jobs, trial, lambda classifier, x, y: fitted.append(classifier), self._report(jobs, trial))
        return fitted

    def outcomes(self, data: Training, x_test: np.ndarray, jobs: Sequence[Job], trial: Trial) -> list[Outcome]:
        def train(part: Sequence[int], report: Callable[[float], None], on_halved: Callable[[int], None]) -> list[Trained]:
            done: list[Trained] = []

            def finish(classifier: Classifier, x: np.ndarray, y: np.ndarray) -> None:
                predicted = torch.from_numpy(classifier.predict(x_test).astype(np.uint8))
                done.append(Trained([predicted], self._kind.passes(classifier), self._loss(classifier, x, y)))

            self._each(data, [jobs[v] for v in part], trial, finish, report)
            return done

        report, parts = self._report(jobs, trial), min(trial.workers, len(jobs))
        if parts < 2 or not can_fork():
            trained = dict(enumerate(train(range(len(jobs)), report, lambda size: None)))
        else:
            self._estimator(trial)  # scikit-learn is imported once, before the fork
            trained = train_in_parts(train, [range(first, len(jobs), parts) for first in range(parts)], report, lambda size: None)
        return [Outcome(trained[v].params[0].numpy(), trained[v].epochs, trained[v].train_loss) for v in range(len(jobs))]

    def answered(self, fits: Sequence[Classifier], data: Training, x_test: np.ndarray, jobs: Sequence[Job], trial: Trial) -> list[Outcome]:
        outcomes = []
        with threadpool_limits(1):
            for fitted, job in zip(fits, jobs, strict=True):
                x, y = _rows_of(data.x_NF.numpy(), data.y_N.numpy(), data.x_AF.numpy(), job)
                outcomes.append(Outcome(fitted.predict(x_test).astype(np.uint8), self._kind.passes(fitted), self._loss(fitted, x, y)))
        return outcomes

    def _report(self, jobs: Sequence[Job], trial: Trial) -> Callable[[float], None]:
        on_step = trial.on_step
        return (lambda done: on_step(done, len(jobs))) if on_step else lambda done: None

    def _each(
        self,
        data: Training,
        jobs: Sequence[Job],
        trial: Trial,
        finish: Callable[[Classifier, np.ndarray, np.ndarray], object],
        report: Callable[[float], None],
    ) -> None:
        """Fit the jobs' victims; finish is given each, and the rows that it saw. report is told the victims done, between any two."""
        clean_x, clean_y, pool = (t.numpy() for t in (data.x_NF, data.y_N, data.x_AF))
        report(0.0)
        with threadpool_limits(1):
            for done, job in enumerate(jobs, 1):
                x, y = _rows_of(clean_x, clean_y, pool, job)
                if len(np.unique(y)) < 2:
                    raise RequestError(f"{self.section.kind} is given rows of one class alone", where="dataset", next="give it more rows")
                classifier = self._estimator(trial)
                classifier.fit(x, y)
                finish(classifier, x, y)
                report(float(done))

    def _estimator(self, trial: Trial) -> Classifier:
        return self._kind.estimator(self.section, random_state(trial.seed, trial.number))

    def _loss(self, classifier: Classifier, x: np.ndarray, y: np.ndarray) -> float:
        """Mean cross-entropy over the rows that it was fitted on, nats."""
        true = self._all_classes(classifier, x)[np.arange(len(y)), y]
        return float(-np.log(np.maximum(true, LEAST_PROBABILITY)).mean())

    def _all_classes(self, classifier: Classifier, x: np.ndarray) -> np.ndarray:
        """float64 [rows, classes of the dataset]; a class that it never saw has probability 0."""
        proba = np.zeros((len(x), len(self.dataset.classes)))
        proba[:, classifier.classes_] = classifier.predict_proba(x)
        return proba

    def stack_size(self, seconds: Seconds, most: int, how: How, side_by_side: int) -> int:
        return min(most, side_by_side * max(1, round(STACK_S / max(seconds(1, 1), 1e-3))))

    def probabilities(self, fitted: Classifier, x: np.ndarray, how: How) -> np.ndarray:
        with threadpool_limits(1):
            return self._all_classes(fitted, x).astype(np.float32)

    @classmethod
    def deviations(cls, section: EstimatorKeys) -> tuple[str, ...]:
        return kind_of(section).deviations(section)

    def notes(self) -> tuple[str, ...]:
        return self._kind.notes(self.section)


def _rows_of(clean_x: np.ndarray, clean_y: np.ndarray, pool: np.ndarray, job: Job) -> tuple[np.ndarray, np.ndarray]:
    """The rows that a victim is fitted on. What a defence removed is left out: a row of weight 0 would still be counted by trees."""
    if job.judged is None:
        return np.concatenate([clean_x, pool[job.rows]]), np.concatenate([clean_y, job.labels])
    left, own = job.judged.kept_N, job.judged.kept_M
    return np.concatenate([clean_x[left], pool[job.rows[own]]]), np.concatenate([job.judged.y_N[left], job.labels[own]])


def kind_of(section: EstimatorKeys) -> EstimatorKind:
    """The module that makes this kind's estimators."""
    return cast(EstimatorKind, module("models.estimators", section.kind))


def random_state(seed: int, trial: int) -> int:
    """What every victim of a trial draws from, whatever its poison: 32 bits, as scikit-learn takes them."""
    return seed_for(seed, "estimator", trial) % 2**32
