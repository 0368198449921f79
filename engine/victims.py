"""From a scenario's words to what the trainers take: model, rows, recipe, initial weights; and what trained victims predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from engine import models
from engine.errors import RequestError
from engine.processes import cores
from engine.rows import Dataset, Poison
from engine.scenario import ComputeSection, ModelSection, Scenario
from engine.seeds import seed_for
from engine.training.networks import train_networks
from engine.training.recipe import Job, Recipe, Trained, Training
from engine.training.stacked import Control, train_stacked

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}  # bfloat16: products only, weights in float32
ROWS_AT_ONCE = 2**20  # pixels of the pictures that a network is asked about at a time: 1,024 of 32 x 32

Model = models.Mlp | models.Network


@dataclass(frozen=True)
class How:
    """On what and in what precision victims are trained. autocast: matrix products and convolutions in bfloat16."""

    device: torch.device
    dtype: torch.dtype
    autocast: bool = False


@dataclass(frozen=True)
class Outcome:
    """What one victim predicts, uint8 [test rows], and how it was trained."""

    predictions: np.ndarray
    epochs: int
    train_loss: float


def how(compute: ComputeSection, section: ModelSection, device: str) -> How:
    """RequestError for a precision that these models have no use for."""
    if compute.precision == "bfloat16" and (section.kind in ("mlp", "logistic") or section.tune == "last_layer"):
        raise RequestError(
            "bfloat16 is for networks that are trained whole: so small a model loses accuracy and gains no speed by it",
            where="compute.precision",
            next="use float32 or float64",
        )
    return How(torch.device(device), DTYPES[compute.precision], compute.precision == "bfloat16")


# ---- the model ------------------------------------------------------------------------------------------------------


def model_of(section: ModelSection, dataset: Dataset) -> Model:
    """The scenario's model, as wide as the dataset's rows and classes ask for."""
    shape = dataset.train.x.shape
    image = (int(shape[1]), int(shape[2])) if len(shape) == 4 else None
    return models.build(section, features=int(np.prod(shape[1:])), classes=len(dataset.classes), image=image)


def initial(model: Model, seed: int, trial: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """A trial's initial weights: the same for every arm and subpopulation."""
    return model.init(torch.Generator().manual_seed(seed_for(seed, "initial weights", trial)), dtype)


def recipe(section: ModelSection) -> Recipe:
    """How the scenario's model is trained."""
    return Recipe(
        epochs=section.epochs,
        batch=section.batch,
        lr=section.lr,
        weight_decay=section.weight_decay,
        per_rows=section.weight_decay_per == "rows",
        stop=section.stop,
        tol=section.tol,
        patience=section.patience,
        augment=section.augment,
    )


# ---- training -------------------------------------------------------------------------------------------------------


def training_of(dataset: Dataset, extra: np.ndarray | None = None) -> Training:
    """The defender's rows and the pool that poison copies, on the CPU, sharing the dataset's memory.

    extra: further rows of the pool, after those of aux (the frozen features of points that were moved).
    """
    pool = dataset.aux.x if extra is None else np.concatenate([dataset.aux.x, extra])
    return Training(torch.from_numpy(dataset.train.x), torch.from_numpy(dataset.train.y), torch.from_numpy(pool))


def job_of(poison: Poison) -> Job:
    """One victim's poison as the trainers take it, its pixels as they are."""
    return Job(poison.rows, poison.labels)


def fit(
    model: Model,
    section: ModelSection,
    data: Training,
    jobs: Sequence[Job],
    seed: int,
    trial: int,
    how: How,
    control: Control | None,
    *,
    workers: int = 1,
    max_steps: int | None = None,
    on_halved: Callable[[int], None] | None = None,
    finish: Callable[[list[torch.Tensor]], list[torch.Tensor]] | None = None,
) -> list[Trained]:
    """Train one victim for each job, all from the trial's initial weights; results in the order of `jobs`.

    finish: for networks alone, what is kept of a victim instead of its weights. See `train_stacked` and `train_networks`.
    """
    init = initial(model, seed, trial, how.dtype)
    data = data.to(how.device, how.dtype)
    if isinstance(model, models.Network):
        return train_networks(
            model,
            init,
            data,
            jobs,
            recipe(section),
            seed=seed,
            trial=trial,
            device=how.device,
            dtype=how.dtype,
            autocast=how.autocast,
            workers=workers,
            control=control,
            max_steps=max_steps,
            on_halved=on_halved,
            finish=finish,
        )
    dense = model
    return train_stacked(
        lambda params: dense.stack(params, how.device, how.dtype),
        [init] * len(jobs),
        data,
        jobs,
        recipe(section),
        seed=seed,
        trial=trial,
        workers=workers,
        control=control,
        max_steps=max_steps,
        on_halved=on_halved,
    )


def outcomes(
    model: Model,
    section: ModelSection,
    data: Training,
    x_test: np.ndarray,
    jobs: Sequence[Job],
    seed: int,
    trial: int,
    how: How,
    control: Control | None,
    *,
    workers: int = 1,
    on_halved: Callable[[int], None] | None = None,
) -> list[Outcome]:
    """Train one victim for each job and ask each about every test row."""
    if isinstance(model, models.Network):
        network = model

        def finish(params: list[torch.Tensor]) -> list[torch.Tensor]:
            return [torch.cat([network.predict(z) for z in logits_of(network, params, x_test, how)]).cpu()]

        fits = fit(model, section, data, jobs, seed, trial, how, control, workers=workers, on_halved=on_halved, finish=finish)
        return [Outcome(t.params[0].numpy(), t.epochs, t.train_loss) for t in fits]
    fits = fit(model, section, data, jobs, seed, trial, how, control, workers=workers, on_halved=on_halved)
    predictions = predict(model, [t.params for t in fits], x_test, how.device, how.dtype)
    return [Outcome(predicted, t.epochs, t.train_loss) for t, predicted in zip(fits, predictions, strict=True)]


# ---- asking ---------------------------------------------------------------------------------------------------------


@torch.no_grad()
def predict(
    model: models.Mlp, params: Sequence[Sequence[torch.Tensor]], x: np.ndarray, device: torch.device, dtype: torch.dtype
) -> np.ndarray:
    """Predicted classes, uint8 [victims, rows], in slices that keep activations under about 256 MiB; shorter where memory runs out."""
    stack = model.stack(params, device, dtype)
    x_BF = torch.from_numpy(x).to(device, dtype)
    x_BF = torch.cat([x_BF, torch.ones_like(x_BF[:, :1])], 1)
    rows = max(64, 2**26 // (stack.victims * (sum(model.sizes[1:]) + 1)))
    while True:
        try:
            return torch.cat([model.predict(stack.logits(chunk)) for chunk in x_BF.split(rows)], 1).cpu().numpy()
        except torch.OutOfMemoryError:
            if rows == 1:
                raise
        rows //= 2


def slices(model: Model, x: np.ndarray, how: How) -> list[torch.Tensor]:
    """The rows as tensors that the model can be asked about at a time: pictures a few at once, anything else whole."""
    if not isinstance(model, models.Network):
        return [torch.from_numpy(x).to(how.device, how.dtype)]
    step = max(1, ROWS_AT_ONCE // (x.shape[1] * x.shape[2]))
    return [torch.from_numpy(x[lo : lo + step]) for lo in range(0, len(x), step)]


@torch.no_grad()
def logits_of(model: Model, params: Sequence[torch.Tensor], x: np.ndarray, how: How) -> list[torch.Tensor]:
    """Logits [rows of a slice, outputs] of one victim, a slice at a time."""
    if not isinstance(model, models.Network):
        return [model.logits(params, chunk) for chunk in slices(model, x, how)]
    found = []
    for chunk in slices(model, x, how):
        with torch.autocast(how.device.type, torch.bfloat16, enabled=how.autocast):
            found.append(model.logits(params, model.pixels(chunk.to(how.device)).to(how.dtype)).to(how.dtype))
    return found


# ---- the machine ----------------------------------------------------------------------------------------------------


def workers(scenario: Scenario, device: torch.device) -> int:
    """How many parts of a stack train side by side: a CPU's cores, or one on a GPU."""
    return (scenario.compute.threads or cores()) if device.type == "cpu" else 1


def one_thread_each() -> None:
    """PyTorch's own threads off: parts of a stack have a core each already, and products this small gain nothing from more."""
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)
