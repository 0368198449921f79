"""What a trainer needs of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class VictimModel(Protocol):
    """What a trainer of single victims needs of a model."""

    def logits(self, params: Sequence[Tensor], x_BF: Tensor) -> Tensor: ...
    def losses(self, logits_BO: Tensor, y_B: Tensor) -> Tensor: ...
    def penalty(self, params: Sequence[Tensor]) -> Tensor: ...


class NetworkModel(Protocol):
    """What a trainer of single victims needs of a network that reads pictures; params[:trainable] are trained, the others are buffers.

    kernels: those that AdamW shrinks. cuts_batches: it is a `CuttingModel`.
    """

    @property
    def trainable(self) -> int: ...
    @property
    def has_dropout(self) -> bool: ...
    @property
    def kernels(self) -> tuple[int, ...]: ...
    @property
    def cuts_batches(self) -> bool: ...
    def pixels(self, x: Tensor) -> Tensor: ...
    def logits(self, params: Sequence[Tensor], pixels_BCHW: Tensor, *, training: bool = False) -> Tensor: ...
    def losses(self, logits_BO: Tensor, y_B: Tensor) -> Tensor: ...
    def penalty(self, params: Sequence[Tensor]) -> Tensor: ...


class CuttingModel(NetworkModel, Protocol):
    """A network of which a batch is cut to its longest row; no program of many victims could ask for that."""

    def cut(self, x: Tensor, longest: int) -> Tensor: ...
