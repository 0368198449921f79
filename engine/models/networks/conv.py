"""The paper's small network for CIFAR-10 ("Conv", section 5): nine 3x3 convolutions, three average pools, one dense layer."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from engine.models.networks.checkpoint import reader
from engine.models.networks.network import CENTRED, Blueprint
from engine.scenario.sections import ConvSection

BLOCKS = ((32, 64), (64, 128), (128, 256))  # channels of each block's convolutions; each block ends in a pool that halves the sides
FIRST = 32
SLOPE = 0.1
SMALLEST = 8  # pixels: one is left of each side after the pools


def blueprint(section: ConvSection, classes: int, image: tuple[int, int]) -> Blueprint:
    """What the scenario's network is made of, for pictures of (height, width) pixels."""
    return Blueprint("conv", lambda: body(classes), CENTRED, "all", reader(section, "conv", "features."), of_classes=True)


def imagenet(section: ConvSection) -> None:
    """Nobody has trained this one on ImageNet."""


def body(classes: int) -> nn.Sequential:
    """Everything below the dense layer: the last convolution has a channel for each class, and its output is flattened.

    Every convolution, the last one too, is followed by the leaky ReLU. Kernels Glorot uniform and biases zero, as Keras starts them.
    """
    layers: list[tuple[str, nn.Module]] = []
    below = 3

    def convolution(above: int) -> None:
        nonlocal below
        number = sum(isinstance(layer, nn.Conv2d) for _, layer in layers) + 1
        layers.append((f"conv{number}", nn.Conv2d(below, above, 3, padding=1)))
        layers.append((f"relu{number}", nn.LeakyReLU(SLOPE, inplace=True)))
        below = above

    convolution(FIRST)
    for number, block in enumerate(BLOCKS, 1):
        for channels in block:
            convolution(channels)
        layers.append((f"pool{number}", nn.AvgPool2d(2)))
    convolution(classes)
    layers.append(("flatten", nn.Flatten()))
    for _, layer in layers:
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(OrderedDict(layers))
