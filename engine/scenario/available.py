"""What the scenario's grammar names and this version cannot do yet, refused before anything is started. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import RequestError

if TYPE_CHECKING:
    from engine.scenario.sections import Scenario

# The names in the registries of engine/datasets/, models/, attacks/ and victims/, without their weight; a test holds them together.
DATASETS = ("digits", "breast_cancer", "adult", "cifar10", "utkface", "imdb", "table", "image_folder", "text_table")
MODELS = ("mlp", "logistic", "conv", "vgg", "torchvision", "bert")
ATTACKS = ("label_flip", "gradient", "influence")
PRECISIONS = ("float32", "float64", "bfloat16")


def require(scenario: Scenario) -> None:
    """Raises RequestError for a dataset, a model, an attack or a precision that this version does not have."""
    _one_of("dataset.kind", scenario.dataset.kind, DATASETS)
    _one_of("model.kind", scenario.model.kind, MODELS)
    if scenario.adversary.model is not None:
        _one_of("adversary.model.kind", scenario.adversary.model.kind, MODELS)
    _one_of("attack.kind", scenario.attack.kind, ATTACKS)
    _one_of("compute.precision", scenario.compute.precision, PRECISIONS)
    if scenario.compute.precision == "bfloat16" and (scenario.model.kind in ("mlp", "logistic") or scenario.model.tune == "last_layer"):
        raise RequestError(
            "bfloat16 is for networks that are trained whole: so small a model loses accuracy and gains no speed by it",
            where="compute.precision",
            next="use float32 or float64",
        )


def _one_of(key: str, value: str, there: tuple[str, ...]) -> None:
    if value not in there:
        raise RequestError(f"{value} is not available in this version", where=key, next=f"use {' or '.join(there)}")
