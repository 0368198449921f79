"""The published protocol for perceptrons, as one tensor program over many victims: what the product's schedule is held to.

Every victim has its own initial weights and, every epoch, its own shuffle of train and poison together, cut into batches of which the last
may be short; so victims share no rows of a step, and have their own numbers of steps. Gradients are written out.
`tests.studies.union` is the slow, obvious form of the same: `test_published.py` holds this program equal to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from engine.models.build import Network
from engine.models.dense.mlp import Mlp
from engine.seeds import generator, seed_for
from engine.training import augmentation
from engine.training.adam import BETA_1, BETA_2, EPSILON
from engine.training.recipe import Job, Plateau, Recipe, Trained, Training
from engine.training.reference.sequential import Batches, fit

Order = Callable[[int, int, int], np.ndarray]  # (victim, epoch, rows) -> the victim's order of its train and poison rows, int64 [rows]

MEMORY = 2**28  # bytes that victims trained together may take


def own_order(seed: int, trial: int, victim: int, epoch: int, rows: int) -> np.ndarray:
    """A shuffle that is this victim's alone."""
    return generator(seed, "published order", trial, victim, epoch).permutation(rows)


def own_init(model: Mlp | Network, seed: int, trial: int, victim: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Initial weights that are this victim's alone."""
    return model.init(torch.Generator().manual_seed(seed_for(seed, "published weights", trial, victim)), dtype)


# ---- perceptrons, many at once --------------------------------------------------------------------------------------


def train_published(
    model: Mlp,
    inits: Sequence[Sequence[Tensor]],
    data: Training,
    jobs: Sequence[Job],
    recipe: Recipe,
    order: Order,
    *,
    memory: int = MEMORY,
) -> list[Trained]:
    """Train every job's victim on train + poison; results in the order of `jobs`. memory: bytes, of which it takes about so many."""
    most = len(data.y_N) + max(len(job.rows) for job in jobs)
    numbers = recipe.batch * (model.features + 4 * sum(model.sizes[1:])) + 8 * sum(p.numel() for p in inits[0])
    size = max(1, memory // (numbers * data.x_NF.element_size() + 4 * 8 * most))  # beside the numbers, orders and labels
    trained: list[Trained] = []
    for lo in range(0, len(jobs), size):
        part = range(lo, min(lo + size, len(jobs)))
        trained += _Victims(model, [inits[v] for v in part], data, [jobs[v] for v in part], recipe).train(part, order)
    return trained


class _Victims:
    """V victims. Their parameters lie flat, theta_VP; kernels and biases are views of it."""

    def __init__(self, model: Mlp, inits: Sequence[Sequence[Tensor]], data: Training, jobs: Sequence[Job], recipe: Recipe) -> None:
        self.model, self.recipe = model, recipe
        self.shapes = [p.shape for p in inits[0]]
        self.theta_VP = torch.stack([torch.cat([p.flatten() for p in init]) for init in inits])
        self.mean_VP, self.square_VP = torch.zeros_like(self.theta_VP), torch.zeros_like(self.theta_VP)
        self.steps_V = torch.zeros(len(jobs), 1, dtype=torch.float64)
        self.kernel_P = torch.cat([torch.full((s.numel(),), float(len(s) == 2), dtype=self.theta_VP.dtype) for s in self.shapes])
        self.x_RF = torch.cat([data.x_NF, data.x_AF])
        clean, n = data.y_N.numpy(), len(data.y_N)
        self.row_VU = [np.concatenate([np.arange(n), n + job.rows]) for job in jobs]  # each victim's rows of x_RF, and their labels
        self.label_VU = [np.concatenate([clean, job.labels]) for job in jobs]

    @torch.no_grad()
    def train(self, numbers: Sequence[int], order: Order) -> list[Trained]:
        """numbers: the victims' own, which `order` is asked with."""
        rule, still = Plateau(len(numbers), self.recipe), np.arange(len(numbers))
        trained: dict[int, Trained] = {}
        epoch = 0
        while len(still):
            loss_V = self._epoch(still, [order(numbers[v], epoch, len(self.row_VU[v])) for v in still])
            stop_V = rule.stopped(epoch, loss_V)
            epoch += 1
            for at in np.flatnonzero(stop_V):
                params = [p[at].clone() for p in self._views(self.theta_VP)]
                trained[int(still[at])] = Trained(params, epoch, float(loss_V[at]))
            if stop_V.any():
                keep = np.flatnonzero(~stop_V)
                self._put(*(t[torch.from_numpy(keep)] for t in self._state()))
                rule.keep(keep)
                still = still[keep]
        return [trained[v] for v in range(len(numbers))]

    def _epoch(self, still: np.ndarray, orders: Sequence[np.ndarray]) -> np.ndarray:
        """One epoch of the victims `still`; each one's mean loss over its rows [victims], penalty included, float64."""
        rows_V = np.array([len(o) for o in orders])
        batch, steps = self.recipe.batch, -(-int(rows_V.max()) // self.recipe.batch)
        row_VU, label_VU = np.zeros((2, len(still), steps * batch), np.int64)  # padding is row 0 with label 0, and counts for nothing
        for at, (v, o) in enumerate(zip(still, orders, strict=True)):
            row_VU[at, : len(o)], label_VU[at, : len(o)] = self.row_VU[v][o], self.label_VU[v][o]
        rows, labels = torch.from_numpy(row_VU), torch.from_numpy(label_VU)
        total_V = np.zeros(len(still))
        for lo in range(0, steps * batch, batch):
            count_V = np.clip(rows_V - lo, 0, batch)
            hi, there_V = lo + int(count_V.max()), count_V > 0  # a victim whose epoch is over takes no step
            there, count = torch.from_numpy(there_V), torch.from_numpy(count_V[there_V]).to(self.theta_VP.dtype)
            if there_V.all():
                loss_V = self._step(rows[:, lo:hi], labels[:, lo:hi], count)
            else:
                whole = self._state()
                self._put(*(t[there] for t in whole))
                loss_V = self._step(rows[there, lo:hi], labels[there, lo:hi], count)
                self._put(*(t.masked_scatter_(there[:, None], part) for t, part in zip(whole, self._state(), strict=True)))
            total_V[there_V] += loss_V.double().numpy() * count_V[there_V]
        return total_V / rows_V

    def _step(self, row_VB: Tensor, label_VB: Tensor, count_V: Tensor) -> Tensor:
        """One step of all; each one's mean loss [victims] before it. count_V: how many of the batch's rows are real, the first ones."""
        params = self._views(self.theta_VP)
        activations = [self.x_RF.index_select(0, row_VB.flatten()).view(*row_VB.shape, -1)]
        for kernel, bias in zip(params[::2], params[1::2], strict=True):
            below = activations[-1] if len(activations) == 1 else activations[-1].relu_()
            activations.append(torch.baddbmm(bias.unsqueeze(1), below, kernel))
        share_VB = (torch.arange(row_VB.shape[1]) < count_V.unsqueeze(1)) / count_V.unsqueeze(1)
        loss_VB, delta_VBO = self._loss(activations[-1], label_VB)
        delta = delta_VBO * share_VB.unsqueeze(-1)
        grads: list[Tensor] = []
        for layer in range(len(params) // 2 - 1, -1, -1):
            grads[:0] = [torch.bmm(activations[layer].transpose(1, 2), delta), delta.sum(1)]
            if layer:
                delta = torch.bmm(delta, params[2 * layer].transpose(1, 2)).mul_(activations[layer] > 0)
        factor_V = torch.full_like(count_V, self.recipe.weight_decay) / (count_V if self.recipe.per_rows else 1)
        decayed_VP = self.theta_VP * self.kernel_P
        loss_V = (loss_VB * share_VB).sum(1) + factor_V / 2 * decayed_VP.square().sum(1)
        self._adam(torch.cat([g.flatten(1) for g in grads], 1).addcmul_(decayed_VP, factor_V.unsqueeze(1)))
        return loss_V

    def _loss(self, logits_VBO: Tensor, label_VB: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy of each row [victims, batch], nats, and its gradient with respect to the logits."""
        if self.model.outputs == 1:
            y_VB = label_VB.to(logits_VBO.dtype)
            z_VB = logits_VBO[..., 0]
            return torch.nn.functional.softplus(z_VB) - z_VB * y_VB, torch.sigmoid(logits_VBO) - y_VB.unsqueeze(-1)
        logp = torch.log_softmax(logits_VBO, -1)
        y = label_VB.unsqueeze(-1)
        return -logp.gather(-1, y)[..., 0], logp.exp().scatter_add_(-1, y, torch.full_like(y, -1, dtype=logp.dtype))

    def _adam(self, grad_VP: Tensor) -> None:
        """Kingma and Ba, 2015, each victim at its own step, epsilon after the correction as PyTorch has it."""
        self.steps_V += 1
        self.mean_VP.lerp_(grad_VP, 1 - BETA_1)
        self.square_VP.mul_(BETA_2).addcmul_(grad_VP, grad_VP, value=1 - BETA_2)
        left_1_V, left_2_V = ((1 - beta**self.steps_V).to(grad_VP.dtype) for beta in (BETA_1, BETA_2))
        size_VP = (self.square_VP / left_2_V).sqrt_().add_(EPSILON)
        self.theta_VP -= self.recipe.lr / left_1_V * self.mean_VP / size_VP

    def _state(self) -> tuple[Tensor, ...]:
        return self.theta_VP, self.mean_VP, self.square_VP, self.steps_V

    def _put(self, theta_VP: Tensor, mean_VP: Tensor, square_VP: Tensor, steps_V: Tensor) -> None:
        self.theta_VP, self.mean_VP, self.square_VP, self.steps_V = theta_VP, mean_VP, square_VP, steps_V

    def _views(self, flat_VP: Tensor) -> list[Tensor]:
        """[W_1, b_1, ...], each [victims, ...]."""
        parts = flat_VP.split([s.numel() for s in self.shapes], 1)
        return [part.unflatten(1, s) for part, s in zip(parts, self.shapes, strict=True)]


# ---- a network on pictures, one at a time ---------------------------------------------------------------------------


def train_published_pictures(
    model: Network, init: Sequence[Tensor], data: Training, job: Job, recipe: Recipe, order: Order, *, seed: int, trial: int, victim: int
) -> Trained:
    """One victim on pictures, trained on train + poison in its own order with its own augmentation."""
    x_U = torch.cat([data.x_NF, data.x_AF[torch.from_numpy(job.rows)]])
    y_U = torch.cat([data.y_N, torch.from_numpy(job.labels)])
    draws = partial(augmentation.draws, seed_for(seed, "published augmentation", victim), trial)

    def batches(epoch: int) -> Batches:
        how = draws(epoch, len(y_U), (int(x_U.shape[1]), int(x_U.shape[2])), "train and poison", x_U.device) if recipe.augment else None
        for chunk in torch.from_numpy(order(victim, epoch, len(y_U))).split(recipe.batch):
            x = x_U[chunk].to(init[0].dtype) / 255
            yield model.pixels(augmentation.apply(x, how.take(chunk)) if how else x), y_U[chunk]

    return fit(
        model,
        init,
        recipe,
        batches,
        logits=lambda params, x, epoch, step: model.logits(params, x, training=True),
        trainable=model.trainable,
    )
