"""The pictures of a step, on the device where they are trained: kept as bytes, made numbers a batch at a time, moved, augmented."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.training import augmentation, host
from engine.training.judged import CleanRows, kept_points
from engine.training.recipe import Job, Training
from engine.training.schedule import Schedule


@dataclass(frozen=True)
class NetworkStep:
    """The rows of one step of some victims. Pictures are float [.., height, width, 3], 0 to 1.

    y_B and y_VP are int64; y_B is [victims, clean rows] where defences gave labels. Poison is padded to the longest; `own_VP` says which
    places take part (1), and which are padding or a point that a defence removed (0). None where no victim has a point in this step.
    kept_VB: [victims, clean rows], 0 or 1, those that defences left; None: all, and all where a victim is alone: its step has no others.
    longest: tokens of the longest row; None where rows are pictures.
    """

    x_BHWC: Tensor
    y_B: Tensor
    x_VPHWC: Tensor | None
    y_VP: Tensor | None
    own_VP: Tensor | None
    rows_V: Tensor  # [victims], how many rows each victim's step really has, one at least
    kept_VB: Tensor | None = None
    longest: int | None = None


@dataclass(frozen=True)
class Lengths:
    """Tokens of each row, known on the host: a step's batch is cut to its longest row without asking the device how long that is."""

    clean_N: np.ndarray
    pool_A: np.ndarray


class StackPictures:
    """What the victims `jobs` of a trial see. alone: of one victim, of whose steps a defence's rows are left out, not masked.

    epochs: of the training, for the most places that a step has in any of them where steps are filled up.
    """

    def __init__(
        self,
        data: Training,
        jobs: Sequence[Job],
        schedule: Schedule,
        augment: bool,
        dtype: torch.dtype,
        *,
        alone: bool = False,
        lengths: Lengths | None = None,
        epochs: int = 0,
    ) -> None:
        self.data, self.schedule, self.augment, self.dtype, self.alone, self.lengths = data, schedule, augment, dtype, alone, lengths
        self.device = data.y_N.device
        self.image = (int(data.x_NF.shape[1]), int(data.x_NF.shape[-2]))  # of tokens, which have no delta and are not augmented, no matter
        self.points_V = np.array([len(job.rows) for job in jobs], np.int64)
        self.clean, self.kept_VM = CleanRows(jobs, data.y_N), kept_points(jobs)
        filled = not alone and host.fills(self.device)
        self.most_places = schedule.most_places(int(self.points_V.max(initial=0)), epochs) if filled else 0
        first_V = np.cumsum(self.points_V) - self.points_V
        self.first_V = self._send(first_V)  # where each victim's points begin in what follows
        self.pool_M = np.concatenate([job.rows for job in jobs])
        self.row_M = self._send(self.pool_M)
        self.label_M = self._send(np.concatenate([job.labels for job in jobs]))
        self.delta_M: Tensor | None = None
        if any(job.delta is not None for job in jobs):
            none = (0, *self.image, 3)
            deltas = [np.zeros((len(j.rows), *none[1:]), np.float32) if j.delta is None else j.delta for j in jobs]
            self.delta_M = self._send(np.concatenate(deltas)).to(dtype)

    def _send(self, a: np.ndarray) -> Tensor:
        return host.upload(a, self.device)

    def keep(self, index_V: np.ndarray) -> None:
        """Go on with these victims alone."""
        self.points_V = self.points_V[index_V]
        self.clean.keep(index_V)
        self.kept_VM = None if self.kept_VM is None else self.kept_VM[index_V]
        self.first_V = self.first_V[self._send(index_V)]

    def epoch(self, epoch: int) -> EpochPictures:
        """Everything the epoch's steps need that is small, worked out and sent to the device at once."""
        schedule, bounds = self.schedule, self.schedule.all_bounds
        point_SVP, count_SV = schedule.places(epoch, self.points_V, self.most_places)
        places_S, own_SVP = count_SV.max(1, initial=0), point_SVP >= 0
        if self.kept_VM is not None and point_SVP.size:
            own_SVP = own_SVP & self.kept_VM[np.arange(len(self.points_V))[None, :, None], np.maximum(point_SVP, 0)]
            count_SV = own_SVP.sum(2)
        order_N = schedule.order(epoch)
        clean_SV = self.clean.counts(bounds, order_N)
        if self.alone:  # its steps are as long as what its defence left
            first = np.argsort(~own_SVP, axis=2, kind="stable")
            point_SVP, own_SVP = (np.take_along_axis(of, first, 2) for of in (point_SVP, own_SVP))
            places_S = count_SV[:, 0]
            if self.clean.kept_VN is not None:
                order_N = order_N[self.clean.kept_VN[0][order_N]]
                last_S = np.cumsum(clean_SV[:, 0])
                bounds = [(int(last - rows), int(last)) for last, rows in zip(last_S, clean_SV[:, 0], strict=True)]
        else:
            places_S = host.places_on(self.device, places_S, point_SVP.shape[2])
        order = self._send(order_N)
        y_N, kept_VN = self.clean.epoch(order, self.dtype)
        how_clean, how_poison = None, None
        if self.augment:
            of = (schedule.seed, schedule.trial, epoch)
            how_clean = augmentation.draws(*of, len(self.data.y_N), self.image, "clean rows", self.device)
            how_poison = augmentation.draws(*of, int(self.points_V.max(initial=0)), self.image, "poison points", self.device)
        return EpochPictures(
            stack=self,
            bounds=bounds,
            order_N=order,
            y_N=y_N,
            kept_VN=None if self.alone else kept_VN,
            places_S=[int(places) for places in places_S],
            longest_S=self._longest(bounds, order_N, point_SVP, own_SVP),
            point_SVP=self._send(np.maximum(point_SVP, 0).astype(np.int64)),
            own_SVP=self._send(own_SVP).to(self.dtype),
            rows_SV=self._send(np.maximum(clean_SV + count_SV, 1)).to(self.dtype),
            how_clean=how_clean,
            how_poison=how_poison,
        )

    def _longest(
        self, bounds: Sequence[tuple[int, int]], order_N: np.ndarray, point_SVP: np.ndarray, own_SVP: np.ndarray
    ) -> list[int] | None:
        """Tokens of the longest row of each step, a victim's that is alone; None of pictures."""
        if self.lengths is None:
            return None
        clean, own = self.lengths.clean_N, [self.pool_M[points[left]] for points, left in zip(point_SVP[:, 0], own_SVP[:, 0], strict=True)]
        rows = [(clean[order_N[lo:hi]], self.lengths.pool_A[pool]) for (lo, hi), pool in zip(bounds, own, strict=True)]
        return [int(max(of_clean.max(initial=1), of_own.max(initial=1))) for of_clean, of_own in rows]


@dataclass(frozen=True)
class EpochPictures:
    """One epoch's steps; poison is [steps, victims, places]. y_N and kept_VN: see `CleanRows.epoch`."""

    stack: StackPictures
    bounds: Sequence[tuple[int, int]]
    order_N: Tensor
    y_N: Tensor
    kept_VN: Tensor | None
    places_S: list[int]
    longest_S: list[int] | None
    point_SVP: Tensor
    own_SVP: Tensor
    rows_SV: Tensor
    how_clean: augmentation.Draws | None
    how_poison: augmentation.Draws | None

    def step(self, step: int) -> NetworkStep:
        data = self.stack.data
        lo, hi = self.bounds[step]
        clean_B = self.order_N[lo:hi]
        x_BHWC = self._numbers(data.x_NF[clean_B], None, self.how_clean, clean_B)
        y_B, places = self.y_N[..., lo:hi], self.places_S[step]
        kept_VB = None if self.kept_VN is None else self.kept_VN[:, lo:hi]
        longest = None if self.longest_S is None else self.longest_S[step]
        if not places:
            return NetworkStep(x_BHWC, y_B, None, None, None, self.rows_SV[step], kept_VB, longest)
        point_VP = self.point_SVP[step, :, :places]
        # padding takes a victim's point 0; one without points takes another's, or the last
        flat_VP = (self.stack.first_V[:, None] + point_VP).clamp_(max=len(self.stack.row_M) - 1)
        x_QHWC = self._numbers(data.x_AF[self.stack.row_M[flat_VP.flatten()]], flat_VP.flatten(), self.how_poison, point_VP.flatten())
        return NetworkStep(
            x_BHWC,
            y_B,
            x_QHWC.view(*point_VP.shape, *x_QHWC.shape[1:]),
            self.stack.label_M[flat_VP],
            self.own_SVP[step, :, :places],
            self.rows_SV[step],
            kept_VB,
            longest,
        )

    def _numbers(self, x_BHWC: Tensor, moved_B: Tensor | None, how: augmentation.Draws | None, number_B: Tensor) -> Tensor:
        """Bytes as numbers from 0 to 1, moved by the deltas at `moved_B`, then augmented by the draws at `number_B`; tokens as they are."""
        if x_BHWC.dtype != torch.uint8:
            return x_BHWC
        if moved_B is None or self.stack.delta_M is None:  # bytes are augmented before they are made numbers: less to copy
            x_BHWC = augmentation.apply(x_BHWC, how.take(number_B)) if how else x_BHWC
            return x_BHWC.to(self.stack.dtype).div_(255)
        x_BHWC = x_BHWC.to(self.stack.dtype).div_(255).add_(self.stack.delta_M[moved_B]).clamp_(0, 1)
        return augmentation.apply(x_BHWC, how.take(number_B)) if how else x_BHWC
