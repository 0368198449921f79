"""Victim models by name. A model knows how to start, run and be stacked; how it is trained is `engine/training/`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.errors import RequestError
from engine.models.mlp import Mlp

if TYPE_CHECKING:
    from engine.scenario import ModelSection


def _mlp(section: ModelSection, features: int, classes: int) -> Mlp:
    return Mlp(features, tuple(section.hidden), classes)


def _logistic(section: ModelSection, features: int, classes: int) -> Mlp:
    return Mlp(features, (), classes)


MODELS: dict[str, Callable[[ModelSection, int, int], Mlp]] = {"mlp": _mlp, "logistic": _logistic}


def build(section: ModelSection, *, features: int, classes: int) -> Mlp:
    """The model a scenario names, for rows of `features` columns and `classes` classes."""
    if section.kind not in MODELS:
        raise RequestError(
            f"model {section.kind!r} is not available in this version", where="model.kind", next=f"use one of {', '.join(MODELS)}"
        )
    return MODELS[section.kind](section, features, classes)
