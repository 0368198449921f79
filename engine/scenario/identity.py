"""What a scenario is: as text, as a hash, and how far from the preset whose numbers it claims to reproduce."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from engine import versions
from engine.scenario import toml as toml_text
from engine.scenario.parse import load
from engine.scenario.presets import presets
from engine.scenario.sections import Scenario

DECIDES_NOTHING = (("title",), ("reproduces",), ("smoke",), ("smoked",), ("compute", "nice"), ("compute", "threads"))


def dump(scenario: Scenario) -> str:
    """The scenario as TOML, defaults filled in, keys in the order they are declared; `parse(dump(s)) == s`."""
    return toml_text.write(_plain(scenario.model_dump(exclude_none=True)))


def digest(scenario: Scenario) -> str:
    """16 hex digits that differ where results may: a hash of every key but those in DECIDES_NOTHING, and of the schedule of training."""
    tree = scenario.model_dump(mode="json")
    for path in DECIDES_NOTHING:
        inner = tree
        for part in path[:-1]:
            inner = inner[part]
        inner.pop(path[-1], None)
    tree["schedule"] = versions.SCHEDULE
    if scenario.dataset.kind in versions.READ_BY_RULES:
        tree["reading"] = versions.READING
    return blake2b(json.dumps(tree, sort_keys=True).encode(), digest_size=8).hexdigest()


MOVES_NO_TARGET = ("title", "reproduces", "smoke", "smoked", "seed", "compute", "evaluation")  # another run of the same thing


def changed_keys(scenario: Scenario) -> tuple[str, ...]:
    """The keys in which a scenario that claims to reproduce something differs from the preset that does; empty where it claims nothing."""
    found: list[tuple[str, ...]] = []
    for name in presets() if scenario.reproduces is not None else ():
        preset = load(name, smoke=scenario.smoked)
        if preset.reproduces == scenario.reproduces:
            mine, theirs = _leaves(scenario), _leaves(preset)
            found.append(tuple(key for key in mine if mine[key] != theirs.get(key)))
    return min(found, key=len, default=())


def _leaves(scenario: Scenario) -> dict[str, Any]:
    """Dotted key -> value of all that decides what is measured."""
    leaves: dict[str, Any] = {}
    for section, values in scenario.model_dump(mode="json").items():
        if section not in MOVES_NO_TARGET:
            leaves.update({f"{section}.{key}": value for key, value in values.items()} if isinstance(values, dict) else {section: values})
    return leaves


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items() if v != {} or k != "smoke"}
    if isinstance(value, Path):
        return str(value)
    return value
