"""Data, as three disjoint sets of rows: what there is, whether it is here, how to get it, and how to load it.

A dataset is a module with SUMMARY, `load` and `state` (and SOURCES where it is made of official files, `fetch` where getting them
is more than downloading those). Importing this package imports neither NumPy nor pandas; `load` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from engine.datasets import adult, breast_cancer, cifar10, digits, image_folder, imdb, table, text_table, utkface
from engine.datasets.files.fetching import Source, checked_path
from engine.datasets.files.places import DataState, Progress, data_dir, silent
from engine.datasets.repeated import repeated_notes
from engine.errors import RequestError, UnknownName
from engine.rows import Dataset

if TYPE_CHECKING:
    from engine.scenario.sections import DatasetSection

__all__ = ["REGISTRY", "DataState", "data_dir", "fetch", "load", "state", "summaries"]

REGISTRY: Mapping[str, ModuleType] = {
    "digits": digits,
    "breast_cancer": breast_cancer,
    "adult": adult,
    "cifar10": cifar10,
    "utkface": utkface,
    "imdb": imdb,
    "table": table,
    "image_folder": image_folder,
    "text_table": text_table,
}


def load(section: DatasetSection, seed: int, data_dir: Path, progress: Progress | None = None, *, base_url: str | None = None) -> Dataset:
    """The dataset that `section` names, split from `seed`: the same section, seed and files give the same rows.

    Missing official files are fetched (from `base_url` instead of their archive, where given). Raises RequestError for a kind
    or key that does not fit, MissingData for files that cannot be had, BadData for files that cannot be used.
    """
    module = _module(section.kind)
    _refuse_idle_keys(section)
    dataset: Dataset = module.load(section, seed, data_dir, progress or silent, base_url)
    return replace(dataset, notes=(*dataset.notes, *repeated_notes(dataset)))


def state(section: DatasetSection | str, data_dir: Path) -> DataState:
    """Whether the data are here, without reading them. A kind alone will do, but says nothing of a `table`'s file."""
    kind, given = (section, None) if isinstance(section, str) else (section.kind, section)
    return _module(kind).state(given, data_dir)


def fetch(kind: str, data_dir: Path, progress: Progress | None = None, *, base_url: str | None = None) -> tuple[Path, ...]:
    """The dataset's official files, downloaded where missing, all checksums verified. Empty for one that needs none."""
    module = _module(kind)
    if hasattr(module, "fetch"):
        got: tuple[Path, ...] = module.fetch(data_dir, progress or silent, base_url)
        return got
    sources: tuple[Source, ...] = getattr(module, "SOURCES", ())
    return tuple(checked_path(source, data_dir, progress or silent, base_url) for source in sources)


def summaries() -> dict[str, str]:
    """Every kind there is, with one line of what it is, in the registry's order."""
    return {kind: module.SUMMARY for kind, module in REGISTRY.items()}


TABLES = ("table", "text_table")
PICTURES = ("cifar10", "utkface", "image_folder")
READ_BY = {  # keys of [dataset] that mean nothing elsewhere: set there, they would be ignored in silence
    **dict.fromkeys(("numeric", "categorical", "drop", "missing", "max_categories"), ("table",)),
    **dict.fromkeys(("label", "annotations", "split_column", "missing_words", "encoding"), TABLES),
    **dict.fromkeys(("path", "positive"), (*TABLES, "image_folder")),
    "text": ("text_table",),
    "balance": ("adult",),
    "scale": ("digits", "breast_cancer", "adult", "table"),
    "split": ("digits", "breast_cancer", *TABLES, "image_folder"),  # the others have a published one
    "image_size": PICTURES,
    "annotations_file": ("image_folder",),
}


def _refuse_idle_keys(section: DatasetSection) -> None:
    """RequestError where a key is set that this kind does not read."""
    idle = [key for key, kinds in READ_BY.items() if section.kind not in kinds]
    fields = type(section).model_fields
    if said := [key for key in idle if getattr(section, key) != fields[key].default]:
        raise RequestError(
            f"{section.kind} does not read {', '.join(said)}",
            where="dataset",
            next="take it out" if len(said) == 1 else "take them out",
        )


def _module(kind: str) -> ModuleType:
    if kind not in REGISTRY:
        raise UnknownName("dataset", kind, REGISTRY)
    return REGISTRY[kind]
