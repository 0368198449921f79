"""Last layers over what a frozen encoder makes of each row, computed once: of pictures as dense layers, of texts in stacks of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from engine.features import texts
from engine.features.opened import Opened
from engine.features.pixels import Pictures, images_of, size_of
from engine.models.bert.bert import LAST_LAYER_DEVIATION, last_layer_init, last_layer_of
from engine.models.bert.files import BertSource
from engine.models.bert.last_layer import LastLayer
from engine.models.dense.mlp import Mlp
from engine.rows import Dataset, Rows, States
from engine.scenario.sections import BertSection, NetworkKeys
from engine.subpopulations.blocks import InBlocks
from engine.system import threads
from engine.training.encoders.stack import EncoderStack, bytes_a_victim, logits_of_rows, train_encoder_stack
from engine.training.encoders.states import StateRows
from engine.training.recipe import Job, Recipe, Trained, Training
from engine.training.reference.encoder import train_encoder_sequential
from engine.training.schedule import Schedule
from engine.training.sizing import free_bytes, measured_size
from engine.training.trial import How, Trial
from engine.victims.by_gradient import Ask, ByGradient, numbers
from engine.victims.dense import DenseLayers
from engine.victims.family import FEW_STEPS, Outcome, Report, Seconds, silent
from engine.victims.networks import TEXTS_AT_ONCE, check_layer, check_text_layer, passes, rows_digest, tokenised, with_weights

if TYPE_CHECKING:
    from engine.models.networks.encoder import Encoder

STACKED = 8  # victims that a bench trains together, of each part side by side


# ---- pictures -----------------------------------------------------------------------------------------------------------


class PictureHeads(DenseLayers[NetworkKeys]):
    """Last layers of a network of pictures. Their rows are its frozen features, so that they are trained as any dense layer."""

    KEEPS_MOVED = True

    @classmethod
    def see(
        cls, section: NetworkKeys, dataset: Dataset, seed: int, *, data_dir: Path | None, device: str, report: Report, opened: Opened
    ) -> Dataset:
        if dataset.train.images is None:
            return dataset
        from engine.features.pictures import frozen

        return with_weights(section, frozen(section, dataset, seed, device=device, report=report, opened=opened))

    def build(self) -> Mlp:
        return Mlp(int(np.prod(self.dataset.train.x.shape[1:])), (), len(self.dataset.classes), one_logit=False)

    def moved_rows(self, pictures: Pictures, *, device: str, report: Report) -> np.ndarray:
        from engine.features.pictures import features_of

        return features_of(self.encoder(torch.device(device)), pictures, report, self.milestones)

    def encoder(self, device: torch.device) -> Encoder:
        """The frozen part, on a device."""
        return self.opened.encoder(self.section, len(self.dataset.classes), size_of(self.dataset.train), self.seed, device)

    def representation(self, fitted: Trained, layer: str, how: How, report: Report) -> Callable[[Rows], np.ndarray]:
        if layer == "hidden":
            return super().representation(fitted, layer, how, report)
        encoder = self.encoder(how.device)
        check_layer(self.section.kind, layer, encoder.layers)
        return lambda rows: passes(
            images_of(rows),
            lambda images: encoder.layer_of(self.pixels(images, how), layer),
            report,
            self.milestones,
            f"{layer} of rows {rows_digest(rows)}",
        )

    def differentiable(self, fitted: Trained, how: How) -> Ask | None:
        return self.encoder(how.device).features if self.dataset.train.images is not None else None

    def pixels(self, images: np.ndarray, how: How) -> torch.Tensor:
        return self.encoder(how.device).pixels(torch.from_numpy(images).to(how.device)).float()


# ---- texts --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TextHead:
    """The last layer of a BERT, trained on the states below it; its rows are numbers of rows of `states`."""

    layer: LastLayer
    source: BertSource
    states: States

    def init(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
        """A trial's initial weights."""
        return last_layer_init(self.source, self.layer, generator, dtype)


class TextHeads(ByGradient[BertSection, TextHead]):
    """Last layers of a BERT over stored hidden states."""

    BENCH = "steps"
    LIMIT = "copy"

    @classmethod
    def see(
        cls, section: BertSection, dataset: Dataset, seed: int, *, data_dir: Path | None, device: str, report: Report, opened: Opened
    ) -> Dataset:
        return tokenised(section, dataset, seed, data_dir=data_dir, device=device, report=report, opened=opened)

    def build(self) -> TextHead:
        source = self.opened.source(self.section)
        assert isinstance(source, BertSource)
        assert self.dataset.states is not None
        return TextHead(last_layer_of(source, len(self.dataset.classes)), source, self.dataset.states)

    @property
    def recipe(self) -> Recipe:
        return replace(super().recipe, optimizer=self.section.optimizer)

    def _rows(self, how: How) -> StateRows:
        return self.opened.state_rows(self.model.states, how.device, how.dtype)

    def fit(
        self,
        data: Training,
        jobs: Sequence[Job],
        trial: Trial,
        finish: Callable[[EncoderStack, Callable[[float], None]], list[list[torch.Tensor]]] | None = None,
    ) -> list[Trained]:
        """finish: called with a stack that is trained, and with what is told how far asking it is; what it makes of each victim is kept in
        the place of its weights.
        """
        init = self.initial(trial.seed, trial.number, trial.how.dtype)
        states = self._rows(trial.how)
        states.settle(torch.cat([data.x_NF, data.x_AF]).cpu().numpy()[:, 0], trial.say)
        return train_encoder_stack(self.model.layer, init, data, states, jobs, self.recipe, trial, finish)

    def outcomes(self, data: Training, x_test: np.ndarray, jobs: Sequence[Job], trial: Trial) -> list[Outcome]:
        layer = self.model.layer

        def finish(stack: EncoderStack, report: Callable[[float], None]) -> list[list[torch.Tensor]]:
            return [[p.cpu()] for p in layer.predict(logits_of_rows(stack, layer, self._rows(trial.how), x_test[:, 0], report))]

        trial = replace(trial, asked=self.asked(len(data.y_N), len(x_test)))
        return [Outcome(t.params[0].numpy(), t.epochs, t.train_loss) for t in self.fit(data, jobs, trial, finish)]

    @torch.no_grad()
    def answered(self, fits: Sequence[Trained], data: Training, x_test: np.ndarray, jobs: Sequence[Job], trial: Trial) -> list[Outcome]:
        layer, how = self.model.layer, trial.how
        stack = layer.stack([t.params for t in fits], how.device, how.dtype)
        predicted = layer.predict(logits_of_rows(stack, layer, self._rows(how), x_test[:, 0])).cpu().numpy()
        return [Outcome(p, t.epochs, t.train_loss) for p, t in zip(predicted, fits, strict=True)]

    def stack_size(self, seconds: Seconds, most: int, how: How, side_by_side: int) -> int:
        self._rows(how).settle(np.concatenate([self.dataset.train.x, self.dataset.aux.x])[:, 0])  # before it is asked what is free
        init = self.model.init(torch.Generator(), torch.float32)
        each = bytes_a_victim(self.model.layer, init, self.section.batch, torch.float32) * side_by_side
        parts, sizes = -(-most // side_by_side), (4, 8, 16, 32, 64, 128)
        return min(most, measured_size(lambda v: seconds(v, FEW_STEPS), each, free_bytes(how.device), parts, sizes) * side_by_side)

    def plain(self, data: Training, job: Job, trial: Trial) -> object:
        init = self.initial(trial.seed, trial.number, trial.how.dtype)
        return train_encoder_sequential(self.model.layer, init, data, self._rows(trial.how), job, self.recipe, trial)

    def work(self, data: Training, jobs: Sequence[Job]) -> float:
        """Bytes: of each victim at each step, and of the states of the rows, forward and back."""
        layer, states, section = self.model.layer, self.model.states, self.section
        steps = Schedule(len(data.y_N), section.batch, self.seed, 0).steps
        clean_N, pool_A = (np.asarray(states.lengths, np.int64)[x.cpu().numpy()[:, 0]] for x in (data.x_NF, data.x_AF))
        tokens = int(clean_N.sum()) + sum(int(pool_A[job.rows].sum()) for job in jobs)
        stored: torch.dtype = getattr(torch, states.dtype)
        return float(len(jobs) * steps * layer.passes * torch.float32.itemsize + 2 * tokens * layer.width * stored.itemsize)

    def company(self, how: How, side_by_side: int) -> int:
        return STACKED * side_by_side

    @torch.no_grad()
    def probabilities(self, fitted: Trained, x: np.ndarray, how: How) -> np.ndarray:
        layer = self.model.layer
        with threads.all_cores():
            logits = logits_of_rows(layer.stack([fitted.params], how.device, how.dtype), layer, self._rows(how), x[:, 0])[0]
        return numbers(layer.probabilities(logits))

    def representation(self, fitted: Trained, layer: str, how: How, report: Report) -> Callable[[Rows], np.ndarray]:
        check_text_layer(layer)
        states = self.model.states
        if layer == "tokens":  # all tokens of all texts may be wider than memory
            return InBlocks(lambda rows: texts.representation(states, rows.x[:, 0], layer, silent), report)
        return lambda rows: texts.representation(states, rows.x[:, 0], layer, report)

    @torch.no_grad()
    def hidden(self, fitted: Trained, x: np.ndarray, how: How, report: Report) -> np.ndarray:
        states, layer = self._rows(how), self.model.layer
        starts = range(0, len(x), TEXTS_AT_ONCE)
        return numbers(torch.cat([layer.hidden_of(fitted.params, *states.take(x[lo : lo + TEXTS_AT_ONCE, 0])) for lo in starts]))

    def head(self, fitted: Trained) -> tuple[torch.Tensor, torch.Tensor]:
        return self.model.layer.head_of(fitted.params)

    @classmethod
    def deviations(cls, section: BertSection) -> tuple[str, ...]:
        return (LAST_LAYER_DEVIATION,)
