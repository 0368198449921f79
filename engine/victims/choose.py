"""Which family a model is of: the one place that asks. A family is opened when asked for, so that tables need no torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.features.opened import Opened
from engine.milestones import NOTHING_KEPT, Milestones
from engine.rows import Dataset
from engine.scenario.sections import BertSection, DenseKeys, EstimatorKeys, ModelSection, NetworkKeys
from engine.victims.family import Family, Report

# A caller of a family knows neither its section's class nor the type of its fitted victims: it passes back what the family returned.
AnyFamily = Family[Any, Any]


def family_of(section: ModelSection, opened: Opened | None = None) -> type[AnyFamily]:
    """The family of a scenario's model."""
    if isinstance(section, DenseKeys):
        from engine.victims.dense import Dense

        return Dense
    if isinstance(section, EstimatorKeys):
        from engine.victims.estimators import Estimators

        return Estimators
    if isinstance(section, NetworkKeys) and section.tune == "last_layer":
        from engine.victims.encoders import PictureHeads

        return PictureHeads
    if isinstance(section, NetworkKeys):
        from engine.victims.networks import PictureNetworks

        return PictureNetworks
    return _of_texts(section, opened or Opened())


def _of_texts(section: BertSection, opened: Opened) -> type[AnyFamily]:
    """Encoders that are no BERT run whole, whatever of them is trained."""
    from engine.models.bert.files import BertSource

    if section.tune == "last_layer" and isinstance(opened.source(section), BertSource):
        from engine.victims.encoders import TextHeads

        return TextHeads
    from engine.victims.networks import TextNetworks

    return TextNetworks


def see(
    section: ModelSection,
    dataset: Dataset,
    seed: int,
    *,
    data_dir: Path | None = None,
    device: str = "cpu",
    report: Report,
    opened: Opened | None = None,
) -> Dataset:
    """The dataset as a model reads it; see `Family.see`."""
    opened = opened or Opened()
    return family_of(section, opened).see(section, dataset, seed, data_dir=data_dir, device=device, report=report, opened=opened)


def victims_of(
    section: ModelSection, dataset: Dataset, seed: int = 0, opened: Opened | None = None, milestones: Milestones = NOTHING_KEPT
) -> AnyFamily:
    """The model's victims over a dataset that they see as it is."""
    opened = opened or Opened()
    return family_of(section, opened)(section, dataset, seed, opened, milestones)
