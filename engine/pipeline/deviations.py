"""What makes a run not the paper's; shown on every screen and in every export."""

from __future__ import annotations

from pathlib import Path

from engine.features.opened import Opened
from engine.rows import Dataset
from engine.scenario.identity import changed_keys
from engine.scenario.sections import BertSection, ConvSection, PretrainedKeys, Scenario
from engine.victims.choose import family_of


def deviations(scenario: Scenario, dataset: Dataset, opened: Opened | None = None) -> tuple[str, ...]:
    """A line each, the gravest first."""
    section = scenario.model
    lines = [*family_of(section, opened).deviations(section), *dataset.deviations]
    pretrained = section if isinstance(section, PretrainedKeys) and not isinstance(section, ConvSection) else None  # as the paper's are
    if scenario.reproduces and pretrained is not None and pretrained.weights not in ("imagenet", "hub"):
        published = "bert-base-uncased" if isinstance(section, BertSection) else "ImageNet's weights"
        ours = "random weights" if pretrained.weights == "random" else f"weights of your own ({Path(pretrained.weights).name})"
        lines.insert(0, f"{ours}: the paper starts from {published}")
    if changed := changed_keys(scenario):
        lines.insert(0, f"not as published: {', '.join(changed)}")
    if scenario.subpopulations.select == "predicted":
        many, models = scenario.subpopulations.select_count, scenario.triage.models
        on = scenario.triage.rows
        chosen = f"chosen by prediction: the {many} subpopulations that {models} clean models foretell to be worst on {on} rows"
        judged = " (but the test rows, on which damage is measured, had)" if on == "test" else ""
        lines.append(f"{chosen}; no trial here had a part in it{judged}, and of the others nothing was measured")
    if scenario.smoked:
        lines.insert(0, "smoke: a sliver of the scenario, for testing the way, not for its numbers")
    return tuple(lines)
