"""TOML as text: where each key stands, and how a scenario is written back."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from contextlib import suppress

Path = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def locate(text: str) -> dict[Path, int]:
    """The line (from 1) of every section, key and list item in valid TOML, by path: `("attack", "alphas", 2)`.

    A path that the text names only in passing (`[a.b]` names `a`) gets the line where it is first named. Never raises: on text that is
    not TOML it tells what it found up to there.
    """
    scanner = _Scanner(text)
    with suppress(IndexError, RecursionError):  # not TOML, or cut short: what was found still stands
        scanner.document()
    return scanner.lines


class _Scanner:
    """A reader that keeps positions, which tomllib throws away. It trusts the text to be valid and judges nothing."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.breaks = [i for i, c in enumerate(text) if c == "\n"]
        self.lines: dict[Path, int] = {}

    def mark(self, path: Path, start: int) -> None:
        for end in range(1, len(path) + 1):
            self.lines.setdefault(path[:end], bisect_right(self.breaks, start - 1) + 1)

    def space(self, newlines: bool = True) -> None:
        while self.at < len(self.text):
            c = self.text[self.at]
            if c == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif c in " \t" or (newlines and c in "\r\n"):
                self.at += 1
            else:
                return

    def document(self) -> None:
        section: Path = ()
        counts: dict[Path, int] = {}
        while True:
            self.space()
            if self.at >= len(self.text):
                return
            start = self.at
            if self.text[self.at] == "[":
                many = self.text[self.at + 1] == "["
                self.at += 2 if many else 1
                section = self.key()
                self.at += 2 if many else 1
                if many:
                    counts[section] = counts.get(section, -1) + 1
                    section = (*section, counts[section])
                self.mark(section, start)
            else:
                self.pair(section)

    def pair(self, section: Path) -> None:
        start = self.at
        path = section + self.key()
        self.mark(path, start)
        self.at += 1  # the equals sign
        self.value(path)

    def key(self) -> Path:
        parts: list[str] = []
        while True:
            self.space(newlines=False)
            if self.text[self.at] in "\"'":
                start = self.at
                self.string()
                parts.append(self.text[start + 1 : self.at - 1])
            else:
                bare = _BARE.match(self.text, self.at)
                if bare is None:
                    raise IndexError
                parts.append(bare[0])
                self.at = bare.end()
            self.space(newlines=False)
            if self.text[self.at] != ".":
                return tuple(parts)
            self.at += 1

    def string(self) -> None:
        quote = self.text[self.at]
        fence = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self.at += len(fence)
        while not self.text.startswith(fence, self.at):
            self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
            if self.at >= len(self.text):
                raise IndexError
        self.at += len(fence)
        while len(fence) == 3 and self.text.startswith(quote, self.at):
            self.at += 1  # a long string may end in one or two quotes of its own

    def value(self, path: Path) -> None:
        self.space()
        self.mark(path, self.at)
        c = self.text[self.at]
        if c in "\"'":
            self.string()
        elif c in "[{":
            self.at += 1
            index = 0
            while True:
                self.space()
                if self.text[self.at] in "]}":
                    self.at += 1
                    return
                if self.text[self.at] == ",":
                    self.at += 1
                elif c == "[":
                    self.value((*path, index))
                    index += 1
                else:
                    self.pair(path)
        else:
            while self.at < len(self.text) and self.text[self.at] not in ",]}#\r\n":
                self.at += 1


def write(tree: Mapping[str, object]) -> str:
    """TOML text of nested tables of strings, numbers, booleans and lists, in the order given; lists on one line."""
    lines: list[str] = []
    _table(tree, (), lines)
    return "\n".join(lines).strip("\n") + "\n"


def quoted(text: str) -> str:
    """A TOML basic string."""
    return '"' + "".join(_ESCAPES.get(c) or (f"\\u{ord(c):04X}" if ord(c) < 32 or ord(c) == 127 else c) for c in text) + '"'


def key(name: str) -> str:
    """A key as TOML writes it: bare where it may be, else quoted."""
    return name if _BARE.fullmatch(name) else quoted(name)


def _table(tree: Mapping[str, object], path: tuple[str, ...], lines: list[str]) -> None:
    plain = {k: v for k, v in tree.items() if not isinstance(v, Mapping)}
    if path and (plain or not tree):
        lines += ["", "[" + ".".join(map(key, path)) + "]"]
    lines += [f"{key(name)} = {_value(value)}" for name, value in plain.items()]
    for name, value in tree.items():
        if isinstance(value, Mapping):
            _table(value, (*path, name), lines)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, Mapping):  # inside a list
        return "{ " + ", ".join(f"{key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    return quoted(str(value))
