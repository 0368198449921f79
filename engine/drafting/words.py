"""The TOML of a draft: its keys with what each is for beside them, in the presets' own manner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.printable import name_of
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
class DraftSection:
    """A section with its keys; above: lines of comment over it; below: lines under its keys."""

    name: str
    keys: Sequence[Key]
    above: Sequence[str] = ()
    below: Sequence[str] = ()


def document(head: Sequence[str], title: str, sections: Sequence[DraftSection]) -> str:
    """The whole scenario."""
    lines = [*map(_comment, head), f"title = {toml.quoted(title)}"]
    for section in sections:
        lines += [
            "",
            *map(_comment, section.above),
            f"[{section.name}]",
            *map(_line, section.keys),
            *map(_comment, section.below),
        ]
    return "\n".join(lines) + "\n"


def _line(key: Key) -> str:
    name = ".".join(map(toml.key, key.name.split("/")))
    text = f"{'# ' if key.off else ''}{name} = {toml.write({'v': key.value}).removeprefix('v = ').strip()}"
    return f"{text.ljust(WIDTH)} {_comment(key.why)}" if key.why else text


def _comment(text: str) -> str:
    """Names and values of a file stand in it: one with a line break in it would go on as TOML."""
    return f"# {name_of(text)}"
