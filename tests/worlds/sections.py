"""Sections of a scenario by their keys, each of the class of its kind."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from engine.scenario.sections import AttackSection, DatasetSection, ModelSection, SubpopulationsSection

_DATASET: TypeAdapter[DatasetSection] = TypeAdapter(DatasetSection)
_MODEL: TypeAdapter[ModelSection] = TypeAdapter(ModelSection)
_SUBPOPULATIONS: TypeAdapter[SubpopulationsSection] = TypeAdapter(SubpopulationsSection)
_ATTACK: TypeAdapter[AttackSection] = TypeAdapter(AttackSection)


def dataset(**keys: Any) -> DatasetSection:
    return _DATASET.validate_python(keys)


def model(**keys: Any) -> ModelSection:
    return _MODEL.validate_python(keys)


def subpopulations(**keys: Any) -> SubpopulationsSection:
    return _SUBPOPULATIONS.validate_python(keys)


def attack(**keys: Any) -> AttackSection:
    return _ATTACK.validate_python({"kind": "label_flip", **keys})
