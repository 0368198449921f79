"""The order of things, and the only file that knows it: split -> represent -> subpopulations -> poison -> stacks -> victims."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from engine import attacks, datasets, models, subpopulations
from engine.rows import Arm, Dataset, Membership, Poison, Rows, StackPlan, Subpopulation, VictimResult, VictimSpec
from engine.scenario import ModelSection, Scenario
from engine.seeds import generator, seed_for
from engine.training.recipe import Job, Recipe, Trained, Training
from engine.training.sizing import cores, free_bytes, measured_size, timed
from engine.training.stacked import Control, train_stacked

Log = Callable[[str], None]
Progress = Callable[[str, float], None]  # (what is being done, share done)

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Discovery:
    """What is known before any victim is trained.

    proba_aux_AC   float32 [aux rows, classes], the adversary's model on aux, cross-fitted: poison rules may ask it
    """

    dataset: Dataset
    membership: Membership
    subpopulations: tuple[Subpopulation, ...]
    proba_aux_AC: np.ndarray


def deviations(scenario: Scenario, dataset: Dataset) -> tuple[str, ...]:
    """What makes this run not the paper's; shown on every screen and in every export."""
    found = list(dataset.deviations)
    if scenario.smoked:
        found.insert(0, "smoke: a sliver of the scenario, for testing the way, not for its numbers")
    return tuple(found)


# ---- split, represent, discover -------------------------------------------------------------------------------------


def load(scenario: Scenario, data_dir: Path, *, log: Log, progress: Progress) -> Dataset:
    """The scenario's rows as the adversary and the defender hold them."""
    dataset = datasets.load(scenario.dataset, scenario.seed, data_dir, progress)
    dataset = subpopulations.adversary_view(dataset, scenario.adversary, scenario.seed)
    for note in (*dataset.notes, *dataset.deviations):
        log(note)
    return dataset


def discover(
    scenario: Scenario, data_dir: Path, *, device: str = "cpu", log: Log, progress: Progress, control: Control | None = None
) -> Discovery:
    """Load the data, train the adversary's model on aux, form the subpopulations and choose the targets."""
    _one_thread_each()
    progress("loading data", 0.0)
    dataset = load(scenario, data_dir, log=log, progress=progress)
    section = scenario.adversary.model or scenario.model
    adversary = _Adversary(section, scenario, dataset, torch.device(device), progress, control)
    proba_in_sample, proba_test = adversary.fitted(dataset.aux.x), adversary.fitted(dataset.test.x)
    proba_aux = adversary.cross_fitted(scenario.evaluation.confidence_folds)
    progress("forming subpopulations", 0.9)
    represent = adversary.representation if scenario.subpopulations.layer == "hidden" else None
    membership, descriptions = subpopulations.assign(scenario.subpopulations, dataset, represent, scenario.seed)
    summary = subpopulations.summarise(
        scenario.subpopulations,
        scenario.attack,
        scenario.evaluation,
        dataset,
        membership,
        descriptions,
        proba_aux,
        proba_in_sample,
        proba_test,
    )
    progress("forming subpopulations", 1.0)
    return Discovery(dataset, membership, summary, proba_aux)


class _Adversary:
    """The model that the adversary trains on its auxiliary rows: confidences, representation, choice of targets."""

    def __init__(
        self, section: ModelSection, scenario: Scenario, dataset: Dataset, device: torch.device, progress: Progress, control: Control | None
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
        return _train(self.model, self.section, data, [clean], seed, fold, self.device, torch.float32, self.control)[0]

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


# ---- the plan -------------------------------------------------------------------------------------------------------


def victims_of_trial(scenario: Scenario, found: Sequence[Subpopulation], trial: int, first: int) -> list[VictimSpec]:
    """The trial's victims, the clean one first, numbered from `first`; those with the most poison next, so that padding is short."""
    arms: list[Arm] = ["poisoned", "true_label"] if "true_label" in scenario.evaluation.controls else ["poisoned"]
    per_train = scenario.attack.per == "train"
    targets = [
        (attacks.count(alpha, s.train_rows if per_train else s.aux_rows), arm, s.index, alpha)
        for s in found
        if s.attacked
        for alpha in scenario.attack.alphas
        for arm in arms
    ]
    targets.sort(key=lambda t: (-t[0], t[1], t[2], t[3]))
    clean = VictimSpec(first, trial, "clean")
    return [clean, *(VictimSpec(first + 1 + i, trial, arm, index, alpha) for i, (_, arm, index, alpha) in enumerate(targets))]


def plan(scenario: Scenario, discovery: Discovery, device: str, *, log: Log) -> tuple[StackPlan, ...]:
    """Which victims train together, for every trial, before any is trained."""
    _one_thread_each()
    per_trial = len(victims_of_trial(scenario, discovery.subpopulations, 0, 0))
    size = scenario.compute.victims_per_stack
    if size == "auto":
        size = _best_size(scenario, discovery, torch.device(device), per_trial)
        parts = workers(scenario, torch.device(device))
        log(f"{size} victims a stack, by memory and measured speed on {device}, {parts} parts side by side")
    stacks: list[StackPlan] = []
    for trial in range(scenario.evaluation.trials):
        specs = victims_of_trial(scenario, discovery.subpopulations, trial, trial * per_trial)
        for lo in range(0, len(specs), size):
            stacks.append(StackPlan(len(stacks), trial, tuple(specs[lo : lo + size])))
    return tuple(stacks)


def _best_size(scenario: Scenario, discovery: Discovery, device: torch.device, most: int) -> int:
    """Time a few steps at doubling sizes on the scenario's own rows."""
    specs = victims_of_trial(scenario, discovery.subpopulations, 0, 0)
    dtype = DTYPES[scenario.compute.precision]
    model, data = model_of(scenario.model, discovery.dataset), training_of(discovery.dataset).to(device, dtype)
    jobs = [job_of(poison_of(scenario, discovery, spec)) for spec in specs]
    seed = scenario.seed

    def seconds(victims: int) -> float:
        few = jobs[:: max(1, len(jobs) // victims)][:victims]
        return timed(lambda: _train(model, scenario.model, data, few, seed, 0, device, dtype, None, max_steps=5), device)

    widest = max(discovery.dataset.train.x.shape[1], sum(scenario.model.hidden), 1)
    # parameters, gradient and two moments; then activations, deltas and logits of a step's rows and of a slice of the test rows
    per_victim = 4 * (4 * widest * (sum(scenario.model.hidden) + len(discovery.dataset.classes)) + 8 * scenario.model.batch * widest)
    side_by_side = workers(scenario, device)
    parts = measured_size(seconds, per_victim * side_by_side, free_bytes(device), -(-most // side_by_side))
    return min(most, parts * side_by_side)


# ---- poison, stacks, victims ----------------------------------------------------------------------------------------


def poison_of(scenario: Scenario, discovery: Discovery, spec: VictimSpec) -> Poison:
    """The extra rows of one victim; none for a clean one."""
    if spec.subpopulation is None or spec.alpha is None:
        none = np.empty(0, np.int64)
        return Poison(none, none, none)
    return attacks.poison(
        scenario.attack,
        discovery.subpopulations[spec.subpopulation],
        discovery.dataset,
        discovery.membership,
        alpha=spec.alpha,
        trial=spec.trial,
        seed=scenario.seed,
        proba_aux=discovery.proba_aux_AC,
        arm=spec.arm,
    )


def train_stack(
    scenario: Scenario,
    discovery: Discovery,
    stack: StackPlan,
    device: str,
    control: Control | None = None,
    log: Log = lambda message: None,
) -> list[VictimResult]:
    """Train the victims of one stack and say what each predicts for every test row."""
    _one_thread_each()
    where, dtype = torch.device(device), DTYPES[scenario.compute.precision]
    model = model_of(scenario.model, discovery.dataset)
    poisons = [poison_of(scenario, discovery, spec) for spec in stack.victims]
    trained = _train(
        model,
        scenario.model,
        training_of(discovery.dataset).to(where, dtype),
        [job_of(p) for p in poisons],
        scenario.seed,
        stack.trial,
        where,
        dtype,
        control,
        workers=workers(scenario, where),
        on_halved=lambda size: log(f"out of memory on {device}: going on with {size} victims at a time"),
    )
    predictions = predict(model, [t.params for t in trained], discovery.dataset.test.x, where, dtype)
    return [
        VictimResult(spec, predicted, len(poison), poison.already_target, t.epochs, t.train_loss)
        for spec, poison, t, predicted in zip(stack.victims, poisons, trained, predictions, strict=True)
    ]


@torch.no_grad()
def predict(
    model: models.Mlp, params: Sequence[Sequence[torch.Tensor]], x: np.ndarray, device: torch.device, dtype: torch.dtype
) -> np.ndarray:
    """Predicted classes, uint8 [victims, rows], in slices that keep activations under about 256 MiB."""
    stack = model.stack(params, device, dtype)
    x_BF = torch.from_numpy(x).to(device, dtype)
    x_BF = torch.cat([x_BF, torch.ones_like(x_BF[:, :1])], 1)
    rows = max(64, 2**26 // (stack.victims * (sum(model.sizes[1:]) + 1)))
    return torch.cat([model.predict(stack.logits(chunk)) for chunk in x_BF.split(rows)], 1).cpu().numpy()


def _train(
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
    return models.build(section, features=dataset.train.x.shape[1], classes=len(dataset.classes))


def training_of(dataset: Dataset) -> Training:
    return Training(torch.from_numpy(dataset.train.x), torch.from_numpy(dataset.train.y), torch.from_numpy(dataset.aux.x))


def job_of(poison: Poison) -> Job:
    return Job(poison.rows, poison.labels)


def workers(scenario: Scenario, device: torch.device) -> int:
    """How many parts of a stack train side by side: a CPU's cores, or one on a GPU."""
    return (scenario.compute.threads or cores()) if device.type == "cpu" else 1


def _one_thread_each() -> None:
    """PyTorch's own threads off: parts of a stack are threads already, and products this small gain nothing from more."""
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)
