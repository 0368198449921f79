"""What is known before any victim is trained, and what makes a run not the paper's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.features.pixels import Pictures
from engine.rows import Dataset, Membership, Subpopulation
from engine.scenario.identity import changed_keys
from engine.scenario.sections import BertSection, ConvSection, GradientSection, PretrainedKeys, Scenario
from engine.victims.choose import family_of

Log = Callable[[str], None]
Progress = Callable[[str, float], None]  # (what is being done, share done)
PROBABILITIES, DISTANCES = "proba_aux_AC", "distance_A"
MOVED_FEATURES = "moved.features"


@dataclass(frozen=True)
class Discovery:
    """What is known before any victim is trained. dataset: as the victims' model reads it (see `Family.see`).

    arrays, all that a resumed run must have again to the bit, by name:
    proba_aux_AC     float32 [aux rows, classes], the adversary's model on aux, cross-fitted: poison rules may ask it
    distance_A       float32 [aux rows], to the centre of its own cluster; ClusterMatch only
    groups, group.*  the test rows' annotations, of which tables of groups are made
    moved.*          the optimised points (see `attacks.prepare`); moved.features float32 [points, width], as a frozen network reads them
    """

    dataset: Dataset
    membership: Membership
    subpopulations: tuple[Subpopulation, ...]
    arrays: Mapping[str, np.ndarray]

    @property
    def proba_aux_AC(self) -> np.ndarray:
        return self.arrays[PROBABILITIES]


def deviations(scenario: Scenario, dataset: Dataset) -> tuple[str, ...]:
    """What makes this run not the paper's; shown on every screen and in every export."""
    section = scenario.model
    found = [*family_of(section).deviations(section), *dataset.deviations]
    pretrained = section if isinstance(section, PretrainedKeys) and not isinstance(section, ConvSection) else None  # as the paper's are
    if scenario.reproduces and pretrained is not None and pretrained.weights not in ("imagenet", "hub"):
        theirs = "bert-base-uncased" if isinstance(section, BertSection) else "ImageNet's weights"
        ours = "random weights" if pretrained.weights == "random" else f"weights of your own ({Path(pretrained.weights).name})"
        found.insert(0, f"{ours}: the paper starts from {theirs}")
    if changed := changed_keys(scenario):
        found.insert(0, f"not as published: {', '.join(changed)}")
    if scenario.smoked:
        found.insert(0, "smoke: a sliver of the scenario, for testing the way, not for its numbers")
    return tuple(found)


def moved_pictures(scenario: Scenario, dataset: Dataset, arrays: Mapping[str, np.ndarray]) -> Pictures:
    """The run's optimised points as pictures."""
    assert dataset.aux.images is not None
    assert isinstance(scenario.attack, GradientSection)
    return Pictures(dataset.aux.images, arrays["moved.rows"], arrays["moved.delta"], scenario.attack.bound / 127)
