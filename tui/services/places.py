"""Whether files are where a scenario says: asked of the disk, so in a thread."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import SubpopError, nearest

if TYPE_CHECKING:
    from engine.scenario.sections import Scenario

MOST_LOOKED_AT = 20_000  # entries of a folder, for the nearest name


@dataclass(frozen=True)
class Presence:
    """Whether something is on this machine; detail: where, or what to do."""

    present: bool
    detail: str


@dataclass(frozen=True)
class Places:
    """Of a scenario: its data, and the weights that a network of it starts from (None where it starts from none)."""

    data: Presence
    weights: Presence | None


def places_of(scenario: Scenario, data_dir: Path, folder: Path | None) -> Places:
    """folder: what the scenario's relative paths are seen from."""
    from engine import datasets
    from engine.scenario import weights as weights_place
    from engine.scenario.sections import PretrainedKeys

    try:
        state = datasets.state(scenario.dataset, data_dir)
        data = Presence(state.present, state.detail)
    except SubpopError as error:
        data = Presence(False, str(error))
    model = scenario.model
    if not isinstance(model, PretrainedKeys) or model.weights == weights_place.RANDOM:
        return Places(data, None)
    held = weights_place.state(model.model_dump(), folder=folder)
    return Places(data, Presence(held.present, held.detail))


def trouble(path: str, folder: Path | None) -> str:
    """What is wrong with the path of a file or folder, with the nearest name that is there; "" where nothing is."""
    try:
        place = (folder or Path.cwd()) / Path(path).expanduser()
        if os.access(place, os.R_OK):
            return ""
        if place.exists():
            return f"{path} may not be read: its permissions"
        home = next(each for each in place.parents if each.is_dir())
        lacking = place.relative_to(home).parts[0]
        with os.scandir(home) as entries:
            names = [entry.name for _, entry in zip(range(MOST_LOOKED_AT), entries, strict=False)]
    except (OSError, ValueError, RuntimeError, StopIteration) as error:
        return f"cannot be looked at: {getattr(error, 'strerror', None) or error}"
    near = nearest(lacking, names)
    return f"there is no {lacking!r} in {home.name or home}" + (f"; did you mean {near!r}?" if near else "")
