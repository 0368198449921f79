"""The scenario of a file of one's own, to start from: every choice that a person would have to make is made, and said beside its key."""

from __future__ import annotations

import re
from pathlib import Path

from engine.drafting import sniffing
from engine.drafting.looks import Draft
from engine.drafting.opening import Opener
from engine.errors import RequestError
from engine.printable import name_of

SIGNS = re.compile(r"[\s_.+-]+")
LONGEST_NAME, LONGEST_TITLE = 40, 120


def draft(
    path: str | Path, label: str | None = None, *, folder: Path | None = None, opener: Opener | None = None, leaks: bool = False
) -> Draft:
    """A scenario for a table, for texts (a table with one column of free text) or for a folder of pictures.

    label: the column that is the label; None: guessed, and said why. folder: what a relative path is seen from, and where the scenario
    will lie. leaks: work out, too, how well each column alone tells the label, and say which is suspected (nothing is left out for it).
    Raises MissingData, BadData for what no scenario can be made of, UnknownName for a label that is not there, RequestError for a TOML.
    """
    typed = str(path)
    place = (folder or Path()) / Path(typed).expanduser()
    sort = sniffing.sniff(place)
    if sort == "scenario":
        raise RequestError("is a scenario already", where=typed, next=f"subpop run {typed}")
    shown = str(Path(typed).expanduser()) if typed.startswith("~") else typed
    title, name = title_of(place), run_name_of(place)
    from engine.drafting import pictures, tabular

    if sort == "pictures":
        if label is not None:
            raise RequestError("pictures have no label column: their folders are the classes", where=typed, next="take --label out")
        return pictures.draft(place, shown, title, name)
    return tabular.draft(place, shown, title, name, label, opener or Opener(), leaks)


def title_of(path: Path) -> str:
    """The file's name as words: "loans 2024" of loans_2024.csv."""
    return name_of(" ".join(SIGNS.sub(" ", _stem(path)).split()))[:LONGEST_TITLE] or "my data"


def run_name_of(path: Path) -> str:
    """The file's name as one word: "loans-2024"."""
    return name_of(SIGNS.sub("-", _stem(path)).strip("-"))[:LONGEST_NAME] or "mine"


def _stem(path: Path) -> str:
    name = path.resolve().name if path.name in ("", ".", "..") else path.name
    if path.is_dir():
        return name
    name = name[:-3] if name.lower().endswith(".gz") else name
    return Path(name).stem
