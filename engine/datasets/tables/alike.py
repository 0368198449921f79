"""Values that are one word written in several ways: they differ by case, blanks, a final dot, quotes or Unicode form alone."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from engine.datasets.wording import counted, shortened

if TYPE_CHECKING:
    import numpy as np

MOST_LEVELS = 10_000  # of a column looked at; more is free text
EXAMPLES = 3  # groups told of one column
INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
QUOTES = "\"'`´‘’“”«»"


def canonical(word: str) -> str:
    """What a word comes to where case, blanks, final dots, quotes around it and Unicode forms count for nothing."""
    text = unicodedata.normalize("NFKC", word).translate(INVISIBLE).replace("_", " ")
    return " ".join(text.strip(QUOTES + " ").rstrip(". ").split()).casefold()


def alike(counts: Mapping[str, int]) -> list[list[str]]:
    """Groups of two or more values with one canonical form, largest first in each. counts: value -> its rows."""
    groups: dict[str, list[str]] = {}
    if len(counts) <= MOST_LEVELS:
        for word in counts:
            groups.setdefault(canonical(word), []).append(word)
    return [sorted(words, key=lambda word: (-counts[word], word)) for form, words in groups.items() if form and len(words) > 1]


def difference(one: str, other: str) -> str:
    """By what two values of one canonical form differ, in words."""
    steps = (
        ("capitals", str.casefold),
        ("blanks", lambda text: " ".join(text.translate(INVISIBLE).replace("_", " ").split())),
        ("a final dot", lambda text: text.rstrip(". ")),
        ("quotes", lambda text: text.strip(QUOTES + " ")),
        ("Unicode form", lambda text: unicodedata.normalize("NFKC", text)),
    )
    for what, plain in steps:
        if plain(one) == plain(other):
            return what
    return "spelling"


def alike_notes(what: str, counts: Mapping[str, int]) -> list[str]:
    """That values of `what` ("classes", "levels of 'job'") are one word written in several ways, with their rows."""
    groups = alike(counts)
    notes = []
    for words in groups[:EXAMPLES]:
        spellings = " and ".join(f"{shortened(word)!r} ({counted(counts[word], 'row')})" for word in words)
        notes.append(
            f"{what} that differ by {difference(words[0], words[1])} alone, and are kept apart: {spellings}; make them one in the file"
        )
    if len(groups) > EXAMPLES:
        notes.append(f"{what}: {len(groups) - EXAMPLES:,} more such groups")
    return notes


def level_counts(codes: np.ndarray, levels: Sequence[str]) -> dict[str, int]:
    """Level -> rows, of the levels that have some. codes: int [rows], -1 where missing."""
    import numpy as np

    count = np.bincount(codes[codes >= 0], minlength=len(levels))
    return {level: int(n) for level, n in zip(levels, count, strict=True) if n}
