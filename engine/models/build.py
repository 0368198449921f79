"""Models of pictures: the network that a scenario asks for, its frozen part, and the weights it starts from.

A kind is a module of its name in networks/ (see `networks/kinds.py`).
"""

from __future__ import annotations

import json
from hashlib import blake2b

import torch
import torchvision

from engine.errors import RequestError
from engine.models import weights
from engine.models.networks import checkpoint
from engine.models.networks.encoder import Encoder
from engine.models.networks.kinds import kind_of
from engine.models.networks.network import Network
from engine.scenario.sections import ModelKeys, NetworkKeys
from engine.seeds import seed_for

Image = tuple[int, int]  # height, width


def encoder_of(section: NetworkKeys, network: Network, seed: int = 0) -> Encoder:
    """The frozen part of a network that is tuned in its last layer alone. Random weights are drawn from the scenario's seed, once."""
    params = network.init(torch.Generator().manual_seed(seed_for(seed, "frozen weights")))
    drawn = [seed, torch.__version__, torchvision.__version__]  # what else random weights rest on
    origin = sorted(weights_checksum(section).values()) or ["random", *drawn]
    blueprint = network.blueprint
    what = [1, section.kind, blueprint.name, network.classes if blueprint.of_classes else None, network.image, origin]
    return Encoder(network, params, blake2b(json.dumps(what).encode(), digest_size=12).hexdigest())


def network_of(section: NetworkKeys, classes: int, image: Image | None) -> Network:
    """The whole network. RequestError where these pictures are none that it can read."""
    if image is None:
        raise RequestError(f"{section.kind} reads pictures, and this dataset has none", where="model.kind", next="use mlp or logistic")
    kind = kind_of(section)
    least = kind.SMALLEST
    if min(image) < least:
        raise RequestError(
            f"{section.kind} cannot read pictures of {image[0]} x {image[1]} pixels: its pools leave nothing of them",
            where="dataset.image_size",
            next=f"set dataset.image_size = {least} or more, or use another model",
        )
    return Network(kind.blueprint(section, classes, image), classes, image)


def weights_checksum(section: ModelKeys) -> dict[str, str]:
    """File name -> "sha256:..." of the weights that a network starts from; {} for random ones, and for what starts from none."""
    path = checkpoint.file_of(section) if isinstance(section, NetworkKeys) else None
    return {} if path is None else {path.name: weights.checksum(path)}
