"""Raw trees of keys, one laid over another: [smoke] over a scenario, the command line over both, and what goes where a kind changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from engine.scenario import kinds, mistakes
from engine.scenario.toml import Path as Keys

Dropped = dict[Keys, tuple[str, ...]]  # section -> keys of it


def put(tree: dict[str, Any], path: Keys, value: object) -> None:
    """Sets a key; None takes it out."""
    for part in path[:-1]:
        inner = tree.get(cast("str", part))
        if not isinstance(inner, dict):
            inner = tree[cast("str", part)] = {}
        tree = inner
    if value is None:
        tree.pop(cast("str", path[-1]), None)
    else:
        tree[cast("str", path[-1])] = value


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `base` with `over` laid over it, section by section."""
    merged = {k: _merge(v, {}) if isinstance(v, dict) else v for k, v in base.items()}
    for name, value in over.items():
        below = merged.get(name)
        merged[name] = _merge(below if isinstance(below, dict) else {}, value) if isinstance(value, dict) else value
    return merged


def has(tree: object, path: Keys) -> bool:
    """Whether the tree has that place; a list in it may be shorter than the list that lies over it."""
    for part in path:
        if isinstance(tree, dict):
            present = part in tree
        else:
            present = isinstance(tree, list) and isinstance(part, int) and part < len(tree)
        if not present:
            return False
        tree = tree[part]  # type: ignore[index]
    return True


# ---- kinds ----------------------------------------------------------------------------------------------------------


def of_own_kinds(raw: dict[str, Any]) -> dict[str, Any]:
    """A stored tree without the keys that a section's kind does not have; in its [smoke] too."""
    over = raw.get("smoke")
    cleaned = kinds.without(raw, {at: kinds.foreign(at, raw, kinds.kind_at(at, raw)) for at in kinds.unions() if kinds.section_at(raw, at)})
    return {**cleaned, "smoke": kinds.without(over, foreign(over, cleaned))} if isinstance(over, dict) else cleaned


def foreign(over: Mapping[str, Any], raw: Mapping[str, Any]) -> Dropped:
    """The keys of what is laid over a tree that the kinds of its sections do not have, unless it has a kind of its own for them."""
    sections = {at: section for at in kinds.unions() if (section := kinds.section_at(over, at))}
    return {at: kinds.foreign(at, over, section.get("kind", kinds.kind_at(at, raw))) for at, section in sections.items()}


def laid_over(raw: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with [smoke] laid over it; where that has another kind, the old kind's keys go."""
    new_kinds = {(*at, "kind"): kind for at in kinds.unions() if (kind := (kinds.section_at(over, at) or {}).get("kind")) is not None}
    return _merge(kinds.without(raw, changed(raw, new_kinds)), over)


def changed(raw: Mapping[str, Any], overrides: Mapping[Keys, object], kept: Sequence[Keys] = ()) -> Dropped:
    """Section -> its keys that go with its old kind, where `overrides` has another for it. kept: keys that were given beside it."""
    dropped: Dropped = {}
    for at in kinds.unions():
        before, kind = kinds.kind_at(at, raw), overrides.get((*at, "kind"))
        keys = kinds.foreign(at, raw, kind, before) if kind is not None and kind != before else ()
        if keys := tuple(key for key in keys if (*at, key) not in kept):
            dropped[at] = keys
    return dropped


def in_words(dropped: Dropped, raw: Mapping[str, Any]) -> str:
    """Which keys went with their kind, in words."""
    sentences = []
    for at, keys in dropped.items():
        section = mistakes.name_key(at)[0]
        sentences.append(f'{section}.kind is now "{kinds.kind_at(at, raw)}", which has no {", ".join(keys)}: taken out of [{section}]')
    return "; ".join(sentences)
