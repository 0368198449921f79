"""Turns what validation found into words a person can act on: the key, what it is, what was expected. No validator's jargon."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

from engine.errors import Mistake, nearest
from engine.scenario import toml as toml_text
from engine.scenario.toml import Path

Found = dict[Path, str]  # path of a key in the raw scenario -> what is wrong with it

_COUNTS = {1: "one", 2: "two", 3: "three", 4: "four"}


def explain(errors: Iterable[Mapping[str, Any]], raw: Mapping[str, object], schema: Mapping[str, Any]) -> Found:
    """One message per key out of pydantic's errors; `schema` is the JSON schema of the model that was validated."""
    messages: Found = {}
    for error in errors:
        loc = _untagged(tuple(error["loc"]), schema)
        path, value = _trim((*loc, "kind") if error["type"].startswith("union_tag") else loc, raw)
        if error["type"] == "too_short" and value:  # none of its items is right, and each has an error of its own
            continue
        if error["type"] == "extra_forbidden":
            messages.setdefault(path, unknown(path, schema, raw))
        elif error["type"] == "union_tag_not_found" or (error["type"] == "missing" and not isinstance(value, list | tuple)):
            missing = (*path, (*loc, "kind")[len(path)])
            messages.setdefault(missing, _missing(missing, schema, raw))
        else:
            messages.setdefault(path, wrong(value, _at(path, schema, raw), schema))
    return messages


def wrong(value: object, expected: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """ "is 0; expected a whole number of at least 1", with the nearest word where one of a few was expected."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {value}; expected a finite number"
    message = f"is {show(value)}; expected {words(expected, schema)}"
    choices = _choices(expected)
    near = nearest(value, [word for word in choices if isinstance(word, str)]) if isinstance(value, str) else None
    return f"{message}; did you mean {show(near)}?" if near else message


def words(expected: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """What a JSON schema expects, in words."""
    node = _resolve(expected, schema)
    kind = node.get("type")
    if "anyOf" in node:
        return " or ".join(words(option, schema) for option in node["anyOf"] if option.get("type") != "null")
    if choices := _choices(node):
        return show(choices[0]) if len(choices) == 1 else "one of " + ", ".join(map(show, choices))
    if kind in ("integer", "number"):
        return ("a whole number" if kind == "integer" else "a number") + _bounds(node)
    if kind == "array" and "prefixItems" in node:
        n = len(node["prefixItems"])
        return f"a list of {_COUNTS.get(n, n)}, each {words(node['prefixItems'][0], schema)}"
    if kind == "array":
        least = " of one item or more" if "minItems" in node else ""
        return f"a list{least} in [ ], each item {words(node['items'], schema)}"
    if kind == "object" or "oneOf" in node:
        inner = node.get("additionalProperties")
        return f"keys, each with {words(inner, schema)}" if isinstance(inner, dict) else "a section of keys"
    if kind == "string":
        most = f" of at most {node['maxLength']} characters" if "maxLength" in node else ""
        return "text in quotes" + (", not empty" if "minLength" in node else most)
    return "true or false" if kind == "boolean" else "something else"


def show(value: object) -> str:
    """A TOML value as a person wrote it, cut to a line."""
    if isinstance(value, datetime | date | time):
        return f"the date or time {value}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a section"
    if isinstance(value, list | tuple):
        text = "[" + ", ".join(show(v) for v in value[:8]) + (", ...]" if len(value) > 8 else "]")
    elif isinstance(value, int) and value.bit_length() > 200:
        text = "a number of very many digits"
    else:
        text = toml_text.quoted(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def strange_text(raw: object, path: Path = ()) -> Found:
    """Control characters and broken Unicode in any string: they would spoil a terminal or a file later."""
    messages: Found = {}
    if isinstance(raw, Mapping):
        for name, value in raw.items():
            messages |= strange_text(value, (*path, name))
    elif isinstance(raw, list):
        for i, value in enumerate(raw):
            messages |= strange_text(value, (*path, i))
    elif isinstance(raw, str) and (bad := re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", raw)):
        messages[path] = f"has the character U+{ord(bad[0]):04X} in it, which is not text; take it out"
    return messages


def name_key(path: Path) -> tuple[str, str]:
    """The dotted key of a path, and "item 2 " where the path points into a list."""
    dotted = ".".join(toml_text.key(part) for part in path if isinstance(part, str))
    item = next((f"item {part + 1} " for part in path if isinstance(part, int)), "")
    return (dotted if len(dotted) <= 80 else dotted[:77] + "..."), item


def tell(messages: Found, lines: Mapping[Path, int], overridden: Sequence[Path] = ()) -> list[Mistake]:
    """Mistakes in the order of the text: each with its line, or with `--set` where that is where it was said."""
    mistakes = []
    for path, what in messages.items():
        key, item = name_key(path)
        if any(path[: len(o)] == o for o in overridden):
            mistakes.append(Mistake(key, f"{item}{what} (given on the command line)"))
        else:
            line = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)
            mistakes.append(Mistake(key, f"{item}{what}", line))
    return sorted(mistakes, key=lambda m: (m.line is None, m.line or 0))


# ---- parts ----------------------------------------------------------------------------------------------------------


def _untagged(loc: Path, schema: Mapping[str, Any]) -> Path:
    """An error's location without the kinds that a validator puts behind each section that has some: ("model", "mlp", "lr")."""
    for depth in range(1, len(loc)):
        if "oneOf" in _at(loc[:depth], schema):
            return (*loc[:depth], *loc[depth + 1 :])
    return loc


def _trim(loc: Path, raw: object) -> tuple[Path, Any]:
    """The part of an error's location that the raw scenario has (the rest names types), and the value there."""
    value: Any = raw
    for depth, part in enumerate(loc):
        named = isinstance(value, Mapping) and isinstance(part, str) and part in value
        numbered = isinstance(value, list | tuple) and isinstance(part, int) and part < len(value)
        if not (named or numbered):
            return loc[:depth], value
        value = value[part]
    return loc, value


def _resolve(node: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    options = [o for o in node.get("anyOf", ()) if o.get("type") != "null"]
    return _resolve(options[0], schema) if len(options) == 1 else node


def kinds_of(node: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The kinds of a section's node, each with its own; empty where it has none."""
    node = _resolve(node, schema)
    options = [_resolve(option, schema) for option in node.get("oneOf", (node,))]
    return {option["properties"]["kind"]["const"]: option for option in options if "const" in option.get("properties", {}).get("kind", {})}


def _at(path: Path, schema: Mapping[str, Any], raw: object = None) -> Mapping[str, Any]:
    """The schema of the value at `path`; empty where the schema has no such place.

    raw: the tree whose sections say of which kind they are. A key that this kind lacks, or of a section that says none, is of the first
    kind that has it.
    """
    node: Mapping[str, Any] = schema
    for part in path:
        node = _resolve(node, schema)
        kind = raw.get("kind") if isinstance(raw, Mapping) else None
        raw = raw.get(part) if isinstance(raw, Mapping) else None
        if isinstance(part, int):
            prefix = node.get("prefixItems", ())
            node = prefix[part] if part < len(prefix) else node.get("items", {})
            continue
        kinds = kinds_of(node, schema) if "oneOf" in node else {}
        if kinds and part == "kind":
            node = {"type": "string", "enum": list(kinds)}
            continue
        chosen = kinds.get(kind, {}) if isinstance(kind, str) else {}
        having = [each for each in (chosen, *kinds.values()) if part in each.get("properties", {})]
        node = having[0] if having else node
        rest = node.get("additionalProperties")
        node = node.get("properties", {}).get(part) or (rest if isinstance(rest, dict) else {})
    return _resolve(node, schema)


def expects_text(path: Path, schema: Mapping[str, Any]) -> bool:
    """Whether the key takes text and nothing else: then `--set attack.target_label=3` means the text 3."""
    return _at(path, schema).get("type") == "string"


def is_key(path: Path, schema: Mapping[str, Any]) -> bool:
    """Whether the schema knows the key."""
    return bool(_at(path, schema))


def _choices(node: Mapping[str, Any]) -> list[Any]:
    return list(node.get("enum", [node["const"]] if "const" in node else []))


def _bounds(node: Mapping[str, Any]) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and high is not None:
        return f" from {low} to {high}" if high <= 10**9 else f" of at least {low} that fits in 63 bits"
    lower = f" above {node['exclusiveMinimum']:g}" if "exclusiveMinimum" in node else f" of at least {low:g}" if low is not None else ""
    below = node.get("exclusiveMaximum")
    upper = f" at most {high:g}" if high is not None else f" below {below:g}" if below is not None else ""
    return f"{lower} and{upper}" if lower and upper else lower + upper


def unknown(path: Path, schema: Mapping[str, Any], raw: object = None) -> str:
    """That there is no such key, or that its section's kind (as `raw` says) has no use for it; with the nearest that there is, the kinds
    that have it, or the section it belongs in."""
    name, kinds = str(path[-1]), kinds_of(_at(path[:-1], schema), schema)
    kind = _section(raw, path[:-1]).get("kind")
    chosen = kinds.get(kind) if isinstance(kind, str) else None
    every = list(dict.fromkeys(key for each in kinds.values() for key in each["properties"]))
    known = list((chosen or _at(path[:-1], schema)).get("properties", {})) or every
    near = nearest(name, known)
    if chosen is not None and (having := _having(name, kinds)):
        hint = f"did you mean {near!r}?" if near else "take it out"
        return f'has no meaning for kind "{kind}": it is a key of {having}; {hint}'
    where = f"in [{name_key(path[:-1])[0]}]" if path[:-1] else "at the top level"
    if near:
        return f"there is no such key {where}; did you mean {near!r}?"
    if elsewhere := nearest(name, every):
        return f"there is no such key {where}; did you mean {elsewhere!r}, a key of {_having(elsewhere, kinds)}?"
    if path[:-1] and name in schema["properties"]:
        return f"there is no such key {where}; it belongs at the top level"
    for section in schema["properties"]:
        if path[:-1] != (section,) and _at((section, name), schema):
            return f"there is no such key {where}; it belongs in [{section}]"
    return f"there is no such key {where}; known: {', '.join(known)}"


def _having(name: str, kinds: Mapping[str, Mapping[str, Any]]) -> str:
    """The kinds that have a key, in words; "" where none has it."""
    having = [kind for kind, node in kinds.items() if name in node["properties"]]
    return " and ".join([", ".join(having[:-1]), having[-1]] if len(having) > 1 else having)


def _section(raw: object, at: Path) -> Mapping[str, Any]:
    for part in at:
        raw = raw.get(part) if isinstance(raw, Mapping) and isinstance(part, str) else None
    return raw if isinstance(raw, Mapping) else {}


def _missing(path: Path, schema: Mapping[str, Any], raw: object) -> str:
    node = _at(path, schema, raw)
    needs = ["kind"] if "oneOf" in node else node.get("required")
    if needs:
        return f"the section [{name_key(path)[0]}] is missing; it needs at least {', '.join(needs)}"
    kind = _section(raw, path[:-1]).get("kind")
    if isinstance(kind, str) and path[-1] != "kind":
        example = "[...]" if node.get("type") == "array" else '"..."'
        return f'is missing; kind "{kind}" needs {node.get("description", words(node, schema))}: {path[-1]} = {example}'
    return f"is missing; give {words(node, schema)}"
