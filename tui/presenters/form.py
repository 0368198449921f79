"""The fields of the scenario form, made of the engine's schema: every key of every kind, with its label, help, choices and default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tui.presenters.fields import BOOLEAN, OUT, SAME, Field, Names, Takes
from tui.presenters.tree import Tree, get, put

Node = Mapping[str, Any]

NOT_ASKED = ("smoke", "smoked")  # the first has no fixed keys and stays as the file has it, the second is the engine's to say


@dataclass(frozen=True)
class Question:
    """A key, and its field in each kind of its section that has it ("" where the section has no kinds).

    of: the key that says the kind, "" where there are none; unsaid: the kind of a section that says none.
    """

    key: str
    fields: Mapping[str, Field]
    of: str = ""
    unsaid: str = ""

    @property
    def first(self) -> Field:
        return next(iter(self.fields.values()))

    @property
    def foreign(self) -> Field:
        """The field shown where the kind does not have the key but the file says it; its only new option removes it."""
        return replace(self.first, options=(*self.first.options, OUT), each=(*self.first.each, "this kind has no use for it"))

    def field_in(self, tree: Tree) -> Field | None:
        """Its field in this scenario, None where the section's kind does not have the key."""
        return self.fields.get(str(get(tree, self.of) or self.unsaid) if self.of else "")

    def matters_in(self, tree: Tree) -> bool:
        """Whether the key has an effect in this scenario."""
        field = self.field_in(tree)
        if field is None or field.when is None:
            return field is not None
        key, unsaid, values = field.when
        value = get(tree, key)
        return str(unsaid if value is None else value) in values


# ---- out of the schema ----------------------------------------------------------------------------------------------


def sections(schema: Node) -> dict[str, tuple[Question, ...]]:
    """Heading -> what is asked under it, in order."""
    by_heading: dict[str, tuple[Question, ...]] = {"Scenario": ()}
    for name, node in schema["properties"].items():
        if name in NOT_ASKED:
            continue
        if "properties" in _resolved(node, schema) or _kinds(node, schema):
            by_heading[name.capitalize()] = tuple(_section(name, node, schema))
        else:
            by_heading["Scenario"] += (Question(name, {"": _field(name, name, schema, schema)}),)
    return by_heading


def _section(at: str, node: Node, schema: Node) -> Iterator[Question]:
    kinds, plain = _kinds(node, schema), _resolved(node, schema)
    if not kinds:
        for name, inner in plain["properties"].items():
            if _kinds(inner, schema):
                yield from _section(f"{at}.{name}", inner, schema)
            else:
                yield Question(f"{at}.{name}", {"": _field(at, name, plain, schema)})
        return
    of, unsaid = f"{at}.kind", str((node.get("default") or {}).get("kind", ""))
    optional = "default" in node and node["default"] is None
    words = (SAME, *kinds) if optional else tuple(kinds)
    title, help = plain.get("title", at.capitalize()), node.get("description", plain.get("description", ""))
    lines = tuple(_first(kind.get("description", "")) for kind in kinds.values())
    if optional:
        lines = ("as the victims' model", *lines)
    label = title if "oneOf" in plain else at.capitalize()
    yield Question(of, {"": Field(of, label, help, "choice", words, SAME if optional else unsaid, each=lines)})
    keys = {name: None for kind in sorted(kinds.values(), key=lambda kind: -len(kind["properties"])) for name in kind["properties"]}
    having = {name: [kind for kind in kinds if name in kinds[kind]["properties"]] for name in keys if name != "kind"}
    questions = [
        Question(f"{at}.{name}", {kind: _field(at, name, kinds[kind], schema) for kind in some}, of, unsaid)
        for name, some in having.items()
    ]
    # what a kind cannot do without, what few have, what most have: two thirds of them, as `subpop show` has it

    def place(one: Question) -> tuple[bool, bool]:
        return 3 * len(one.fields) >= 2 * len(kinds), not any(each.required for each in one.fields.values())

    yield from sorted(questions, key=place)


def _field(at: str, name: str, section: Node, schema: Node) -> Field:
    node: Node = section["properties"][name]
    key = name if section is schema else f"{at}.{name}"
    variants = [one for one in node.get("anyOf", [node]) if one.get("type") != "null"]
    first = variants[0]
    takes: Takes = "text"
    options: tuple[str, ...] = ()
    if first.get("enum") or first.get("type") == "boolean":
        takes, options = "choice", tuple(map(str, first["enum"])) if "enum" in first else BOOLEAN
    elif first.get("type") in ("array", "object"):
        takes = "raw" if first["type"] == "object" else "texts" if first.get("items", {}).get("type") == "string" else "list"
    elif any(one.get("type") in ("integer", "number") for one in variants):
        takes = "number"
    when = None
    for other, values in node.get("when", {}).items():
        when = (f"{at}.{other}", str(section["properties"][other].get("default")), tuple(values))
    return Field(
        key,
        node.get("title", name),
        node.get("description", ""),
        takes,
        options,
        node.get("default"),
        tuple(node.get("examples", ())),
        when,
        name in section.get("required", ()),
        tuple(node.get("each", {}).get(option, "") for option in options),
        _names(node, variants),
    )


def _names(node: Node, variants: Sequence[Node]) -> Names:
    """What a line of text names: a file where the grammar's type is a path."""
    return "file" if any(one.get("format") == "path" for one in variants) else node.get("names", "")


def _first(text: str) -> str:
    """The first paragraph, in one line."""
    return " ".join(text.partition("\n\n")[0].split())


def _kinds(node: Node, schema: Node) -> dict[str, Node]:
    plain = _resolved(node, schema)
    options = [_resolved(one, schema) for one in plain.get("oneOf", (plain,))]
    return {one["properties"]["kind"]["const"]: one for one in options if "const" in one.get("properties", {}).get("kind", {})}


def _resolved(node: Node, schema: Node) -> Node:
    if "$ref" in node:
        return _resolved(schema["$defs"][node["$ref"].rsplit("/", 1)[1]], schema)
    options = [one for one in node.get("anyOf", ()) if one.get("type") != "null"]
    return _resolved(options[0], schema) if len(options) == 1 else node


# ---- turning a kind ---------------------------------------------------------------------------------------------


def turned(tree: Tree, key: str, kind: str | None, questions: Mapping[str, Question]) -> Tree:
    """Set the kind of a section (None: remove the section). Removes from it, and from [smoke], the keys of the old kind that the new
    one lacks. Returns what was removed, by dotted key."""
    section, was = key.removesuffix(".kind"), str(get(tree, key) or questions[key].first.default or "")
    gone: Tree = {}
    for at in (section, f"smoke.{section}"):
        for name in list(get(tree, at) or {}):
            one = questions.get(f"{section}.{name}")
            goes = kind is None if one is None or not one.of else (kind is None or kind not in one.fields) and was in one.fields
            if goes and name != "kind":
                gone[f"{at}.{name}"] = get(tree, f"{at}.{name}")
                put(tree, f"{at}.{name}", None)
    if kind is None and get(tree, f"smoke.{section}") is not None:
        put(tree, f"smoke.{section}", None)
    put(tree, section if kind is None else key, kind)
    if get(tree, head := section.rpartition(".")[0]) == {}:
        put(tree, head, None)
    return gone
