"""What an attack that optimises its points may ask of the adversary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

Progress = Callable[[str, float], None]  # (what is being done, share done of it), as `engine.system.pace` reads them
Check = Callable[[], None]  # called often: may block, may raise Interrupted


class Network(Protocol):
    """A network that was trained whole. parameter_names: of the trained parameters, the first of those that it is run with."""

    @property
    def parameter_names(self) -> Sequence[str]: ...

    def logits(self, params: Sequence[Tensor], pixels_BCHW: Tensor, /) -> Tensor:
        """[batch, classes] under these parameters, as when it is used (no dropout, running statistics)."""
        ...


class AdversaryModel(Protocol):
    """The adversary's model as it was trained on aux; its weights ask for no gradient.

    params            its weights; all is worked out on their device
    hidden_aux        float32 [aux rows, width], what the last dense layer reads
    weight_decay      of that layer: weight_decay / 2 times the kernel's squared norm is part of its training loss
    differentiable    pictures [batch, 3, height, width], 0..1 -> [batch, width], what the last layer reads; None where rows are no pictures
    network           None where the last layer alone can be asked for gradients
    """

    @property
    def params(self) -> Sequence[Tensor]: ...
    @property
    def hidden_aux(self) -> np.ndarray: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def differentiable(self) -> Callable[[Tensor], Tensor] | None: ...
    @property
    def network(self) -> Network | None: ...

    def head(self) -> tuple[np.ndarray, np.ndarray]:
        """The last dense layer: kernel float64 [width, outputs] and bias [outputs]; one output for two classes, or one a class."""
        ...

    def pixels(self, images: np.ndarray, /) -> Tensor:
        """uint8 [batch, height, width, 3] -> float [batch, 3, height, width], 0..1."""
        ...
