"""The TOML of a draft: its keys with what each is for beside them, in the presets' own manner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.scenario import toml

WIDTH = 34  # where comments begin


@dataclass(frozen=True)
class Key:
    """One line of a section. why: its comment; off: commented out, to be filled in or not."""

    name: str
    value: object
    why: str = ""
    off: bool = False


@dataclass(frozen=True)
class Part:
    """A section with its keys; above: lines of comment over it; below: lines under its keys."""

    name: str
    keys: Sequence[Key]
    above: Sequence[str] = ()
    below: Sequence[str] = ()


def document(head: Sequence[str], title: str, parts: Sequence[Part]) -> str:
    """The whole scenario."""
    lines = [*(f"# {line}" for line in head), f"title = {toml.quoted(title)}"]
    for part in parts:
        lines += [
            "",
            *(f"# {line}" for line in part.above),
            f"[{part.name}]",
            *map(_line, part.keys),
            *(f"# {line}" for line in part.below),
        ]
    return "\n".join(lines) + "\n"


def _line(key: Key) -> str:
    name = ".".join(map(toml.key, key.name.split("/")))
    text = f"{'# ' if key.off else ''}{name} = {toml.write({'v': key.value}).removeprefix('v = ').strip()}"
    return f"{text.ljust(WIDTH)} # {key.why}" if key.why else text
