"""What the victims of one trial share: the draws, the device, and who is told of how far they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from engine.milestones import Milestones
from engine.training.room import Room

OnStep = Callable[[float, float], None]  # (victims done, counting parts, and victims in all): may block, may raise Interrupted


@dataclass(frozen=True)
class How:
    """On what and in what precision victims are trained. autocast: matrix products and convolutions in bfloat16.

    capture: steps are captured as graphs (see `graphs.py`).
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    autocast: bool = False
    capture: bool = False


@dataclass(frozen=True)
class Stands:
    """Where it is put away how far the training of one victim is, and under which name."""

    milestones: Milestones
    name: str


@dataclass(frozen=True)
class Trial:
    """How some victims of one trial are trained. seed: the scenario's; number: which trial, of which initial weights and batches follow.

    on_step     called after every step, or every few, while they train
    workers     how many parts of a stack train side by side on a CPU
    max_steps   for timing and tests, fewer steps than the recipe asks for
    on_halved   told how many victims at a time were too many, whenever memory ran out
    say         told in words what makes training slower than it could be
    room        what is known of that from the run's other stacks on the device, and learns of it
    alone       each victim by itself, in arithmetic that no company changes: victims of the same shapes and rows are equal to the bit
    stands      of a single victim that is no part of a stack, where its training can be gone on with; trainers may pass it over
    asked       the share of a victim's work that comes after its training: asking it about the test rows
    """

    seed: int
    number: int
    how: How = field(default_factory=How)
    on_step: OnStep | None = None
    workers: int = 1
    max_steps: int | None = None
    on_halved: Callable[[int], None] | None = None
    say: Callable[[str], None] | None = None
    room: Room | None = None
    asked: float = 0.0
    alone: bool = False
    stands: Stands | None = None
