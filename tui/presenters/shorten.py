"""Many descriptions cut to one width where they agree, so that what sets each apart can be read.

A description is a list of conditions: "White men over 60, married, hours 40–50". Cut at their ends, all read "White men over 60, …".
Here the conditions that most of the others share give way first, each run of them to one "…". What is left is cut at its end; where that
makes two alike, they are shown without the words that all begin with, else from the word on in which they part.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from rich.cells import cell_len, set_cell_size

CUT = "…"
BETWEEN = ", "
BEGINS = re.compile(r"(.*[ =:])?")  # the whole words of a beginning
ROUNDS = 3  # what is told from its like may read as another then
LEAST = 4  # cells of a condition that are worth showing


def shortened(texts: Collection[str], width: int) -> Mapping[str, str]:
    """text -> at most `width` cells of it, for those that are wider. Two that differ stay apart where the width has room for that."""
    unique = list(dict.fromkeys(texts))
    parts = {text: text.split(BETWEEN) for text in unique}
    shared = Counter(part for each in parts.values() for part in dict.fromkeys(each))
    cut = {text: _fewer(parts[text], shared, width) for text in unique if cell_len(text) > width}
    bare = _bare(parts)
    for round in range(ROUNDS):
        for alike in _alike(unique, cut):
            apart = {text: end_cut(bare.get(text, text), width) for text in alike} if not round else {}
            cut |= apart if len(set(apart.values())) == len(alike) else _from_where_they_part(alike, width)
    return cut


def _alike(texts: Sequence[str], cut: Mapping[str, str]) -> list[list[str]]:
    """The texts that are cut and read as another does: those of each reading."""
    count = Counter(cut.get(text, text) for text in texts)
    readings = dict.fromkeys(short for text in texts if (short := cut.get(text, "")) and count[short] > 1)
    return [[text for text in cut if cut[text] == short] for short in readings]


def _bare(parts: Mapping[str, Sequence[str]]) -> Mapping[str, str]:
    """Of texts that are all of as many conditions, as crossings are: without the words that every one's begins with, "race", "sex"."""
    counts = {len(each) for each in parts.values()}
    if len(parts) < 2 or len(counts) > 1 or 1 in counts:
        return {}
    begins = [BEGINS.match(_common(*column))[0] for column in zip(*parts.values(), strict=True)]  # type: ignore[index]
    return {text: BETWEEN.join(part[len(begin) :] for part, begin in zip(each, begins, strict=True)) for text, each in parts.items()}


def _fewer(parts: Sequence[str], shared: Mapping[str, int], width: int) -> str:
    """Conditions left out, the most shared first (of equals the last), until the rest fits, or nothing is left that others share."""
    kept = list(range(len(parts)))
    while len(kept) > 1 and cell_len(_joined(parts, kept)) > width:
        most = max(kept, key=lambda at: (shared[parts[at]], at))
        if shared[parts[most]] == 1:
            break
        kept.remove(most)
    words = _joined(parts, kept)
    if words.startswith(CUT) and (room := width - cell_len(words)) >= LEAST:  # whom it is about, as far as there is room
        words = set_cell_size(parts[0], min(room, cell_len(parts[0]))).rstrip() + words
    return end_cut(words, width)


def _joined(parts: Sequence[str], kept: Sequence[int]) -> str:
    """The parts kept, a "…" for each run of those between and before them, and after the last."""
    words, after = "", -1
    for at in kept:
        words += (BETWEEN if words else "") + (CUT + " " if at > after + 1 else "") + parts[at]
        after = at
    return words + (CUT if after < len(parts) - 1 else "")


def _from_where_they_part(texts: Sequence[str], width: int) -> Mapping[str, str]:
    """Texts whose cuts were alike, each from the word on in which it begins to differ from the one most like it."""
    ordered = sorted(texts)
    cut = {}
    for at, text in enumerate(ordered):
        beside = ordered[max(0, at - 1) : at] + ordered[at + 1 : at + 2]
        same = max((len(_common(text, other)) for other in beside), default=0)
        start = text.rfind(" ", 0, same + 1) + 1
        room = width - 1 - cell_len(text[start:])
        head = text[: max(0, min(room, start))].rstrip() if room > 0 else ""  # of what is the same, as much as there is room for
        cut[text] = end_cut(head + CUT + text[start:], width) if start else end_cut(text, width)
    return cut


def _common(*texts: str) -> str:
    """What all begin with."""
    first, last = min(texts), max(texts)
    return first[: next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))]


def end_cut(text: str, width: int) -> str:
    """Text whose end gives way where it is wider than `width` cells."""
    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)).rstrip() + CUT
