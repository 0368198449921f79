"""One field of the scenario form: what it asks, which choices it gives, and what its text means."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import Any, Literal

Takes = Literal["choice", "text", "texts", "list", "raw", "number"]  # texts: a list of them
Names = Literal["", "columns", "file"]

SAME = "same"  # as the kind of the adversary's model: the victims'
BOOLEAN = ("yes", "no")
OUT = "take out"  # of a choice that a file makes where its kind has none


@dataclass(frozen=True)
class Field:
    """One key of a scenario.

    each: a line on each of the options ("" where there is none). suggests: what a line of text may say. names: what it names.
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
    each: tuple[str, ...] = ()
    names: Names = ""

    @property
    def default_text(self) -> str:
        return to_text(self.default, self.takes)

    def on(self, option: str) -> str:
        """The help line of an option."""
        return dict(zip(self.options, self.each, strict=False)).get(option, "")


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
