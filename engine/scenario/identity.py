"""What a scenario is: as text, as a hash, and how far from the preset whose numbers it claims to reproduce."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from engine import versions
from engine.scenario import kinds
from engine.scenario import toml as toml_text
from engine.scenario.parse import load
from engine.scenario.presets import presets
from engine.scenario.sections import ComputeSection, Scenario

# Scenarios were hashed with the keys of every kind before each kind had its own, a section's idle ones at these values. They are hashed so
# still, and ever will be: a run's digest stands in its exports, and the same scenario must have the same one. Not for keys added since.
IDLE: Mapping[str, Mapping[str, Any]] = {
    "dataset": {
        **dict.fromkeys(("path", "label", "text", "positive", "split_column", "rows", "image_size", "annotations_file")),
        **{name: [] for name in ("numeric", "categorical", "annotations", "drop")},
        "missing": "keep",
        "max_categories": 50,
        "scale": "none",
        "split": [0.4, 0.4, 0.2],
        "balance": True,
    },
    "model": {
        **dict.fromkeys(("architecture", "name", "attention_dropout", "dropout")),
        "hidden": [10],
        "tune": "all",
        "weights": "random",
        "depth": 16,
        "length": 256,
        "states": "float32",
        "optimizer": "adam",
        "augment": False,
    },
    "subpopulations": {"clusters": 100, "pca": None, "layer": "input", "features": [], "bins": {}},
    "attack": {
        "steps": 50,
        "step_size": 0.2,
        "step_rule": "gradient",
        "bound": 0.01,
        "objective": "inner",
        "layer": "last",
        "damping": 0.01,
    },
}

# Keys that came later, at the value that does what was done before them: there they are not hashed, so that digests stay.
LATER: Mapping[tuple[str, str], Any] = {
    ("dataset", "missing_words"): [],
    ("dataset", "encoding"): None,
    ("attack", "target_min_rows"): None,
    ("model", "revision"): None,
    ("dataset", "fitted_on"): "train",
    ("evaluation", "certificates"): None,
}
LATER_SECTIONS = ("triage",)  # the same of whole sections, at their defaults

DECIDES_NOTHING = (("title",), ("reproduces",), ("smoke",), ("smoked",), ("compute", "nice"), ("compute", "threads"))


def dump(scenario: Scenario) -> str:
    """The scenario as TOML, defaults filled in; of a section its kind, that kind's keys, those of all kinds. `parse(dump(s)) == s`."""
    return toml_text.write(_plain(scenario, scenario.model_dump(exclude_none=True)))


def digest(scenario: Scenario) -> str:
    """16 hex digits that differ where results may: a hash of every key but those in DECIDES_NOTHING, and of the schedule of training."""
    tree = scenario.model_dump(mode="json")
    tree |= {section: {**idle, **tree[section]} for section, idle in IDLE.items()}
    if tree["adversary"]["model"] is not None:
        tree["adversary"]["model"] = {**IDLE["model"], **tree["adversary"]["model"]}
    for (section, key), plain in LATER.items():
        for part in (tree[section], tree["adversary"]["model"] if section == "model" else None):
            if part is not None and key in part and part[key] == plain:
                del part[key]
    for section in LATER_SECTIONS:
        if getattr(scenario, section) == Scenario.model_fields[section].default:
            del tree[section]
    for path in DECIDES_NOTHING:
        inner = tree
        for part in path[:-1]:
            inner = inner[part]
        inner.pop(path[-1], None)
    tree["schedule"] = versions.SCHEDULE
    if scenario.dataset.kind in versions.READ_BY_RULES:
        tree["reading"] = versions.READING
    return blake2b(json.dumps(tree, sort_keys=True).encode(), digest_size=8).hexdigest()


def digest_anywhere(scenario: Scenario) -> str:
    """The same whatever device trains it, in stacks of whatever size: what a plan is of."""
    return digest(scenario.model_copy(update={"compute": ComputeSection(precision=scenario.compute.precision)}))


MOVES_NO_TARGET = ("title", "reproduces", "smoke", "smoked", "seed", "compute", "evaluation", "triage")  # another run of the same thing


def changed_keys(scenario: Scenario) -> tuple[str, ...]:
    """The keys in which a scenario that claims to reproduce something differs from the preset that does; empty where it claims nothing."""
    differences: list[tuple[str, ...]] = []
    for name in presets() if scenario.reproduces is not None else ():
        preset = load(name, smoke=scenario.smoked)
        if preset.reproduces == scenario.reproduces:
            leaves, preset_leaves = _leaves(scenario), _leaves(preset)
            differences.append(tuple(key for key in leaves if leaves[key] != preset_leaves.get(key)))
    return min(differences, key=len, default=())


def _leaves(scenario: Scenario) -> dict[str, Any]:
    """Dotted key -> value of all that decides what is measured."""
    leaves: dict[str, Any] = {}
    for section, values in scenario.model_dump(mode="json").items():
        if section not in MOVES_NO_TARGET:
            leaves.update({f"{section}.{key}": value for key, value in values.items()} if isinstance(values, dict) else {section: values})
    return leaves


def _plain(section: BaseModel, tree: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a section and of those in it, as TOML has them."""
    plain: dict[str, Any] = {}
    for name in kinds.in_order(type(section)):
        value, inner = tree.get(name), getattr(section, name)
        if isinstance(inner, BaseModel):
            plain[name] = _plain(inner, tree[name])
        elif value is not None and (value != {} or name != "smoke"):
            plain[name] = str(value) if isinstance(value, Path) else value
    return plain
