"""What of a run's `Job` is sent to a cluster, and how: as bytes, which a node's trainers share without a copy."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from engine.arrays import Annotations
from engine.pipeline.discovery import Discovery
from engine.rows import Dataset, Rows
from engine.runs.executors import Job


def packed(value: object) -> list[np.ndarray]:
    """A value as arrays of bytes, uint8: its pickle, and after it the arrays that it has, as they lie in memory."""
    arrays: list[np.ndarray] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=lambda each: arrays.append(np.frombuffer(each.raw(), np.uint8)))
    return [np.frombuffer(head, np.uint8), *arrays]


def unpacked(parts: Sequence[np.ndarray]) -> object:
    """The value again. Its arrays are the parts' own memory, and cannot be written to where that cannot."""
    return pickle.loads(parts[0].data, buffers=parts[1:])


def lean(job: Job) -> Job:
    """What trainers read of it: not the rows as a person reads them, nor pictures that the model does not."""
    moved = job.discovery.arrays.moved is not None

    def rows(whole: Rows) -> Rows:
        return replace(whole, frame=None, texts=None, images=whole.images if moved or whole.images is whole.x else None)  # type: ignore[arg-type]

    data = job.discovery.dataset
    thin: Dataset = replace(data, train=rows(data.train), aux=rows(data.aux), test=rows(data.test))
    arrays = replace(job.discovery.arrays, distance_A=None, annotations=Annotations(), foretold=None)
    discovery: Discovery = replace(job.discovery, dataset=thin, arrays=arrays)
    return replace(job, discovery=discovery)
