"""Data, as three disjoint sets of rows: what there is, whether it is here, how to get it, and how to load it.

A dataset is a module of its kind's name with SUMMARY, `load` and `state` (and SOURCES where it is made of official files, `fetch` where
getting them is more than downloading those), opened when it is asked for. Importing this package or any of these imports neither NumPy
nor pandas; `load` does.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from engine.datasets.accounting import account_of
from engine.datasets.files.fetching import Source, checked_path
from engine.datasets.files.places import DataState, Progress, data_dir, silent
from engine.datasets.repeated import repeated_of
from engine.errors import UnknownName
from engine.rows import Dataset
from engine.scenario.modules import module, names

if TYPE_CHECKING:
    from engine.scenario.sections import DatasetSection

__all__ = ["DataState", "account_of", "data_dir", "fetch", "load", "recounted", "state", "summaries"]


def load(section: DatasetSection, seed: int, data_dir: Path, progress: Progress | None = None, *, base_url: str | None = None) -> Dataset:
    """The dataset that `section` names, split from `seed`: the same section, seed and files give the same rows.

    Missing official files are fetched (from `base_url` instead of their archive, where given). Raises MissingData for files that cannot
    be had, BadData for files that cannot be used.
    """
    loaded: Dataset = _module(section.kind).load(section, seed, data_dir, progress or silent, base_url)
    return recounted(loaded)


def recounted(dataset: Dataset) -> Dataset:
    """The dataset with what stands in two of its splits counted, as its rows are now."""
    return replace(dataset, facts=replace(dataset.facts, repeated=repeated_of(dataset)))


def state(section: DatasetSection | str, data_dir: Path) -> DataState:
    """Whether the data are here, without reading them. A kind alone will do, but says nothing of a `table`'s file."""
    kind, settings = (section, None) if isinstance(section, str) else (section.kind, section)
    data_state: DataState = _module(kind).state(settings, data_dir)
    return data_state


def fetch(kind: str, data_dir: Path, progress: Progress | None = None, *, base_url: str | None = None) -> tuple[Path, ...]:
    """The dataset's official files, downloaded where missing, all checksums verified. Empty for one that needs none."""
    dataset = _module(kind)
    if hasattr(dataset, "fetch"):
        got: tuple[Path, ...] = dataset.fetch(data_dir, progress or silent, base_url)
        return got
    sources: tuple[Source, ...] = getattr(dataset, "SOURCES", ())
    return tuple(checked_path(source, data_dir, progress or silent, base_url) for source in sources)


def summaries() -> dict[str, str]:
    """Every kind there is, with one line of what it is."""
    opened = {name: module("datasets", name) for name in names("datasets")}
    return {kind: dataset.SUMMARY for kind, dataset in opened.items() if hasattr(dataset, "SUMMARY")}


def _module(kind: str) -> ModuleType:
    if kind not in names("datasets") or not hasattr(opened := module("datasets", kind), "SUMMARY"):  # what datasets share is no dataset
        raise UnknownName("dataset", kind, summaries())
    return opened
