"""What the module of a kind of network has."""

from __future__ import annotations

from typing import Any, Protocol, cast

from engine.models.networks.network import Blueprint
from engine.scenario.modules import module
from engine.scenario.sections import NetworkKeys


class NetworkKind(Protocol):
    """SMALLEST: the pixels that a picture's shorter side must have."""

    SMALLEST: int

    # each kind takes its own section
    def blueprint(self, section: Any, classes: int, image: tuple[int, int], /) -> Blueprint:
        """What the scenario's network is made of, for pictures of (height, width) pixels."""
        ...

    def imagenet(self, section: Any, /) -> str | None:
        """The address of its ImageNet weights; None where there are none."""
        ...


def kind_of(section: NetworkKeys) -> NetworkKind:
    """The module of the section's kind, opened when asked for."""
    return cast(NetworkKind, module("models.networks", section.kind))
