"""VGG as the paper uses it: the convolutional part, then global average pooling instead of the large dense layers."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from engine.models.networks.checkpoint import reader
from engine.models.networks.network import IMAGENET, Blueprint
from engine.scenario import weights
from engine.scenario.sections import VggSection

CONFIGURATIONS = {11: "A", 13: "B", 16: "D", 19: "E"}  # by depth, as the VGG paper letters them
SMALLEST = 32  # pixels: one is left of each side after five pools


def blueprint(section: VggSection, classes: int, image: tuple[int, int]) -> Blueprint:
    """What the scenario's network is made of, for pictures of (height, width) pixels."""
    name = f"VGG{section.depth}"
    return Blueprint(name, lambda: body(section.depth), IMAGENET, "head", reader(section, name, "features."))


def imagenet(section: VggSection) -> str:
    """Where torchvision's weights of this depth are."""
    return weights.URL + weights.VGG[section.depth]


def body(depth: int) -> nn.Sequential:
    """torchvision's convolutions and max pools, under its names for them ("0" to "30" in VGG16), then the mean over all places: [B, 512].

    Random weights are drawn as torchvision draws them: kernels He normal by fan out, biases zero.
    """
    layers = make_layers(cfgs[CONFIGURATIONS[depth]])
    for layer in layers:
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return nn.Sequential(OrderedDict([*layers.named_children(), ("average", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten())]))
