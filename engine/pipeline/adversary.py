"""The model that the adversary trains on its auxiliary rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cached_property

import numpy as np
import torch

from engine.errors import RequestError
from engine.features import texts
from engine.models import build as models
from engine.models.bert.bert import LAYERS
from engine.rows import Dataset, Rows
from engine.scenario.sections import BertSection, ModelSection, NetworkKeys, Scenario, last_layer_alone
from engine.seeds import generator, seed_for
from engine.subpopulations.blocks import ByParts
from engine.system import threads
from engine.training.dense import Control
from engine.training.encoders.states import StateRows
from engine.training.recipe import Job, Trained, Training
from engine.victims.family import TEXTS_AT_ONCE, How, TextHead, TextNetwork, Whole, fit, logits_of, model_of, tensor, workers


class Adversary:
    """Trained once on all of aux and once for every fold; asked for confidences, the representation, labels and gradients.

    dataset: as this model reads it (see `features.seen_by`).
    """

    def __init__(
        self,
        section: ModelSection,
        scenario: Scenario,
        dataset: Dataset,
        device: torch.device,
        progress: Callable[[str, float], None],
        control: Control | None,
    ) -> None:
        self.section, self.scenario, self.dataset = section, scenario, dataset
        self.how = How(device, torch.float32)
        self.progress, self.control = progress, control
        self.model = model_of(section, dataset)
        progress("training the adversary's model", 0.1)
        self.whole = self._fit(np.arange(len(dataset.aux)), fold=0)

    def _fit(self, index: np.ndarray, fold: int) -> Trained:
        aux = self.dataset.aux
        data = Training(torch.from_numpy(aux.x[index]), torch.from_numpy(aux.y[index]), tensor(aux.x[:0]))
        seed = seed_for(self.scenario.seed, "adversary")
        clean = Job(np.empty(0, np.int64), np.empty(0, np.int64))
        # one network alone has all of the machine's cores as threads
        cores = workers(self.scenario, self.how.device)
        return fit(self.model, self.section, data, [clean], seed, fold, self.how, self.control, workers=cores)[0]

    def _probabilities(self, trained: Trained, x: np.ndarray) -> np.ndarray:
        with nullcontext() if isinstance(self.model, models.Mlp) else threads.all_cores():
            logits = torch.cat(logits_of(self.model, trained.params, x, self.how))
        return self.model.probabilities(logits).float().cpu().numpy()

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
            if not held_out.any():  # more folds than rows
                continue
            proba[held_out] = self._probabilities(self._fit(np.flatnonzero(~held_out), fold + 1), aux.x[held_out])
        return proba

    # ---- what subpopulations are formed in ------------------------------------------------------------------------------

    def representation(self, layer: str) -> Callable[[Rows], np.ndarray]:
        """Rows -> [rows, width], at a layer: "hidden" is what the last layer reads, "poolN" a pooling layer's output, flattened;
        of a text encoder "hidden" is the mean of the tokens before its last layer, "tokens" all of them, flattened.

        RequestError where this model has no such layer.
        """
        if isinstance(self.section, BertSection):
            return self._text_representation(layer)
        if layer == "hidden" and isinstance(self.model, models.Mlp):
            return lambda rows: self._hidden(rows.x)
        model = self._encoder if last_layer_alone(self.section) else self.model
        there = getattr(model, "layers", ("hidden",))
        if layer not in there:
            raise RequestError(f"{self.section.kind} has no layer {layer!r}", where="subpopulations.layer", next=f"use {', '.join(there)}")
        return lambda rows: self._at(layer, rows)

    def _text_representation(self, layer: str) -> Callable[[Rows], np.ndarray]:
        if layer not in LAYERS:
            raise RequestError(f"bert has no layer {layer!r}", where="subpopulations.layer", next=f"use {' or '.join(LAYERS)}")
        model, tokens_too = self.model, layer == "tokens"  # all tokens of all texts may be wider than memory
        if isinstance(model, TextHead):
            states = model.states
            if tokens_too:
                return ByParts(lambda rows: texts.representation(states, rows.x[:, 0], layer, _silent), self.progress)
            return lambda rows: texts.representation(states, rows.x[:, 0], layer, self.progress)
        bert = model
        assert isinstance(bert, TextNetwork)

        def ask(tokens: torch.Tensor) -> torch.Tensor:
            return bert.layer_of(self.whole.params, tokens, layer)

        if tokens_too:
            return ByParts(lambda rows: self._texts(rows.x, ask, _silent), self.progress)
        return lambda rows: self._texts(rows.x, ask, self.progress)

    @torch.no_grad()
    def _texts(self, tokens: np.ndarray, ask: Callable[[torch.Tensor], torch.Tensor], report: Callable[[str, float], None]) -> np.ndarray:
        assert isinstance(self.model, TextNetwork)
        found = []
        with threads.all_cores():
            for lo in range(0, len(tokens), TEXTS_AT_ONCE):
                report("representing the texts", lo / len(tokens))
                found.append(ask(self.model.pixels(tensor(tokens[lo : lo + TEXTS_AT_ONCE]).to(self.how.device))).float().cpu().numpy())
        return np.concatenate(found)

    @torch.no_grad()
    def _hidden(self, x: np.ndarray) -> np.ndarray:
        """What the last layer reads, float32 [rows, width]."""
        if isinstance(self.model, models.Mlp):
            return self.model.hidden_of(self.whole.params, torch.from_numpy(x).to(self.how.device)).float().cpu().numpy()
        params = self.whole.params
        if isinstance(self.model, TextHead):
            states, layer = StateRows(self.model.states, self.how.device, self.how.dtype), self.model.layer
            parts = [layer.hidden_of(params, *states.take(x[lo : lo + TEXTS_AT_ONCE, 0])) for lo in range(0, len(x), TEXTS_AT_ONCE)]
            return torch.cat(parts).float().cpu().numpy()
        if isinstance(self.model, TextNetwork):
            bert = self.model
            return self._texts(x, lambda tokens: bert.hidden_of(params, tokens), self.progress)
        network = self.model
        return self._passes(x, lambda pixels: network.hidden_of(params, pixels))

    def _at(self, layer: str, rows: Rows) -> np.ndarray:
        assert rows.images is not None
        if last_layer_alone(self.section):
            return self._passes(rows.images, lambda pixels: self._encoder.layer_of(pixels, layer))
        assert isinstance(self.model, models.Network)
        network = self.model
        return self._passes(rows.images, lambda pixels: network.layer_of(self.whole.params, pixels, layer))

    @torch.no_grad()
    def _passes(self, images: np.ndarray, ask: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
        found = []
        with threads.all_cores():
            for lo in range(0, len(images), 64):
                self.progress("representing the images", lo / len(images))
                found.append(ask(self.pixels(images[lo : lo + 64])).flatten(1).float().cpu().numpy())
        return np.concatenate(found)

    # ---- what attacks ask -----------------------------------------------------------------------------------------------

    @cached_property
    def _encoder(self) -> models.Encoder:
        assert self.dataset.train.images is not None
        assert isinstance(self.section, NetworkKeys)
        image = self.dataset.train.images.shape[1:3]
        return models.encoder(self.section, classes=len(self.dataset.classes), image=image, seed=self.scenario.seed).to(self.how.device)

    @cached_property
    def hidden_aux(self) -> np.ndarray:
        """What the last layer reads of every aux row: float32 [aux rows, width]."""
        return self._hidden(self.dataset.aux.x)

    def head(self) -> tuple[np.ndarray, np.ndarray]:
        """The last layer: kernel float64 [width, outputs] and bias [outputs]; one output where two classes share a logit."""
        if isinstance(self.model, Whole):
            kernel, bias = self.model.head_of(self.whole.params)
        elif isinstance(self.model, TextHead):
            kernel, bias = self.model.layer.head_of(self.whole.params)
        else:
            kernel, bias = self.whole.params[-2], self.whole.params[-1]
        return kernel.detach().double().cpu().numpy(), bias.detach().double().cpu().numpy()

    @property
    def weight_decay(self) -> float:
        """w of the penalty w/2 |kernel|^2 on the mean loss, as the head was trained with; in scikit-learn's units divided by the batch."""
        section = self.section
        return section.weight_decay / (section.batch if section.weight_decay_per == "rows" else 1)

    @property
    def differentiable(self) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """Pixels 0..1 [B, 3, height, width] -> what the last layer reads, with gradients to the pixels; None where it reads no pictures."""
        if isinstance(self.model, models.Network):
            network, params = self.model, self.whole.params
            return lambda pixels: network.hidden_of(params, pixels)
        return self._encoder.features if last_layer_alone(self.section) and self.dataset.train.images is not None else None

    def pixels(self, images: np.ndarray) -> torch.Tensor:
        """Pictures uint8 [B, height, width, 3] -> pixels 0..1, float32 [B, 3, height, width], on the device."""
        source = self._encoder if last_layer_alone(self.section) else self.model
        assert isinstance(source, models.Network | models.Encoder)
        return source.pixels(torch.from_numpy(images).to(self.how.device)).float()

    @property
    def network(self) -> models.Network | None:
        """The whole network, where it was trained whole; its weights are `params`."""
        return self.model if isinstance(self.model, models.Network) else None

    @property
    def params(self) -> Sequence[torch.Tensor]:
        return self.whole.params


def _silent(what: str, share: float) -> None:
    """Of a part of what is reported on already."""


def _stratified_folds(y: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """A fold number for each row, each class spread evenly over the folds."""
    order = generator(seed, "confidence folds").permutation(len(y))
    by_class = order[np.argsort(y[order], kind="stable")]
    fold = np.empty(len(y), np.int64)
    fold[by_class] = np.arange(len(y)) % folds
    return fold
