"""The frozen part of a network of which the last layer alone is tuned: pictures to what that layer reads, the same for every victim."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.models.networks.network import Network


class Encoder:
    """A network with the weights it keeps, in the mode in which nothing is drawn or updated.

    digest   hexadecimal: two encoders of one digest make the same features
    width    numbers a picture becomes
    layers   what `layer_of` can be asked for
    """

    def __init__(self, network: Network, params: Sequence[Tensor], digest: str) -> None:
        self.network, self.params, self.digest = network, tuple(params), digest
        self.width, self.layers = network.width, network.layers

    def to(self, device: torch.device) -> Encoder:
        """The same on another device."""
        return Encoder(self.network, [p.to(device) for p in self.params], self.digest)

    def pixels(self, x: Tensor) -> Tensor:
        """Pictures [B, H, W, 3], uint8 or floats in 0..1 -> pixels in 0..1 [B, 3, H, W], on the encoder's device."""
        return self.network.pixels(x.to(self.params[0].device), self.params[0].dtype)

    def features(self, pixels_BCHW: Tensor) -> Tensor:
        """What the last layer reads [B, width], with gradients to the pixels where they ask for them."""
        return self.network.hidden_of(self.params, pixels_BCHW)

    def layer_of(self, pixels_BCHW: Tensor, layer: str) -> Tensor:
        """The output of one of `layers`, flattened [B, width]."""
        return self.network.layer_of(self.params, pixels_BCHW, layer)
