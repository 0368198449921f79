"""The fields of the scenario form, made of the engine's schema: every key of every kind, with its label, help, choices and default."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Tree = dict[str, Any]
Node = Mapping[str, Any]
Takes = Literal["choice", "text", "texts", "list", "raw", "number"]  # texts: a list of them

NOT_ASKED = ("smoke", "smoked")  # the first has no fixed keys and stays as the file has it, the second is the engine's to say
SAME = "same"  # as the kind of the adversary's model: the victims'
BOOLEAN = ("yes", "no")
OUT = "take out"  # of a choice that a file makes where its kind has none


@dataclass(frozen=True)
class Field:
    """One key of a scenario. suggests: what a line of text may say.

    when: (another key, what it is where nobody says, values of it) without one of which this key means nothing.
    """

    key: str
    label: str
    help: str
    takes: Takes
    options: tuple[str, ...] = ()
    default: Any = None
    suggests: tuple[str, ...] = ()
    when: tuple[str, str, tuple[str, ...]] | None = None
    required: bool = False


@dataclass(frozen=True)
class Asked:
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
        """What it is shown as where the kind does not have it, but a file says it: it can be taken out."""
        return replace(self.first, options=(*self.first.options, OUT))

    def field_in(self, tree: Tree) -> Field | None:
        """Its field in this scenario, None where the section's kind does not have the key."""
        return self.fields.get(str(get(tree, self.of) or self.unsaid) if self.of else "")

    def matters_in(self, tree: Tree) -> bool:
        """Whether it means something in this scenario."""
        field = self.field_in(tree)
        if field is None or field.when is None:
            return field is not None
        key, unsaid, values = field.when
        said = get(tree, key)
        return str(unsaid if said is None else said) in values


# ---- out of the schema ----------------------------------------------------------------------------------------------


def sections(schema: Node) -> dict[str, tuple[Asked, ...]]:
    """Heading -> what is asked under it, in order."""
    found: dict[str, tuple[Asked, ...]] = {"Scenario": ()}
    for name, node in schema["properties"].items():
        if name in NOT_ASKED:
            continue
        if "properties" in _resolved(node, schema) or _kinds(node, schema):
            found[name.capitalize()] = tuple(_section(name, node, schema))
        else:
            found["Scenario"] += (Asked(name, {"": _field(name, name, schema, schema)}),)
    return found


def _section(at: str, node: Node, schema: Node) -> Iterator[Asked]:
    kinds, plain = _kinds(node, schema), _resolved(node, schema)
    if not kinds:
        for name, inner in plain["properties"].items():
            if _kinds(inner, schema):
                yield from _section(f"{at}.{name}", inner, schema)
            else:
                yield Asked(f"{at}.{name}", {"": _field(at, name, plain, schema)})
        return
    of, unsaid = f"{at}.kind", str((node.get("default") or {}).get("kind", ""))
    optional = "default" in node and node["default"] is None
    words = (SAME, *kinds) if optional else tuple(kinds)
    title, help = plain.get("title", at.capitalize()), node.get("description", plain.get("description", ""))
    yield Asked(of, {"": Field(of, title if "oneOf" in plain else at.capitalize(), help, "choice", words, SAME if optional else unsaid)})
    keys = {name: None for kind in sorted(kinds.values(), key=lambda kind: -len(kind["properties"])) for name in kind["properties"]}
    having = {name: [kind for kind in kinds if name in kinds[kind]["properties"]] for name in keys if name != "kind"}
    asked = [
        Asked(f"{at}.{name}", {kind: _field(at, name, kinds[kind], schema) for kind in some}, of, unsaid) for name, some in having.items()
    ]
    # what a kind cannot do without, what few have, what most have: two thirds of them, as `subpop show` has it

    def place(one: Asked) -> tuple[bool, bool]:
        return 3 * len(one.fields) >= 2 * len(kinds), not any(each.required for each in one.fields.values())

    yield from sorted(asked, key=place)


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
    )


def _kinds(node: Node, schema: Node) -> dict[str, Node]:
    plain = _resolved(node, schema)
    options = [_resolved(one, schema) for one in plain.get("oneOf", (plain,))]
    return {one["properties"]["kind"]["const"]: one for one in options if "const" in one.get("properties", {}).get("kind", {})}


def _resolved(node: Node, schema: Node) -> Node:
    if "$ref" in node:
        return _resolved(schema["$defs"][node["$ref"].rsplit("/", 1)[1]], schema)
    options = [one for one in node.get("anyOf", ()) if one.get("type") != "null"]
    return _resolved(options[0], schema) if len(options) == 1 else node


# ---- values and their text ------------------------------------------------------------------------------------------


def get(tree: Tree, key: str) -> Any:
    node: Any = tree
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def put(tree: Tree, key: str, value: Any) -> None:
    """Set a dotted key; None removes it."""
    *heads, last = key.split(".")
    node = tree
    for part in heads:
        if not isinstance(node.get(part), dict):
            node[part] = {}
        node = node[part]
    if value is None:
        node.pop(last, None)
    else:
        node[last] = value


def turned(tree: Tree, key: str, kind: str | None, asked: Mapping[str, Asked]) -> Tree:
    """Set the kind of a section, and take out, of it and of what [smoke] says of it, the keys that the new kind does not have and the old
    one had. None: no such section. What went, by dotted key."""
    section, was = key.removesuffix(".kind"), str(get(tree, key) or asked[key].first.default or "")
    gone: Tree = {}
    for at in (section, f"smoke.{section}"):
        for name in list(get(tree, at) or {}):
            one = asked.get(f"{section}.{name}")
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


def to_text(value: Any, takes: Takes) -> str:
    """A value as it stands in its field."""
    if value is None or value in ([], {}):
        return ""
    if takes == "choice":
        return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    if isinstance(value, list | tuple):
        return ", ".join(to_text(one, "number") for one in value)
    if isinstance(value, dict):
        inner = ", ".join(f"{name} = {list(cuts) if isinstance(cuts, list | tuple) else cuts}" for name, cuts in value.items())
        return f"{{{inner}}}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def to_value(text: str, field: Field) -> Any:
    """What a field's text means; blank: not said. What is no number stays text, so that the engine says what is wrong with it."""
    text = text.strip()
    if not text:
        return None
    if field.takes == "choice" and text == OUT:
        return None
    if field.takes == "choice":
        return text == "yes" if field.options == BOOLEAN else None if text == SAME and SAME in field.options else _number(text)
    if field.takes in ("list", "texts"):
        parts = [part.strip() for part in (text.split(",") if "," in text else text.split())]
        return [part if field.takes == "texts" else _number(part) for part in parts if part]
    if field.takes == "raw":
        try:
            return tomllib.loads(f"x = {text}")["x"]
        except ValueError:
            return text
    return _number(text) if field.takes == "number" else text


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
