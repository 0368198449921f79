"""Tables as people have them: written to a file and loaded as a dataset of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from engine import datasets
from engine.account import words
from engine.rows import Dataset
from tests.worlds import sections


def loaded(folder: Path, content: str | bytes | pd.DataFrame, name: str = "mine.csv", seed: int = 0, **keys: object) -> Dataset:
    """The content as a file, loaded as a table with `label = "y"` and the keys."""
    path = folder / name
    if isinstance(content, pd.DataFrame):
        content = content.to_csv(index=False)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    section = sections.dataset(**{"kind": "table", "path": path, "label": "y", **keys})
    return datasets.load(section, seed, folder)


def people(n: int = 200, seed: int = 0) -> pd.DataFrame:
    """age 18..79, region n/s, y no/yes: noisily the old ones."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 80, n)
    return pd.DataFrame({"age": age, "region": rng.choice(["n", "s"], n), "y": np.where(age + rng.normal(0, 9, n) > 48, "yes", "no")})


def noted(dataset: Dataset) -> str:
    """All that is said of it, as every screen and file has it."""
    return "\n".join(map(str, words.lines(datasets.account_of(dataset))))


def column(dataset: Dataset, name: str) -> pd.Series:
    """A column of the frame in the file's order, by the rows' numbers."""
    parts = (dataset.train, dataset.aux, dataset.test)
    values = pd.concat([part.frame[name] for part in parts])
    values.index = pd.Index(np.concatenate([part.ids for part in parts]))
    return values.sort_index()


def labels(dataset: Dataset) -> pd.Series:
    """Each row's class by name, in the file's order, by the rows' numbers."""
    parts = (dataset.train, dataset.aux, dataset.test)
    values = np.array(dataset.classes, object)[np.concatenate([part.y for part in parts])]
    return pd.Series(values, index=np.concatenate([part.ids for part in parts])).sort_index()
