"""Which wrong label a subpopulation's poison is given: the paper's three readings of "worst class", or a class by name."""

from __future__ import annotations

import numpy as np

from engine.errors import RequestError, UnknownName

RULES = ("rarest", "least_likely", "flip")


def target_label(rule: str, classes: tuple[str, ...], y: np.ndarray, proba: np.ndarray, known: np.ndarray | None = None) -> str | None:
    """The class that one subpopulation's poison is given; None for "flip", where each point gets its own.

    y int [rows], proba float [rows, classes]: the subpopulation's aux rows alone. A rule's name wins over a class of that name.
    known bool [classes]: of which classes train has rows, all where it is None: a rule chooses among those alone, for one
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


def check_target(rule: str, classes: tuple[str, ...], known: np.ndarray | None = None) -> None:
    """Raises UnknownName where it is neither a rule nor a class, RequestError where it is a class that train has no row of."""
    if rule not in (*RULES, *classes):
        raise UnknownName("class or rule", rule, (*RULES, *classes), next="(in attack.target_label)")
    if known is not None and rule not in RULES and not known[classes.index(rule)]:
        there = [name for name, has in zip(classes, known, strict=True) if has]
        raise RequestError(
            f"no train row is of class {rule!r}, so that no clean victim knows it",
            where="attack.target_label",
            next=f"use one of {', '.join((*RULES, *there[:10]))}{' …' if len(there) > 10 else ''}, or correct the data's labels",
        )


def known_classes(y: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """Of which classes there are rows, bool [classes]; y int [rows] of train."""
    known: np.ndarray = np.bincount(y, minlength=len(classes)) > 0
    return known
