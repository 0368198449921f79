"""What a terminal may be shown of text that came from elsewhere: names, notes, titles, paths, data. Plain functions, no state.

Control characters are commands to a terminal (ESC and the C1 codes begin one), a line break forges a line of ours, and the bidirectional
overrides show other words than were written. They are refused where a person gives a name or a note, and cleaned wherever text is printed,
for stores, bundles and data hold what others wrote. Files for programs (csv, json, parquet) keep their data as it is.
"""

from __future__ import annotations

import re

from engine.errors import RequestError

UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_RUN = re.compile(UNSAFE.pattern + "+")
_BYTES = re.compile(r"[\ud800-\udfff]")  # how Python holds bytes of a command line that are no UTF-8
NO_TEXT = "has bytes in it that are no UTF-8 text"


def clean(text: str) -> str:
    """One line: a space for what a terminal must not get."""
    return _RUN.sub(" ", text)


def clean_lines(text: str) -> list[str]:
    """The lines of a text that is meant to have several, each clean; those after the first are indented, to set them apart."""
    first, *rest = text.split("\n")
    return [clean(first), *(clean(line if line.startswith("  ") else f"  {line}") for line in rest)]


def escaped(text: str) -> str:
    """JSON text with such characters as `\\u001b`: for who parses it the same data, for a terminal harmless."""
    return UNSAFE.sub(lambda match: match[0] if match[0] == "\n" else f"\\u{ord(match[0]):04x}", text)


def is_bytes(text: str) -> bool:
    """Whether it has bytes that are no UTF-8, which no store takes."""
    return bool(_BYTES.search(text))


def fault(text: str) -> str:
    """Why a text can be no name or note, or ""."""
    if is_bytes(text):
        return NO_TEXT
    if bad := UNSAFE.search(text):
        return f"has the character U+{ord(bad[0]):04X} in it, which is a command to a terminal and not text"
    return ""


def require(text: str, where: str) -> str:
    """The text, which a person gave as a name or a note. RequestError where it has what no terminal may be shown, or is no Unicode."""
    if why := fault(text):
        raise RequestError(why, where=where, next="take it out")
    return text


def name_of(text: str) -> str:
    """A name made from what was not given as one: a title, the name of a file or of another run."""
    return _BYTES.sub("?", clean(text))
