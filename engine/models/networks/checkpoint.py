"""What a network starts from: ImageNet's weights or a file of one's own, as its section says, read when they are first needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor, nn

from engine.errors import RequestError
from engine.models import weights
from engine.models.networks.kinds import kind_of
from engine.scenario import weights as weights_place
from engine.scenario.sections import NetworkKeys

Read = Callable[[nn.Module], Mapping[str, Tensor]]


def file_of(section: NetworkKeys, progress: weights.Progress = weights.silent) -> Path | None:
    """The file of the weights, ImageNet's downloaded where missing; None for random ones. MissingData where it cannot be had."""
    if section.weights == weights_place.RANDOM:
        return None
    if section.weights != weights_place.IMAGENET:
        return Path(section.weights).expanduser()
    url = kind_of(section).imagenet(section)
    if url is None:
        raise RequestError(f"there are no ImageNet weights of {section.kind}", where="model.weights", next="use random, or a file")
    return weights.imagenet(url, progress)


def reader(section: NetworkKeys, name: str, prefix: str) -> Read | None:
    """What gives a body's tensors, by name; None for random ones. prefix: of the body's names in a file of the whole network."""
    if section.weights == weights_place.RANDOM:
        return None

    def load(body: nn.Module) -> Mapping[str, Tensor]:
        path = file_of(section)
        assert path is not None
        return weights.fitted(weights.read(path), body, prefix=prefix, name=name, where=str(path))

    return load
