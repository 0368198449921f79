"""Which wrong label a subpopulation's poison is given: the paper's three readings of "worst class", or a class by name."""

from __future__ import annotations

import numpy as np

from engine.errors import UnknownName

RULES = ("rarest", "least_likely", "flip")


def target_label(rule: str, classes: tuple[str, ...], y: np.ndarray, proba: np.ndarray) -> str | None:
    """The class that one subpopulation's poison is given; None for "flip", where each point gets its own.

    y int [rows], proba float [rows, classes]: the subpopulation's aux rows alone. A rule's name wins over a class of that name.
    rarest        the true label rarest among the rows (a class that none of them has is rarest); ties to the lowest class index
    least_likely  the class with the lowest summed output of the adversary's model; ties likewise
    """
    if rule == "flip":
        return None
    if rule == "rarest":
        return classes[int(np.argmin(np.bincount(y, minlength=len(classes))))]
    if rule == "least_likely":
        return classes[int(np.argmin(proba.sum(axis=0, dtype=np.float64)))]
    check_target(rule, classes)
    return rule


def check_target(rule: str, classes: tuple[str, ...]) -> None:
    """Raises UnknownName where it is neither a rule nor a class."""
    if rule not in (*RULES, *classes):
        raise UnknownName("class or rule", rule, (*RULES, *classes), next="(in attack.target_label)")
