"""The pictures of a step, on the device where they are trained: kept as bytes, made numbers a batch at a time, moved, augmented."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.training import augmentation
from engine.training.judged import CleanRows, counts, kept_points
from engine.training.recipe import Job, Training
from engine.training.schedule import Schedule


@dataclass(frozen=True)
class NetworkStep:
    """The rows of one step of some victims. Pictures are float [.., height, width, 3], 0 to 1.

    y_B and y_VP are int64; y_B is [victims, clean rows] where defences gave labels. Poison is padded to the longest; `own_VP` says which
    places take part (1), and which are padding or a point that a defence removed (0). None where no victim has a point in this step.
    kept_VB: [victims, clean rows], 0 or 1, those that defences left; None: all.
    """

    x_BHWC: Tensor
    y_B: Tensor
    x_VPHWC: Tensor | None
    y_VP: Tensor | None
    own_VP: Tensor | None
    rows_V: Tensor  # [victims], how many rows each victim's step really has, one at least
    kept_VB: Tensor | None = None


class StackPictures:
    """What the victims `jobs` of a trial see."""

    def __init__(self, data: Training, jobs: Sequence[Job], schedule: Schedule, augment: bool, dtype: torch.dtype) -> None:
        self.data, self.schedule, self.augment, self.dtype = data, schedule, augment, dtype
        self.device = data.y_N.device
        self.image = (int(data.x_NF.shape[1]), int(data.x_NF.shape[-2]))  # of tokens, which have no delta and are not augmented, no matter
        self.points_V = np.array([len(job.rows) for job in jobs], np.int64)
        self.clean, self.kept_VM = CleanRows(jobs, data.y_N), kept_points(jobs)
        first_V = np.cumsum(self.points_V) - self.points_V
        self.first_V = torch.from_numpy(first_V).to(self.device)  # where each victim's points begin in what follows
        self.row_M = self._send(np.concatenate([job.rows for job in jobs]))
        self.label_M = self._send(np.concatenate([job.labels for job in jobs]))
        self.delta_M: Tensor | None = None
        if any(job.delta is not None for job in jobs):
            none = (0, *self.image, 3)
            deltas = [np.zeros((len(j.rows), *none[1:]), np.float32) if j.delta is None else j.delta for j in jobs]
            self.delta_M = torch.from_numpy(np.concatenate(deltas)).to(self.device, dtype)

    def _send(self, a: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(a)).to(self.device)

    def keep(self, index_V: np.ndarray) -> None:
        """Go on with these victims alone."""
        self.points_V = self.points_V[index_V]
        self.clean.keep(index_V)
        self.kept_VM = None if self.kept_VM is None else self.kept_VM[index_V]
        self.first_V = self.first_V[torch.from_numpy(index_V).to(self.device)]

    def epoch(self, epoch: int) -> EpochPictures:
        """Everything the epoch's steps need that is small, worked out and sent to the device at once."""
        schedule = self.schedule
        point_SVP, count_SV = schedule.places(epoch, self.points_V)
        places_S, own_SVP = [int(m) for m in count_SV.max(1, initial=0)], point_SVP >= 0
        if self.kept_VM is not None and point_SVP.size:
            own_SVP = own_SVP & self.kept_VM[np.arange(len(self.points_V))[None, :, None], np.maximum(point_SVP, 0)]
            count_SV = own_SVP.sum(2)
        order_N = self._send(schedule.order(epoch))
        y_N, kept_VN = self.clean.epoch(order_N, self.dtype)
        clean_SV = counts([schedule.bounds(step) for step in range(schedule.steps)], kept_VN)
        how_clean, how_poison = None, None
        if self.augment:
            of = (schedule.seed, schedule.trial, epoch)
            how_clean = augmentation.draws(*of, len(self.data.y_N), self.image, "clean rows", self.device)
            how_poison = augmentation.draws(*of, int(self.points_V.max(initial=0)), self.image, "poison points", self.device)
        return EpochPictures(
            stack=self,
            order_N=order_N,
            y_N=y_N,
            kept_VN=kept_VN,
            places_S=places_S,
            point_SVP=self._send(np.maximum(point_SVP, 0).astype(np.int64)),
            own_SVP=self._send(own_SVP).to(self.dtype),
            rows_SV=self._send(np.maximum(clean_SV + count_SV, 1)).to(self.dtype),
            how_clean=how_clean,
            how_poison=how_poison,
        )


@dataclass(frozen=True)
class EpochPictures:
    """One epoch's steps; poison is [steps, victims, places]. y_N and kept_VN: see `CleanRows.epoch`."""

    stack: StackPictures
    order_N: Tensor
    y_N: Tensor
    kept_VN: Tensor | None
    places_S: list[int]
    point_SVP: Tensor
    own_SVP: Tensor
    rows_SV: Tensor
    how_clean: augmentation.Draws | None
    how_poison: augmentation.Draws | None

    def step(self, step: int) -> NetworkStep:
        data = self.stack.data
        lo, hi = self.stack.schedule.bounds(step)
        clean_B = self.order_N[lo:hi]
        x_BHWC = self._numbers(data.x_NF[clean_B], None, self.how_clean, clean_B)
        y_B, places = self.y_N[..., lo:hi], self.places_S[step]
        kept_VB = None if self.kept_VN is None else self.kept_VN[:, lo:hi]
        if not places:
            return NetworkStep(x_BHWC, y_B, None, None, None, self.rows_SV[step], kept_VB)
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
