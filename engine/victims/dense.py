"""Rows of numbers, many victims as one tensor program: perceptrons and logistic regression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch

from engine.errors import RequestError
from engine.features.opened import Opened
from engine.features.pixels import Pictures, flat_moved, flat_pixels, read_as
from engine.models.dense.apart import COMPANY, DenseApart
from engine.models.dense.mlp import Mlp
from engine.rows import Dataset, Rows
from engine.scenario.modules import module
from engine.scenario.sections import DenseKeys
from engine.training.apart import padded, train_apart
from engine.training.dense import train_stacked
from engine.training.partition import Part
from engine.training.recipe import Job, Trained, Training
from engine.training.reference.sequential import train_sequential
from engine.training.schedule import LEAST_REST
from engine.training.sharing import train_shared_out
from engine.training.sizing import STEPS_TIMED, free_bytes, measured_size
from engine.training.trial import How, Trial
from engine.victims.by_gradient import ByGradient, Trainable, numbers
from engine.victims.family import Outcome, Report, Seconds, tensor

TEST_ROWS = 256  # that such models are asked about at a time
PARTS_BYTES = 2**30  # of the rows of models that train together, each on rows of its own


class DenseKind(Protocol):
    """What the module of a kind of dense model has."""

    def model(self, section: Any, features: int, classes: int, /) -> Mlp:
        """The victim that a scenario describes, for rows of `features` numbers. Each kind takes its own section."""
        ...


class DenseLayers(ByGradient[Trainable, Mlp]):
    """Dense layers over rows of numbers, whatever these were made of."""

    BENCH = "stacks"
    ONE_CORE = True
    APART = 64

    def fit(self, data: Training, jobs: Sequence[Job], trial: Trial) -> list[Trained]:
        how = trial.how
        init = self.initial(trial.seed, trial.number, how.dtype)
        data = data.to(how.device, how.dtype)
        return train_stacked(
            lambda params: self.model.stack(params, how.device, how.dtype), [init] * len(jobs), data, jobs, self.recipe, trial
        )

    def outcomes(self, data: Training, x_test: np.ndarray, jobs: Sequence[Job], trial: Trial) -> list[Outcome]:
        return self.answered(self.fit(data, jobs, trial), data, x_test, jobs, trial)

    def answered(self, fits: Sequence[Trained], data: Training, x_test: np.ndarray, jobs: Sequence[Job], trial: Trial) -> list[Outcome]:
        predictions = predict(self.model, [t.params for t in fits], x_test, trial.how.device, trial.how.dtype)
        return [Outcome(predicted, t.epochs, t.train_loss) for t, predicted in zip(fits, predictions, strict=True)]

    def apart(self, parts: Sequence[Part], trial: Trial) -> list[Outcome]:
        """Together, as one tensor program in which none knows of another."""
        how, x_test = trial.how, self.dataset.test.x
        x_NF, y_N = tensor(self.dataset.train.x), tensor(self.dataset.train.y)
        longest = min(max(len(part.rows) for part in parts), self.section.batch + self.section.batch // LEAST_REST)
        # a step's rows and activations, each with its gradient, in numbers of 4 bytes
        each = 16 * padded(longest) * (self.model.sizes[0] + sum(self.model.sizes))
        most = max(COMPANY, PARTS_BYTES // each)

        def make(inits: Sequence[Sequence[torch.Tensor]]) -> DenseApart:
            return DenseApart(self.model.sizes, inits, how.device, how.dtype)

        def train(group: Sequence[int], report: Callable[[float], None]) -> list[Trained]:
            done: list[Trained] = []
            for lo in range(0, len(group), most):
                some = [parts[at] for at in group[lo : lo + most]]
                inits = [self.initial(part.seed, 0, how.dtype) for part in some]
                fits = train_apart(make, inits, x_NF, y_N, some, self.recipe, how, COMPANY, lambda n, before=lo: report(before + n))  # type: ignore[misc]
                predicted = predict_apart(self.model, [fit.params for fit in fits], x_test, how)
                done += [Trained([row], fit.epochs, fit.train_loss) for row, fit in zip(predicted, fits, strict=True)]
            return done

        side_by_side = 1 if how.device.type == "cuda" else min(trial.workers, len(parts) // COMPANY)
        fits = train_shared_out(train, len(parts), trial, side_by_side)
        return [Outcome(fit.params[0].cpu().numpy(), fit.epochs, fit.train_loss) for fit in fits]

    def stack_size(self, seconds: Seconds, most: int, how: How, side_by_side: int) -> int:
        widest = max(self.model.sizes[:-1])
        # parameters, gradient and two moments; then activations, deltas and logits of a step's rows and of a slice of the test rows
        per_victim = 4 * (4 * widest * sum(self.model.sizes[1:]) + 8 * self.section.batch * widest)
        each, parts = per_victim * side_by_side, -(-most // side_by_side)
        return min(most, measured_size(lambda v: seconds(v, STEPS_TIMED), each, free_bytes(how.device), parts) * side_by_side)

    def plain(self, data: Training, job: Job, trial: Trial) -> Trained:
        init = [p.to(data.x_NF) for p in self.initial(trial.seed, trial.number, torch.float64)]
        return train_sequential(self.model, init, data, job, self.recipe, trial)

    def work(self, data: Training, jobs: Sequence[Job]) -> float:
        """Multiply-adds, counted as two: forward, and backward without a gradient for the input."""
        first, *later = [2.0 * a * b for a, b in zip(self.model.sizes, self.model.sizes[1:], strict=False)]
        return sum(len(data.y_N) + len(job.rows) for job in jobs) * (2 * first + 3 * sum(later))

    def probabilities(self, fitted: Trained, x: np.ndarray, how: How) -> np.ndarray:
        return numbers(self.model.probabilities(self.model.logits(fitted.params, tensor(x).to(how.device, how.dtype))))

    @torch.no_grad()
    def losses(self, fitted: Trained, x: np.ndarray, y: np.ndarray, how: How) -> np.ndarray:
        params = [p.to(how.device, how.dtype) for p in fitted.params]
        logits = self.model.logits(params, tensor(x).to(how.device, how.dtype))
        return self.model.losses(logits, tensor(y).to(how.device)).double().cpu().numpy()

    def representation(self, fitted: Trained, layer: str, how: How, report: Report) -> Callable[[Rows], np.ndarray]:
        if layer != "hidden":
            raise RequestError(f"{self.section.kind} has no layer {layer!r}", where="subpopulations.layer", next="use hidden")
        return lambda rows: self.hidden(fitted, rows.x, how, report)

    @torch.no_grad()
    def hidden(self, fitted: Trained, x: np.ndarray, how: How, report: Report) -> np.ndarray:
        return numbers(self.model.hidden_of(fitted.params, torch.from_numpy(x).to(how.device)))

    def head(self, fitted: Trained) -> tuple[torch.Tensor, torch.Tensor]:
        return fitted.params[-2], fitted.params[-1]


class Dense(DenseLayers[DenseKeys]):
    """Models of plain numbers. A picture's pixels are some."""

    @classmethod
    def see(
        cls, section: DenseKeys, dataset: Dataset, seed: int, *, data_dir: Path | None, device: str, report: Report, opened: Opened
    ) -> Dataset:
        return read_as(dataset, flat_pixels)

    def build(self) -> Mlp:
        width = int(np.prod(self.dataset.train.x.shape[1:]))
        kind = cast(DenseKind, module("models.dense", self.section.kind))
        return kind.model(self.section, width, len(self.dataset.classes))

    def moved_rows(self, pictures: Pictures, *, device: str, report: Report) -> np.ndarray:
        return flat_moved(pictures)


@torch.no_grad()
def predict(model: Mlp, params: Sequence[Sequence[torch.Tensor]], x: np.ndarray, device: torch.device, dtype: torch.dtype) -> np.ndarray:
    """Predicted classes, uint8 [victims, rows], in slices that keep activations under about 256 MiB; shorter where memory runs out."""
    stack = model.stack(params, device, dtype)
    x_BF = tensor(x).to(device, dtype)
    x_BF = torch.cat([x_BF, torch.ones_like(x_BF[:, :1])], 1)
    rows = max(64, 2**26 // (stack.victims * (sum(model.sizes[1:]) + 1)))
    while True:
        try:
            return torch.cat([model.predict(stack.logits(chunk)) for chunk in x_BF.split(rows)], 1).cpu().numpy()
        except torch.OutOfMemoryError:
            if rows == 1:
                raise
        rows //= 2


@torch.no_grad()
def predict_apart(model: Mlp, params: Sequence[Sequence[torch.Tensor]], x: np.ndarray, how: How) -> torch.Tensor:
    """Predicted classes, uint8 [models, rows], of models whose bits must not depend on their company: see `DenseApart`."""
    company = [*params, *[params[-1]] * (-len(params) % COMPANY)]
    apart = DenseApart(model.sizes, company, how.device, how.dtype)
    wide_BI = apart.widened(torch.from_numpy(x).to(how.device, how.dtype))
    # the slices are the same whatever the company
    chunks = [model.predict(apart.logits(chunk.expand(len(company), -1, -1))) for chunk in wide_BI.split(TEST_ROWS)]
    return torch.cat(chunks, 1)[: len(params)]
