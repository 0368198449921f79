"""A scenario as TOML reads it: a tree of dictionaries, and its values by dotted key."""

from __future__ import annotations

from typing import Any

Tree = dict[str, Any]


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
