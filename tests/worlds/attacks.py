"""Tiny pictures and a tiny convolutional adversary: what optimised poison points are tested on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.arrays import Prepared
from engine.attacks import poison as attacks
from engine.attacks.model import AdversaryModel
from engine.milestones import NOTHING_KEPT, Milestones
from engine.rows import Dataset, Membership, Rows, Subpopulation
from engine.scenario.sections import AttackSection
from tests.worlds import sections

SIDE, WIDTH, EACH = 8, 6, 10  # pixels, hidden features, aux rows a subpopulation


def pictures(classes: int = 3, subpopulations: int = 4, seed: int = 0) -> tuple[Dataset, Membership, tuple[Subpopulation, ...]]:
    """EACH rows a subpopulation; some pixels are black, some white. The last subpopulation is not attacked."""
    rng = np.random.default_rng(seed)
    n = EACH * subpopulations
    y = rng.integers(0, classes, n)
    images = np.clip(rng.normal(128 + 40 * (y[:, None, None, None] - 1), 90, (n, SIDE, SIDE, 3)), 0, 255).astype(np.uint8)

    def rows(first: int) -> Rows:
        return Rows(images, y, first + np.arange(n), pd.DataFrame({"f": y}), images)

    member = np.repeat(np.arange(subpopulations, dtype=np.int32), EACH)
    found = tuple(
        Subpopulation(s, f"group {s}", 25, EACH, EACH, {}, 0.5, 0.5, 0.5, "b", s + 1 < subpopulations) for s in range(subpopulations)
    )
    data = Dataset("toy", tuple("abcd"[:classes]), (), rows(0), rows(n), rows(2 * n))
    return data, Membership(member, member, member), found


def prepare(
    attack: AttackSection,
    subpopulations: Sequence[Subpopulation],
    dataset: Dataset,
    membership: Membership,
    adversary: AdversaryModel,
    *,
    trials: Sequence[int],
    seed: int = 0,
    proba_aux: np.ndarray | None = None,
    progress: attacks.Progress = lambda what, share: None,
    check: attacks.Check = lambda: None,
    milestones: Milestones = NOTHING_KEPT,
) -> Prepared | None:
    """What the attack of a section works out, with nobody who is told of it."""
    return attacks.attack_of(attack).prepare(
        attack, subpopulations, dataset, membership, adversary,
        seed=seed, trials=trials, proba_aux=proba_aux, progress=progress, check=check, milestones=milestones,
    )  # fmt: skip


@dataclass
class ConvAdversary:
    """Two convolutions, a pool, a ReLU and a dense layer with random weights. Counts its passes."""

    images: np.ndarray
    outputs: int = 3
    dtype: torch.dtype = torch.float64
    weight_decay: float = 0.01
    parameter_names: tuple[str, ...] = ("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias", "head.weight", "head.bias")
    params: Sequence[Tensor] = field(init=False)
    network: ConvAdversary | None = field(init=False)
    passes: int = 0
    threads: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.network = self
        generator = torch.Generator().manual_seed(1)
        shapes = (4, 3, 3, 3), (4,), (WIDTH, 4, 3, 3), (WIDTH,), (WIDTH, self.outputs), (self.outputs,)
        self.params = [torch.randn(shape, generator=generator, dtype=torch.float64).to(self.dtype) / 3 for shape in shapes]

    def pixels(self, images: np.ndarray) -> Tensor:
        return torch.from_numpy(images).to(self.dtype).div(255).permute(0, 3, 1, 2)

    def hidden(self, params: Sequence[Tensor], pixels_BCHW: Tensor) -> Tensor:
        self.passes += 1
        self.threads.add(torch.get_num_threads())
        x = F.max_pool2d(F.leaky_relu(F.conv2d(pixels_BCHW - 0.5, params[0], params[1], padding=1), 0.1), 2)
        return F.relu(F.conv2d(x, params[2], params[3])).mean((2, 3))

    def differentiable(self, pixels_BCHW: Tensor) -> Tensor:
        return self.hidden(self.params, pixels_BCHW)

    def logits(self, params: Sequence[Tensor], pixels_BCHW: Tensor) -> Tensor:
        return self.hidden(params, pixels_BCHW) @ params[4] + params[5]

    @property
    def hidden_aux(self) -> np.ndarray:
        return self.hidden(self.params, self.pixels(self.images)).numpy()

    def head(self) -> tuple[np.ndarray, np.ndarray]:
        return self.params[4].double().numpy(), self.params[5].double().numpy()


def section(**keys: object) -> AttackSection:
    return sections.attack(**{"kind": "gradient", "steps": 6, "step_size": 0.2, "bound": 0.05, **keys})
