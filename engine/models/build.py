"""Models of pictures: the network that a scenario asks for, its frozen part, and the weights it starts from.

A kind is a module of its name in networks/ with `blueprint` and, where there are such, `imagenet`, the address of weights, and SMALLEST,
the pixels that a picture's shorter side must have.
"""

from __future__ import annotations

import json
from hashlib import blake2b

import torch
import torchvision

from engine.errors import RequestError
from engine.models import weights
from engine.models.dense.mlp import Mlp
from engine.models.networks import checkpoint
from engine.models.networks.encoder import Encoder
from engine.models.networks.network import Blueprint, Network
from engine.scenario.modules import module
from engine.scenario.sections import ModelKeys, NetworkKeys
from engine.seeds import seed_for

__all__ = ["Encoder", "Mlp", "Network", "build", "encoder", "weights_checksum"]

Image = tuple[int, int]  # height, width


# ---- models ---------------------------------------------------------------------------------------------------------


def build(section: NetworkKeys, *, features: int, classes: int, image: Image | None = None) -> Mlp | Network:
    """The model a scenario names, for pictures of `image` = (height, width) pixels, or `features` columns, and `classes` classes.

    With tune = "last_layer" it is the last layer alone, on the features of an `encoder`. Raises RequestError for what does not go together.
    """
    if section.tune == "last_layer":
        return Mlp(features, (), classes, one_logit=False)
    return _network(section, classes, image)


def encoder(section: NetworkKeys, *, classes: int, image: Image, seed: int = 0) -> Encoder:
    """The frozen part of a network that is tuned in its last layer alone. Random weights are drawn from the scenario's seed, once."""
    network = _network(section, classes, image)
    params = network.init(torch.Generator().manual_seed(seed_for(seed, "frozen weights")))
    drawn = [seed, torch.__version__, torchvision.__version__]  # what else random weights rest on
    origin = sorted(weights_checksum(section).values()) or ["random", *drawn]
    blueprint = network.blueprint
    what = [1, section.kind, blueprint.name, classes if blueprint.of_classes else None, network.image, origin]
    return Encoder(network, params, blake2b(json.dumps(what).encode(), digest_size=12).hexdigest())


def _network(section: NetworkKeys, classes: int, image: Image | None) -> Network:
    if image is None:
        raise RequestError(f"{section.kind} reads pictures, and this dataset has none", where="model.kind", next="use mlp or logistic")
    kind = module("models.networks", section.kind)
    least = getattr(kind, "SMALLEST", 1)
    if min(image) < least:
        raise RequestError(
            f"{section.kind} cannot read pictures of {image[0]} x {image[1]} pixels: its pools leave nothing of them",
            where="dataset.image_size",
            next=f"set dataset.image_size = {least} or more, or use another model",
        )
    blueprint: Blueprint = kind.blueprint(section, classes, image)
    return Network(blueprint, classes, image)


def weights_checksum(section: ModelKeys) -> dict[str, str]:
    """File name -> "sha256:..." of the weights that a network starts from; {} for random ones, and for what starts from none."""
    path = checkpoint.file_of(section) if isinstance(section, NetworkKeys) else None
    return {} if path is None else {path.name: weights.checksum(path)}
