"""What the adversary holds: a share of the auxiliary rows. Clusters, sizes, its model and the poison all come from these alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.errors import RequestError
from engine.rows import Dataset
from engine.scenario.sections import AdversarySection
from engine.seeds import generator


def adversary_rows(dataset: Dataset, adversary: AdversarySection, seed: int) -> np.ndarray:
    """int64 [rows held], ascending, into dataset.aux: all of them at share 1; a smaller share is a subset of every larger one."""
    whole = len(dataset.aux)
    if adversary.rows == 1.0:
        return np.arange(whole, dtype=np.int64)
    held = int(adversary.rows * whole)
    index = np.sort(generator(seed, "adversary-rows").permutation(whole)[:held])
    if len(np.unique(dataset.aux.y[index])) < 2:
        raise RequestError(
            f"a share of {adversary.rows:g} is {held} of {whole:,} auxiliary rows, and they do not hold two classes",
            where="adversary.rows",
            next="raise it",
        )
    return index


def adversary_view(dataset: Dataset, adversary: AdversarySection, seed: int) -> Dataset:
    """The dataset as the adversary's: aux is what it holds. Everything downstream can then say "aux" and mean it."""
    if adversary.rows == 1.0:
        return dataset
    held = adversary_rows(dataset, adversary, seed)
    note = f"the adversary holds {len(held):,} of {len(dataset.aux):,} auxiliary rows"
    return replace(dataset, aux=dataset.aux.take(held), notes=(*dataset.notes, note))
