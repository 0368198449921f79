"""Victim models by name. A model knows how to start, run and be stacked; how it is trained is `engine/training/`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.errors import RequestError
from engine.models import conv, vgg
from engine.models.mlp import Mlp
from engine.models.network import CENTRED, IMAGENET, Blueprint, Network

if TYPE_CHECKING:
    from engine.scenario import ModelSection

__all__ = ["MODELS", "Mlp", "Network", "build"]


def _mlp(section: ModelSection, features: int, classes: int) -> Mlp:
    return Mlp(features, tuple(section.hidden), classes)


def _logistic(section: ModelSection, features: int, classes: int) -> Mlp:
    return Mlp(features, (), classes)


def _conv(section: ModelSection, classes: int) -> Blueprint:
    return Blueprint("conv", lambda: conv.body(classes), CENTRED, "all")


def _vgg(section: ModelSection, classes: int) -> Blueprint:
    return Blueprint(f"VGG{section.depth}", lambda: vgg.body(section.depth), IMAGENET, "head")


DENSE: dict[str, Callable[[ModelSection, int, int], Mlp]] = {"mlp": _mlp, "logistic": _logistic}
NETWORKS: dict[str, Callable[[ModelSection, int], Blueprint]] = {"conv": _conv, "vgg": _vgg}
MODELS = (*DENSE, *NETWORKS)
SMALLEST = {"conv": conv.SMALLEST, "vgg": vgg.SMALLEST}  # pixels of the shorter side


def build(section: ModelSection, *, features: int, classes: int, image: tuple[int, int] | None = None) -> Mlp | Network:
    """The model a scenario names, for rows of `features` columns, or pictures of `image` = (height, width) pixels, and `classes` classes.

    With tune = "last_layer" it is the last layer alone, on features that an encoder made (see `encoder`).
    """
    if section.kind in DENSE:
        return DENSE[section.kind](section, features, classes)
    if section.tune == "last_layer" and section.kind in NETWORKS:
        return Mlp(features, (), classes, one_logit=False)
    return _network(section, classes, image)


def _network(section: ModelSection, classes: int, image: tuple[int, int] | None) -> Network:
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
    return Network(NETWORKS[section.kind](section, classes), classes, image)
