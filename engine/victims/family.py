"""From a scenario's words to what the trainers take: model, rows, recipe, initial weights; and what trained victims predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from engine.features import texts
from engine.models import build as models
from engine.models.bert.bert import last_layer_init, last_layer_of
from engine.models.bert.files import BertSource
from engine.models.bert.last_layer import LastLayer
from engine.rows import Dataset, Poison, States
from engine.scenario.sections import BertSection, ComputeSection, ModelSection, NetworkKeys, Scenario
from engine.seeds import seed_for
from engine.system.processes import cores
from engine.training.dense import Control, train_stacked
from engine.training.encoders.stack import EncoderStack, logits_of_rows, train_encoder_stack
from engine.training.encoders.states import StateRows
from engine.training.networks.choose import train_networks
from engine.training.recipe import Job, Recipe, Trained, Training

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}  # bfloat16: products only, weights in float32
ROWS_AT_ONCE = 2**20  # pixels of the pictures that a network is asked about at a time: 1,024 of 32 x 32
TEXTS_AT_ONCE = 64


@dataclass(frozen=True)
class TextHead:
    """The last layer of a BERT, trained on the states below it; its rows are numbers of rows of `states`."""

    layer: LastLayer
    source: BertSource
    states: States

    def init(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
        """A trial's initial weights."""
        return last_layer_init(self.source, self.layer, generator, dtype)

    def predict(self, logits: torch.Tensor) -> torch.Tensor:
        return self.layer.predict(logits)

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        return self.layer.probabilities(logits)


TextNetwork = texts.TextNetwork
Model = models.Mlp | models.Network | TextNetwork | TextHead
Whole = models.Network | TextNetwork  # runs whole at every step, one victim a program


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


def how(compute: ComputeSection, device: str) -> How:
    """What the scenario's words come to; whether a model has any use for a precision is said in `scenario.checks`."""
    return How(torch.device(device), DTYPES[compute.precision], compute.precision == "bfloat16")


# ---- the model ------------------------------------------------------------------------------------------------------


def model_of(section: ModelSection, dataset: Dataset) -> Model:
    """The scenario's model, as wide as the dataset's rows and classes ask for."""
    classes = len(dataset.classes)
    if isinstance(section, BertSection):
        source = texts.source_of(section)
        if section.tune == "all" or not isinstance(source, BertSource):
            return texts.network_of(source, section, classes)
        assert dataset.states is not None
        return TextHead(last_layer_of(source, classes), source, dataset.states)
    shape = dataset.train.x.shape
    image = (int(shape[1]), int(shape[2])) if len(shape) == 4 else None
    return models.build(section, features=int(np.prod(shape[1:])), classes=classes, image=image)


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
        augment=isinstance(section, NetworkKeys) and section.augment,
        optimizer=section.optimizer if isinstance(section, BertSection) else "adam",
    )


# ---- training -------------------------------------------------------------------------------------------------------


def training_of(dataset: Dataset, extra: np.ndarray | None = None) -> Training:
    """The defender's rows and the pool that poison copies, on the CPU, sharing the dataset's memory.

    extra: further rows of the pool, after those of aux (the frozen features of points that were moved).
    """
    pool = dataset.aux.x if extra is None else np.concatenate([dataset.aux.x, extra])
    return Training(tensor(dataset.train.x), tensor(dataset.train.y), tensor(pool))


def tensor(rows: np.ndarray) -> torch.Tensor:
    """The rows as a tensor, sharing their memory where that may be written to (PyTorch asks for it, though nothing is written)."""
    return torch.from_numpy(rows if rows.flags.writeable else rows.copy())


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
    finish_stack: Callable[[EncoderStack], list[list[torch.Tensor]]] | None = None,
) -> list[Trained]:
    """Train one victim for each job, all from the trial's initial weights; results in the order of `jobs`.

    finish: what is kept of a network instead of its weights; finish_stack: of each text encoder's last layer in a stack.
    See `train_stacked`, `train_networks` and `train_encoder_stack`.
    """
    init = initial(model, seed, trial, how.dtype)
    if isinstance(model, TextHead):
        states = StateRows(model.states, how.device, how.dtype)
        states.settle(torch.cat([data.x_NF, data.x_AF]).cpu().numpy()[:, 0])
        return train_encoder_stack(
            model.layer,
            init,
            data,
            states,
            jobs,
            recipe(section),
            seed=seed,
            trial=trial,
            workers=workers,
            control=control,
            max_steps=max_steps,
            on_halved=on_halved,
            finish=finish_stack,
        )
    data = data.to(how.device, how.dtype)
    if isinstance(model, Whole):
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
    if isinstance(model, TextHead):
        head = model

        def finish_stack(stack: EncoderStack) -> list[list[torch.Tensor]]:
            states = StateRows(head.states, how.device, how.dtype)
            return [[p.cpu()] for p in head.predict(logits_of_rows(stack, head.layer, states, x_test[:, 0]))]

        fits = fit(model, section, data, jobs, seed, trial, how, control, workers=workers, on_halved=on_halved, finish_stack=finish_stack)
        return [Outcome(t.params[0].numpy(), t.epochs, t.train_loss) for t in fits]
    if isinstance(model, Whole):
        network = model

        def finish(params: list[torch.Tensor]) -> list[torch.Tensor]:
            return [torch.cat([network.predict(z) for z in logits_of(network, params, x_test, how)]).cpu()]

        # the last victim of a trial may be alone in its stack: with one thread, as in company, so that its bits do not depend on the plan
        workers = workers if len(jobs) > 1 else 1
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


@torch.no_grad()
def logits_of(model: Model, params: Sequence[torch.Tensor], x: np.ndarray, how: How) -> list[torch.Tensor]:
    """Logits [rows of a slice, outputs] of one victim, a slice at a time: pictures and texts a few at once, anything else whole."""
    if isinstance(model, models.Mlp):
        return [model.logits(params, tensor(x).to(how.device, how.dtype))]
    if isinstance(model, TextHead):
        stack = model.layer.stack([params], how.device, how.dtype)
        return [logits_of_rows(stack, model.layer, StateRows(model.states, how.device, how.dtype), x[:, 0])[0]]
    step = max(1, ROWS_AT_ONCE // (x.shape[1] * x.shape[2])) if x.ndim == 4 else TEXTS_AT_ONCE
    found = []
    for lo in range(0, len(x), step):
        read = model.pixels(tensor(x[lo : lo + step]).to(how.device))
        with torch.autocast(how.device.type, torch.bfloat16, enabled=how.autocast):
            found.append(model.logits(params, read.to(how.dtype) if read.is_floating_point() else read).to(how.dtype))
    return found


# ---- the machine ----------------------------------------------------------------------------------------------------


def workers(scenario: Scenario, device: torch.device) -> int:
    """How many parts of a stack train side by side: a CPU's cores, or one on a GPU."""
    return (scenario.compute.threads or cores()) if device.type == "cpu" else 1


def one_thread_each() -> None:
    """PyTorch's own threads off: parts of a stack have a core each already, and products this small gain nothing from more."""
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)
