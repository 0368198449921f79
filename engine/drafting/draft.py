"""The scenario of a file of one's own, to start from: every choice that a person would have to make is made, and said beside its key."""

from __future__ import annotations

import os
import re
from pathlib import Path

from engine.drafting import sniffing
from engine.drafting.looks import Draft
from engine.drafting.opening import Opener
from engine.errors import MissingData, RequestError, nearest
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
    _require(place, typed)
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


def _require(place: Path, path_text: str) -> None:
    """MissingData, with the nearest name of the folder, where there is nothing at the place; what cannot be looked at is told later."""
    try:
        place.stat()
    except FileNotFoundError as error:
        try:
            beside = nearest(place.name, (each for each in os.listdir(place.parent) if not each.startswith(".")))
        except OSError:
            beside = None
        if beside == place.name:
            raise MissingData("is a link to a file that is not there", where=path_text, next="give the file itself") from error
        advice = f"did you mean {os.path.join(os.path.dirname(path_text), beside)!r}?" if beside else "check the path"
        looked_from = "" if place.is_absolute() else f" (looked for from {Path.cwd()})"
        raise MissingData(f"there is no such file{looked_from}", where=path_text, next=advice) from error
    except (OSError, ValueError):
        return


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
