"""The rows of one training step, as a trainer hands them to a model. Plain types, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class StepRows:
    """The rows of one step. Poison is padded to the longest of the stack; `own_VP` says which places take part (1), and which are padding
    or a point that a defence removed (0). Labels are as the stack's `coded` gives them.
    """

    x_BF: Tensor  # [clean rows, features + 1], the last column all ones
    y_B: Tensor  # [clean rows], or [victims, clean rows] where defences removed some or gave labels
    x_VPF: Tensor | None  # [victims, places, features + 1]
    y_VP: Tensor | None  # [victims, places]
    own_VP: Tensor | None  # [victims, places], 0 or 1
    rows_V: Tensor  # [victims], how many rows each victim's step really has, one at least
    absent_V: Tensor  # [victims], how many of all places take no part
    kept_VB: Tensor | None = None  # [victims, clean rows], 0 or 1: those that defences left; None: all


@dataclass(frozen=True)
class Kept:
    """What dropout leaves of some rows' numbers, each 0 or 1/(1 - p). attention [rows, heads, tokens]; hidden [rows, 3, width]: after the
    attention's dense layer, after the last dense layer of the block, and before the classifier.
    """

    attention: Tensor
    hidden: Tensor


@dataclass(frozen=True)
class EncoderPoison:
    """The poison rows that there are in a step of a stack, of all its victims; whose each is and which of its places in the step it has."""

    x_QTW: Tensor  # [poison rows, tokens, width]
    real_QT: Tensor  # bool: a token, not padding
    y_Q: Tensor  # int64
    victim_Q: Tensor  # int64
    place_Q: Tensor  # int64, under `places`
    places: int  # the most that any victim has
    kept: Kept | None = None
    own_Q: Tensor | None = None  # 0 or 1: which of them take part; None: all


@dataclass(frozen=True)
class EncoderRows:
    """The rows of one step of victims that share an encoder up to its last layer; x are the hidden states that this layer reads."""

    x_BTW: Tensor  # [clean rows, tokens, width]
    real_BT: Tensor  # bool
    y_B: Tensor  # int64, or [victims, clean rows] where defences gave labels
    rows_V: Tensor  # [victims], how many rows each victim's step really has, one at least
    poison: EncoderPoison | None = None
    kept: Kept | None = None  # of the clean rows, the same for all victims; None without dropout
    kept_VB: Tensor | None = None  # [victims, clean rows], 0 or 1: those that defences left; None: all
