"""Logistic regression: a multilayer perceptron without a hidden layer."""

from __future__ import annotations

from engine.models.dense.mlp import Mlp
from engine.scenario.sections import LogisticSection


def model(section: LogisticSection, features: int, classes: int) -> Mlp:
    """The victim that a scenario describes, for rows of `features` numbers."""
    return Mlp(features, (), classes)
