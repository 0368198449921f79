"""Victim models by name: the model that a scenario asks for, its frozen part, and the weights it starts from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torchvision
from torch import Tensor, nn

from engine.errors import RequestError
from engine.models import weights
from engine.models.dense.mlp import Mlp
from engine.models.networks import conv, vgg
from engine.models.networks import torchvision as torchvision_models
from engine.models.networks.encoder import Encoder
from engine.models.networks.network import CENTRED, IMAGENET, Blueprint, Network
from engine.scenario import weights as weights_place
from engine.seeds import seed_for

if TYPE_CHECKING:
    from engine.scenario.sections import ModelSection

__all__ = ["MODELS", "Encoder", "Mlp", "Network", "build", "encoder", "fetch_weights", "weights_checksum"]

Image = tuple[int, int]  # height, width


# ---- the registry ---------------------------------------------------------------------------------------------------


def _mlp(section: ModelSection, features: int, classes: int) -> Mlp:
    return Mlp(features, tuple(section.hidden), classes)


def _logistic(section: ModelSection, features: int, classes: int) -> Mlp:
    return Mlp(features, (), classes)


def _conv(section: ModelSection, classes: int, image: Image) -> Blueprint:
    return Blueprint("conv", lambda: conv.body(classes), CENTRED, "all", _checkpoint(section, "conv", "features."))


def _vgg(section: ModelSection, classes: int, image: Image) -> Blueprint:
    name = f"VGG{section.depth}"
    return Blueprint(name, lambda: vgg.body(section.depth), IMAGENET, "head", _checkpoint(section, name, "features."))


def _torchvision(section: ModelSection, classes: int, image: Image) -> Blueprint:
    name = torchvision_models.check(section.architecture, image)
    pretrained = section.weights != weights_place.RANDOM

    def body() -> nn.Module:
        return torchvision_models.body(name, image, pretrained=pretrained)

    return Blueprint(name, body, IMAGENET, "head", _checkpoint(section, name, ""))


DENSE: dict[str, Callable[[ModelSection, int, int], Mlp]] = {"mlp": _mlp, "logistic": _logistic}
NETWORKS: dict[str, Callable[[ModelSection, int, Image], Blueprint]] = {"conv": _conv, "vgg": _vgg, "torchvision": _torchvision}
MODELS = (*DENSE, *NETWORKS)
SMALLEST = {"conv": conv.SMALLEST, "vgg": vgg.SMALLEST}  # pixels of the shorter side


# ---- models ---------------------------------------------------------------------------------------------------------


def build(section: ModelSection, *, features: int, classes: int, image: Image | None = None) -> Mlp | Network:
    """The model a scenario names, for rows of `features` columns, or pictures of `image` = (height, width) pixels, and `classes` classes.

    With tune = "last_layer" it is the last layer alone, on the features of an `encoder`. Raises RequestError for what does not go together.
    """
    if section.kind in DENSE:
        return DENSE[section.kind](section, features, classes)
    if section.tune == "last_layer" and section.kind in NETWORKS:
        return Mlp(features, (), classes, one_logit=False)
    return _network(section, classes, image)


def encoder(section: ModelSection, *, classes: int, image: Image, seed: int = 0) -> Encoder:
    """The frozen part of a network that is tuned in its last layer alone. Random weights are drawn from the scenario's seed, once."""
    network = _network(section, classes, image)
    params = network.init(torch.Generator().manual_seed(seed_for(seed, "frozen weights")))
    drawn = [seed, torch.__version__, torchvision.__version__]  # what else random weights rest on
    origin = sorted(weights_checksum(section).values()) or ["random", *drawn]
    what = [1, section.kind, network.blueprint.name, classes if section.kind == "conv" else None, network.image, origin]
    return Encoder(network, params, blake2b(json.dumps(what).encode(), digest_size=12).hexdigest())


def _network(section: ModelSection, classes: int, image: Image | None) -> Network:
    if section.kind not in NETWORKS:
        raise RequestError(
            f"model {section.kind!r} is not available in this version", where="model.kind", next=f"use one of {', '.join(MODELS)}"
        )
    if image is None:
        raise RequestError(f"{section.kind} reads pictures, and this dataset has none", where="model.kind", next="use mlp or logistic")
    least = SMALLEST.get(section.kind, 1)
    if min(image) < least:
        raise RequestError(
            f"{section.kind} cannot read pictures of {image[0]} x {image[1]} pixels: its pools leave nothing of them",
            where="dataset.image_size",
            next=f"set dataset.image_size = {least} or more, or use another model",
        )
    return Network(NETWORKS[section.kind](section, classes, image), classes, image)


# ---- weights --------------------------------------------------------------------------------------------------------


def fetch_weights(section: ModelSection, progress: weights.Progress = weights.silent) -> Path | None:
    """The file of the model's weights, ImageNet's downloaded where missing; None for random ones. MissingData where it cannot be had."""
    if section.weights == weights_place.RANDOM:
        return None
    if section.weights != weights_place.IMAGENET:
        return Path(section.weights).expanduser()
    if section.kind == "vgg":
        return weights.imagenet(weights_place.URL + weights_place.VGG[section.depth], progress)
    if section.kind == "torchvision":
        return weights.imagenet(torchvision_models.url(torchvision_models.check(section.architecture, (224, 224))), progress)
    raise RequestError(f"there are no ImageNet weights of {section.kind}", where="model.weights", next="use random, or a file")


def weights_checksum(section: ModelSection) -> dict[str, str]:
    """File name -> "sha256:..." of the weights that the model starts from; {} for random ones."""
    path = fetch_weights(section)
    return {} if path is None else {path.name: weights.checksum(path)}


def _checkpoint(section: ModelSection, name: str, prefix: str) -> Callable[[nn.Module], Mapping[str, Tensor]] | None:
    """Reads the weights, when a network first needs them."""
    if section.weights == weights_place.RANDOM:
        return None

    def load(body: nn.Module) -> Mapping[str, Tensor]:
        path = fetch_weights(section)
        assert path is not None
        return weights.fitted(weights.read(path), body, prefix=prefix, name=name, where=str(path))

    return load
