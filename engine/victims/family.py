"""What a family of models can do, whatever its victims are: see rows, train them, say what they predict, and be asked by an adversary."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Generic, Literal, TypeVar

import numpy as np
import torch

from engine.attacks.model import Network
from engine.errors import RequestError
from engine.features.opened import Opened, Report
from engine.features.pixels import Pictures
from engine.milestones import NOTHING_KEPT, Arrays, Milestones
from engine.rows import Cores, Dataset, Poison, Rows
from engine.scenario.sections import ComputeSection, ModelKeys, Scenario
from engine.system.processes import cores
from engine.training import graphs
from engine.training.partition import Part
from engine.training.parts import can_fork, train_in_parts
from engine.training.recipe import Job, Trained, Training
from engine.training.trial import How, Trial

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}  # bfloat16: products only, weights in float32
STACK_S = 60.0  # a stack of victims that gain nothing by company takes about so long: what a crash may lose
LEAST_PROBABILITY = 1e-15  # of a true class, in a loss that is made of probabilities: a tree's leaf may give it none
FEW_STEPS = 3  # of a network, timed to work that out

LimitName = Literal["matrix", "kernels", "copy", "mfu"]  # what `subpop bench` holds a family against (see `pipeline/bench.py`)
Seconds = Callable[[int, int], float]  # (victims, steps) -> seconds that so many steps of so many victims take together
Keys = TypeVar("Keys", bound=ModelKeys)  # the sections of the scenario that name its models
Fitted = TypeVar("Fitted")  # a victim as training left it


@dataclass(frozen=True)
class Outcome:
    """What one victim predicts, uint8 [test rows], and how it was trained."""

    predictions: np.ndarray
    epochs: int
    train_loss: float


class Family(ABC, Generic[Keys, Fitted]):
    """Victims of one model over one dataset, as `see` left it. seed: the scenario's, for what is drawn once a run.

    opened: what holds files of weights and frozen networks for the run; milestones: where passes through a network are put away.

    BENCH           what `subpop bench` can compare with a plain loop: whole stacks, some steps, or nothing
    LIMIT           of the device, which this family's training meets first: what `work` is counted in follows from it
    ONE_CORE        training a single victim, which gives a `Trained`, has use for one core alone
    MOVES_PIXELS    victims move the pixels of optimised points as they go; else they read such points as rows of numbers
    KEEPS_MOVED     these rows are worth keeping with the run, for they cost passes through a frozen network
    APART           so many models of parts of train a process are worth starting with: more where they train as one program
    """

    BENCH: ClassVar[Literal["stacks", "steps"] | None] = None
    LIMIT: ClassVar[LimitName] = "matrix"
    ONE_CORE: ClassVar[bool] = False
    MOVES_PIXELS: ClassVar[bool] = False
    KEEPS_MOVED: ClassVar[bool] = False
    APART: ClassVar[int] = 1

    def __init__(self, section: Keys, dataset: Dataset, seed: int, opened: Opened, milestones: Milestones = NOTHING_KEPT) -> None:
        self.section, self.dataset, self.seed, self.opened, self.milestones = section, dataset, seed, opened, milestones

    # ---- rows -----------------------------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def see(
        cls, section: Keys, dataset: Dataset, seed: int, *, data_dir: Path | None, device: str, report: Report, opened: Opened
    ) -> Dataset:
        """The dataset as these models read it. Weights that they start from count among the data: a resumed run must have the same."""

    def moved_rows(self, pictures: Pictures, *, device: str, report: Report) -> np.ndarray:
        """Optimised points as rows of numbers, float32 [points, width]. RequestError for models that read no pictures."""
        raise self._cannot("reads no pictures")

    # ---- training -------------------------------------------------------------------------------------------------------

    def can_fit(self, y_N: np.ndarray) -> bool:
        """Whether a model can be fitted to rows of these labels at all; some cannot to one class alone, so none is."""
        return len(np.unique(y_N)) > 1

    @abstractmethod
    def fit(self, data: Training, jobs: Sequence[Job], trial: Trial) -> list[Fitted]:
        """Train one victim for each job, all of them from what the trial draws; results in the order of `jobs`."""

    @abstractmethod
    def outcomes(self, data: Training, x_test: np.ndarray, jobs: Sequence[Job], trial: Trial) -> list[Outcome]:
        """Train one victim for each job and ask each about every test row."""

    @abstractmethod
    def answered(self, fits: Sequence[Fitted], data: Training, x_test: np.ndarray, jobs: Sequence[Job], trial: Trial) -> list[Outcome]:
        """What victims that `fit` trained predict, for whoever asks them more than that: `outcomes` keeps nothing else of them."""

    def apart(self, parts: Sequence[Part], trial: Trial) -> list[Outcome]:
        """A model for each part of train, none of them empty, trained on its rows alone as if there were no others, and asked about every
        test row; results in the order of `parts`. Nothing of a model depends on another part, nor on which others are asked for.

        One after the other, on a CPU side by side in forked processes of a thread each. trial: its seed and number are passed over.
        """
        train, x_test = self.dataset.train, self.dataset.test.x
        none = np.empty(0, np.int64)

        def fit(some: Sequence[int], report: Callable[[float], None], on_halved: Callable[[int], None]) -> list[Trained]:
            done: list[Trained] = []

            def on_step(share: float, whole: float) -> None:
                report(len(done) + share / whole)

            for at in some:
                rows, alone = parts[at].rows, replace(trial, seed=parts[at].seed, number=0, workers=1, on_step=on_step)
                data = Training(tensor(train.x[rows]), tensor(train.y[rows]), tensor(train.x[:0]))
                (outcome,) = self.outcomes(data, x_test, [Job(none, none)], alone)
                done.append(Trained([torch.from_numpy(outcome.predictions)], outcome.epochs, outcome.train_loss))
                report(len(done))
            return done

        def control(done: float) -> None:
            if trial.on_step:
                trial.on_step(done, len(parts))

        many = min(trial.workers, len(parts)) if trial.how.device.type == "cpu" and can_fork() else 1
        if many < 2:
            fits = dict(enumerate(fit(range(len(parts)), control, lambda size: None)))
        else:
            fits = train_in_parts(fit, [range(first, len(parts), many) for first in range(many)], control, lambda size: None)
        return [Outcome(fits[at].params[0].numpy(), fits[at].epochs, fits[at].train_loss) for at in range(len(parts))]

    @abstractmethod
    def stack_size(self, seconds: Seconds, most: int, how: How, side_by_side: int) -> int:
        """How many of `most` victims train together: what a victim costs in memory and time, by `seconds` where that is to be measured."""

    def plain(self, data: Training, job: Job, trial: Trial) -> object:
        """One victim in a plain loop, for `subpop bench`."""
        raise self.unmeasured(self.section)

    def work(self, data: Training, jobs: Sequence[Job]) -> float:
        """What an epoch of these jobs' victims, trained together, must do, for `subpop bench`: multiplications and additions; bytes read
        and written where the LIMIT is "copy".
        """
        raise self.unmeasured(self.section)

    def company(self, how: How, side_by_side: int) -> int:
        """How many victims `subpop bench` times at once."""
        return side_by_side

    @classmethod
    def unmeasured(cls, section: Keys) -> RequestError:
        """Why `subpop bench` has nothing to say of these victims."""
        return RequestError(f"{section.kind} is trained by a plain loop already", where="model.kind", next="measure another preset")

    # ---- one of them, put away ------------------------------------------------------------------------------------------

    def as_arrays(self, fitted: Fitted) -> Arrays | None:
        """A victim as arrays; None where it is not made of arrays, and must be trained again."""
        return None

    def of_arrays(self, arrays: Arrays, how: How) -> Fitted:
        """The victim that `as_arrays` was given, on its device."""
        raise NotImplementedError

    # ---- what the adversary asks ----------------------------------------------------------------------------------------

    @abstractmethod
    def probabilities(self, fitted: Fitted, x: np.ndarray, how: How) -> np.ndarray:
        """float32 [rows, classes]."""

    def losses(self, fitted: Fitted, x: np.ndarray, y: np.ndarray, how: How) -> np.ndarray:
        """Cross-entropy of each row under its label, nats, float64 [rows]."""
        true = self.probabilities(fitted, x, how)[np.arange(len(y)), y].astype(np.float64)
        return -np.log(np.maximum(true, LEAST_PROBABILITY))

    def representation(self, fitted: Fitted, layer: str, how: How, report: Report) -> Callable[[Rows], np.ndarray]:
        """Rows -> [rows, width], at a layer: "hidden" is what the last layer reads, "poolN" a pooling layer's output, flattened;
        of a text encoder "hidden" is the mean of the tokens before its last layer, "tokens" all of them, flattened.

        RequestError where this model has no such layer.
        """
        raise RequestError(f"{self.section.kind} has no layer {layer!r}", where="subpopulations.layer", next="use input")

    def hidden(self, fitted: Fitted, x: np.ndarray, how: How, report: Report) -> np.ndarray:
        """What the last layer reads, float32 [rows, width]."""
        raise self._cannot("has no hidden layer")

    def head(self, fitted: Fitted) -> tuple[torch.Tensor, torch.Tensor]:
        """The last layer: kernel [width, outputs] and bias [outputs]; one output where two classes share a logit."""
        raise self._cannot("has no last layer")

    def params(self, fitted: Fitted) -> Sequence[torch.Tensor]:
        """Its weights."""
        raise self._cannot("has no gradients")

    @property
    def weight_decay(self) -> float:
        """w of the penalty w/2 |kernel|^2 on the mean loss, as the head was trained with; in scikit-learn's units divided by the batch."""
        raise self._cannot("has no gradients")

    def differentiable(self, fitted: Fitted, how: How) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """Pixels 0..1 [B, 3, height, width] -> what the last layer reads, with gradients to the pixels; None where it reads no pictures."""
        return None

    def pixels(self, images: np.ndarray, how: How) -> torch.Tensor:
        """Pictures uint8 [B, height, width, 3] -> pixels 0..1, float32 [B, 3, height, width], on the device."""
        raise self._cannot("reads no pictures")

    def network(self) -> Network | None:
        """The whole network of pictures, where it is trained whole."""
        return None

    def _cannot(self, what: str) -> RequestError:
        return RequestError(f"{self.section.kind} {what}", where="model.kind", next='use attack.kind = "label_flip"')

    # ---- what is said of it ---------------------------------------------------------------------------------------------

    @classmethod
    def deviations(cls, section: Keys) -> tuple[str, ...]:
        """What every number of such victims must be read with."""
        return ()

    def notes(self) -> tuple[str, ...]:
        """What the log says of how they are trained."""
        return ()


# ---- rows and poison as trainers take them ------------------------------------------------------------------------------


def training_of(dataset: Dataset, extra: np.ndarray | None = None) -> Training:
    """The defender's rows and the pool that poison copies, on the CPU, sharing the dataset's memory.

    extra: further rows of the pool, after those of aux (the frozen features of points that were moved).
    """
    pool = dataset.aux.x if extra is None else np.concatenate([dataset.aux.x, extra])
    return Training(tensor(dataset.train.x), tensor(dataset.train.y), tensor(pool))


def tensor(rows: np.ndarray) -> torch.Tensor:
    """The rows as a tensor, sharing their memory. Nothing is written there, so it may be memory that must not be, as of a cluster's node:
    PyTorch warns of that once, whatever is done with the tensor.
    """
    if rows.flags.writeable:
        return torch.from_numpy(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(rows)


def job_of(poison: Poison) -> Job:
    """One victim's poison as the trainers take it, its pixels as they are."""
    return Job(poison.rows, poison.labels)


# ---- the machine ----------------------------------------------------------------------------------------------------


def how(compute: ComputeSection, device: str) -> How:
    """What the scenario's words come to; whether a model has any use for a precision is said in `scenario.checks`."""
    on = torch.device(device)
    return How(on, DTYPES[compute.precision], compute.precision == "bfloat16", graphs.wanted(on))


def workers(scenario: Scenario, device: torch.device, planned: Cores | None = None) -> int:
    """How many parts of a stack train side by side: as planned, else a CPU's cores; one on a GPU."""
    if device.type != "cpu":
        return 1
    return planned.parts if planned is not None else scenario.compute.threads or cores()


def one_thread_each() -> None:
    """PyTorch's own threads off: parts of a stack have a core each already, and products this small gain nothing from more."""
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


def silent(what: str, share: float) -> None:
    """Of a part of what is reported on already."""
