"""The kinds of each section, read off the grammar: which there are, and which has a key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined

from engine.errors import nearest
from engine.scenario.sections import Scenario, Section
from engine.scenario.toml import Path

Kinds = Mapping[str, type[Section]]
Tree = Mapping[str, Any]


@cache
def unions() -> Mapping[Path, Kinds]:
    """Where a section has kinds, as ("adversary", "model") -> its kinds by name, in the order of the grammar."""
    return dict(_unions(Scenario, ()))


def kind_at(at: Path, tree: Tree) -> object:
    """What a section of a raw tree says is its kind, or the kind that it has where it says none; None where there is no such section."""
    section = section_at(tree, at)
    return None if section is None else section.get("kind", _default(at))


def with_kinds(tree: Tree) -> Tree:
    """The tree with the kinds that sections have where they say none."""
    for at in unions():
        section = section_at(tree, at)
        if section is not None and "kind" not in section and len(at) == 1 and (kind := _default(at)):
            tree = {**tree, str(at[0]): {"kind": kind, **section}}
    return tree


def foreign(at: Path, tree: Tree, kind: object, before: object = None) -> tuple[str, ...]:
    """The keys of a raw section that `kind` does not have and `before` (None: any kind of it) has; none where `kind` is no kind."""
    kinds, section = unions()[at], section_at(tree, at) or {}
    if not isinstance(kind, str) or kind not in kinds:
        return ()
    others = [kinds[before]] if isinstance(before, str) and before in kinds else [*kinds.values()]
    return tuple(key for key in section if key not in kinds[kind].model_fields and any(key in other.model_fields for other in others))


def without(tree: Tree, dropped: Mapping[Path, tuple[str, ...]]) -> dict[str, Any]:
    """A copy of the tree without these keys of its sections."""
    tree_left = {name: {**value} if isinstance(value, dict) else value for name, value in tree.items()}
    for at, keys in dropped.items():
        section: Any = tree_left
        for part in at:
            section[part] = {**section[part]}
            section = section[part]
        for key in keys:
            del section[key]
    return tree_left


def section_at(tree: object, at: Path) -> Mapping[str, Any] | None:
    """The section of a raw tree, None where it has none."""
    for part in at:
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return tree if isinstance(tree, Mapping) else None


def class_at(at: Path, tree: Tree) -> type[Section]:
    """The class of a section of a raw tree; of no kind that there is, what all kinds have."""
    kinds, kind = unions()[at], kind_at(at, tree)
    if isinstance(kind, str) and kind in kinds:
        return kinds[kind]
    members = list(kinds.values())
    return next(base for base in members[0].__mro__ if issubclass(base, Section) and all(issubclass(one, base) for one in members))


def in_order(section: type[BaseModel]) -> tuple[str, ...]:
    """The keys of a section in a person's order: `kind`, what it cannot do without, its other own keys, those that most kinds have."""
    common = next((shared(some) for some in unions().values() if section in some.values()), set())
    fields = section.model_fields
    return tuple(sorted(fields, key=lambda name: common and (name != "kind", name in common, not fields[name].is_required())))


def shared(some: Kinds) -> set[str]:
    """The keys that two thirds or more of the kinds have."""
    counted = Counter(key for kind in some.values() for key in kind.model_fields)
    return {key for key, count in counted.items() if 3 * count >= 2 * len(some)}


def of_any_kind(at: Path, section: Tree) -> Iterator[Mapping[str, Any]]:
    """What is wrong with a section whose own kind is none: keys that no kind has, and values that no kind that has the key takes."""
    kinds, named = unions()[at], section.get("kind")
    near = nearest(named, kinds) if isinstance(named, str) else None
    errors = {kind: _errors(kinds[kind], {**section, "kind": kind}) for kind in sorted(kinds, key=lambda kind: kind != near)}
    for key in section:
        judges = [kind for kind in errors if key in kinds[kind].model_fields] or [*errors][:1]
        wrong = [[error for error in errors[kind] if error["loc"][0] == key] for kind in judges]
        if key != "kind" and all(wrong):
            yield from ({**error, "loc": (*at, judges[0], *error["loc"])} for error in wrong[0])


def _errors(section: type[Section], raw: Tree) -> list[Mapping[str, Any]]:
    try:
        section.model_validate(raw, strict=True)
    except ValidationError as error:
        return [{**each} for each in error.errors(include_url=False)]
    return []


def _unions(model: type[BaseModel], at: Path) -> Iterator[tuple[Path, Kinds]]:
    for name, field in model.model_fields.items():
        members = list(_members(field.annotation))
        kinds = {get_args(member.model_fields["kind"].annotation)[0]: member for member in members if "kind" in member.model_fields}
        if kinds:
            yield (*at, name), kinds
        for member in members if not kinds else ():
            yield from _unions(member, (*at, name))


def _members(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for part in get_args(annotation):
        yield from _members(part)


def _default(at: Path) -> str | None:
    field = Scenario.model_fields[str(at[0])]
    default = field.get_default(call_default_factory=True)
    return getattr(default, "kind", None) if len(at) == 1 and default is not PydanticUndefined else None
