"""Any classifier of pictures that torchvision has, by its name there, under a last dense layer of the right width."""

from __future__ import annotations

from typing import Any

import torchvision
from torch import nn

from engine.errors import RequestError, UnknownName
from engine.models.networks.checkpoint import reader
from engine.models.networks.network import IMAGENET, Blueprint
from engine.scenario import weights
from engine.scenario.sections import TorchvisionSection

WHERE = "model.architecture"
SMALLEST = 1  # pixels: what each architecture needs is found where its skeleton is built


def blueprint(section: TorchvisionSection, classes: int, image: tuple[int, int]) -> Blueprint:
    """What the scenario's network is made of, for pictures of (height, width) pixels."""
    name = check(section.architecture, image)
    pretrained = section.weights != weights.RANDOM
    return Blueprint(name, lambda: body(name, image, pretrained=pretrained), IMAGENET, "head", reader(section, name, ""))


def imagenet(section: TorchvisionSection) -> str:
    """Where torchvision's best weights of this architecture are."""
    return url(check(section.architecture, (224, 224)))


def classifiers() -> list[str]:
    """torchvision's classifiers of single pictures, by name."""
    return sorted(torchvision.models.list_models(module=torchvision.models))


def check(name: str, image: tuple[int, int]) -> str:
    """The name itself; UnknownName or RequestError, in words, for what cannot be a victim."""
    if name not in classifiers():
        if name in torchvision.models.list_models():
            raise RequestError(f"{name} does not classify single pictures", where=WHERE, next="use a classifier, as resnet18")
        raise UnknownName("torchvision classifier", name, classifiers())
    if name.startswith("squeezenet"):
        raise RequestError(f"{name} has no dense layer at its end, which is what is tuned and read here", where=WHERE, next="use resnet18")
    if name.startswith("vit_"):
        patch = int(name.rpartition("_")[2])
        if image[0] != image[1] or image[0] % patch:
            next = f"set dataset.image_size to a multiple of {patch}, or use another architecture"
            what = f"{name} cuts square pictures into patches of {patch} x {patch} pixels, which {image[0]} x {image[1]} is no multiple of"
            raise RequestError(what, where="dataset.image_size", next=next)
    return name


def body(name: str, image: tuple[int, int], *, pretrained: bool) -> nn.Module:
    """The classifier with its last dense layer taken out: [B, 3, H, W] -> [B, what that layer reads]. Drawn as torchvision draws it.

    The side outputs of GoogLeNet and Inception, a device to train them from nothing, are left out.
    """
    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": True, "transform_input": pretrained}  # their weights were made for other pixels
    elif name.startswith("vit_"):
        options = {"image_size": image[0]}
    elif name.startswith("maxvit"):
        options = {"input_size": image}
    whole = torchvision.models.get_model(name, weights=None, **options)
    last = [path for path, module in whole.named_modules() if isinstance(module, nn.Linear)][-1]
    parent, _, child = last.rpartition(".")
    setattr(whole.get_submodule(parent), child, nn.Identity())
    return whole


def url(name: str) -> str:
    """Where torchvision's best ImageNet weights of an architecture are."""
    address: str = torchvision.models.get_model_weights(name).DEFAULT.url
    return address
