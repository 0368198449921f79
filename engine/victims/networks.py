"""Networks of pictures or texts that run whole at every step, one victim a program (or many under vmap)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import torch

from engine.errors import RequestError
from engine.features import text_models, texts
from engine.features.opened import Opened
from engine.features.pixels import images_of, read_as
from engine.milestones import NOTHING_KEPT, Milestones
from engine.models.bert.bert import LAYERS
from engine.rows import Dataset, Rows
from engine.scenario.sections import BertSection, NetworkKeys
from engine.subpopulations.blocks import InBlocks
from engine.system import threads
from engine.training import host
from engine.training.models import NetworkModel
from engine.training.networks.choose import Finish, train_networks, way_for
from engine.training.recipe import Job, Recipe, Trained, Training
from engine.training.reference.sequential import train_network_sequential
from engine.training.sizing import free_bytes, measured_size
from engine.training.trial import How, Trial
from engine.victims.by_gradient import Ask, ByGradient, Trainable, numbers
from engine.victims.family import FEW_STEPS, STACK_S, Outcome, Report, Seconds, silent, tensor

if TYPE_CHECKING:
    from engine.models.networks.network import Network

ROWS_AT_ONCE = 2**20  # pixels of the pictures that a network is asked about at a time: 1,024 of 32 x 32
TEXTS_AT_ONCE = 64
HIDDEN = "hidden of aux"  # the rows of which attacks ask it
PICTURES_AT_ONCE = 64
VMAPPED = 16  # victims that a bench trains together on a GPU, where they gain by company


class WholeNetwork(NetworkModel, Protocol):
    """What is asked of a network that runs whole, beside its training. layers: what `layer_of` can be asked for."""

    @property
    def layers(self) -> Sequence[str]: ...
    def init(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]: ...
    def head_of(self, params: Sequence[torch.Tensor], /) -> tuple[torch.Tensor, torch.Tensor]: ...
    def hidden_of(self, params: Sequence[torch.Tensor], x: torch.Tensor, /) -> torch.Tensor: ...
    def layer_of(self, params: Sequence[torch.Tensor], x: torch.Tensor, layer: str, /) -> torch.Tensor: ...
    def probabilities(self, logits: torch.Tensor) -> torch.Tensor: ...
    def predict(self, logits: torch.Tensor) -> torch.Tensor: ...
    def notes(self) -> tuple[str, ...]: ...


Net = TypeVar("Net", bound=WholeNetwork)


class Networks(ByGradient[Trainable, Net]):
    """What networks of pictures and of texts have in common."""

    BENCH = "steps"
    MOVES_PIXELS = True

    def fit(
        self,
        data: Training,
        jobs: Sequence[Job],
        trial: Trial,
        finish: Finish | None = None,
    ) -> list[Trained]:
        """finish: called where a victim was trained, and with what is told how far asking it is; what it makes of its weights is kept in
        their place.
        """
        init = self.initial(trial.seed, trial.number, trial.how.dtype)
        return train_networks(self.model, init, data, jobs, self.recipe, trial, finish)

    def outcomes(self, data: Training, x_test: np.ndarray, jobs: Sequence[Job], trial: Trial) -> list[Outcome]:
        def finish(params: list[torch.Tensor], report: Callable[[float], None]) -> list[torch.Tensor]:
            return [torch.cat([self.model.predict(z) for z in logits_of(self.model, params, x_test, trial.how, report)]).cpu()]

        # the last victim of a trial may be alone in its stack: with one thread, as in company, so that its bits do not depend on the plan
        workers = trial.workers if len(jobs) > 1 else 1
        fits = self.fit(data, jobs, replace(trial, workers=workers, asked=self.asked(len(data.y_N), len(x_test))), finish)
        return [Outcome(t.params[0].numpy(), t.epochs, t.train_loss) for t in fits]

    def answered(self, fits: Sequence[Trained], data: Training, x_test: np.ndarray, jobs: Sequence[Job], trial: Trial) -> list[Outcome]:
        with torch.no_grad(), threads.all_cores():
            predicted = [torch.cat([self.model.predict(z) for z in logits_of(self.model, t.params, x_test, trial.how)]) for t in fits]
        return [Outcome(p.cpu().numpy(), t.epochs, t.train_loss) for p, t in zip(predicted, fits, strict=True)]

    @torch.no_grad()
    def losses(self, fitted: Trained, x: np.ndarray, y: np.ndarray, how: How) -> np.ndarray:
        with threads.all_cores():
            logits = torch.cat(logits_of(self.model, fitted.params, x, how))
            return self.model.losses(logits, tensor(y).to(how.device)).double().cpu().numpy()

    def stack_size(self, seconds: Seconds, most: int, how: How, side_by_side: int) -> int:
        if how.device.type == "cpu":  # there a victim gains nothing by company
            steps = -(-len(self.dataset.train) // self.section.batch) * self.section.epochs
            victim_s = seconds(1, FEW_STEPS) / FEW_STEPS * steps
            return min(most, side_by_side * max(1, round(STACK_S / victim_s)))
        weights = sum(p.numel() for p in self.model.init(torch.Generator(), torch.float32))
        each = 16 * weights + self.section.batch * self._bytes_a_row()
        return min(most, measured_size(lambda v: seconds(v, FEW_STEPS), each, free_bytes(how.device), most, (1, 2, 4, 8, 16, 32, 64)))

    @abstractmethod
    def _bytes_a_row(self) -> int:
        """About what a row's activations take while a victim is trained."""

    def plain(self, data: Training, job: Job, trial: Trial) -> object:
        how = trial.how
        init = [p.to(how.device) for p in self.initial(trial.seed, trial.number, how.dtype)]
        with torch.autocast(how.device.type, torch.bfloat16, enabled=how.autocast):
            return train_network_sequential(self.model, init, data, job, self.recipe, trial)

    def company(self, how: How, side_by_side: int) -> int:
        if how.device.type == "cpu":
            return side_by_side
        return VMAPPED if way_for(self.model, self.initial(self.seed, 0, how.dtype), how.device) == "vmapped" else 1

    def probabilities(self, fitted: Trained, x: np.ndarray, how: How) -> np.ndarray:
        with threads.all_cores():
            logits = torch.cat(logits_of(self.model, fitted.params, x, how))
        return numbers(self.model.probabilities(logits))

    def head(self, fitted: Trained) -> tuple[torch.Tensor, torch.Tensor]:
        return self.model.head_of(fitted.params)

    def notes(self) -> tuple[str, ...]:
        return self.model.notes()


class PictureNetworks(Networks[NetworkKeys, "Network"]):
    """Networks that read pictures."""

    LIMIT = "kernels"

    @classmethod
    def see(
        cls, section: NetworkKeys, dataset: Dataset, seed: int, *, data_dir: Path | None, device: str, report: Report, opened: Opened
    ) -> Dataset:
        return with_weights(section, read_as(dataset, images_of))

    def build(self) -> Network:
        shape = self.dataset.train.x.shape
        image = (int(shape[1]), int(shape[2])) if len(shape) == 4 else None
        return self.opened.network(self.section, len(self.dataset.classes), image)

    @property
    def recipe(self) -> Recipe:
        return replace(super().recipe, augment=self.section.augment)

    def work(self, data: Training, jobs: Sequence[Job]) -> float:
        return float(self.model.training_operations) * sum(len(data.y_N) + len(job.rows) for job in jobs)

    def _bytes_a_row(self) -> int:
        return int(2048 * self.model.image[0] * self.model.image[1])

    def representation(self, fitted: Trained, layer: str, how: How, report: Report) -> Callable[[Rows], np.ndarray]:
        check_layer(self.section.kind, layer, self.model.layers)
        return lambda rows: passes(
            images_of(rows),
            lambda images: self.model.layer_of(fitted.params, self.pixels(images, how), layer),
            report,
            self.milestones,
            f"{layer} of rows {rows_digest(rows)}",
        )

    def hidden(self, fitted: Trained, x: np.ndarray, how: How, report: Report) -> np.ndarray:
        return passes(x, lambda images: self.model.hidden_of(fitted.params, self.pixels(images, how)), report, self.milestones, HIDDEN)

    def differentiable(self, fitted: Trained, how: How) -> Ask:
        return lambda pixels: self.model.hidden_of(fitted.params, pixels)

    def pixels(self, images: np.ndarray, how: How) -> torch.Tensor:
        return self.model.pixels(torch.from_numpy(images).to(how.device)).float()

    def network(self) -> Network:
        return self.model


class TextNetworks(Networks[BertSection, text_models.TextNetwork]):
    """Encoders that read tokens."""

    LIMIT = "mfu"

    @classmethod
    def see(
        cls, section: BertSection, dataset: Dataset, seed: int, *, data_dir: Path | None, device: str, report: Report, opened: Opened
    ) -> Dataset:
        return tokenised(section, dataset, seed, data_dir=data_dir, device=device, report=report, opened=opened)

    def build(self) -> text_models.TextNetwork:
        return self.opened.text_network(self.section, len(self.dataset.classes))

    def work(self, data: Training, jobs: Sequence[Job]) -> float:
        """Forward, and twice as much backward, of each text's own tokens."""
        clean_N, pool_A = ((x >= 0).sum(1).cpu().numpy() for x in (data.x_NF, data.x_AF))
        a_victim = self.model.operations_of(clean_N)
        return 3.0 * sum(a_victim + self.model.operations_of(pool_A[job.rows]) for job in jobs)

    @property
    def recipe(self) -> Recipe:
        return replace(super().recipe, optimizer=self.section.optimizer)

    def _bytes_a_row(self) -> int:
        return int(64 * self.model.length * self.model.width * 12)

    def representation(self, fitted: Trained, layer: str, how: How, report: Report) -> Callable[[Rows], np.ndarray]:
        check_text_layer(layer)

        def ask(tokens: torch.Tensor) -> torch.Tensor:
            return self.model.layer_of(fitted.params, tokens, layer)

        if layer == "tokens":  # all tokens of all texts may be wider than memory
            return InBlocks(lambda rows: self._texts(rows.x, ask, how, silent), report)
        return lambda rows: self._texts(rows.x, ask, how, report, self.milestones, f"{layer} of rows {rows_digest(rows)}")

    def hidden(self, fitted: Trained, x: np.ndarray, how: How, report: Report) -> np.ndarray:
        return self._texts(x, lambda tokens: self.model.hidden_of(fitted.params, tokens), how, report, self.milestones, HIDDEN)

    @torch.no_grad()
    def _texts(
        self, tokens: np.ndarray, ask: Ask, how: How, report: Report, milestones: Milestones = NOTHING_KEPT, name: str = ""
    ) -> np.ndarray:
        def one(lo: int) -> np.ndarray:
            report("representing the texts", lo / len(tokens))
            return numbers(ask(host.upload(self.model.pixels(tensor(tokens[lo : lo + TEXTS_AT_ONCE])), how.device)))

        with threads.all_cores():
            return _one_by_one(one, range(0, len(tokens), TEXTS_AT_ONCE), milestones, name)


@torch.no_grad()
def logits_of(
    model: WholeNetwork, params: Sequence[torch.Tensor], x: np.ndarray, how: How, report: Callable[[float], None] = lambda share: None
) -> list[torch.Tensor]:
    """Logits [rows of a slice, outputs] of one victim, a slice at a time: pictures and texts a few at once. report: told the share done."""
    step = max(1, ROWS_AT_ONCE // (x.shape[1] * x.shape[2])) if x.ndim == 4 else TEXTS_AT_ONCE
    slices = []
    for lo in range(0, len(x), step):
        report(lo / len(x))
        rows = tensor(x[lo : lo + step])
        # pictures are small as bytes; how many tokens the longest text has is looked up here, where no device is waited for
        read = model.pixels(host.upload(rows, how.device)) if x.ndim == 4 else host.upload(model.pixels(rows), how.device)
        with torch.autocast(how.device.type, torch.bfloat16, enabled=how.autocast):
            slices.append(model.logits(params, read.to(how.dtype) if read.is_floating_point() else read).to(how.dtype))
    return slices


# ---- what last layers over frozen networks share with them --------------------------------------------------------------


def with_weights(section: NetworkKeys, seen: Dataset) -> Dataset:
    """The dataset with the checksum of the weights that the network starts from among its own."""
    from engine.models.build import weights_checksum

    return replace(seen, checksums={**seen.checksums, **weights_checksum(section)}) if seen.train.images is not None else seen


def tokenised(
    section: BertSection, dataset: Dataset, seed: int, *, data_dir: Path | None, device: str, report: Report, opened: Opened
) -> Dataset:
    """Texts as tokens or as states, with the checksums of the encoder's files."""
    seen = texts.seen_by(section, dataset, seed, device=device, report=report, data_dir=data_dir, opened=opened)
    return replace(seen, checksums={**seen.checksums, **opened.source(section).checksums()})


@torch.no_grad()
def passes(
    images: np.ndarray, ask: Callable[[np.ndarray], torch.Tensor], report: Report, milestones: Milestones = NOTHING_KEPT, name: str = ""
) -> np.ndarray:
    """What is asked of pictures, some at a time on all cores, flattened: float32 [pictures, numbers]. name: under which it is put away."""

    def one(lo: int) -> np.ndarray:
        report("representing the images", lo / len(images))
        return numbers(ask(images[lo : lo + PICTURES_AT_ONCE]).flatten(1))

    with threads.all_cores():
        return _one_by_one(one, range(0, len(images), PICTURES_AT_ONCE), milestones, name)


def _one_by_one(one: Callable[[int], np.ndarray], starts: range, milestones: Milestones, name: str) -> np.ndarray:
    return np.concatenate([milestones.step(f"{name}, from {lo}", lambda lo=lo: {"x": one(lo)})["x"] for lo in starts])  # type: ignore[misc]


def rows_digest(rows: Rows) -> str:
    """Tells some rows of a dataset from others of it."""
    return blake2b(np.ascontiguousarray(rows.ids).tobytes(), digest_size=8).hexdigest()


def check_layer(kind: str, layer: str, layers: Sequence[str]) -> None:
    if layer not in layers:
        raise RequestError(f"{kind} has no layer {layer!r}", where="subpopulations.layer", next=f"use {', '.join(layers)}")


def check_text_layer(layer: str) -> None:
    if layer not in LAYERS:
        raise RequestError(f"bert has no layer {layer!r}", where="subpopulations.layer", next=f"use {' or '.join(LAYERS)}")
