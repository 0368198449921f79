"""Which wrong label a subpopulation's poison is given: the paper's three readings of "worst class", or a class by name."""

from __future__ import annotations

import numpy as np

from engine.errors import nearest
from engine.scenario.targets import check_target, least_rows


def target_label(rule: str, classes: tuple[str, ...], y: np.ndarray, proba: np.ndarray, known: np.ndarray | None = None) -> str | None:
    """The class that one subpopulation's poison is given; None for "flip", where each point gets its own.

    y int [rows], proba float [rows, classes]: the subpopulation's aux rows alone. A rule's name wins over a class of that name.
    known bool [classes]: of which classes train has enough rows, all where it is None: a rule chooses among those alone, for one
    mistyped label would else be the rarest class of every subpopulation.
    rarest        the true label rarest among the rows (a class that none of them has is rarest); ties to the lowest class index
    least_likely  the class with the lowest summed output of the adversary's model; ties likewise
    """
    if rule == "flip":
        return None
    choice = np.arange(len(classes)) if known is None or not known.any() else np.flatnonzero(known)
    if rule == "rarest":
        return classes[int(choice[np.argmin(np.bincount(y, minlength=len(classes))[choice])])]
    if rule == "least_likely":
        return classes[int(choice[np.argmin(proba.sum(axis=0, dtype=np.float64)[choice])])]
    check_target(rule, classes, known)
    return rule


def known_classes(y: np.ndarray, classes: tuple[str, ...], least: int | None = None) -> np.ndarray:
    """Of which classes there are enough rows, bool [classes]; y int [rows] of train, least as `least_rows` says where it is None."""
    wanted = least_rows(len(y), len(classes)) if least is None else least
    known: np.ndarray = np.bincount(y, minlength=len(classes)) >= wanted
    return known


def few_rows_note(y: np.ndarray, classes: tuple[str, ...], known: np.ndarray) -> str | None:
    """That some classes are never a target for want of train rows, with what they may be a slip for; y int [rows] of train."""
    count = np.bincount(y, minlength=len(classes))
    big = [name for name, enough in zip(classes, known, strict=True) if enough]
    notes = []
    for name, rows, enough in zip(classes, count, known, strict=True):
        if not enough and big:
            near = nearest(name, big)
            notes.append(f"{name!r} ({rows:,} row{'' if rows == 1 else 's'}{f'; did you mean {near!r}?' if near else ''})")
    more = f" and {len(notes) - 5} more" if len(notes) > 5 else ""
    return (
        f"too few train rows to be anybody's target: {', '.join(notes[:5])}{more}; attack.target_min_rows moves the bound"
        if notes
        else None
    )
