"""Whether what a run measures may be held against the paper: what it claims to reproduce, and in full."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from engine.paper import System, published

PRETRAINED = ("vgg", "bert", "torchvision")  # models that the paper starts from published weights; random ones make another system


def claimed(tree: Mapping[str, Any]) -> str:
    """What a scenario's keys set out to reproduce; "" where nothing was published of what is run: of one's own data, of a sliver
    (`--smoke`), of a network from random weights.
    """
    claim, model = tree.get("reproduces"), tree.get("model")
    if not isinstance(claim, str) or published(claim, System.of(tree)) is None or tree.get("smoked"):
        return ""
    random = isinstance(model, Mapping) and model.get("kind") in PRETRAINED and model.get("weights", "random") == "random"
    return "" if random else claim


@lru_cache(maxsize=64)
def claim_of(scenario_toml: str) -> str:
    """The same of a scenario as text, as a run has it; "" too where it cannot be read."""
    try:
        return claimed(tomllib.loads(scenario_toml))
    except ValueError:
        return ""


def in_full(scenario_toml: str, deviations: Sequence[str]) -> bool:
    """Whether a verdict on the paper may stand on such a run: it sets out to reproduce something and deviates in nothing."""
    return bool(claim_of(scenario_toml)) and not deviations


def lead(claim: str) -> str:
    """What stands before a run's deviations: of what nobody published, nothing can be not the paper's."""
    return "not the paper's" if claim else "to be known"
