"""Networks of pictures or texts that run whole at every step, one victim a program (or many under vmap)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.errors import RequestError
from engine.features import texts
from engine.features.pixels import images_of, read_as
from engine.models.bert.bert import LAYERS
from engine.rows import Dataset, Rows
from engine.scenario.sections import BertSection, NetworkKeys
from engine.subpopulations.blocks import ByParts
from engine.system import threads
from engine.training.networks.choose import train_networks, way_for
from engine.training.recipe import Job, Trained, Training
from engine.training.reference.sequential import train_network_sequential
from engine.training.sizing import free_bytes, measured_size
from engine.victims.by_gradient import Ask, ByGradient, numbers
from engine.victims.family import FEW_STEPS, STACK_S, How, Outcome, Report, Seconds, Trial, silent, tensor

ROWS_AT_ONCE = 2**20  # pixels of the pictures that a network is asked about at a time: 1,024 of 32 x 32
TEXTS_AT_ONCE = 64
PICTURES_AT_ONCE = 64
VMAPPED = 16  # victims that a bench trains together on a GPU, where they gain by company


class Networks(ByGradient):
    """What networks of pictures and of texts have in common."""

    BENCH = "steps"
    MOVES_PIXELS = True

    def fit(
        self,
        data: Training,
        jobs: Sequence[Job],
        trial: Trial,
        finish: Callable[[list[torch.Tensor]], list[torch.Tensor]] | None = None,
    ) -> list[Trained]:
        """finish: called where a victim was trained; what it makes of its weights is kept in their place."""
        how = trial.how
        init = self.initial(trial.seed, trial.number, how.dtype)
        return train_networks(
            self.model,
            init,
            data.to(how.device, how.dtype),
            jobs,
            self.recipe,
            seed=trial.seed,
            trial=trial.number,
            device=how.device,
            dtype=how.dtype,
            autocast=how.autocast,
            workers=trial.workers,
            control=trial.control,
            max_steps=trial.max_steps,
            on_halved=trial.on_halved,
            finish=finish,
        )

    def outcomes(self, data: Training, x_test: np.ndarray, jobs: Sequence[Job], trial: Trial) -> list[Outcome]:
        def finish(params: list[torch.Tensor]) -> list[torch.Tensor]:
            return [torch.cat([self.model.predict(z) for z in logits_of(self.model, params, x_test, trial.how)]).cpu()]

        # the last victim of a trial may be alone in its stack: with one thread, as in company, so that its bits do not depend on the plan
        fits = self.fit(data, jobs, replace(trial, workers=trial.workers if len(jobs) > 1 else 1), finish)
        return [Outcome(t.params[0].numpy(), t.epochs, t.train_loss) for t in fits]

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
            return train_network_sequential(
                self.model, init, data, job, self.recipe, seed=trial.seed, trial=trial.number, max_steps=trial.max_steps
            )

    def operations(self, rows: int) -> float:
        """Forward, and twice as much backward."""
        return 3.0 * float(self.model.operations(rows))

    def company(self, how: How, side_by_side: int) -> int:
        if how.device.type == "cpu":
            return side_by_side
        return VMAPPED if way_for(self.model, self.initial(self.seed, 0, how.dtype), how.device) == "vmapped" else 1

    def probabilities(self, fitted: Trained, x: np.ndarray, how: How) -> np.ndarray:
        with threads.all_cores():
            logits = torch.cat(logits_of(self.model, fitted.params, x, how))
        return numbers(self.model.probabilities(logits))


class PictureNetworks(Networks):
    """Networks that read pictures."""

    section: NetworkKeys

    @classmethod
    def see(cls, section: NetworkKeys, dataset: Dataset, seed: int, *, data_dir: Path | None, device: str, report: Report) -> Dataset:
        return with_weights(section, read_as(dataset, images_of))

    @classmethod
    def model_of(cls, section: NetworkKeys, dataset: Dataset) -> Any:
        from engine.models.build import build

        shape = dataset.train.x.shape
        image = (int(shape[1]), int(shape[2])) if len(shape) == 4 else None
        return build(section, features=int(np.prod(shape[1:])), classes=len(dataset.classes), image=image)

    def _bytes_a_row(self) -> int:
        return int(2048 * self.model.image[0] * self.model.image[1])

    def representation(self, fitted: Trained, layer: str, how: How, report: Report) -> Callable[[Rows], np.ndarray]:
        check_layer(self.section.kind, layer, self.model.layers)
        return lambda rows: passes(
            images_of(rows), lambda images: self.model.layer_of(fitted.params, self.pixels(images, how), layer), report
        )

    def hidden(self, fitted: Trained, x: np.ndarray, how: How, report: Report) -> np.ndarray:
        return passes(x, lambda images: self.model.hidden_of(fitted.params, self.pixels(images, how)), report)

    def differentiable(self, fitted: Trained, how: How) -> Ask:
        return lambda pixels: self.model.hidden_of(fitted.params, pixels)

    def pixels(self, images: np.ndarray, how: How) -> torch.Tensor:
        pixels: torch.Tensor = self.model.pixels(torch.from_numpy(images).to(how.device)).float()
        return pixels

    def network(self) -> Any:
        return self.model


class TextNetworks(Networks):
    """Encoders that read tokens."""

    section: BertSection

    @classmethod
    def see(cls, section: BertSection, dataset: Dataset, seed: int, *, data_dir: Path | None, device: str, report: Report) -> Dataset:
        return tokenised(section, dataset, seed, data_dir=data_dir, device=device, report=report)

    @classmethod
    def model_of(cls, section: BertSection, dataset: Dataset) -> texts.TextNetwork:
        return texts.network_of(texts.source_of(section), section, len(dataset.classes))

    def _bytes_a_row(self) -> int:
        return int(64 * self.model.length * self.model.width * 12)

    def representation(self, fitted: Trained, layer: str, how: How, report: Report) -> Callable[[Rows], np.ndarray]:
        check_text_layer(layer)

        def ask(tokens: torch.Tensor) -> torch.Tensor:
            return self.model.layer_of(fitted.params, tokens, layer)

        if layer == "tokens":  # all tokens of all texts may be wider than memory
            return ByParts(lambda rows: self._texts(rows.x, ask, how, silent), report)
        return lambda rows: self._texts(rows.x, ask, how, report)

    def hidden(self, fitted: Trained, x: np.ndarray, how: How, report: Report) -> np.ndarray:
        return self._texts(x, lambda tokens: self.model.hidden_of(fitted.params, tokens), how, report)

    @torch.no_grad()
    def _texts(self, tokens: np.ndarray, ask: Ask, how: How, report: Report) -> np.ndarray:
        found = []
        with threads.all_cores():
            for lo in range(0, len(tokens), TEXTS_AT_ONCE):
                report("representing the texts", lo / len(tokens))
                found.append(numbers(ask(self.model.pixels(tensor(tokens[lo : lo + TEXTS_AT_ONCE]).to(how.device)))))
        return np.concatenate(found)


@torch.no_grad()
def logits_of(model: Any, params: Sequence[torch.Tensor], x: np.ndarray, how: How) -> list[torch.Tensor]:
    """Logits [rows of a slice, outputs] of one victim, a slice at a time: pictures and texts a few at once."""
    step = max(1, ROWS_AT_ONCE // (x.shape[1] * x.shape[2])) if x.ndim == 4 else TEXTS_AT_ONCE
    found = []
    for lo in range(0, len(x), step):
        read = model.pixels(tensor(x[lo : lo + step]).to(how.device))
        with torch.autocast(how.device.type, torch.bfloat16, enabled=how.autocast):
            found.append(model.logits(params, read.to(how.dtype) if read.is_floating_point() else read).to(how.dtype))
    return found


# ---- what last layers over frozen networks share with them --------------------------------------------------------------


def with_weights(section: NetworkKeys, seen: Dataset) -> Dataset:
    """The dataset with the checksum of the weights that the network starts from among its own."""
    from engine.models.build import weights_checksum

    return replace(seen, checksums={**seen.checksums, **weights_checksum(section)}) if seen.train.images is not None else seen


def tokenised(section: BertSection, dataset: Dataset, seed: int, *, data_dir: Path | None, device: str, report: Report) -> Dataset:
    """Texts as tokens or as states, with the checksums of the encoder's files."""
    seen = texts.seen_by(section, dataset, seed, device=device, report=report, data_dir=data_dir)
    return replace(seen, checksums={**seen.checksums, **texts.source_of(section).checksums()})


@torch.no_grad()
def passes(images: np.ndarray, ask: Callable[[np.ndarray], torch.Tensor], report: Report) -> np.ndarray:
    """What is asked of pictures, some at a time on all cores, flattened: float32 [pictures, numbers]."""
    found = []
    with threads.all_cores():
        for lo in range(0, len(images), PICTURES_AT_ONCE):
            report("representing the images", lo / len(images))
            found.append(numbers(ask(images[lo : lo + PICTURES_AT_ONCE]).flatten(1)))
    return np.concatenate(found)


def check_layer(kind: str, layer: str, there: Sequence[str]) -> None:
    if layer not in there:
        raise RequestError(f"{kind} has no layer {layer!r}", where="subpopulations.layer", next=f"use {', '.join(there)}")


def check_text_layer(layer: str) -> None:
    if layer not in LAYERS:
        raise RequestError(f"bert has no layer {layer!r}", where="subpopulations.layer", next=f"use {' or '.join(LAYERS)}")
