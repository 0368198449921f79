"""From a scenario's words to what the trainers take: model, rows, recipe, initial weights; and what trained victims predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from engine import models
from engine.errors import RequestError
from engine.processes import cores
from engine.rows import Dataset, Poison
from engine.scenario import ComputeSection, ModelSection, Scenario
from engine.seeds import seed_for
from engine.training.recipe import Job, Recipe, Trained, Training
from engine.training.stacked import Control, train_stacked

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def dtype_of(compute: ComputeSection) -> torch.dtype:
    """The precision that victims are trained in. RequestError for one that these models have no use for."""
    if compute.precision not in DTYPES:
        raise RequestError(
            f"{compute.precision} is not available for mlp and logistic: so small a model loses accuracy and gains no speed by it",
            where="compute.precision",
            next=f"use {' or '.join(DTYPES)}",
        )
    return DTYPES[compute.precision]


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


def fit_stack(
    model: models.Mlp,
    section: ModelSection,
    data: Training,
    jobs: Sequence[Job],
    seed: int,
    trial: int,
    device: torch.device,
    dtype: torch.dtype,
    control: Control | None,
    *,
    workers: int = 1,
    max_steps: int | None = None,
    on_halved: Callable[[int], None] | None = None,
) -> list[Trained]:
    """Train one victim for each job, all from the trial's initial weights; results in the order of `jobs`. See `train_stacked`."""
    init = initial(model, seed, trial, dtype)
    return train_stacked(
        lambda params: model.stack(params, device, dtype),
        [init] * len(jobs),
        data.to(device, dtype),
        jobs,
        recipe(section),
        seed=seed,
        trial=trial,
        workers=workers,
        control=control,
        max_steps=max_steps,
        on_halved=on_halved,
    )


def initial(model: models.Mlp, seed: int, trial: int, dtype: torch.dtype) -> list[torch.Tensor]:
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
    )


def model_of(section: ModelSection, dataset: Dataset) -> models.Mlp:
    """The scenario's model, as wide as the dataset's features and classes ask for."""
    return models.build(section, features=dataset.train.x.shape[1], classes=len(dataset.classes))


def training_of(dataset: Dataset) -> Training:
    """The defender's rows and the pool that poison copies: float32 [rows, features], on the CPU, sharing the dataset's memory."""
    return Training(torch.from_numpy(dataset.train.x), torch.from_numpy(dataset.train.y), torch.from_numpy(dataset.aux.x))


def job_of(poison: Poison) -> Job:
    """One victim's poison as the trainers take it."""
    return Job(poison.rows, poison.labels)


def workers(scenario: Scenario, device: torch.device) -> int:
    """How many parts of a stack train side by side: a CPU's cores, or one on a GPU."""
    return (scenario.compute.threads or cores()) if device.type == "cpu" else 1


def one_thread_each() -> None:
    """PyTorch's own threads off: parts of a stack have a core each already, and products this small gain nothing from more."""
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)
