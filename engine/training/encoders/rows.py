"""The rows of every step of a stack of last layers: an epoch's plan is worked out on the host and sent to the device before its steps.

A step is then a plain function of what lies there. On a GPU the steps of an epoch have one shape, or two where the last batch is another:
tokens, poison rows and places are filled up to the most that there are, with rows that take no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from engine.steps import EncoderPoison, EncoderRows, Kept
from engine.training import host
from engine.training.encoders.dropout import DropoutDraws, Rates
from engine.training.encoders.states import Places, StateRows
from engine.training.judged import CleanRows, kept_points
from engine.training.recipe import Job, Training
from engine.training.schedule import Schedule


class StackRows:
    """The rows of the victims `jobs`. Rows of `data` are numbers of rows of the states."""

    def __init__(self, layer: Rates, data: Training, states: StateRows, jobs: Sequence[Job], schedule: Schedule, epochs: int) -> None:
        self.states, self.schedule, self.layer = states, schedule, layer
        self.clean_N = host.to_host(data.x_NF)[:, 0]
        pool_A = host.to_host(data.x_AF)[:, 0]
        self.points_V = np.array([len(job.rows) for job in jobs], np.int64)
        self.number_VM, self.label_VM = (np.zeros((len(jobs), int(self.points_V.max(initial=0))), np.int64) for _ in range(2))
        for v, job in enumerate(jobs):
            self.number_VM[v, : len(job.rows)], self.label_VM[v, : len(job.rows)] = pool_A[job.rows], job.labels
        self.clean, self.kept_VM = CleanRows(jobs, data.y_N.to(states.device)), kept_points(jobs)
        self.draws = DropoutDraws(layer, schedule.seed, schedule.trial, states.tokens, states.device, states.dtype)
        numbers = [self.clean_N, *(self.number_VM[v, :points] for v, points in enumerate(self.points_V))]
        self.tokens = states.longest(np.concatenate(numbers))
        self.filled = host.fills(states.device)
        self.most_rows = self.most_places = 0  # poison rows and places of a step, of any epoch
        for epoch in range(epochs if self.filled else 0):
            _, count_SV = schedule.places(epoch, self.points_V)
            self.most_rows = max(self.most_rows, int(count_SV.sum(1).max(initial=0)))
            self.most_places = max(self.most_places, int(count_SV.max(initial=0)))

    def epoch(self, epoch: int) -> EpochRows:
        """What the epoch's steps need, on its way to the device."""
        schedule, states = self.schedule, self.states
        order_N = schedule.order(epoch)
        y_N, kept_VN = self.clean.epoch(host.upload(order_N, states.device), states.dtype)
        point_SVP, count_SV = schedule.places(epoch, self.points_V)
        if self.kept_VM is not None and point_SVP.size:
            left = self.kept_VM[np.arange(len(self.points_V))[None, :, None], np.maximum(point_SVP, 0)]
            point_SVP = np.where(left, point_SVP, -1)
            count_SV = (point_SVP >= 0).sum(2)
        rows_SV = np.maximum(self.clean.counts(schedule.all_bounds, order_N) + count_SV, 1)
        numbers = self.clean_N[order_N]
        return EpochRows(
            stack=self,
            epoch=epoch,
            clean=states.places(numbers),
            tokens_S=[self.tokens if self.filled else states.longest(numbers[lo:hi]) for lo, hi in schedule.all_bounds],
            y_N=y_N,
            kept_VN=kept_VN,
            rows_SV=host.upload(rows_SV, states.device).to(states.dtype),
            poison=self._poison(epoch, point_SVP),
        )

    def _poison(self, epoch: int, point_SVP: np.ndarray) -> _EpochPoison | None:
        step_Q, victim_Q, place_Q = np.nonzero(point_SVP >= 0)
        if not len(step_Q):
            return None
        states, steps = self.states, self.schedule.steps
        point_Q = point_SVP[step_Q, victim_Q, place_Q].astype(np.int64)
        rows_S = np.bincount(step_Q, minlength=steps)
        own_Q = None
        if self.filled:
            # to one place more than any victim has, which takes no part: the first poison row, for as often as it takes
            most = self.most_rows
            at_SQ = np.full((steps, most), -1)
            at_SQ[step_Q, np.arange(len(step_Q)) - np.repeat(np.cumsum(rows_S) - rows_S, rows_S)] = np.arange(len(step_Q))
            at_Q = at_SQ.ravel()
            own_Q, spare = at_Q >= 0, self.most_places
            victim_Q, point_Q = (np.where(own_Q, of[at_Q], of[0]) for of in (victim_Q, point_Q))
            place_Q = np.where(own_Q, place_Q[at_Q], spare)
            rows_S = np.full(steps, most)
        number_Q, last_S = self.number_VM[victim_Q, point_Q], np.cumsum(rows_S)
        bounds = [(int(last - rows), int(last)) for last, rows in zip(last_S, rows_S, strict=True)]
        drawn_MK = self.draws.poison(epoch, int(self.points_V.max())) if self.layer.has_dropout else None

        def send(a: np.ndarray) -> Tensor:
            return host.upload(a, states.device)

        return _EpochPoison(
            bounds=bounds,
            tokens_S=[self.tokens if self.filled else states.longest(number_Q[lo:hi]) for lo, hi in bounds],
            places_S=[self.most_places + 1 if self.filled else int(place_Q[lo:hi].max(initial=-1)) + 1 for lo, hi in bounds],
            rows=states.places(number_Q),
            y_Q=send(self.label_VM[victim_Q, point_Q]),
            victim_Q=send(victim_Q),
            place_Q=send(place_Q),
            point_Q=send(point_Q),
            own_Q=None if own_Q is None else send(own_Q).to(states.dtype),
            drawn_MK=drawn_MK,
        )


@dataclass(frozen=True)
class _EpochPoison:
    """One epoch's poison rows, step after step. bounds: where those of a step lie."""

    bounds: list[tuple[int, int]]
    tokens_S: list[int]
    places_S: list[int]
    rows: Places
    y_Q: Tensor
    victim_Q: Tensor
    place_Q: Tensor
    point_Q: Tensor
    own_Q: Tensor | None
    drawn_MK: Tensor | None


class EpochRows:
    """One epoch's steps. y_N and kept_VN: see `CleanRows.epoch`."""

    def __init__(
        self,
        stack: StackRows,
        epoch: int,
        clean: Places,
        tokens_S: list[int],
        y_N: Tensor,
        kept_VN: Tensor | None,
        rows_SV: Tensor,
        poison: _EpochPoison | None,
    ) -> None:
        self.stack, self.epoch, self.clean, self.tokens_S, self.poison = stack, epoch, clean, tokens_S, poison
        self.y_N, self.kept_VN, self.rows_SV = y_N, kept_VN, rows_SV
        self._drawn_BK: Tensor | None = None  # of the step that was prepared
        self._sent_BTW: Tensor | None = None
        self._sent_QTW: Tensor | None = None

    def prepare(self, step: int) -> None:
        """Before a step: send the states that the device has not, and draw what dropout leaves of the clean rows."""
        states, poison = self.stack.states, self.poison
        lo, hi = self.stack.schedule.bounds(step)
        self._sent_BTW = states.sent(self.clean, slice(lo, hi), self.tokens_S[step])
        self._sent_QTW = states.sent(poison.rows, slice(*poison.bounds[step]), poison.tokens_S[step]) if poison else None
        if self.stack.layer.has_dropout:
            self._drawn_BK = self.stack.draws.of_step(self.epoch, step, hi - lo)

    def step(self, step: int) -> EncoderRows:
        """The rows of a step that was prepared: a plain function of what lies on the device."""
        lo, hi = self.stack.schedule.bounds(step)
        tokens = self.tokens_S[step]
        x_BTW, real_BT = self.stack.states.read(self.clean, slice(lo, hi), tokens, self._sent_BTW)
        kept: Kept | None = None
        if self._drawn_BK is not None:
            kept = self.stack.draws.kept(self._drawn_BK, tokens)
        kept_VB = None if self.kept_VN is None else self.kept_VN[:, lo:hi]
        return EncoderRows(x_BTW, real_BT, self.y_N[..., lo:hi], self.rows_SV[step], self._poison(step), kept, kept_VB)

    def _poison(self, step: int) -> EncoderPoison | None:
        poison = self.poison
        if poison is None or poison.bounds[step][0] == poison.bounds[step][1]:
            return None
        at, tokens = slice(*poison.bounds[step]), poison.tokens_S[step]
        x_QTW, real_QT = self.stack.states.read(poison.rows, at, tokens, self._sent_QTW)
        return EncoderPoison(
            x_QTW,
            real_QT,
            poison.y_Q[at],
            poison.victim_Q[at],
            poison.place_Q[at],
            poison.places_S[step],
            None if poison.drawn_MK is None else self.stack.draws.kept(poison.drawn_MK.index_select(0, poison.point_Q[at]), tokens),
            None if poison.own_Q is None else poison.own_Q[at],
        )
